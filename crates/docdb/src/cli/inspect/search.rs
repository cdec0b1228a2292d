//! `docdb inspect search`: what a search index consists of, and whether its files are whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::io::RealDisk;
use base::words::{CollectionId, DatabaseId};
use search::index::{Inspection, inspect};
use search::manifest::{Place, Segment};
use search::storage::{LocalStore, StoreRef};
use serde_json::{Value, json};

use crate::cli::coded;

pub(super) const HELP: &str = "\
Exit codes:
  0  it was read; whether it is damaged stands in the output
  1  it could not be read, or there is none
  2  the command line is wrong

Examples:
  docdb inspect search data/search/0197…/7
  docdb inspect search data/search/0197…/7 --json | jq '.segments[] | select(.sound | not)'";

/// What to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory of an index: `<store>/<database uuid>/<number of the collection>`
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<()> {
    let Some((root, place)) = place(&arguments.path) else {
        let wanted =
            "expected the directory of an index, <database uuid>/<number of the collection>";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, wanted));
    };
    let store: StoreRef = Arc::new(LocalStore::read_only(RealDisk::shared(), root));
    let Some(found) = inspect(&store, place).map_err(|error| coded(&error))? else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no manifest of an index"));
    };
    if arguments.json { writeln!(out, "{:#}", to_json(&found)) } else { write_text(&found, out) }
}

/// The store that a directory is in, and which index it is.
fn place(path: &Path) -> Option<(&Path, Place)> {
    let collection = path.file_name()?.to_str()?.parse().ok()?;
    let above = path.parent()?;
    let database = above.file_name()?.to_str()?.parse().ok()?;
    let place = Place { database: DatabaseId(database), collection: CollectionId(collection) };
    Some((above.parent()?, place))
}

/// A segment, and what is wrong with it.
fn segments(found: &Inspection) -> impl Iterator<Item = (&Segment, Option<String>)> {
    let verdicts = found.verdicts.iter().map(|verdict| Some(verdict.as_ref().err()?.to_string()));
    found.manifest.contents.segments.iter().zip(verdicts)
}

fn bytes(segment: &Segment) -> u64 {
    segment.files.iter().map(|file| file.len).sum()
}

fn write_text(found: &Inspection, out: &mut dyn Write) -> io::Result<()> {
    let manifest = &found.manifest;
    writeln!(
        out,
        "manifest   {} of term {}, database {}, collection {}, written at {} ms",
        manifest.number,
        manifest.term,
        manifest.place.database,
        manifest.place.collection,
        manifest.written_at.0
    )?;
    writeln!(out, "applied    all changes up to LSN {}", manifest.contents.applied)?;
    writeln!(out, "schema     {}", String::from_utf8_lossy(&manifest.contents.schema))?;
    for (segment, wrong) in segments(found) {
        let dead = segment.dead.map_or(0, |dead| dead.rows);
        writeln!(
            out,
            "\nsegment    {}: {} rows, {dead} of them dead, LSN {} to {}, {} bytes",
            segment.id,
            segment.rows,
            segment.first,
            segment.last,
            bytes(segment)
        )?;
        for file in &segment.files {
            writeln!(out, "file       {}: {} bytes", file.name, file.len)?;
        }
        match wrong {
            Some(wrong) => writeln!(out, "verdict    {wrong}")?,
            None => writeln!(out, "verdict    sound")?,
        }
    }
    Ok(())
}

fn to_json(found: &Inspection) -> Value {
    let manifest = &found.manifest;
    let schema = serde_json::from_slice::<Value>(&manifest.contents.schema).ok();
    let segments = segments(found).map(|(segment, wrong)| {
        json!({
            "id": segment.id.to_string(),
            "rows": segment.rows,
            "dead_rows": segment.dead.map_or(0, |dead| dead.rows),
            "first_lsn": segment.first.0,
            "last_lsn": segment.last.0,
            "bytes": bytes(segment),
            "files": segment.files.iter()
                .map(|file| json!({ "name": file.name, "bytes": file.len }))
                .collect::<Vec<_>>(),
            "sound": wrong.is_none(),
            "damage": wrong,
        })
    });
    let segments: Vec<Value> = segments.collect();
    json!({
        "database": manifest.place.database.to_string(),
        "collection": manifest.place.collection.0,
        "term": manifest.term,
        "number": manifest.number,
        "written_ms": manifest.written_at.0,
        "applied_lsn": manifest.contents.applied.0,
        "schema": schema,
        "segments": segments,
        "sound": found.verdicts.iter().all(Result::is_ok),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_an_index_says_whose_it_is() {
        let path = Path::new("/data/search/00112233-4455-6677-8899-aabbccddeeff/7");
        let (root, found) = place(path).expect("a place");
        assert_eq!((root, found.collection), (Path::new("/data/search"), CollectionId(7)));
        assert_eq!(found.database.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        for other in ["/data/search/7", "7", "/data/00112233-4455-6677-8899-aabbccddeeff/x", "/"] {
            assert!(place(Path::new(other)).is_none(), "{other}");
        }
    }
}
