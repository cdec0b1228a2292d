//! Tests of the document store from outside.

mod index;
mod patch;
mod patch_reference;
