//! Rules for Rust files: a module comment first, nothing left undone, no file past the size where
//! it holds two ideas, and error codes named in one place.

use std::path::Path;

use super::Finding;

/// The one file that lists the error codes.
pub(super) const CODE_LIST: &str = "crates/base/src/error/code.rs";

/// Lines of a file past which it must be split. The house style asks the question at 600.
const LINES_MAX: usize = 800;

/// Marks of work left undone. In halves, so that this file does not break its own rule.
const UNDONE: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("TO", "DO"),
    concat!("#[ign", "ore"),
];

/// The names of the codes in the text of [`CODE_LIST`]: lines of `number Name Category "meaning"`.
pub(super) fn code_names(list: &str) -> Vec<String> {
    list.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let number = words.next()?;
            let name = words.next()?;
            let (_category, meaning) = (words.next()?, words.next()?);
            let is_entry = number.bytes().all(|b| b.is_ascii_digit()) && meaning.starts_with('"');
            is_entry.then(|| name.to_owned())
        })
        .collect()
}

/// Checks one file.
pub(super) fn check(file: &Path, text: &str, codes: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        findings.push(Finding::new(file, 1, "does not begin with a `//!` comment"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        let what = format!("{lines} lines; past {LINES_MAX} a file holds two ideas");
        findings.push(Finding::new(file, 0, what));
    }
    for (index, line) in text.lines().enumerate() {
        for mark in UNDONE.iter().filter(|mark| contains_mark(line, mark)) {
            findings.push(Finding::new(file, index + 1, format!("left undone: {mark}")));
        }
    }
    if file != Path::new(CODE_LIST) {
        findings.extend(check_codes(file, text, codes));
    }
    findings
}

/// Whether `mark` stands in `line` as a word of its own: four of one letter are how
/// people write an escape.
fn contains_mark(line: &str, mark: &str) -> bool {
    let in_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(mark).any(|(at, _)| {
        let ends_as_word = mark.ends_with(char::is_alphanumeric);
        !(in_word(line[..at].chars().next_back())
            || (ends_as_word && in_word(line[at + mark.len()..].chars().next())))
    })
}

/// Codes are values of one type: a second list, or a name spelled out in product code, would be a
/// second truth. Tests, at the end of a file or under `tests/`, may spell names to pin them down.
fn check_codes(file: &Path, text: &str, codes: &[String]) -> Vec<Finding> {
    let is_product =
        file.starts_with("crates") && file.components().any(|part| part.as_os_str() == "src");
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim() == "#[cfg(test)]" {
            break;
        }
        if is_product && line.trim_start().trim_start_matches("pub ").starts_with("enum Code ") {
            let what = format!("error codes are listed in {CODE_LIST} alone");
            findings.push(Finding::new(file, index + 1, what));
        }
        let spelled = codes.iter().find(|code| line.contains(&format!("\"{code}\"")));
        if let Some(code) = spelled.filter(|_| is_product) {
            let what = format!("use `Code::{code}`, not its name as text");
            findings.push(Finding::new(file, index + 1, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, text: &str, expect: &[&str]) {
        let codes = ["DocExists".to_owned()];
        let findings = super::check(Path::new(file), text, &codes);
        let found: Vec<&str> = findings.iter().map(|f| f.what.as_str()).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn a_file_begins_with_its_comment() {
        check("a.rs", "//! What it is.\n", &[]);
        check("a.rs", "use std::io;\n", &["does not begin with a `//!` comment"]);
        check("a.rs", "", &["does not begin with a `//!` comment"]);
    }

    #[test]
    fn marks_of_undone_work_are_found() {
        for mark in UNDONE {
            let what = format!("left undone: {mark}");
            check("a.rs", &format!("//! A.\n// {mark}\n"), &[&what]);
        }
    }

    #[test]
    fn a_mark_within_a_word_is_not_one() {
        check("a.rs", &format!("//! A.\n// \\u{}\n", "X".repeat(4)), &[]);
        check("a.rs", concat!("//! A.\n// pref", "TO", "DOs\n"), &[]);
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        let lines = |n: usize| "//! A.\n".repeat(n);
        check("a.rs", &lines(LINES_MAX), &[]);
        check("a.rs", &lines(LINES_MAX + 1), &["801 lines; past 800 a file holds two ideas"]);
    }

    #[test]
    fn codes_are_read_from_their_list() {
        let list = "codes! {\n    1 InvalidJson Validation \"Text.\"\n    2 DocExists Permanent \
                    \"More text.\"\n}\n";
        assert_eq!(code_names(list), ["InvalidJson", "DocExists"]);
    }

    #[test]
    fn a_code_spelled_as_text_is_found_in_product_code_only() {
        let text = "//! A.\nfn f() -> &'static str { \"DocExists\" }\n";
        let what = "use `Code::DocExists`, not its name as text";
        check("crates/docdb/src/http.rs", text, &[what]);
        check("crates/docdb/tests/it/main.rs", text, &[]);
        check(CODE_LIST, text, &[]);
        let in_test = "//! A.\n#[cfg(test)]\nmod tests { const A: &str = \"DocExists\"; }\n";
        check("crates/docdb/src/http.rs", in_test, &[]);
    }

    #[test]
    fn a_second_list_of_codes_is_found() {
        let what = format!("error codes are listed in {CODE_LIST} alone");
        check("crates/wal/src/error.rs", "//! A.\npub enum Code { A }\n", &[&what]);
        check("crates/wal/src/error.rs", "//! A.\nenum Codec { A }\n", &[]);
    }
}
