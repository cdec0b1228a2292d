//! `docdb metrics`: every metric of a server, what it measures and with which labels.

use std::io::{self, Write};

use base::metrics::{Definition, Kind};
use serde_json::json;

use crate::metrics;

/// What to print.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<()> {
    let all = metrics::inventory();
    if arguments.json {
        let rows: Vec<_> = all.into_iter().map(row).collect();
        return writeln!(out, "{}", serde_json::Value::from(rows));
    }
    for definition in all {
        let labels = definition.labels.join(", ");
        let labels = if labels.is_empty() { String::new() } else { format!(" {{{labels}}}") };
        let kind = kind(definition);
        writeln!(out, "{}{labels}\n  {kind}. {}", definition.name, definition.help)?;
    }
    Ok(())
}

fn kind(definition: &Definition) -> &'static str {
    match definition.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram { .. } => "histogram",
    }
}

fn row(definition: &Definition) -> serde_json::Value {
    json!({
        "name": definition.name,
        "kind": kind(definition),
        "unit": definition.unit,
        "labels": definition.labels,
        "help": definition.help,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_listed_with_what_it_measures() {
        let print = |json| {
            let mut out = Vec::new();
            run(&Arguments { json }, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let text = print(false);
        assert!(text.contains("docdb_operations_total {operation, status}\n  counter. "), "{text}");
        let json: serde_json::Value = serde_json::from_str(&print(true)).unwrap();
        let rows = json.as_array().unwrap();
        assert_eq!(rows.len(), metrics::inventory().len());
        assert!(rows.iter().all(|row| text.contains(row["name"].as_str().unwrap())));
    }
}
