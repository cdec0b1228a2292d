//! `docdb logs export`: entries as lines of JSON or CSV, from a server or from the files of one that
//! does not run, the earliest first.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use client::Value;
use logstore::{
    Entry, EntryId, ExportFormat, Marks, Severity, StoredEntry, UnixNanos, csv_line, json_line,
};
use serde_json::json;

use super::{Asking, At, Environment, Filter, Span, offline, pages};
use crate::cli::coded;
use crate::engine::EngineError;
use crate::ingest::{fields, time};
use crate::log_search;

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// What to write, and where to.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The file to write, which is not there yet; `-` is standard output
    #[arg(default_value = "-", value_name = "FILE")]
    file: PathBuf,
    /// ndjson or csv
    #[arg(long, value_name = "FORMAT", default_value = "ndjson", value_parser = parse_format)]
    format: ExportFormat,
    #[command(flatten)]
    filter: TextFilter,
    #[command(flatten)]
    span: Span,
    /// Read the files of this data directory, which no server may have open
    #[arg(long, value_name = "DIR", conflicts_with = "connect")]
    data_dir: Option<PathBuf>,
    /// The server: the path of its socket, HOST:PORT, http://HOST:PORT or https://HOST:PORT
    /// [default: the socket in DOCDB_DATA_DIR, or in ./docdb-data]
    #[arg(long, value_name = "ADDRESS")]
    connect: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

/// The same as [`Filter`] with the text as an option, because the file comes first here.
#[derive(Debug, Clone, clap::Args)]
struct TextFilter {
    /// Words, "phrases", OR, -without, begin*
    #[arg(long = "text", value_name = "TEXT")]
    words: Option<String>,
    /// As bad as this or worse
    #[arg(long, value_name = "NAME")]
    severity: Option<String>,
    /// Of these programs
    #[arg(long, value_name = "NAMES")]
    app: Option<String>,
    /// Of these machines
    #[arg(long, value_name = "NAMES")]
    host: Option<String>,
    /// With these values in the structured data
    #[arg(long, value_name = "CONDITIONS")]
    sd: Option<String>,
}

fn parse_format(text: &str) -> Result<ExportFormat, String> {
    match text {
        "ndjson" => Ok(ExportFormat::NdJson),
        "csv" => Ok(ExportFormat::Csv),
        _ => Err("ndjson or csv".to_owned()),
    }
}

/// Runs the command.
pub(super) fn run(
    arguments: &Arguments,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    if arguments.file == Path::new("-") {
        let mut lines = BufWriter::with_capacity(BUFFER_BYTES, out);
        write(arguments, environment, &mut lines, err)?;
        return lines.flush();
    }
    let target = crate::cli::export::NewFile::create(&arguments.file)?;
    let mut lines = BufWriter::with_capacity(BUFFER_BYTES, target);
    write(arguments, environment, &mut lines, err)?;
    lines.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
}

fn write(
    arguments: &Arguments,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let asked = &arguments.filter;
    let filter = Filter {
        text: asked.words.clone(),
        severity: asked.severity.clone(),
        app: asked.app.clone(),
        host: asked.host.clone(),
        sd: asked.sd.clone(),
    };
    let mut request = json!({ "op": "search", "order": "oldest" });
    filter.add(&mut request);
    arguments.span.add(&mut request);
    match &arguments.data_dir {
        Some(data) => from_files(arguments, data, &request, out, err),
        None => from_server(arguments, environment, request, out, err),
    }
}

fn from_files(
    arguments: &Arguments,
    data: &Path,
    request: &Value,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let failed = |error: EngineError| io::Error::other(format!("{error} code={}", error.code));
    let asked = |name: &str| request[name].as_str().filter(|_| name != "order");
    let filter = log_search::filter(&asked).map_err(failed)?;
    let store = offline::open(data)?;
    let mut written = Ok(());
    let mut export = store.export(filter, arguments.format).map_err(|error| coded(&error))?;
    for line in export.by_ref() {
        let line = line.map_err(|error| coded(&error));
        written = line.and_then(|line| writeln!(out, "{line}"));
        if written.is_err() {
            break;
        }
    }
    let missing = export.unreadable();
    drop(export);
    offline::close(&store)?;
    if missing > 0 {
        writeln!(err, "docdb: {missing} parts of the logs cannot be read and are missing")?;
    }
    written
}

fn from_server(
    arguments: &Arguments,
    environment: &Environment,
    request: Value,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let at = At { connect: arguments.connect.clone(), data_dir: None };
    let client = arguments.asking.client(&at.address(environment)?, environment)?;
    let mut is_first = true;
    pages(&client, request, None, err, &mut |entry| {
        let stored = stored(entry);
        match arguments.format {
            ExportFormat::NdJson => writeln!(out, "{}", json_line(&stored.view())),
            ExportFormat::Csv => {
                if std::mem::take(&mut is_first) {
                    writeln!(out, "{}", logstore::CSV_HEADER)?;
                }
                writeln!(out, "{}", csv_line(&stored.view()))
            }
        }
    })
}

/// An entry out of the JSON that servers answer.
fn stored(json: &Value) -> StoredEntry {
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let at = |name: &str| time::rfc3339(&text(name)).unwrap_or(UnixNanos(0));
    let mut entry = Entry::new(at("time"), text("message"));
    entry.received = at("received");
    entry.severity = fields::severity(&text("severity")).unwrap_or(Severity::Info);
    entry.facility = json["facility"].as_u64().and_then(|n| u8::try_from(n).ok()).unwrap_or(1);
    for (name, mark) in
        [("unparsed", Marks::UNPARSED), ("cut", Marks::CUT), ("invalid_utf8", Marks::INVALID_UTF8)]
    {
        if json["marks"].as_array().is_some_and(|marks| marks.iter().any(|shown| shown == name)) {
            entry.marks = entry.marks.with(mark);
        }
    }
    entry.hostname = text("hostname");
    entry.app_name = text("app_name");
    entry.proc_id = text("proc_id");
    entry.msg_id = text("msg_id");
    entry.source = text("source");
    if !json["structured_data"].is_null() {
        entry.structured_data = json["structured_data"].to_string();
    }
    StoredEntry { id: EntryId(json["id"].as_u64().unwrap_or(0)), entry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_a_server_is_the_one_that_its_files_have() {
        let mut entry = Entry::new(UnixNanos(1_769_903_999_000_000_001), "disk \"full\"\n");
        entry.received = UnixNanos(7_000_000);
        entry.severity = Severity::Alert;
        entry.facility = 23;
        entry.marks = Marks::CUT.with(Marks::UNPARSED);
        entry.hostname = "web1".to_owned();
        entry.structured_data = "{\"a\":{\"b\":[1,\"x\"]}}".to_owned();
        let original = StoredEntry { id: EntryId(9), entry };
        let shown: Value = serde_json::from_str(&json_line(&original.view())).unwrap();
        assert_eq!(stored(&shown), original);
    }
}
