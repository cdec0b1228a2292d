//! Texts with operators: `quick +fox -dog "brown bear" jum* hosue~1`.
//!
//! | written | is |
//! |---|---|
//! | `word` | a row may have it, which raises its score; without any `+` a row must have one of these |
//! | `+word` | a row must have it |
//! | `-word` | a row must not have it |
//! | `"some words"` | one after the other |
//! | `wor*`, `"some wor"*` | the (last) word is the beginning of one |
//! | `word~`, `word~1`, `word~2` | up to so many characters may be wrong; 2 unless said |
//!
//! There is no way to write it wrong: what does not fit is part of a word, and a quote that is not closed
//! goes to the end.

use super::fuzzy::EDITS_MAX;
use super::query::Occur;

/// A piece of a boolean text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) occur: Occur,
    pub(super) text: &'a str,
    pub(super) is_phrase: bool,
    pub(super) is_prefix: bool,
    pub(super) edits: u8,
}

/// The pieces of a text.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (occur, after) = match rest.split_at_checked(1) {
            Some(("+", after)) => (Occur::Must, after),
            Some(("-", after)) => (Occur::MustNot, after),
            _ => (Occur::Should, rest),
        };
        let (piece, after) = match after.strip_prefix('"') {
            Some(quoted) => phrase(occur, quoted),
            None => word(occur, after),
        };
        pieces.extend((!piece.text.is_empty()).then_some(piece));
        rest = after.trim_start();
    }
    pieces
}

fn phrase(occur: Occur, quoted: &str) -> (Piece<'_>, &str) {
    let (text, after) = quoted.split_once('"').unwrap_or((quoted, ""));
    let (is_prefix, after) = match after.strip_prefix('*') {
        Some(after) => (true, after),
        None => (false, after),
    };
    (Piece { occur, text, is_phrase: true, is_prefix, edits: 0 }, after)
}

fn word(occur: Occur, rest: &str) -> (Piece<'_>, &str) {
    let end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
    let (text, after) = rest.split_at(end);
    if let Some(text) = text.strip_suffix('*') {
        return (Piece { occur, text, is_phrase: false, is_prefix: true, edits: 0 }, after);
    }
    let fuzzy = text.rsplit_once('~').and_then(|(text, edits)| match edits {
        "" | "2" => Some((text, EDITS_MAX)),
        "1" => Some((text, 1)),
        "0" => Some((text, 0)),
        _ => None,
    });
    let (text, edits) = fuzzy.unwrap_or((text, 0));
    (Piece { occur, text, is_phrase: false, is_prefix: false, edits }, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_read_and_the_rest_is_words() {
        use Occur::{Must, MustNot, Should};
        let found = pieces(r#"a +b -c "d e" +"f g"* h* i~ j~1 k~x -"l"m - + "n o"#);
        let found: Vec<_> = found
            .iter()
            .map(|piece| (piece.occur, piece.text, piece.is_phrase, piece.is_prefix, piece.edits))
            .collect();
        assert_eq!(
            found,
            [
                (Should, "a", false, false, 0),
                (Must, "b", false, false, 0),
                (MustNot, "c", false, false, 0),
                (Should, "d e", true, false, 0),
                (Must, "f g", true, true, 0),
                (Should, "h", false, true, 0),
                (Should, "i", false, false, 2),
                (Should, "j", false, false, 1),
                (Should, "k~x", false, false, 0),
                (MustNot, "l", true, false, 0),
                (Should, "m", false, false, 0),
                (Should, "n o", true, false, 0),
            ]
        );
        assert_eq!(pieces("  + - \"\" * ~"), []);
    }
}
