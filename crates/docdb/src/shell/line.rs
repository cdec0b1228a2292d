//! Statements as text: where one ends, and the words of it.
//!
//! A statement is a command and its words, separated by white space. A word is
//! - a JSON array or object, from its first bracket to the one that closes it, which may be lines
//!   later;
//! - a JSON string, from quote to quote: always a text, never a number, an option or a command;
//! - or else everything up to the next white space.
//!
//! A line that begins with `#` is a comment, and so is an empty one. Inside brackets there are no
//! comments.
//!
//! Invariants: no text makes this panic; a word's `raw` is a part of the statement as it was given,
//! byte for byte; the work is linear in the statement, and its nesting costs memory of one byte for
//! each open bracket and no stack.

use std::borrow::Cow;

use super::fault::Fault;

/// Whether a statement is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It is empty, or a comment.
    Nothing,
    /// It is whole, or so wrong that no further line could help.
    Whole,
    /// Brackets are open: the next line belongs to it.
    Open,
}

/// What kind of word it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Up to white space.
    Bare,
    /// A string in quotes: its value.
    Quoted(Cow<'a, str>),
    /// An array or object.
    Json,
}

/// A word of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<'a> {
    /// As it stands in the statement.
    pub raw: &'a str,
    /// Where in the statement it begins, in bytes.
    pub at: usize,
    /// What it is.
    pub kind: Kind<'a>,
}

impl Word<'_> {
    /// The text that is meant: without quotes, if it has any.
    #[must_use]
    pub fn text(&self) -> &str {
        match &self.kind {
            Kind::Quoted(text) => text,
            Kind::Bare | Kind::Json => self.raw,
        }
    }

    /// Whether this is `--option`, or `--option=value`.
    #[must_use]
    pub fn is_option(&self) -> bool {
        self.kind == Kind::Bare && self.raw.starts_with("--")
    }
}

/// A statement that is read line by line: knows after each line whether it is whole. The work is
/// linear in what was fed, however many lines it comes in.
#[derive(Debug, Default)]
pub struct Pending {
    has_begun: bool,
    closing: Vec<u8>,
}

impl Pending {
    /// Takes the next line, or several, and says what all that was fed is.
    pub fn feed(&mut self, lines: &str) -> Shape {
        if !self.has_begun {
            let text = lines.trim_start();
            if text.is_empty() || text.starts_with('#') {
                return Shape::Nothing;
            }
            // Only commands may go on over lines: anything else is refused, better now than later.
            if !text.starts_with('.') {
                return Shape::Whole;
            }
            self.has_begun = true;
        }
        match self.scan(lines) {
            Ok(()) if !self.closing.is_empty() => Shape::Open,
            Ok(()) | Err(_) => Shape::Whole,
        }
    }

    fn scan(&mut self, text: &str) -> Result<(), Fault> {
        let mut rest = text;
        loop {
            if self.closing.is_empty() {
                rest = rest.trim_start();
            }
            if rest.is_empty() {
                return Ok(());
            }
            let Some(len) = word_len(rest, &mut self.closing)? else { return Ok(()) };
            rest = rest.get(len..).unwrap_or_default();
        }
    }
}

/// Whether `text` is a statement, the beginning of one, or none.
#[must_use]
pub fn shape(text: &str) -> Shape {
    Pending::default().feed(text)
}

/// The words of a statement.
///
/// # Errors
/// `InvalidQuery` for a string without its end, for brackets that do not match or never close,
/// and for words that no white space separates.
pub fn words(text: &str) -> Result<Vec<Word<'_>>, Fault> {
    let (mut words, mut at, mut closing) = (Vec::new(), 0, Vec::new());
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if trimmed.is_empty() {
            return Ok(words);
        }
        let open = || Fault::argument("the input ends and a bracket is still open");
        let len = word_len(trimmed, &mut closing)?.ok_or_else(open)?;
        let raw = trimmed.get(..len).unwrap_or_default();
        let kind = match raw.as_bytes().first() {
            Some(b'"') => Kind::Quoted(unquoted(raw)?),
            Some(b'{' | b'[') => Kind::Json,
            _ => Kind::Bare,
        };
        words.push(Word { raw, at, kind });
        at += len;
    }
}

const NOT_CLOSED: &str = "a string has no closing quote on its line";

/// The length of the word at the beginning of `text`, or of what is left of one whose brackets are
/// `closing`. None when they are still open at the end.
fn word_len(text: &str, closing: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
    let bytes = text.as_bytes();
    let len = match bytes.first() {
        Some(b'"') if closing.is_empty() => {
            string_len(bytes).ok_or_else(|| Fault::argument(NOT_CLOSED))?
        }
        Some(byte) if closing.is_empty() && !matches!(byte, b'{' | b'[') => {
            text.find(char::is_whitespace).unwrap_or(text.len())
        }
        _ => match bracketed_len(bytes, closing)? {
            Some(len) => len,
            None => return Ok(None),
        },
    };
    let behind = text.get(len..).unwrap_or_default();
    if behind.starts_with(|c: char| !c.is_whitespace()) {
        let behind: String = behind.chars().take(20).collect();
        return Err(Fault::argument(format!("white space is missing before `{behind}`")));
    }
    Ok(Some(len))
}

/// The value of a string in quotes.
fn unquoted(raw: &str) -> Result<Cow<'_, str>, Fault> {
    match raw.get(1..raw.len().saturating_sub(1)) {
        Some(inside) if !inside.contains('\\') => Ok(Cow::Borrowed(inside)),
        _ => serde_json::from_str(raw)
            .map(Cow::Owned)
            .map_err(|error| Fault::argument(format!("no JSON string: {raw}: {error}"))),
    }
}

/// The length of the string at the beginning of `bytes`, with its quotes. None when its line ends
/// before it does.
pub(super) fn string_len(bytes: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            b'\n' | b'\r' => return None,
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// How far it is to the bracket that closes the last of `closing`; none when it is not there, and
/// `closing` is then what it takes. Only brackets and strings are looked at: whether it is JSON the
/// server says.
fn bracketed_len(bytes: &[u8], closing: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' => closing.push(b'}'),
            b'[' => closing.push(b']'),
            b'}' | b']' if closing.pop() != Some(*byte) => {
                let message = format!("`{}` closes another bracket", char::from(*byte));
                return Err(Fault::argument(message));
            }
            b'"' => {
                let len = string_len(bytes.get(at..).unwrap_or_default());
                at += len.ok_or_else(|| Fault::argument(NOT_CLOSED))?;
                continue;
            }
            _ => {}
        }
        at += 1;
        if closing.is_empty() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).unwrap().iter().map(|word| word.text().to_owned()).collect()
    }

    #[test]
    fn words_are_separated_by_white_space_and_json_is_one_word() {
        let check = |text: &str, expect: &[&str]| assert_eq!(texts(text), expect, "{text}");
        check(".ping", &[".ping"]);
        check("  .read \t 7  ", &[".read", "7"]);
        check(r#".read "7""#, &[".read", "7"]);
        check(r#".read "two words""#, &[".read", "two words"]);
        check(r#".read "a \"b\" ü""#, &[".read", "a \"b\" ü"]);
        check(
            r#".put 1 {"a": [1, 2]} --ttl 1h"#,
            &[".put", "1", r#"{"a": [1, 2]}"#, "--ttl", "1h"],
        );
        check(".put 1 {\n \"a\":\n1 }", &[".put", "1", "{\n \"a\":\n1 }"]);
        check(r#".put 1 {"}": "]\"{"}"#, &[".put", "1", r#"{"}": "]\"{"}"#]);
        check("", &[]);
    }

    #[test]
    fn what_no_further_line_could_help_is_refused() {
        let check = |text: &str, expect: &str| {
            let fault = words(text).unwrap_err();
            assert!(fault.message.contains(expect), "{text}: {}", fault.message);
            assert_eq!(shape(text), Shape::Whole, "{text}");
        };
        check(r#".read "7"#, "no closing quote");
        check(".put 1 {\"a\": \"x}\n\"}", "no closing quote");
        check(".put 1 {]", "`]` closes another bracket");
        check(".put 1 {}}", "white space is missing before `}`");
        check(r#".read "a"b"#, "white space is missing before `b`");
        check(r#".read "\x""#, "no JSON string");
    }

    #[test]
    fn a_statement_goes_on_until_its_brackets_close() {
        assert_eq!(shape(".put 1 {"), Shape::Open);
        assert_eq!(shape(".put 1 {\n\"a\": [1,"), Shape::Open);
        assert_eq!(shape(".put 1 {\n# no comment\n"), Shape::Open);
        assert_eq!(shape(".put 1 {\n}"), Shape::Whole);
        assert_eq!(shape("{"), Shape::Whole);
        assert_eq!(shape("  # a comment {"), Shape::Nothing);
        assert_eq!(shape(" \n"), Shape::Nothing);
        assert!(words(".put 1 {").is_err());
    }

    #[test]
    fn fed_line_by_line_it_is_what_it_is_as_a_whole() {
        let statements = [
            ".put 1 {\n\"a\": [\n1,\n2]\n} --ttl 1s\n",
            ".put 1 [\n] {\n}\n",
            ".put 1 {\n]\n",
            ".ping\n",
        ];
        for statement in statements {
            let mut pending = Pending::default();
            let mut fed = String::new();
            for line in statement.split_inclusive('\n') {
                fed.push_str(line);
                assert_eq!(pending.feed(line), shape(&fed), "{fed}");
            }
        }
    }

    #[test]
    fn nesting_costs_no_stack() {
        let deep = format!(".put 1 {}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(shape(&deep), Shape::Whole);
        assert_eq!(words(&deep).unwrap().len(), 3);
        assert_eq!(shape(&deep[..deep.len() - 1]), Shape::Open);
    }
}
