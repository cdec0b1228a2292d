//! `docdb repair --salvage` of a database: its log, and what that costs in documents.

use std::io::{self, BufRead, Write};
use std::path::Path;

use docstore::{DatabaseSalvage, DatabaseSalvageReport, Options};
use serde_json::{Value, json};
use wal::Environment;

use super::search::{INDEXES_REMOVED, remove_indexes};
use super::{Arguments, Done, SALVAGE, asked, to_json as log_json};
use crate::cli::coded;

/// Plans, shows, asks `answers` unless told not to, and carries out.
pub(super) fn run(
    arguments: &Arguments,
    env: &Environment,
    dir: &Path,
    answers: Option<&mut dyn BufRead>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Done> {
    let planned = DatabaseSalvage::plan(env, dir, &Options::default()).map_err(|e| coded(&e))?;
    let report = planned.report();
    let nothing = report.is_nothing_to_do();
    if !arguments.json {
        write!(out, "{report}")?;
        out.flush()?;
    }
    let must_ask = !nothing && !arguments.yes && !report.is_too_short();
    if must_ask && !asked(SALVAGE, answers, err)? {
        if arguments.json {
            writeln!(out, "{:#}", to_json(report, false))?;
        }
        return Ok(Done::Declined);
    }
    // First: a database that has lost changes must never meet an index that has them.
    let had_indexes = !nothing && remove_indexes(&*env.disk, dir, report.log.database)?;
    let report = planned.apply().map_err(|e| coded(&e))?;
    if arguments.json {
        writeln!(out, "{:#}", to_json(&report, !nothing))?;
    } else if !nothing {
        writeln!(out, "Salvaged: the database opens again.")?;
        if had_indexes {
            writeln!(out, "{INDEXES_REMOVED}")?;
        }
    }
    Ok(Done::Yes)
}

/// What is said of the log, and what of the database, in one object.
fn to_json(report: &DatabaseSalvageReport, applied: bool) -> Value {
    let mut value = log_json(&report.log, applied);
    if let Value::Object(fields) = &mut value {
        fields.insert("name".to_owned(), json!(report.name.as_str()));
        fields.insert("checkpoint_lsn".to_owned(), json!(report.checkpoint.0));
        fields.insert("unknown_changes_lost".to_owned(), json!(report.unknown));
        let documents = report.documents.iter().map(|lost| {
            json!({
                "collection": lost.collection.0,
                "id": lost.id.to_string(),
                "revision": lost.lsn.0,
            })
        });
        fields.insert("documents_lost".to_owned(), documents.collect());
        let collections = report.collections.iter().map(|(collection, name)| {
            json!({ "collection": collection.0, "name": name.as_ref().map(|name| name.as_str()) })
        });
        fields.insert("collections_lost".to_owned(), collections.collect());
    }
    value
}
