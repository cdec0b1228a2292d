//! Tests of the document store from outside.

#![expect(clippy::print_stdout, reason = "tests publish what they counted")]

mod backup;
mod basics;
mod crash;
mod data;
mod directory;
mod double;
mod endless;
mod errors;
mod export;
mod fixtures;
mod gate;
mod given_up;
mod hold;
mod index;
mod life;
mod model;
mod patch;
mod patch_reference;
mod pending;
mod planted;
mod rebuild;
mod review;
mod rot;
mod rule;
mod salvage;
mod space;
mod submit;
mod survival;
mod threads;
mod validation;
mod verify;
mod world;
