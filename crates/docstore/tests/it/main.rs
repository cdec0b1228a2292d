//! Tests of the document store from outside.

mod backup;
mod basics;
mod data;
mod export;
mod index;
mod model;
mod patch;
mod patch_reference;
mod review;
mod validation;
mod world;
