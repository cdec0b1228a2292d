//! `cargo xtask gen`: files that are written from the code, so that they cannot disagree with it.
//! `ci` runs the same with `--check`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::process::{Failure, Process, Result};
use crate::workspace;

const ERROR_INDEX: &str = "docs/errors/README.md";

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
    let path = workspace::root().join(ERROR_INDEX);
    let dir = path.parent().unwrap_or(workspace::root());
    std::fs::create_dir_all(dir).map_err(|e| Failure::io("create", dir, &e))?;
    std::fs::write(&path, error_index()?).map_err(|e| Failure::io("write", &path, &e))?;
    println!("wrote {ERROR_INDEX}");
    Ok(())
}

/// Fails when a generated file differs from what would be written.
pub(crate) fn check() -> Result<()> {
    if workspace::read(ERROR_INDEX.as_ref())? == error_index()? {
        Ok(())
    } else {
        Err(Failure::new(format!("{ERROR_INDEX} is out of date; run `cargo xtask gen`")))
    }
}

/// The list of error codes, as the program itself prints it.
fn error_index() -> Result<String> {
    let json = Process::cargo()
        .args(["run", "--quiet", "--locked", "--profile", "ci", "--package", "docdb"])
        .args(["--", "errors", "--json"])
        .output()?;
    let codes: Value = serde_json::from_str(&json)
        .map_err(|e| Failure::new(format!("`docdb errors --json` did not print JSON: {e}")))?;
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
         | number | code | category | meaning |\n|---|---|---|---|\n",
    );
    for code in codes.as_array().map_or(&[][..], Vec::as_slice) {
        let name = code["code"].as_str().unwrap_or_default();
        let shown =
            if has_page(name) { format!("[{name}]({name}.md)") } else { format!("`{name}`") };
        let category = code["category"].as_str().unwrap_or_default();
        let meaning = code["meaning"].as_str().unwrap_or_default();
        let _ = writeln!(text, "| {} | {shown} | {category} | {meaning} |", code["number"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_code_with_a_page_is_linked() {
        let codes = json!([
            {"number": 1, "code": "First", "category": "transient", "meaning": "One."},
            {"number": 2, "code": "Second", "category": "permanent", "meaning": "Two."},
        ]);
        let text = render(&codes, |name| name == "Second");
        assert!(text.contains("| 1 | `First` | transient | One. |\n"), "{text}");
        assert!(text.contains("| 2 | [Second](Second.md) | permanent | Two. |\n"), "{text}");
    }
}
