//! `docdb inspect`: looking at files without changing them. One file per kind of file.

mod data;
mod index;
mod manifest;
mod search;
mod wal;

use std::io::{self, Write};

use super::Environment;

/// What to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what is in a data file, and what of it is damaged
    ///
    /// Writes nothing and takes no lock. How much of the file counts, only the manifest of its
    /// database knows: the end of a file in use may be what is just being written, and look damaged.
    #[command(after_help = data::HELP)]
    Data(data::Arguments),
    /// Show what is in an index file, and whether it is whole
    #[command(after_help = index::HELP)]
    Index(index::Arguments),
    /// Show what the manifest of a database says
    #[command(after_help = manifest::HELP)]
    Manifest(manifest::Arguments),
    /// Show what a search index consists of, and whether its files are whole
    ///
    /// Reads every file that its newest manifest names. Writes nothing and takes no lock: of an index in use files may be
    /// deleted while they are looked at, and then seem to be missing.
    #[command(after_help = search::HELP)]
    Search(search::Arguments),
    /// Show what is in a write-ahead log and what opening it would do
    ///
    /// Writes nothing and takes no lock: a log in use can be looked at, though what is just being
    /// written may look like a torn tail.
    #[command(after_help = wal::HELP)]
    Wal(wal::Arguments),
}

/// Runs the command.
pub(super) fn run(
    arguments: &Arguments,
    environment: &Environment,
    out: &mut dyn Write,
) -> io::Result<()> {
    match &arguments.what {
        What::Data(arguments) => data::run(arguments, out),
        What::Index(arguments) => index::run(arguments, out),
        What::Manifest(arguments) => manifest::run(arguments, environment, out),
        What::Search(arguments) => search::run(arguments, out),
        What::Wal(arguments) => wal::run(arguments, environment, out),
    }
}
