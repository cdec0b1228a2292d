//! Tests of `base` through its public interface, one module for each area.

mod document;
mod document_reference;
mod error_pages;
