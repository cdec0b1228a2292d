//! `docdb errors`: the frozen error codes and the page of each, so that a code in a log can be looked
//! up where docdb runs. The list itself is in `base::error`, the pages are in `docs/errors`.

mod pages;

use std::io::{self, Write};

use base::error::Code;
use serde_json::{Value, json};

/// What to print.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A code by its number or by its name, in any case: print its page. Without it, list all codes
    #[arg(value_parser = parse_code)]
    code: Option<Code>,
    /// Print JSON, without the page: an object for one code, an array of them for all
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> io::Result<()> {
    match (arguments.code, arguments.json) {
        (Some(code), true) => writeln!(out, "{:#}", to_json(code)),
        (Some(code), false) => write!(out, "{}", pages::page(code)),
        (None, true) => {
            let all: Vec<Value> = Code::ALL.iter().map(|code| to_json(*code)).collect();
            writeln!(out, "{:#}", Value::Array(all))
        }
        (None, false) => write_all(out),
    }
}

fn parse_code(text: &str) -> Result<Code, String> {
    let by_number = text.parse().ok().and_then(Code::from_number);
    let by_name = || Code::ALL.iter().copied().find(|code| code.name().eq_ignore_ascii_case(text));
    by_number.or_else(by_name).ok_or_else(|| "`docdb errors` lists the codes".to_owned())
}

fn to_json(code: Code) -> Value {
    json!({
        "number": code.number(),
        "code": code.name(),
        "category": code.category().name(),
        "meaning": code.meaning(),
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
        let mut out = Vec::new();
        run(&Arguments { code, json }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_code_is_found_by_number_and_by_name_in_any_case() {
        assert_eq!(parse_code("25"), Ok(Code::WalCorrupt));
        assert_eq!(parse_code("WalCorrupt"), Ok(Code::WalCorrupt));
        assert_eq!(parse_code("walcorrupt"), Ok(Code::WalCorrupt));
        assert!(parse_code("0").is_err());
        assert!(parse_code("256").is_err());
        assert!(parse_code("WalCorrupted").is_err());
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
            let head = format!("# {code}\n\nCode {}, category {category}. ", code.number());
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
    }
}
