//! `docdb repair --rebuild-index`: the index of a database, from its data files and its log.

use std::io::{self, BufRead, Write};
use std::path::Path;

use docstore::{InDoubt, Options, RebuildReport, rebuild_index};
use serde_json::{Value, json};
use wal::Environment;

use super::search::{INDEXES_REMOVED, remove_indexes};
use super::{Arguments, Done, asked};
use crate::cli::coded;

const QUESTION: &str =
    "Rebuild the index all the same? Older versions may come up in the place of lost ones.";

/// Rebuilds, and asks `answers` when that is in doubt.
pub(super) fn run(
    arguments: &Arguments,
    env: &Environment,
    dir: &Path,
    answers: Option<&mut dyn BufRead>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Done> {
    let rebuild =
        |in_doubt| rebuild_index(env, dir, &Options::default(), in_doubt).map_err(|e| coded(&e));
    let remove = |report: &RebuildReport| remove_indexes(&*env.disk, dir, report.database);
    let mut had_indexes = false;
    let mut report = rebuild(InDoubt::Refuse)?;
    if report.index.is_none() {
        if !arguments.yes {
            show(arguments, &report, out)?;
            if !asked(QUESTION, answers, err)? {
                return Ok(Done::Declined);
            }
        }
        // First: a database that has lost versions must never meet an index that has them.
        had_indexes = remove(&report)?;
        report = rebuild(InDoubt::Accept)?;
    }
    had_indexes |= remove(&report)?;
    show(arguments, &report, out)?;
    if had_indexes && !arguments.json {
        writeln!(out, "{INDEXES_REMOVED}")?;
    }
    Ok(Done::Yes)
}

fn show(arguments: &Arguments, report: &RebuildReport, out: &mut dyn Write) -> io::Result<()> {
    match arguments.json {
        true => writeln!(out, "{:#}", to_json(report))?,
        false => write!(out, "{report}")?,
    }
    out.flush()
}

fn to_json(report: &RebuildReport) -> Value {
    json!({
        "applied": report.index.is_some(),
        "database": report.database.to_string(),
        "name": report.name.as_str(),
        "checkpoint_lsn": report.checkpoint.0,
        "index": report.index,
        "files": report.files,
        "records": report.records,
        "healed": report.healed,
        "documents": report.documents.iter().map(|(collection, name, documents)| json!({
            "collection": collection.0,
            "name": name.as_str(),
            "documents": documents,
        })).collect::<Vec<_>>(),
        "unreadable": report.unreadable.iter().map(|(file, range)| json!({
            "file": file.0,
            "from": range.start,
            "to": range.end,
        })).collect::<Vec<_>>(),
        "recovered": report.recovered,
        "lost": report.lost.iter().map(|lost| json!({
            "collection": lost.collection.0,
            "id": lost.id.to_string(),
            "revision": lost.lsn.0,
        })).collect::<Vec<_>>(),
        "doubts": report.doubts.iter().map(|doubt| json!({
            "file": doubt.file.0,
            "records": doubt.records,
            "from_lsn": doubt.from.0,
            "to_lsn": doubt.to.0,
        })).collect::<Vec<_>>(),
        "documents_in_doubt": report.documents_in_doubt,
        "checkpoints_dropped": report.checkpoints_dropped,
        "note": report.note.as_ref().map(|path| path.display().to_string()),
    })
}
