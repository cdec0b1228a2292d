//! Tests of the log from outside: behaviour, crashes, errors, rot, and the planted defects that
//! show that these tests would notice.
//!
//! Start with `world.rs`: a log on a simulated disk, a workload, and the check of what a crash
//! left.

#![expect(clippy::print_stdout, reason = "a test says what it counted")]

mod basics;
mod crash;
mod descriptors;
mod errors;
mod fixtures;
mod full;
mod generations;
mod input;
mod inspect;
mod places;
mod planted;
mod rot;
mod salvage;
mod world;
