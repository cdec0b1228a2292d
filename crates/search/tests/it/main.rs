//! Tests of the crate as its users see it.

mod data;
mod files;
mod vectors;
