//! `cargo xtask nightly`: the checks that are worth hours. Each is one of `ci`'s with more work:
//! simulation with many seeds, fuzzing guided by coverage, every bench measured.

use crate::process::{Process, Result};
use crate::stage::{self, Outcome, Stage};
use crate::{bench, fuzz};

/// How much to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seeds per simulation test (passed on as DOCDB_SIM_RUNS)
    #[arg(long, default_value_t = 10_000)]
    sim_runs: u64,
    /// Seconds that each fuzz target runs, guided by coverage
    #[arg(long, default_value_t = 600)]
    fuzz_seconds: u64,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (runs, seconds) = (arguments.sim_runs, arguments.fuzz_seconds);
    stage::run_all(&[
        Stage::new("sim", move || {
            Process::cargo()
                .env("DOCDB_SIM_RUNS", runs.to_string())
                .args(["test", "--workspace", "--locked", "--profile", "ci", "--no-fail-fast"])
                .run()?;
            Ok(Outcome::passed())
        }),
        Stage::new("fuzz", move || fuzz::long(seconds).map(Outcome::Passed)),
        Stage::new("bench", || bench::measure_all().map(Outcome::Passed)),
    ])
}
