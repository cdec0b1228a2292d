//! `docdb logs tail`: entries as they come, until the reader has enough.

use std::io::{self, Write};

use client::LogEvent;
use serde_json::json;

use super::{Environment, Filter, Server, told};
use crate::log_search::line_of;

/// What to follow.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// End after so many entries
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Runs the command: until Ctrl-C, `--count`, or the end of the server.
pub(super) fn run(
    arguments: &Arguments,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let mut request = json!({});
    arguments.filter.add(&mut request);
    let client = arguments.server.client(environment)?;
    let mut left = arguments.count.unwrap_or(u64::MAX);
    let mut failed = None;
    let mut print = |event: LogEvent| -> io::Result<bool> {
        match event {
            LogEvent::Entry(entry) => {
                if arguments.json {
                    writeln!(out, "{entry}")
                } else {
                    writeln!(out, "{}", line_of(&entry))
                }?;
                out.flush()?;
                left -= 1;
            }
            LogEvent::Missed(count) => {
                writeln!(err, "docdb: {count} entries were missed, because this reads too slowly")?;
            }
        }
        Ok(left > 0)
    };
    let mut tell = |event| {
        print(event).unwrap_or_else(|error| {
            failed = Some(error);
            false
        })
    };
    let ended = client.tail_logs(&request, &mut tell).map_err(|error| told(&error));
    match failed {
        Some(error) => Err(error),
        None => ended,
    }
}
