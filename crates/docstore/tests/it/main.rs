//! Tests of the document store from outside.

mod backup;
mod basics;
mod data;
mod export;
mod index;
mod model;
mod patch;
mod patch_reference;
mod pending;
mod review;
mod rot;
mod space;
mod threads;
mod validation;
mod world;
