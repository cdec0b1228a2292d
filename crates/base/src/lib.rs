//! Foundations of docdb. Depends on nothing of ours; everything of ours depends on it.
//!
//! Start with [`words`] (the shared vocabulary), then [`io`] (the only door to files) and
//! [`error`] (the frozen codes). Time, randomness and threads come from [`clock`], [`rng`] and
//! [`workers`] and from nowhere else, so that a simulation can replace them.

pub mod clock;
pub mod document;
pub mod error;
pub mod io;
pub mod limits;
pub mod memory;
pub mod metrics;
pub mod retry;
pub mod rng;
pub mod shutdown;
pub mod slots;
pub mod words;
pub mod workers;
