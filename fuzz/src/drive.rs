//! Runs the fuzz targets reproducibly: every seed input, then a fixed number of mutants drawn from
//! a seed. A target that panics ends the run; before that, the input is written to
//! `fuzz/artifacts/<target>/panic`, and `--input` runs it again.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program: files and the terminal are its work"
)]

use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use base::rng::Rng;
use clap::Parser;
use targets::{ALL, Target, mutate};

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
    /// Write the seed inputs of one target into this directory and stop
    #[arg(long, conflicts_with_all = ["runs", "seed", "input"])]
    save_seeds: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let chosen: Vec<&Target> = ALL
        .iter()
        .filter(|t| arguments.targets.is_empty() || arguments.targets.iter().any(|n| n == t.name))
        .collect();
    match run(&arguments, &chosen) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("drive: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, chosen: &[&Target]) -> io::Result<bool> {
    if let Some(dir) = &arguments.save_seeds {
        for target in chosen {
            save_seeds(target, dir)?;
        }
        return Ok(true);
    }
    let mut all_good = !chosen.is_empty();
    for target in chosen {
        if let Some(input) = &arguments.input {
            all_good &= holds(target, &fs::read(input)?);
        } else {
            all_good &= drive(target, arguments.runs, arguments.seed)?;
        }
    }
    Ok(all_good)
}

/// Runs one target; false when it panicked.
fn drive(target: &Target, runs: u64, seed: u64) -> io::Result<bool> {
    let seeds = (target.seeds)();
    let mut rng = Rng::new(seed);
    let mutants = (0..runs).map(|_| mutate::mutant(&seeds, &mut rng));
    let mut count = 0_u64;
    for input in seeds.iter().cloned().chain(mutants) {
        count += 1;
        if !holds(target, &input) {
            let dir = PathBuf::from("fuzz/artifacts").join(target.name);
            fs::create_dir_all(&dir)?;
            let path = dir.join("panic");
            fs::write(&path, &input)?;
            println!(
                "{}: panicked on input {count} of seed {seed}: {}",
                target.name,
                path.display()
            );
            return Ok(false);
        }
    }
    println!("{}: {count} inputs, seed {seed}: good", target.name);
    Ok(true)
}

/// Whether the target takes the input without a panic. The message of the panic, if there is one,
/// is printed by the default hook.
fn holds(target: &Target, input: &[u8]) -> bool {
    panic::catch_unwind(|| (target.run)(input)).is_ok()
}

fn save_seeds(target: &Target, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(dir.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}
