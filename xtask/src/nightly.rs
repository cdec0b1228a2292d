//! `cargo xtask nightly`: the checks that are worth hours. Each is one of `ci`'s with more work:
//! simulation with many seeds, memory of a large log and of many, fuzzing guided by coverage, every
//! bench measured.

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

/// MiB of records in the log that is recovered, and logs that are open at once. The log takes three
/// times its size on disk, in the directory for temporary files.
const MEMORY: [(&str, &str); 2] = [("DOCDB_LOG_MIB", "1024"), ("DOCDB_LOGS", "10000")];

/// Counts what the log allocates, at sizes for which `ci` has no time.
fn memory() -> Result<Outcome> {
    let mut process = Process::cargo();
    for (name, value) in MEMORY {
        process = process.env(name, value);
    }
    let selection = ["--package", "wal", "--test", "memory", "--", "--nocapture"];
    process.args(["test", "--locked", "--profile", "ci"]).args(selection).run()?;
    Ok(Outcome::passed())
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
        Stage::new("memory", memory),
        Stage::new("fuzz", move || fuzz::long(seconds).map(Outcome::Passed)),
        Stage::new("bench", || bench::measure_all().map(Outcome::Passed)),
    ])
}
