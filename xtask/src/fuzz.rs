//! `cargo xtask fuzz`: the fuzz targets of `fuzz/`, in two ways.
//!
//! - **Reproducible** (the default, and a stage of `ci`): our own mutation driver runs a fixed
//!   number of inputs from a seed it prints. Stable compiler, no tools, the same inputs every time.
//! - **Guided by coverage** (`--seconds`): libFuzzer, linked from its crate, with the compiler's
//!   coverage pass switched on by flags. These are codegen flags that the stable compiler takes, so
//!   neither a nightly compiler nor cargo-fuzz is needed; a C++ compiler is.

use std::path::{Path, PathBuf};

use crate::process::{Failure, Process, Result};
use crate::workspace;

const MANIFEST: &str = "fuzz/Cargo.toml";
/// Inputs per target in `ci`.
const SHORT_RUNS: u64 = 20_000;
/// The seed of `ci`'s run. Any number will do, as long as it stays.
const SHORT_SEED: u64 = 1;
/// libFuzzer's bound on one input, in seconds: past it the target hangs.
const INPUT_SECONDS_MAX: u64 = 10;
/// Its bound on the memory of the process, in MiB: past it the target hoards.
const MEMORY_MIB_MAX: u64 = 1024;

/// The coverage pass: counters for every edge, the table that names them, and comparisons, so that
/// libFuzzer learns magic numbers. One codegen unit, because the tables are per unit.
const COVERAGE_FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Targets to run (all when none is named)
    targets: Vec<String>,
    /// Print the names of the targets and stop
    #[arg(long)]
    list: bool,
    /// Inputs per target in the reproducible way
    #[arg(long, default_value_t = SHORT_RUNS, conflicts_with = "seconds")]
    runs: u64,
    /// Seed of the reproducible way
    #[arg(long, default_value_t = SHORT_SEED, conflicts_with = "seconds")]
    seed: u64,
    /// Run libFuzzer for this long per target instead; its corpus is kept in fuzz/corpus
    #[arg(long)]
    seconds: Option<u64>,
    /// Run the targets once on this file, such as an input that failed
    #[arg(long, conflicts_with_all = ["seconds", "runs", "seed"])]
    input: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let known = targets()?;
    if arguments.list {
        for name in known {
            println!("{name}");
        }
        return Ok(());
    }
    if let Some(name) = arguments.targets.iter().find(|name| !known.contains(name)) {
        return Err(Failure::new(format!("no fuzz target is called `{name}`; see --list")));
    }
    let chosen = if arguments.targets.is_empty() { known } else { arguments.targets.clone() };
    match (&arguments.input, arguments.seconds) {
        (Some(input), _) => drive(&["--input".as_ref(), input.as_os_str()], &chosen),
        (None, Some(seconds)) => libfuzzer(&chosen, seconds),
        (None, None) => reproducible(&chosen, arguments.runs, arguments.seed),
    }
}

/// The stage of `ci`.
pub(crate) fn short() -> Result<String> {
    let targets = targets()?;
    Process::cargo()
        .env("CARGO_TARGET_DIR", target_dir())
        .args(["test", "--manifest-path", MANIFEST, "--locked", "--profile", "ci", "--lib"])
        .run()?;
    reproducible(&targets, SHORT_RUNS, SHORT_SEED)?;
    Ok(format!("{} targets, {SHORT_RUNS} inputs each, seed {SHORT_SEED}", targets.len()))
}

/// The stage of `nightly`.
pub(crate) fn long(seconds: u64) -> Result<String> {
    let targets = targets()?;
    libfuzzer(&targets, seconds)?;
    Ok(format!("{} targets, {seconds} s each, libFuzzer", targets.len()))
}

/// Builds of `fuzz/` have a directory of their own: another lock file, other flags.
pub(crate) fn target_dir() -> PathBuf {
    workspace::target_dir().join("fuzz")
}

/// The names of the targets: those of the files in `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let packages = workspace::packages(MANIFEST)?;
    let mut names: Vec<String> = packages
        .iter()
        .flat_map(|package| package.targets_of_kind("bin"))
        .filter(|name| *name != "drive")
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    Ok(names)
}

fn reproducible(targets: &[String], runs: u64, seed: u64) -> Result<()> {
    let (runs, seed) = (runs.to_string(), seed.to_string());
    drive(&["--runs".as_ref(), runs.as_ref(), "--seed".as_ref(), seed.as_ref()], targets)
}

fn drive(options: &[&std::ffi::OsStr], targets: &[String]) -> Result<()> {
    Process::cargo()
        .env("CARGO_TARGET_DIR", target_dir())
        .args(["run", "--manifest-path", MANIFEST, "--locked", "--profile", "ci"])
        .args(["--bin", "drive", "--"])
        .args(options)
        .args(targets)
        .run()
}

fn libfuzzer(targets: &[String], seconds: u64) -> Result<()> {
    let triple = host_triple()?;
    for target in targets {
        let corpus = workspace::root().join("fuzz/corpus").join(target);
        let artifacts = workspace::root().join("fuzz/artifacts").join(target);
        for dir in [&corpus, &artifacts] {
            std::fs::create_dir_all(dir).map_err(|e| Failure::io("create", dir, &e))?;
        }
        let built = build_instrumented(target, &triple)?;
        Process::cargo()
            .env("CARGO_TARGET_DIR", target_dir())
            .args(["run", "--manifest-path", MANIFEST, "--locked", "--profile", "ci"])
            .args(["--bin", "drive", "--", "--save-seeds"])
            .args([corpus.as_os_str(), target.as_ref()])
            .run()?;
        Process::new(&built.to_string_lossy())
            .args([corpus.as_os_str()])
            .args([
                format!("-artifact_prefix={}/", artifacts.display()),
                format!("-max_total_time={seconds}"),
                format!("-timeout={INPUT_SECONDS_MAX}"),
                format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
                "-print_final_stats=1".to_owned(),
            ])
            .run()?;
    }
    Ok(())
}

/// `--target` keeps the flags away from build scripts and procedural macros, which would not link.
fn build_instrumented(target: &str, triple: &str) -> Result<PathBuf> {
    Process::cargo()
        .env("CARGO_TARGET_DIR", target_dir())
        .env("RUSTFLAGS", COVERAGE_FLAGS)
        .args(["build", "--manifest-path", MANIFEST, "--locked", "--release"])
        .args(["--features", "libfuzzer", "--target", triple, "--bin", target])
        .run()?;
    Ok(target_dir().join(Path::new(triple)).join("release").join(target))
}

fn host_triple() -> Result<String> {
    let printed = Process::new("rustc").args(["-vV"]).output()?;
    printed
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| Failure::new("rustc does not say what machine this is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_target_is_refused() {
        let arguments = Arguments {
            targets: vec!["nonsense".to_owned()],
            list: false,
            runs: 1,
            seed: 1,
            seconds: None,
            input: None,
        };
        let failure = run(&arguments).unwrap_err().to_string();
        assert!(failure.contains("no fuzz target is called `nonsense`"), "{failure}");
    }

    #[test]
    fn there_are_targets_and_the_driver_is_not_one() {
        let targets = targets().unwrap();
        assert!(!targets.is_empty());
        assert!(!targets.contains(&"drive".to_owned()));
    }
}
