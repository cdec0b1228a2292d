//! `cargo xtask data`: the data sets that benches use. All of them are made, from a fixed seed,
//! into the target directory; none is downloaded and none is in the repository.

use std::path::PathBuf;

use crate::process::{Process, Result};
use crate::workspace;

/// A data set.
struct DataSet {
    name: &'static str,
    what: &'static str,
    count: u64,
    document_bytes: u64,
}

impl DataSet {
    fn path(&self) -> PathBuf {
        workspace::target_dir().join("data").join(format!("{}.ndjson", self.name))
    }
}

const DATA_SETS: &[DataSet] = &[
    DataSet {
        name: "documents-256",
        what: "JSON documents of about 256 bytes",
        count: 100_000,
        document_bytes: 256,
    },
    DataSet {
        name: "documents-1k",
        what: "JSON documents of about 1 KiB",
        count: 100_000,
        document_bytes: 1024,
    },
];

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Make the data sets that are missing
    #[arg(long)]
    make: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.make {
        make_missing()?;
    }
    for set in DATA_SETS {
        let state = match std::fs::metadata(set.path()) {
            Ok(metadata) => format!("{} bytes", metadata.len()),
            Err(_) => "missing; --make makes it".to_owned(),
        };
        println!("{:<16} {} x {} ({state})", set.name, set.count, set.what);
    }
    Ok(())
}

fn make_missing() -> Result<()> {
    for set in DATA_SETS.iter().filter(|set| !set.path().is_file()) {
        Process::cargo()
            .args(["run", "--quiet", "--locked", "--release", "--package", "benches"])
            .args(["--example", "make-documents", "--"])
            .args([set.count.to_string(), set.document_bytes.to_string()])
            .args([set.path()])
            .run()?;
    }
    Ok(())
}
