//! `cargo xtask gen`: files that are written from the code, so that they cannot disagree with it.
//! `ci` runs the same with `--check`.

mod metrics;

use std::fmt::Write as _;

use serde_json::Value;

use crate::process::{Failure, Process, Result};
use crate::workspace;

const ERROR_INDEX: &str = "docs/errors/README.md";
const SETTINGS: &str = "docs/operations/config.md";
/// What is written by hand around the list of settings.
const SETTINGS_TEMPLATE: &str = include_str!("generate/config.md");
/// Where the list goes.
const SETTINGS_HERE: &str = "{{settings}}\n";

/// A generated file: where it is, and its text.
type Generated = (&'static str, fn() -> Result<String>);

const ALL: &[Generated] = &[
    (ERROR_INDEX, error_index),
    (SETTINGS, settings),
    ("docs/operations/metrics.md", || Ok(metrics::page(&printed(&["metrics", "--json"])?))),
    ("dashboards/docdb.json", || Ok(metrics::dashboard(&printed(&["metrics", "--json"])?))),
];

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Change nothing; fail when a file is out of date
    #[arg(long)]
    check: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.check {
        return check();
    }
    for (name, text) in ALL {
        let path = workspace::root().join(name);
        let dir = path.parent().unwrap_or(workspace::root());
        std::fs::create_dir_all(dir).map_err(|e| Failure::io("create", dir, &e))?;
        std::fs::write(&path, text()?).map_err(|e| Failure::io("write", &path, &e))?;
        println!("wrote {name}");
    }
    Ok(())
}

/// Fails when a generated file differs from what would be written.
pub(crate) fn check() -> Result<()> {
    for (name, text) in ALL {
        if workspace::read(name.as_ref())? != text()? {
            return Err(Failure::new(format!("{name} is out of date; run `cargo xtask gen`")));
        }
    }
    Ok(())
}

/// What the program prints as JSON.
fn printed(args: &[&str]) -> Result<Value> {
    let program = workspace::program()?;
    let json = Process::new(&program.to_string_lossy()).args(args).output()?;
    let said = args.join(" ");
    serde_json::from_str(&json)
        .map_err(|e| Failure::new(format!("`docdb {said}` did not print JSON: {e}")))
}

/// The reference of the settings, as the program itself lists them.
fn settings() -> Result<String> {
    let rows = printed(&["config", "--list", "--json"])?;
    Ok(SETTINGS_TEMPLATE.replacen(SETTINGS_HERE, &render_settings(&rows), 1))
}

fn render_settings(rows: &Value) -> String {
    let mut text = String::new();
    let mut group = None;
    for row in rows.as_array().map_or(&[][..], Vec::as_slice) {
        let field = |name: &str| row[name].as_str().unwrap_or_default();
        let name = field("name");
        let own = name.split_once('.').map_or("process", |(group, _)| group);
        // `snapshot_ttl` belongs beside `snapshot.*`, wherever it has no dot.
        let own = if name.starts_with("snapshot") { "snapshot" } else { own };
        if group != Some(own) {
            let _ = writeln!(text, "## {own}\n");
            group = Some(own);
        }
        let default = match (field("default"), field("empty")) {
            ("", "") => "not set".to_owned(),
            ("", empty) => format!("not set: {empty}"),
            (default, "") => format!("`{default}`"),
            (default @ "0", empty) => format!("`{default}`: {empty}"),
            (default, empty) => format!("`{default}`; `0` is: {empty}"),
        };
        let only: Vec<&str> =
            row["only"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let only = if only.is_empty() { String::new() } else { format!("; {}", only.join(", ")) };
        let secret = if row["secret"] == true { " Never shown." } else { "" };
        let _ = writeln!(
            text,
            "### `{name}`\n\n{what} {trade}{secret}\n\n\
             - Default: {default}\n- May be: {rule}{only}\n- Read by {reader}\n",
            what = field("what"),
            trade = field("trade"),
            rule = field("rule"),
            reader = field("reader"),
        );
    }
    text
}

/// The list of error codes, as the program itself prints it.
fn error_index() -> Result<String> {
    let codes = printed(&["errors", "--json"])?;
    let has_page = |name: &str| workspace::root().join(format!("docs/errors/{name}.md")).is_file();
    Ok(render(&codes, has_page))
}

fn render(codes: &Value, has_page: impl Fn(&str) -> bool) -> String {
    let mut text = String::from(
        "# Error codes\n\n\
         Written by `cargo xtask gen` from the list in `base::error`; do not edit.\n\n\
         Numbers and meanings are frozen: they never change, and new codes are appended.\n\
         `docdb errors` prints the same list, `docdb errors NAME` the page of one code. Codes of parts\n\
         that are still to come are in it, and their pages speak of those parts.\n\n\
         The category says who can do something about it: *transient*, goes away by itself;\n\
         *permanent*, retrying changes nothing; *validation*, the request is wrong; *network*, the\n\
         connection or its credentials are at fault; *critical*, storage or docdb itself is failing\n\
         and somebody must look.\n\n\
         | number | code | category | HTTP | meaning |\n|---|---|---|---|---|\n",
    );
    for code in codes.as_array().map_or(&[][..], Vec::as_slice) {
        let name = code["code"].as_str().unwrap_or_default();
        let shown =
            if has_page(name) { format!("[{name}]({name}.md)") } else { format!("`{name}`") };
        let category = code["category"].as_str().unwrap_or_default();
        let meaning = code["meaning"].as_str().unwrap_or_default();
        let (number, status) = (&code["number"], &code["http_status"]);
        let _ = writeln!(text, "| {number} | {shown} | {category} | {status} | {meaning} |");
    }
    text.push_str(
        "\nClients have names for what no server answered, without a number:\n\
         [ConnectionLost](ConnectionLost.md), [ProtocolError](ProtocolError.md),\n\
         [UnknownError](UnknownError.md). `docdb errors` knows them too.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_code_with_a_page_is_linked() {
        let codes = json!([
            {"number": 1, "code": "First", "category": "transient", "http_status": 503,
             "meaning": "One."},
            {"number": 2, "code": "Second", "category": "permanent", "http_status": 404,
             "meaning": "Two."},
        ]);
        let text = render(&codes, |name| name == "Second");
        assert!(text.contains("| 1 | `First` | transient | 503 | One. |\n"), "{text}");
        assert!(text.contains("| 2 | [Second](Second.md) | permanent | 404 | Two. |\n"), "{text}");
    }

    #[test]
    fn a_setting_says_its_default_its_rule_and_when_it_means_something() {
        let row = json!({
            "name": "a.b", "default": "0", "empty": "all", "rule": "a number", "what": "What.",
            "trade": "Trade.", "reader": "the log", "only": ["only with x = y"], "secret": true,
        });
        let text = render_settings(&json!([row]));
        let expected = "## a\n\n### `a.b`\n\nWhat. Trade. Never shown.\n\n- Default: `0`: all\n\
                        - May be: a number; only with x = y\n- Read by the log\n\n";
        assert_eq!(text, expected);
        assert_eq!(SETTINGS_TEMPLATE.matches(SETTINGS_HERE).count(), 1);
    }
}
