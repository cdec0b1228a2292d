//! `docdb inspect data`: the records of a data file and its damage.

use std::io::{self, Write};
use std::path::PathBuf;

use base::io::RealDisk;
use docstore::data::{Condition, Inspection, Kind, Part, StoredRecord, inspect};
use serde_json::{Value, json};

use crate::cli::coded;

pub(super) const HELP: &str = "\
Exit codes:
  0  it was read; whether it is damaged stands in the output
  1  it could not be read
  2  the command line is wrong

Examples:
  docdb inspect data DIR/00000001.data
  docdb inspect data DIR/00000001.data --records | less
  docdb inspect data DIR/00000001.data --json | jq .sound";

/// What to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A data file
    path: PathBuf,
    /// Print JSON: with --records one object per record and line, then the summary on the last line
    #[arg(long)]
    json: bool,
    /// Also list every record
    #[arg(long)]
    records: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<()> {
    let Arguments { path, json, records } = arguments;
    if *records && !json {
        writeln!(out, "    offset         LSN  kind       bytes  key")?;
    }
    let mut written = Ok(());
    let found = inspect(&RealDisk::shared(), path, &mut |record| {
        if *records && written.is_ok() {
            written = match json {
                true => writeln!(out, "{}", record_json(record)),
                false => write_record(record, out),
            };
        }
    });
    written?;
    let found = found.map_err(|e| coded(&e))?;
    match (json, records) {
        (true, true) => writeln!(out, "{}", to_json(&found)),
        (true, false) => writeln!(out, "{:#}", to_json(&found)),
        (false, records) => {
            if *records {
                writeln!(out)?;
            }
            write_text(&found, out)
        }
    }
}

/// The kind of a record, the length of its text and of what is stored.
fn kind(record: &StoredRecord) -> (&'static str, u32, u32) {
    match record.header.kind {
        Kind::Plain { bytes } => ("plain", bytes, bytes),
        Kind::Lz4 { bytes, stored } => ("lz4", bytes, stored),
        Kind::Tombstone => ("tombstone", 0, 0),
    }
}

fn write_record(record: &StoredRecord, out: &mut dyn Write) -> io::Result<()> {
    let (kind, bytes, _) = kind(record);
    let (offset, header) = (record.location.offset, &record.header);
    let (lsn, key) = (header.lsn.0, format!("{}/{}", header.collection, header.id));
    write!(out, "{offset:>10} {lsn:>11}  {kind:<9} {bytes:>6}  {key}")?;
    match header.expires_at {
        Some(at) => writeln!(out, "  expires at {} ms", at.0),
        None => writeln!(out),
    }
}

fn record_json(record: &StoredRecord) -> Value {
    let (kind, bytes, stored) = kind(record);
    json!({
        "offset": record.location.offset,
        "disk_bytes": record.disk_bytes,
        "kind": kind,
        "text_bytes": bytes,
        "stored_bytes": stored,
        "collection": record.header.collection.0,
        "id": record.header.id.to_string(),
        "lsn": record.header.lsn.0,
        "expires_at_ms": record.header.expires_at.map(|at| at.0),
    })
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Sound => "sound".to_owned(),
        Condition::Repairable(Part::Block(block)) => {
            format!("block {block} is damaged; parity makes it again")
        }
        Condition::Repairable(Part::Parity) => {
            "parity or table is damaged; the data makes it again".to_owned()
        }
        Condition::Lost(ranges) => {
            let ranges = ranges.iter().map(|range| format!("{}..{}", range.start, range.end));
            format!("lost: data {}", ranges.collect::<Vec<_>>().join(", "))
        }
    }
}

fn write_text(found: &Inspection, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "file       {} ({} bytes)", found.path.display(), found.file_len)?;
    match &found.header {
        Ok(header) => writeln!(
            out,
            "header     number {}, database {}, {} blocks of {} bytes a stripe, parity {:?}",
            header.identity.number,
            header.identity.database,
            header.layout.geometry.blocks(),
            header.layout.geometry.block_bytes(),
            header.layout.parity
        )?,
        Err(flaw) => writeln!(out, "header     {flaw}; nothing else is known")?,
    }
    for at in &found.bad_headers {
        writeln!(out, "damaged    a copy of the header at {at}")?;
    }
    let contents = &found.contents;
    let (from, to) = contents.lsns.unwrap_or_default();
    writeln!(
        out,
        "records    {} documents ({} packed), {} deletions, LSN {from} to {to}",
        contents.documents, contents.packed, contents.tombstones
    )?;
    writeln!(
        out,
        "bytes      {} of data: {} of records, {} of payload for {} of JSON",
        found.data_len, contents.record_bytes, contents.stored_bytes, contents.text_bytes
    )?;
    writeln!(out, "stripes    {} complete", found.stripes)?;
    for (stripe, bad) in &found.bad_stripes {
        writeln!(out, "damaged    stripe {stripe}: {}", condition(bad))?;
    }
    for damage in &found.damage {
        let range = &damage.range;
        writeln!(out, "damaged    data {}..{}: {}", range.start, range.end, damage.flaw)?;
    }
    writeln!(out, "verdict    {}", if found.is_sound() { "sound" } else { "damaged" })
}

fn to_json(found: &Inspection) -> Value {
    let header = match &found.header {
        Ok(header) => json!({
            "number": header.identity.number.0,
            "database": header.identity.database.to_string(),
            "blocks": header.layout.geometry.blocks(),
            "block_bytes": header.layout.geometry.block_bytes(),
            "parity": header.layout.parity == docstore::data::Parity::On,
        }),
        Err(flaw) => json!({ "error": flaw.to_string() }),
    };
    let (stripes, damage) = (found.bad_stripes.iter(), found.damage.iter());
    let contents = &found.contents;
    json!({
        "path": found.path.display().to_string(),
        "bytes": found.file_len,
        "header": header,
        "bad_headers": found.bad_headers,
        "data_bytes": found.data_len,
        "stripes": found.stripes,
        "documents": contents.documents,
        "packed": contents.packed,
        "tombstones": contents.tombstones,
        "text_bytes": contents.text_bytes,
        "stored_bytes": contents.stored_bytes,
        "record_bytes": contents.record_bytes,
        "first_lsn": contents.lsns.map(|(from, _)| from.0),
        "last_lsn": contents.lsns.map(|(_, to)| to.0),
        "bad_stripes": stripes
            .map(|(stripe, bad)| json!({ "stripe": stripe, "what": condition(bad) }))
            .collect::<Vec<_>>(),
        "damage": damage
            .map(|damage| json!({
                "from": damage.range.start,
                "to": damage.range.end,
                "what": damage.flaw.to_string(),
            }))
            .collect::<Vec<_>>(),
        "sound": found.is_sound(),
    })
}
