//! Tests of the document store from outside.

mod data;
mod index;
mod patch;
mod patch_reference;
mod validation;
