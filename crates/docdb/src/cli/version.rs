//! `docdb version`: which docdb this is and what it was built for.

use std::env::consts::{ARCH, OS};
use std::io::{self, Write};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What to print.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print a JSON object with name, version, os and arch
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<()> {
    if arguments.json {
        let json = serde_json::json!({"name": "docdb", "version": VERSION, "os": OS, "arch": ARCH});
        writeln!(out, "{json}")
    } else {
        writeln!(out, "docdb {VERSION} ({OS} {ARCH})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(json: bool) -> String {
        let mut out = Vec::new();
        run(&Arguments { json }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_and_json_name_the_same_version() {
        assert!(printed(false).starts_with(&format!("docdb {VERSION} (")));
        let json: serde_json::Value = serde_json::from_str(&printed(true)).unwrap();
        assert_eq!(json["name"], "docdb");
        assert_eq!(json["version"], VERSION);
        assert_eq!(json["os"], OS);
    }
}
