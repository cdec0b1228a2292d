//! `docdb logs`: searching, following, sending and writing out application logs. Most of it asks a
//! server; export, backup and restore also work on the files of one that does not run.

mod export;
mod offline;
mod pipe;
mod tail;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use client::{Client, Value};
use logstore::UnixNanos;
use serde_json::json;

use super::at::At;
use super::{Environment, shell};
use crate::log_search::line_of;

pub(super) const HELP: &str = "\
Exit codes:
  0  done
  1  the server did not answer, or refused; the reason is on standard error
  2  the command line is wrong
  6  `pipe`: lines were not stored

Examples:
  docdb logs search 'disk full' --severity err --since 1h
  docdb logs search --app nginx --sd 'status=500,502' --json
  docdb logs tail --app nginx
  docdb logs tail --data-dir /var/lib/docdb
  my-program 2>&1 | docdb logs pipe --app my-program
  docdb logs export january.csv --format csv --from 2026-01-01T00:00:00Z --to 2026-01-31T23:59:59Z
  docdb logs export - --data-dir /var/lib/docdb
  docdb logs backup /backups/logs --data-dir /var/lib/docdb
  docdb logs restore /backups/logs --data-dir /var/lib/docdb-new

What text, --sd and the other conditions may be is said in docs/guides/logs.md.";

/// What to do with logs.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Find entries
    Search(SearchArguments),
    /// Print entries as they come
    Tail(tail::Arguments),
    /// Store what comes on standard input, line by line
    Pipe(pipe::Arguments),
    /// Write entries to a file
    Export(export::Arguments),
    /// Copy the logs of a server that does not run
    Backup(offline::Backup),
    /// Make the logs of a data directory out of a backup
    Restore(offline::Restore),
}

/// Where the server is, and how it is asked.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Server {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    asking: Asking,
}

/// How a server is asked.
#[derive(Debug, Clone, clap::Args)]
struct Asking {
    /// The file that holds the API key; DOCDBSH_KEY holds one too
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Certificates (PEM) to trust for https:// instead of those that the world trusts
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How long to wait for an answer: a number and ms, s, m or h
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = shell::parse_timeout)]
    timeout: Duration,
}

impl Server {
    /// A client of it.
    fn client(&self, environment: &Environment) -> io::Result<Client> {
        self.asking.client(&self.at.address(environment)?, environment)
    }
}

impl Asking {
    /// A client of the server at an address.
    fn client(&self, address: &str, environment: &Environment) -> io::Result<Client> {
        let key = shell::key(self.key_file.as_deref(), environment)?;
        let mut options = client::Options::new().timeout(self.timeout).key(key);
        if let Some(file) = &self.ca_file {
            options = options.ca_file(file).map_err(|error| told(&error))?;
        }
        options.connect(address).map_err(|error| told(&error))
    }
}

/// A failure as the command line tells it.
fn told(error: &client::Error) -> io::Error {
    io::Error::other(format!("{} code={}", error.message(), error.name()))
}

/// Which entries.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Filter {
    /// Words, "phrases", OR, -without, begin*
    text: Option<String>,
    /// As bad as this or worse: emerg, alert, crit, err, warning, notice, info, debug
    #[arg(long, value_name = "NAME")]
    severity: Option<String>,
    /// Of these programs, with commas between them; with ! before them, of none of them
    #[arg(long, value_name = "NAMES")]
    app: Option<String>,
    /// Of these machines, in the same way
    #[arg(long, value_name = "NAMES")]
    host: Option<String>,
    /// With these values in the structured data, such as 'user.name=ann;code!=200'
    #[arg(long, value_name = "CONDITIONS")]
    sd: Option<String>,
}

/// When they happened.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Span {
    /// Not before this time: RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "since")]
    from: Option<String>,
    /// Not after this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Not longer ago than this: a number and s, m, h or d
    #[arg(long, value_name = "DURATION", value_parser = shell::parse_timeout)]
    since: Option<Duration>,
}

impl Filter {
    /// Adds it to a request.
    fn add(&self, request: &mut Value) {
        for (name, value) in [
            ("text", &self.text),
            ("severity_max", &self.severity),
            ("app_name", &self.app),
            ("hostname", &self.host),
            ("sd", &self.sd),
        ] {
            if let Some(value) = value {
                request[name] = value.as_str().into();
            }
        }
    }
}

impl Span {
    /// Adds it to a request.
    fn add(&self, request: &mut Value) {
        if let Some(since) = self.since {
            let ago = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
            let now = UnixNanos::from_ms(SystemClock::new().wall().0);
            request["from"] = UnixNanos(now.0.saturating_sub(ago)).rfc3339().into();
        }
        for (name, value) in [("from", &self.from), ("to", &self.to)] {
            if let Some(value) = value {
                request[name] = value.as_str().into();
            }
        }
    }
}

/// What to find, and how to print it.
#[derive(Debug, clap::Args)]
pub(super) struct SearchArguments {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    span: Span,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// The earliest first
    #[arg(long)]
    oldest: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Runs the command; answers its exit code.
pub(super) fn run(
    arguments: &Arguments,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    match &arguments.action {
        Action::Search(search) => self::search(search, environment, out, err).map(|()| 0),
        Action::Tail(arguments) => tail::run(arguments, environment, out, err).map(|()| 0),
        Action::Pipe(arguments) => pipe::run(arguments, environment, err),
        Action::Export(arguments) => export::run(arguments, environment, out, err).map(|()| 0),
        Action::Backup(arguments) => offline::backup(arguments, environment, out).map(|()| 0),
        Action::Restore(arguments) => offline::restore(arguments, environment, out).map(|()| 0),
    }
}

fn search(
    arguments: &SearchArguments,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let mut request = json!({ "op": "search" });
    request["order"] = if arguments.oldest { "oldest" } else { "newest" }.into();
    arguments.filter.add(&mut request);
    arguments.span.add(&mut request);
    let client = arguments.server.client(environment)?;
    pages(&client, request, Some(arguments.limit), err, &mut |entry| {
        if arguments.json { writeln!(out, "{entry}") } else { writeln!(out, "{}", line_of(entry)) }
    })
}

/// Turns pages until there are no more, or enough.
fn pages(
    client: &Client,
    mut request: Value,
    limit: Option<u64>,
    err: &mut dyn Write,
    print: &mut dyn FnMut(&Value) -> io::Result<()>,
) -> io::Result<()> {
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0 {
        request["limit"] = left.min(crate::log_search::LIMIT_MAX as u64).into();
        let page = client.logs(&request).map_err(|error| told(&error))?;
        for part in page["unreadable"].as_array().into_iter().flatten() {
            writeln!(err, "docdb: a part of the logs cannot be read and is missing: {part}")?;
        }
        for entry in page["entries"].as_array().into_iter().flatten() {
            print(entry)?;
            left -= 1;
        }
        let next = &page["next"];
        if next.is_null() {
            break;
        }
        request["cursor"] = next.clone();
    }
    Ok(())
}
