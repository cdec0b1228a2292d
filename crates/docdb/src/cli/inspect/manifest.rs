//! `docdb inspect manifest`: what of a database exists, as its manifest says.

use std::io::{self, Write};
use std::path::PathBuf;

use base::io::RealDisk;
use base::slots::{Condition, SlotReport};
use docstore::index::file::Kind;
use docstore::{Checkpoint, Manifest, ManifestInspection, inspect_manifest};
use serde_json::{Value, json};

use crate::cli::place::DirectoryArguments;
use crate::cli::{Environment, coded};

pub(super) const HELP: &str = "\
Exit codes:
  0  it was read; whether it is damaged stands in the output
  1  it could not be read, or there is none
  2  the command line is wrong

Examples:
  docdb inspect manifest --database orders
  docdb inspect manifest DIR
  docdb inspect manifest DIR --json | jq '.checkpoints[-1].files'";

/// What to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory of a database; without it, the database is looked for in the data directory
    path: Option<PathBuf>,
    #[command(flatten)]
    place: DirectoryArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(
    arguments: &Arguments,
    environment: &Environment,
    out: &mut dyn Write,
) -> io::Result<()> {
    let path = arguments.place.find(arguments.path.as_deref(), environment)?;
    let found = inspect_manifest(&RealDisk::shared(), &path).map_err(|e| coded(&e))?;
    if arguments.json {
        return writeln!(out, "{:#}", to_json(&found));
    }
    for slot in &found.slots {
        let (path, how) = (slot.path.display(), condition(slot));
        writeln!(out, "slot       {path}: {how}")?;
    }
    match &found.manifest {
        Ok(manifest) => write_text(manifest, out),
        Err(error) => writeln!(out, "verdict    {error}"),
    }
}

fn condition(slot: &SlotReport) -> String {
    match slot.condition {
        Condition::Missing => "missing".to_owned(),
        Condition::Valid { sequence, bytes } => format!("version {sequence}, {bytes} bytes"),
        Condition::Newer(version) => format!("of a later docdb, format version {version}"),
        Condition::Invalid => "damaged or unfinished".to_owned(),
    }
}

fn write_text(manifest: &Manifest, out: &mut dyn Write) -> io::Result<()> {
    let Manifest { database, name, created, .. } = manifest;
    writeln!(out, "database   {name} {database}, made at {} ms", created.0)?;
    writeln!(
        out,
        "next       collection {}, data file {}, index file {}",
        manifest.next_collection, manifest.next_file, manifest.next_index
    )?;
    writeln!(out, "log        kept behind LSN {} for data without parity", manifest.hold)?;
    for checkpoint in &manifest.checkpoints {
        write_checkpoint(checkpoint, out)?;
    }
    for lost in &manifest.quarantine {
        writeln!(
            out,
            "lost       document {} of collection {}, revision {}",
            lost.id, lost.collection, lost.lsn
        )?;
    }
    Ok(())
}

fn write_checkpoint(checkpoint: &Checkpoint, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\ncheckpoint LSN {}, taken at {} ms", checkpoint.lsn, checkpoint.wall.0)?;
    for collection in &checkpoint.collections {
        let properties = collection.properties.iter().map(|(name, _)| format!(", has {name}"));
        writeln!(
            out,
            "collection {} {}, created at LSN {}, last change {}{}",
            collection.collection,
            collection.name,
            collection.created,
            collection.last_change,
            properties.collect::<String>()
        )?;
    }
    for file in &checkpoint.files {
        writeln!(
            out,
            "data       {}: {} bytes verified{}, {} records, {} of deletions, {} dead, from LSN {}",
            file.number.file_name(),
            file.verified_len,
            if file.finished { ", finished" } else { "" },
            file.records,
            file.tombstones,
            file.dead,
            file.lowest
        )?;
    }
    for file in &checkpoint.index {
        let (number, kind) = (file.header.number, kind(file.header.kind));
        writeln!(
            out,
            "index      {number:016x}.idx: {kind}, {} bytes, {} entries, of the checkpoint at LSN {}",
            file.bytes, file.entries, file.header.checkpoint
        )?;
    }
    Ok(())
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Base => "base",
        Kind::Run => "run",
    }
}

fn to_json(found: &ManifestInspection) -> Value {
    let slots = found.slots.iter();
    let slots: Vec<Value> = slots
        .map(|slot| json!({ "path": slot.path.display().to_string(), "is": condition(slot) }))
        .collect();
    match &found.manifest {
        Err(error) => json!({ "slots": slots, "error": error.to_string() }),
        Ok(manifest) => json!({
            "slots": slots,
            "database": manifest.database.to_string(),
            "name": manifest.name.as_str(),
            "created_ms": manifest.created.0,
            "next_collection": manifest.next_collection,
            "next_file": manifest.next_file,
            "next_index": manifest.next_index,
            "hold_lsn": manifest.hold.0,
            "compacted_ms": manifest.compacted.0,
            "checkpoints":
                manifest.checkpoints.iter().map(checkpoint_json).collect::<Vec<_>>(),
            "quarantine": manifest.quarantine.iter().map(|lost| json!({
                "collection": lost.collection.0,
                "id": lost.id.to_string(),
                "lsn": lost.lsn.0,
            })).collect::<Vec<_>>(),
        }),
    }
}

fn checkpoint_json(checkpoint: &Checkpoint) -> Value {
    json!({
        "lsn": checkpoint.lsn.0,
        "wall_ms": checkpoint.wall.0,
        "collections": checkpoint.collections.iter().map(|collection| json!({
            "collection": collection.collection.0,
            "name": collection.name.as_str(),
            "created_lsn": collection.created.0,
            "last_change_lsn": collection.last_change.0,
            "properties": collection.properties.iter()
                .map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "files": checkpoint.files.iter().map(|file| json!({
            "number": file.number.0,
            "verified_bytes": file.verified_len,
            "finished": file.finished,
            "records": file.records,
            "tombstones": file.tombstones,
            "dead": file.dead,
            "lowest_lsn": file.lowest.0,
        })).collect::<Vec<_>>(),
        "index": checkpoint.index.iter().map(|file| json!({
            "number": file.header.number,
            "kind": kind(file.header.kind),
            "checkpoint_lsn": file.header.checkpoint.0,
            "bytes": file.bytes,
            "entries": file.entries,
            "checksum": file.checksum,
        })).collect::<Vec<_>>(),
    })
}
