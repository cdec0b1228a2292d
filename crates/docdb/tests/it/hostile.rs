//! Everything that a server must survive, against the real process: too much, too deep, too many,
//! names that reach for files, frames that are none, a defect of its own, and places that are
//! somebody else's. Each is answered with a clear error, and the server goes on in bounded memory.
//!
//! What is measured is printed: `cargo nextest run -p docdb -E 'test(hostile)' --no-capture`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "what these tests share fails them by panicking; they look at files themselves"
)]

mod amounts;
mod databases;
mod defects;
mod names;
mod places;
mod process;
mod raw;
