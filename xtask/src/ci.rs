//! `cargo xtask ci`: everything a change must pass. All stages build with the `ci` profile, so that
//! each dependency is compiled once for all of them.

use crate::process::{Process, Result};
use crate::stage::{self, Outcome, Stage};
use crate::test::Effort;
use crate::{
    bench, clients, fuzz, generate, other_target, process, senders, stores, test, tidy, workspace,
};

/// The manifest of the workspace, and that of the fuzz targets, a workspace of its own.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run only these stages (all when none is named)
    stages: Vec<String>,
    /// Print the names of the stages and stop
    #[arg(long)]
    list: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut stages = stages()?;
    if arguments.list {
        for stage in &stages {
            println!("{}", stage.name());
        }
        return Ok(());
    }
    for name in &arguments.stages {
        if !stages.iter().any(|stage| stage.name() == name) {
            return Err(process::Failure::new(format!("no stage is called `{name}`; see --list")));
        }
    }
    if !arguments.stages.is_empty() {
        stages.retain(|stage| arguments.stages.iter().any(|name| stage.name() == name));
    }
    stage::run_all(&stages)
}

/// The stages, in order: what is quick to fail comes first.
pub(crate) fn stages() -> Result<Vec<Stage>> {
    let packages = workspace::packages(MANIFESTS[0])?;
    let mut stages = vec![
        Stage::new("fmt", || each_manifest("fmt", &["--all"], &["--check"])),
        Stage::new("tidy", || tidy::run().map(|()| Outcome::passed())),
        Stage::new("clippy", clippy),
        Stage::new("test", || test::all(Effort::AsWritten)),
        Stage::new("strace", strace),
        Stage::new("doctest", || {
            cargo(&["test", "--doc", "--workspace", "--locked", "--profile", "ci"])
        }),
        Stage::new("rustdoc", rustdoc),
        Stage::new("generated", || generate::check().map(|()| Outcome::passed())),
        Stage::new("fuzz", || fuzz::short().map(Outcome::Passed)),
        Stage::new("clients", || clients::check(clients::SHORT)),
        Stage::new("senders", senders::check),
        Stage::new("stores", stores::check),
    ];
    if packages.iter().any(|package| !package.targets_of_kind("bench").is_empty()) {
        stages.push(Stage::new("criterion", criterion_smoke));
    }
    stages.push(Stage::new("bench", || bench::smoke().map(Outcome::Passed)));
    stages.push(Stage::new("shuttle", || test::shuttle(Effort::AsWritten)));
    stages.push(Stage::new("aarch64", move || other_target::check(&packages)));
    Ok(stages)
}

fn cargo(args: &[&str]) -> Result<Outcome> {
    Process::cargo().args(args).run()?;
    Ok(Outcome::passed())
}

fn each_manifest(subcommand: &str, selection: &[&str], rest: &[&str]) -> Result<Outcome> {
    for manifest in MANIFESTS {
        let mut process = Process::cargo().args([subcommand, "--manifest-path", manifest]);
        if manifest != MANIFESTS[0] && subcommand != "fmt" {
            // With libFuzzer's programs, which are built only when they are asked for.
            process = process.env("CARGO_TARGET_DIR", fuzz::target_dir()).args(["--all-features"]);
        }
        process.args(selection).args(["--"]).args(rest).run()?;
    }
    Ok(Outcome::passed())
}

/// Also the bench of other engines, which is behind a feature: linting links nothing, so their
/// libraries need not be there.
fn clippy() -> Result<Outcome> {
    let selection = ["--workspace", "--all-targets", "--locked", "--profile", "ci"];
    each_manifest("clippy", &selection, &["-D", "warnings"])?;
    Process::cargo()
        .args(["clippy", "--package", bench::PACKAGE, "--features", bench::PEERS])
        .args(["--all-targets", "--locked", "--profile", "ci", "--", "-D", "warnings"])
        .run()?;
    Ok(Outcome::passed())
}

fn rustdoc() -> Result<Outcome> {
    Process::cargo()
        .env("RUSTDOCFLAGS", "-D warnings")
        .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .args(["--locked", "--profile", "ci"])
        .run()?;
    Ok(Outcome::passed())
}

/// Runs every criterion bench once, without measuring.
fn criterion_smoke() -> Result<Outcome> {
    cargo(&["bench", "--workspace", "--locked", "--profile", "ci", "--bench", "*", "--", "--test"])
}

/// Counts the system calls of a commit. The same test is part of `test`, where it passes without
/// having looked when `strace` is missing; here it is installed, or the stage is skipped.
fn strace() -> Result<Outcome> {
    if !Process::new("strace").args(["-V"]).succeeds_quietly() {
        let install = ["120", "apt-get", "install", "--yes", "strace"];
        if !Process::new("timeout").args(install).succeeds_quietly() {
            return Ok(Outcome::Skipped("strace is neither installed nor to be had".to_owned()));
        }
    }
    if !Process::new("strace").args(["-f", "-o", "/dev/null", "true"]).succeeds_quietly() {
        return Ok(Outcome::Skipped("this machine lets no program follow another".to_owned()));
    }
    let selection = ["--package", "wal", "--test", "strace"];
    Process::cargo().args(["test", "--locked", "--profile", "ci"]).args(selection).run()?;
    Ok(Outcome::passed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_stage_is_refused() {
        let arguments = Arguments { stages: vec!["nonsense".to_owned()], list: false };
        let failure = run(&arguments).unwrap_err().to_string();
        assert!(failure.contains("no stage is called `nonsense`"), "{failure}");
    }

    #[test]
    fn stages_have_distinct_names() {
        let stages = stages().unwrap();
        let mut names: Vec<&str> = stages.iter().map(Stage::name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
