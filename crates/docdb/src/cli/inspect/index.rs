//! `docdb inspect index`: what is in an index file.

use std::io::{self, Write};
use std::path::PathBuf;

use base::io::RealDisk;
use docstore::index::file::{CollectionReport, Kind, Report, inspect};
use serde_json::{Value, json};

use crate::cli::coded;

pub(super) const HELP: &str = "\
Exit codes:
  0  it was read; whether it is damaged stands in the output
  1  it could not be read
  2  the command line is wrong

Examples:
  docdb inspect index DIR/0000000000000001.idx
  docdb inspect index DIR/0000000000000001.idx --json | jq .collections";

/// What to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// An index file
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<()> {
    let found = inspect(&RealDisk::shared(), &arguments.path).map_err(|e| coded(&e))?;
    if arguments.json { writeln!(out, "{:#}", to_json(&found)) } else { write_text(&found, out) }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Base => "base",
        Kind::Run => "run",
    }
}

fn write_text(found: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "file       {} ({} bytes)", found.path.display(), found.bytes)?;
    if let Some(header) = &found.header {
        writeln!(
            out,
            "header     {} {}, database {}, checkpoint at LSN {}",
            kind(header.kind),
            header.number,
            header.database,
            header.checkpoint
        )?;
    }
    if let Some(info) = &found.info {
        writeln!(out, "entries    {}, checksum {:08x}", info.entries, info.checksum)?;
    }
    for CollectionReport { collection, is_dropped, blocks, puts, tombstones, covered, ids } in
        &found.collections
    {
        if *is_dropped {
            writeln!(out, "collection {collection}: dropped")?;
            continue;
        }
        let ids = ids.as_ref().map_or(String::new(), |(from, to)| format!(", ids {from} to {to}"));
        writeln!(
            out,
            "collection {collection}: {puts} documents, {tombstones} deletions, {covered} of them \
             over older entries, {blocks} blocks{ids}"
        )?;
    }
    match &found.damage {
        Some(damage) => writeln!(
            out,
            "verdict    damaged at {} ({}): {}",
            damage.offset, damage.place, damage.wrong
        ),
        None => writeln!(out, "verdict    sound"),
    }
}

fn to_json(found: &Report) -> Value {
    let collections = found.collections.iter();
    json!({
        "path": found.path.display().to_string(),
        "bytes": found.bytes,
        "number": found.header.map(|header| header.number),
        "kind": found.header.map(|header| kind(header.kind)),
        "database": found.header.map(|header| header.database.to_string()),
        "checkpoint_lsn": found.header.map(|header| header.checkpoint.0),
        "entries": found.info.map(|info| info.entries),
        "checksum": found.info.map(|info| info.checksum),
        "collections": collections
            .map(|collection| json!({
                "collection": collection.collection.0,
                "dropped": collection.is_dropped,
                "blocks": collection.blocks,
                "puts": collection.puts,
                "tombstones": collection.tombstones,
                "covered": collection.covered,
                "first_id": collection.ids.as_ref().map(|(from, _)| from.to_string()),
                "last_id": collection.ids.as_ref().map(|(_, to)| to.to_string()),
            }))
            .collect::<Vec<_>>(),
        "damage": found.damage.as_ref().map(|damage| json!({
            "offset": damage.offset,
            "place": damage.place.to_string(),
            "what": damage.wrong.to_string(),
        })),
        "sound": found.damage.is_none(),
    })
}
