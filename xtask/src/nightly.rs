//! `cargo xtask nightly`: the checks that are worth hours. Each is one of `ci`'s with more work:
//! simulation and threads for longer, memory of a large log and of many, updates without end at full
//! size, fuzzing guided by coverage, every bench measured.

use crate::process::{Process, Result};
use crate::stage::{self, Outcome, Stage};
use crate::test::{self, Effort};
use crate::{bench, clients, fuzz};

/// How much to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many times the work that each simulation test asks for by itself (passed on as
    /// TESTS_SIM_TIMES)
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    sim_times: u64,
    /// Seconds that each fuzz target runs, guided by coverage
    #[arg(long, default_value_t = 300)]
    fuzz_seconds: u64,
    /// Minutes that a server is kept under load, killed and started again
    #[arg(long, default_value_t = 120)]
    soak_minutes: u64,
}

/// MiB of records in the log that is recovered, and logs that are open at once. The log takes three
/// times its size on disk, in the directory for temporary files.
const MEMORY: [(&str, &str); 2] = [("TESTS_LOG_MIB", "1024"), ("TESTS_LOGS", "10000")];

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

/// Updates documents with the standard settings on the real disk until 100 segments of log are full.
/// It writes 13 GB and needs 1 GB, in the directory for temporary files.
fn endless() -> Result<Outcome> {
    let selection = ["--package", "docstore", "--test", "it", "--", "--nocapture", "full_size"];
    let process = Process::cargo().env("TESTS_ENDLESS_FULL", "1");
    process.args(["test", "--locked", "--profile", "ci"]).args(selection).run()?;
    Ok(Outcome::passed())
}

/// Kills a real server a thousand times, at named calls and at any moment.
fn drills() -> Result<Outcome> {
    let selection = ["--package", "docdb", "--test", "it", "--", "--nocapture", "drills"];
    let process = Process::cargo().env("TESTS_DRILLS", "1000");
    process.args(["test", "--locked", "--profile", "ci"]).args(selection).run()?;
    Ok(Outcome::passed())
}

/// How often the process that stores logs is killed, how often each of its disks loses power, and
/// how many random queries the model of search compares.
const LOGS: [(&str, &str); 3] = [
    ("TESTS_LOGS_KILLS", "100"),
    ("TESTS_LOGS_POWER_LOSSES", "1000"),
    ("TESTS_LOGS_ROUNDS", "1000"),
];

/// Kills and compares the log store as often as `ci` has no time for, and a server that takes logs.
fn logs() -> Result<Outcome> {
    let mut process = Process::cargo();
    for (name, value) in LOGS {
        process = process.env(name, value);
    }
    let selection = ["--package", "logstore", "--test", "it"];
    process.args(["test", "--locked", "--profile", "ci"]).args(selection).run()?;
    let selection = ["--package", "docdb", "--test", "it", "--", "--nocapture", "logs::kills"];
    let process = Process::cargo().env("TESTS_LOGS_SERVER_KILLS", "100");
    process.args(["test", "--locked", "--profile", "ci"]).args(selection).run()?;
    Ok(Outcome::passed())
}

/// Makes 10,000 databases in a real server and lets it close them. They take 4 GB, in the directory
/// for temporary files.
fn databases() -> Result<Outcome> {
    let selection = ["--package", "docdb", "--test", "it", "--", "--nocapture", "databases_that"];
    let process = Process::cargo().env("TESTS_DATABASES", "10000");
    process.args(["test", "--locked", "--profile", "ci"]).args(selection).run()?;
    Ok(Outcome::passed())
}

/// Keeps a server under load, ends it in order and kills it, and judges what it kept and held.
fn soak(minutes: u64) -> Result<Outcome> {
    let run = ["run", "--release", "--locked", "--package", "docdb", "--example", "soak", "--"];
    Process::cargo().args(run).args(["--minutes", &minutes.to_string()]).run()?;
    Ok(Outcome::Passed(format!("{minutes} minutes")))
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (effort, seconds) = (Effort::Times(arguments.sim_times), arguments.fuzz_seconds);
    let minutes = arguments.soak_minutes;
    stage::run_all(&[
        Stage::new("sim", move || test::all(effort)),
        Stage::new("shuttle", move || test::shuttle(effort)),
        Stage::new("memory", memory),
        Stage::new("endless", endless),
        Stage::new("drills", drills),
        Stage::new("logs", logs),
        Stage::new("databases", databases),
        Stage::new("soak", move || soak(minutes)),
        Stage::new("clients", || clients::check(clients::LONG)),
        Stage::new("fuzz", move || fuzz::long(seconds).map(Outcome::Passed)),
        Stage::new("bench", || bench::measure_all().map(Outcome::Passed)),
    ])
}
