//! The document store beside RocksDB, fjall, LMDB, SQLite and redb: the same documents, the same
//! work, the same durability, each engine in a process of its own, and after the work a check that
//! what each holds is right.
//!
//! Ours and one peer at a time are measured in pairs, as [`benches`] says. `rows` has what is
//! measured, `home` a database of one engine, `results` keeps what was found over several runs,
//! `markdown` makes the page of it. Run by `cargo xtask bench --peers documents-peers -- ...`.

mod home;
mod markdown;
mod results;
mod rows;

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use benches::engines::Kind;
use benches::hosted::{HOST_FLAG, serve};
use benches::report::{self, Report};
use benches::{Scratch, scratch};
use clap::Parser;

use results::Results;
use rows::{Amounts, Pair, Row};

const NAME: &str = "documents-peers";

/// What to measure.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: benches::Options,
    /// Documents in each database
    #[arg(long, default_value_t = 1_000_000)]
    documents: u64,
    /// Bytes of a document, about
    #[arg(long, default_value_t = 256)]
    bytes: u64,
    /// Rows to measure (all when none is named)
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Engines to measure beside (all when none is named)
    #[arg(long, value_delimiter = ',')]
    engines: Vec<Kind>,
    /// Length of each sample of the row `stall`
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Leave out what would need more disk than this at a time
    #[arg(long, default_value_t = 15)]
    disk_gib: u64,
    /// Keep what was found in this file, beside what other runs have put there
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Write the page of all that is in the results
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

fn main() -> ExitCode {
    let is_host = std::env::args_os().nth(1).is_some_and(|arg| arg == OsStr::new(HOST_FLAG));
    let done = if is_host { serve() } else { measure(&Arguments::parse()) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit code says it all the same.
            let _ = writeln!(io::stderr(), "{NAME}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Arguments) -> io::Result<()> {
    let parent = match &options.common.dir {
        Some(dir) => dir.clone(),
        None => scratch::beside_the_program()?,
    };
    let scratch = Scratch::new(&parent, NAME)?;
    let mut results = Results::load(options.results.clone())?;
    let rows = if options.rows.is_empty() { Row::all() } else { options.rows.clone() };
    let peers =
        if options.engines.is_empty() { Kind::PEERS.to_vec() } else { options.engines.clone() };
    let amounts = if options.common.smoke {
        Amounts::smoke()
    } else {
        Amounts::full(options.documents, options.bytes, options.seconds)
    };
    let mut whole = Report::new(NAME);
    let mut failed = Vec::new();
    for kind in peers.into_iter().filter(|kind| *kind != Kind::Docdb) {
        let pair = Pair { scratch: &scratch, options: &options.common, amounts, kind };
        let (report, done) = pair.measure(&rows, options.disk_gib << 30, &mut results);
        whole.cases.extend(report.cases);
        if let Err(error) = done {
            failed.push(format!("{}: {error}", kind.word()));
        }
        results.save()?;
    }
    io::stdout().lock().write_all(whole.to_markdown().as_bytes())?;
    if let Some(path) = &options.common.json {
        report::write_json(path, &whole.to_json())?;
    }
    if let Some(path) = &options.markdown {
        report::write_text(path, &markdown::page(results.value()))?;
    }
    if failed.is_empty() { Ok(()) } else { Err(io::Error::other(failed.join("; "))) }
}
