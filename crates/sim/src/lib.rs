//! Deterministic simulation for docdb's tests: a disk that loses power, an enumerator of crash
//! states, an object store that fails, a clock moved by hand, seeds, and a checker of histories.
//!
//! Start with [`disk::FaultDisk`] and the fault model it implements
//! (`docs/formats/fault-model.md`), then [`crash`], which records a workload and visits every
//! state a crash could leave. `docs/guides/testing.md` says how the layers of tests use them.
//!
//! What is not here: workloads and their checks live in the tests of the crate they exercise. This
//! crate depends on `base` alone, so that every store can be tested with it.
//!
//! Invariants: nothing here asks the machine for time, randomness or files; the same seed and the
//! same calls give the same run, call by call.

pub mod clock;
pub mod crash;
pub mod disk;
pub mod drill;
pub mod history;
pub mod objects;
pub mod seed;
pub mod watch;

pub use clock::VirtualClock;
pub use disk::FaultDisk;
pub use objects::FaultStore;
