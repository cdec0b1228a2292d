//! Search: whether the planner chooses well, and queries of words beside plain tantivy.
//!
//! `BENCH_ONLY=planner` or `BENCH_ONLY=text` runs one part alone.

mod data;
mod planner;
mod text;
mod world;

use std::io::{self, Write as _};
use std::process::ExitCode;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    benches::run("search", |bench| {
        let only = std::env::var("BENCH_ONLY").ok();
        let wants =
            |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name));
        if wants("planner") {
            planner::run(bench)?;
        }
        if wants("text") {
            text::run(bench)?;
        }
        Ok(())
    })
}

/// What the table of the report has no column for.
fn tell(what: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{what}")
}
