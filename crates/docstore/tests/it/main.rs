//! Tests of the document store from outside.

mod index;
