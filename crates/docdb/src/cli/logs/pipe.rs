//! `docdb logs pipe`: every line of standard input is an entry. A line that is a JSON object is read
//! as one, with the names that docdb knows; any other is a message.
//!
//! Lines are sent together, at most [`TOGETHER_MAX`] of them, or what came within [`WAIT`]. When the
//! server has no room they are sent again until it has, and nothing more is read meanwhile: so the
//! program before the pipe waits, as it would for a disk.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use client::{Client, Value};
use logstore::UnixNanos;
use serde_json::json;

use super::{Environment, Server, told};

/// Lines that are sent together.
const TOGETHER_MAX: usize = 500;
/// Bytes of lines that are sent together, about.
const TOGETHER_BYTES: usize = 1024 * 1024;
/// How long lines wait for others.
const WAIT: Duration = Duration::from_millis(100);
/// The longest line; of a longer one the rest is another line.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Exit code when lines were not stored.
const NOT_STORED: u8 = 6;
/// How often lines are sent again, at most.
const TRIES: u32 = 60;
/// The wait between tries.
const BETWEEN: Duration = Duration::from_secs(1);

/// What lines do not say.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The program of lines that do not say it
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// The machine of lines that do not say it
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// The severity of lines that do not say it
    #[arg(long, value_name = "NAME", default_value = "info")]
    severity: String,
    /// Take every line as a message, also one that is JSON
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    server: Server,
}

/// Runs the command; answers its exit code.
pub(super) fn run(
    arguments: &Arguments,
    environment: &Environment,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let client = arguments.server.client(environment)?;
    let lines = lines()?;
    let (mut stored, mut lost) = (0, 0);
    loop {
        let (batch, is_last) = together(&lines);
        if !batch.is_empty() {
            let entries: Vec<Value> = batch.iter().map(|line| entry(line, arguments)).collect();
            let count = entries.len() as u64;
            match send(&client, &json!({ "op": "ingest", "entries": entries })) {
                Ok(answer) => {
                    let taken = answer["stored"].as_u64().unwrap_or(0);
                    stored += taken;
                    lost += count.saturating_sub(taken);
                }
                Err(error) => {
                    writeln!(err, "docdb: {count} lines were not stored: {error}")?;
                    lost += count;
                }
            }
        }
        if is_last {
            break;
        }
    }
    writeln!(err, "docdb: {stored} lines were stored, {lost} were not")?;
    Ok(if lost == 0 { 0 } else { NOT_STORED })
}

/// The lines of standard input, read on a thread of their own, a few ahead.
fn lines() -> io::Result<Receiver<Vec<u8>>> {
    let (send, lines) = sync_channel(TOGETHER_MAX);
    let read = move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let mut limited = io::Read::take(&mut input, LINE_BYTES_MAX);
            match limited.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if send.send(line).is_err() => return,
                Ok(_) => {}
            }
        }
    };
    base::workers::spawn("stdin", read).map(drop)?;
    Ok(lines)
}

/// Lines that are sent together, and whether they are the last.
fn together(lines: &Receiver<Vec<u8>>) -> (Vec<Vec<u8>>, bool) {
    let Ok(first) = lines.recv() else { return (Vec::new(), true) };
    let (mut bytes, mut batch) = (first.len(), vec![first]);
    while batch.len() < TOGETHER_MAX && bytes < TOGETHER_BYTES {
        match lines.recv_timeout(WAIT) {
            Ok(line) => {
                bytes += line.len();
                batch.push(line);
            }
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => return (batch, true),
        }
    }
    (batch, false)
}

/// A line as an entry, with what it does not say itself.
fn entry(line: &[u8], arguments: &Arguments) -> Value {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    let object = match serde_json::from_str(text) {
        Ok(Value::Object(object)) if !arguments.plain => object,
        _ => serde_json::Map::from_iter([("message".to_owned(), text.into())]),
    };
    let mut entry = Value::Object(object);
    let now = UnixNanos::from_ms(SystemClock::new().wall().0).rfc3339();
    let app = arguments.app.as_deref().map(Value::from);
    let host = arguments.host.as_deref().map(Value::from);
    for (names, value) in [
        (&["time", "timestamp", "@timestamp", "ts"][..], Some(now.into())),
        (&["severity", "level"], Some(arguments.severity.as_str().into())),
        (&["app_name", "service", "logger"], app),
        (&["hostname", "host"], host),
    ] {
        let is_said = names.iter().any(|name| !entry[*name].is_null());
        if let (false, Some(value), Some(name)) = (is_said, value, names.first()) {
            entry[*name] = value;
        }
    }
    entry
}

/// Sends a request, again and again while the server has no room or does not answer.
fn send(client: &Client, request: &Value) -> io::Result<Value> {
    let waiter = base::retry::InterruptibleWaiter::default();
    let mut tries = 0;
    loop {
        let error = match client.logs(request) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        tries += 1;
        if !error.is_retryable() || tries >= TRIES {
            return Err(told(&error));
        }
        base::retry::Waiter::wait(&waiter, BETWEEN);
    }
}
