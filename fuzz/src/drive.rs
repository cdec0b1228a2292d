//! The program around [`targets::driver`]: `cargo xtask fuzz` without `--seconds`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program: files and the terminal are its work"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::Parser;
use targets::driver::{self, Outcome};
use targets::{ALL, Target};

/// Where inputs that panicked are kept, from the root of the repository.
const ARTIFACTS: &str = "fuzz/artifacts";

#[derive(Debug, Parser)]
#[command(about = "Runs the fuzz targets reproducibly")]
struct Arguments {
    /// Targets to run (all when none is named)
    targets: Vec<String>,
    /// Mutants per target
    #[arg(long, default_value_t = 20_000)]
    runs: u64,
    /// What the mutants are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run the targets on this file only
    #[arg(long)]
    input: Option<PathBuf>,
    /// Write the seed inputs of the targets into this directory and stop
    #[arg(long, conflicts_with_all = ["runs", "seed", "input"])]
    save_seeds: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("drive: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every chosen target holds.
fn run(arguments: &Arguments) -> io::Result<bool> {
    let is_known = |name: &String| ALL.iter().any(|target| target.name == name);
    if let Some(name) = arguments.targets.iter().find(|name| !is_known(name)) {
        return Err(io::Error::other(format!("the list of targets lacks `{name}`")));
    }
    let mut all_hold = true;
    for target in ALL {
        if !arguments.targets.is_empty() && !arguments.targets.iter().any(|n| n == target.name) {
            continue;
        }
        if let Some(dir) = &arguments.save_seeds {
            driver::save_seeds(target, dir)?;
        } else if let Some(input) = &arguments.input {
            all_hold &= driver::holds(target, &fs::read(input)?);
        } else {
            all_hold &= drive(target, arguments.runs, arguments.seed)?;
        }
    }
    Ok(all_hold)
}

fn drive(target: &Target, runs: u64, seed: u64) -> io::Result<bool> {
    let name = target.name;
    match driver::drive(target, runs, seed, Path::new(ARTIFACTS))? {
        Outcome::Good { inputs } => {
            println!("{name}: {inputs} inputs, seed {seed}: good");
            Ok(true)
        }
        Outcome::Panicked { number, kept } => {
            println!("{name}: panicked on input {number} of seed {seed}: {}", kept.display());
            println!("again: cargo xtask fuzz {name} --input {}", kept.display());
            Ok(false)
        }
    }
}
