//! Running the tests of the workspace: as they are in `ci`, for longer in `nightly`.

use crate::process::{Process, Result};
use crate::stage::Outcome;
use crate::workspace;

/// Tests that run under the shuttle scheduler, which takes the place of the system's threads:
/// (crate, name of the test binary).
const MODEL_TESTS: &[(&str, &str)] = &[("wal", "shuttle")];

/// How much the tests that can do more are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// What each asks for by itself.
    AsWritten,
    /// That many times as much.
    Times(u64),
}

impl Effort {
    fn asked_of(self, process: Process) -> Process {
        match self {
            Self::AsWritten => process,
            Self::Times(times) => process.env("TESTS_SIM_TIMES", times.to_string()),
        }
    }

    /// The profile in `.config/nextest.toml`: they differ in how long a test may take.
    fn nextest_profile(self) -> &'static str {
        match self {
            Self::AsWritten => "default",
            Self::Times(_) => "nightly",
        }
    }
}

/// nextest where it is installed, the plain runner where it is not: the tests are the same, only
/// slower, and the summary says which it was.
pub(crate) fn all(effort: Effort) -> Result<Outcome> {
    let process = effort.asked_of(Process::cargo());
    if Process::cargo().args(["nextest", "--version"]).succeeds_quietly() {
        process
            .args(["nextest", "run", "--workspace", "--locked", "--cargo-profile", "ci"])
            .args(["--profile", effort.nextest_profile()])
            .run()?;
        return Ok(Outcome::passed());
    }
    let targets = ["--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"];
    process.args(["test", "--locked", "--profile", "ci"]).args(targets).run()?;
    Ok(Outcome::Passed("by cargo test: cargo-nextest is not installed".to_owned()))
}

/// Builds in a directory of its own: `--cfg shuttle` changes every crate.
pub(crate) fn shuttle(effort: Effort) -> Result<Outcome> {
    for (package, test) in MODEL_TESTS {
        effort
            .asked_of(Process::cargo())
            .env("RUSTFLAGS", "--cfg shuttle")
            .env("CARGO_TARGET_DIR", workspace::target_dir().join("shuttle"))
            .args(["test", "--locked", "--profile", "ci", "--package", package, "--test", test])
            .run()?;
    }
    Ok(Outcome::passed())
}
