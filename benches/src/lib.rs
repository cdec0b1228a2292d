//! Side-by-side measurements: ours and a peer (a raw ceiling, or another engine) in one run.
//!
//! Not the place for microbenchmarks (criterion, beside the crate they measure) and never a test:
//! nothing is asserted about time. What is fixed here is the rule by which a figure may be quoted:
//!
//! 1. Ours and the peer **alternate**, at least nine pairs ([`paired`]).
//! 2. Quoted are the **median and the range of the ratio**, and CPU seconds per operation
//!    ([`stopwatch`]).
//! 3. A **probe** (raw 4 KiB write + `fdatasync` into a zero-filled file) runs before and after
//!    ([`probe`]); when it moved by more than a factor of two, the case is thrown away.
//! 4. A claim **holds** when the median meets its aim and at least seven of nine pairs do
//!    ([`verdict`]).
//!
//! A bench is a program in `src/bin`: it calls [`run`] and describes its cases, each two closures.
//! `cargo xtask bench` finds it by itself. Start with `src/bin/seam.rs`.

#[cfg(feature = "peers")]
pub mod confined;
#[cfg(feature = "peers")]
pub mod corpus;
pub mod documents;
#[cfg(feature = "peers")]
pub mod engines;
#[cfg(feature = "peers")]
pub mod hosted;
pub mod log;
pub mod machine;
pub mod paired;
pub mod probe;
pub mod report;
#[cfg(feature = "peers")]
pub mod rocks;
pub mod scratch;
pub mod stopwatch;
#[cfg(feature = "peers")]
pub mod usage;
pub mod verdict;
#[cfg(feature = "peers")]
pub mod work;
pub mod writers;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

pub use paired::{Bench, Case};
pub use scratch::Scratch;
pub use stopwatch::Stopwatch;

/// How to run a bench program.
#[derive(Debug, Parser)]
pub struct Options {
    /// Run every case once on little work, to see that it works
    #[arg(long)]
    pub smoke: bool,
    /// Pairs per case; fewer than nine give no verdict
    #[arg(long, default_value_t = verdict::PAIRS_MIN)]
    pub pairs: usize,
    /// Write the report here as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Directory for the files of the bench, on the disk to be measured (default: beside the
    /// program)
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// The body of a bench program's `main`: reads the options, lets `cases` run its cases, prints the
/// report as Markdown and writes it as JSON when asked.
///
/// # Panics
/// Never, unless `cases` does.
pub fn run(name: &str, cases: impl FnOnce(&mut Bench) -> io::Result<()>) -> ExitCode {
    let options = Options::parse();
    match run_with(name, &options, cases) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit code says it all the same.
            let _ = writeln!(io::stderr(), "{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_with(
    name: &str,
    options: &Options,
    cases: impl FnOnce(&mut Bench) -> io::Result<()>,
) -> io::Result<()> {
    let parent = match &options.dir {
        Some(dir) => dir.clone(),
        None => scratch::beside_the_program()?,
    };
    let scratch = Scratch::new(&parent, name)?;
    let mut bench = Bench::new(name, &scratch, options);
    cases(&mut bench)?;
    let report = bench.into_report();
    io::stdout().lock().write_all(report.to_markdown().as_bytes())?;
    if let Some(path) = &options.json {
        report::write_json(path, &report.to_json())?;
    }
    Ok(())
}
