//! Tests of the log store from outside: a real directory, a clock that is moved by hand, and work
//! that is done when the test says so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backup;
mod batching;
mod crash;
mod disk;
mod failures;
mod files;
mod model;
mod support;
mod vfs;
