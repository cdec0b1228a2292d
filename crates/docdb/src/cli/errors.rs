//! `docdb errors`: the frozen error codes and the page of each, so that a code in a log can be looked
//! up where docdb runs. The list itself is in `base::error`, the pages are in `docs/errors`. What
//! clients call a failure that no server answered has a page too, and no number.

mod pages;

use std::io::{self, Write};

use base::error::Code;
use serde_json::{Value, json};

use crate::http::http_status;
use pages::{OF_CLIENTS, OfClient};

/// What to print.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A code by its number or by its name, in any case: print its page. Without it, list all codes
    #[arg(value_parser = parse_code)]
    code: Option<Asked>,
    /// Print JSON, without the page: an object for one code, an array of them for all
    #[arg(long)]
    json: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// A code of the list.
    Code(Code),
    /// A name that only clients use.
    OfClient(&'static OfClient),
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<()> {
    match (arguments.code, arguments.json) {
        (Some(Asked::Code(code)), true) => writeln!(out, "{:#}", to_json(code)),
        (Some(Asked::Code(code)), false) => write!(out, "{}", pages::page(code)),
        (Some(Asked::OfClient(of)), true) => writeln!(out, "{:#}", of_client_json(of)),
        (Some(Asked::OfClient(of)), false) => write!(out, "{}", of.page),
        (None, true) => {
            let all: Vec<Value> = Code::ALL.iter().map(|code| to_json(*code)).collect();
            writeln!(out, "{:#}", Value::Array(all))
        }
        (None, false) => write_all(out),
    }
}

fn parse_code(text: &str) -> Result<Asked, String> {
    let by_number = text.parse().ok().and_then(Code::from_number);
    let by_name = || Code::ALL.iter().copied().find(|code| code.name().eq_ignore_ascii_case(text));
    let of_client = || OF_CLIENTS.iter().find(|of| of.name.eq_ignore_ascii_case(text));
    let found = by_number.or_else(by_name).map(Asked::Code);
    let found = found.or_else(|| of_client().map(Asked::OfClient));
    found.ok_or_else(|| "`docdb errors` lists the codes".to_owned())
}

fn to_json(code: Code) -> Value {
    json!({
        "number": code.number(),
        "code": code.name(),
        "category": code.category().name(),
        "http_status": http_status(code),
        "meaning": code.meaning(),
    })
}

/// The same of what only clients say: there is no number and no status, because nobody answered.
fn of_client_json(of: &OfClient) -> Value {
    json!({
        "number": null,
        "code": of.name,
        "category": "network",
        "http_status": null,
        "meaning": of.meaning,
    })
}

fn write_all(out: &mut dyn Write) -> io::Result<()> {
    for code in Code::ALL {
        let category = code.category().name();
        writeln!(
            out,
            "{:>3}  {:<19} {category:<11} {}",
            code.number(),
            code.name(),
            code.meaning()
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(code: Option<Code>, json: bool) -> String {
        asked(code.map(Asked::Code), json)
    }

    fn asked(code: Option<Asked>, json: bool) -> String {
        let mut out = Vec::new();
        run(&Arguments { code, json }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_code_is_found_by_number_and_by_name_in_any_case() {
        for text in ["25", "WalCorrupt", "walcorrupt"] {
            assert_eq!(parse_code(text), Ok(Asked::Code(Code::WalCorrupt)));
        }
        assert!(parse_code("0").is_err());
        assert!(parse_code("256").is_err());
        assert!(parse_code("WalCorrupted").is_err());
    }

    #[test]
    fn what_only_a_client_says_has_a_page_that_says_so() {
        for of in &OF_CLIENTS {
            assert_eq!(parse_code(&of.name.to_lowercase()), Ok(Asked::OfClient(of)));
            let text = asked(Some(Asked::OfClient(of)), false);
            let (name, meaning) = (of.name, of.meaning);
            let head =
                format!("# {name}\n\nNo code: clients say this, category network. {meaning}\n");
            assert!(text.starts_with(&head), "{text}");
            assert!(text.contains("\n## May the caller retry?\n\n"), "{text}");
            let json: Value =
                serde_json::from_str(&asked(Some(Asked::OfClient(of)), true)).unwrap();
            assert_eq!((&json["code"], &json["number"]), (&name.into(), &Value::Null));
        }
    }

    #[test]
    fn the_list_has_one_line_per_code_with_its_columns_apart() {
        let text = printed(None, false);
        assert_eq!(text.lines().count(), Code::ALL.len());
        for (line, code) in text.lines().zip(Code::ALL) {
            let words: Vec<&str> = line.split_whitespace().take(3).collect();
            assert_eq!(words, [&code.number().to_string(), code.name(), code.category().name()]);
            assert!(line.ends_with(code.meaning()), "{line}");
        }
    }

    #[test]
    fn every_code_is_shown_with_its_own_page_to_the_end() {
        for code in Code::ALL {
            let text = printed(Some(*code), false);
            let category = code.category().name();
            let (number, status) = (code.number(), http_status(*code));
            let head =
                format!("# {code}\n\nCode {number}, category {category}, HTTP status {status}. ");
            assert!(text.starts_with(&head), "{text}");
            let (_, last) = text.split_once("\n## May the caller retry?\n\n").unwrap();
            assert!(last.ends_with('\n') && last.trim().len() > 2, "{code}: {last:?}");
        }
    }

    #[test]
    fn json_holds_the_same() {
        let all: Value = serde_json::from_str(&printed(None, true)).unwrap();
        let list = all.as_array().unwrap();
        assert_eq!(list.len(), Code::ALL.len());
        let one: Value = serde_json::from_str(&printed(Some(Code::DocNotFound), true)).unwrap();
        assert_eq!(one, list[7]);
        assert_eq!(one["number"], 8);
        assert_eq!(one["category"], "permanent");
        assert_eq!(one["http_status"], 404);
    }
}
