//! Tests of the document store from outside.

mod backup;
mod basics;
mod data;
mod export;
mod fixtures;
mod index;
mod model;
mod patch;
mod patch_reference;
mod pending;
mod rebuild;
mod review;
mod rot;
mod salvage;
mod space;
mod threads;
mod validation;
mod verify;
mod world;
