//! Where a text has the words of a query, and the part of it that is worth showing.

use std::collections::BTreeSet;
use std::ops::Range;

use super::analyzer::Token;
use super::query::{Occur, TextQuery};

/// How fragments are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Highlight {
    /// What is put before a word that was found.
    pub before: String,
    /// What is put after it.
    pub after: String,
    /// About how many characters a fragment has: it ends with a word.
    pub characters: usize,
    /// Most fragments.
    pub fragments: usize,
}

impl Default for Highlight {
    fn default() -> Self {
        Self { before: "<em>".to_owned(), after: "</em>".to_owned(), characters: 150, fragments: 1 }
    }
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
    /// It, with the words marked that were found.
    pub text: String,
}

/// A word that was found.
struct Found {
    range: Range<usize>,
    slot: usize,
}

/// Where the words of a query stand in a text, in bytes, ascending and apart. Words that a row must not have are
/// not looked for; those of a phrase are found wherever they stand.
#[must_use]
pub fn spans(query: &TextQuery, text: &str) -> Vec<Range<usize>> {
    joined(found(query, text).into_iter().map(|found| found.range))
}

/// The parts of a text that have the most different words of a query, in their order, each word marked. What is not
/// a word is left as it is: nothing is escaped. None when no word is found.
#[must_use]
pub fn highlight(query: &TextQuery, text: &str, options: &Highlight) -> Vec<Fragment> {
    let found = found(query, text);
    let mut taken: Vec<Range<usize>> = Vec::new();
    while taken.len() < options.fragments {
        let is_free = |range: &Range<usize>| {
            taken.iter().all(|taken| taken.end <= range.start || range.end <= taken.start)
        };
        let candidates =
            found.iter().map(|first| fragment(text, first.range.start, options.characters));
        let best = candidates.filter(is_free).max_by_key(|range| {
            let inside = found
                .iter()
                .filter(|found| range.start <= found.range.start && found.range.end <= range.end);
            let slots: BTreeSet<usize> = inside.clone().map(|found| found.slot).collect();
            // Of equal ones the first.
            (slots.len(), inside.count(), std::cmp::Reverse(range.start))
        });
        let Some(best) = best else { break };
        taken.push(best);
    }
    taken.sort_unstable_by_key(|range| range.start);
    let words = joined(found.into_iter().map(|found| found.range));
    taken.into_iter().map(|range| marked(text, range, &words, options)).collect()
}

fn found(query: &TextQuery, text: &str) -> Vec<Found> {
    let wanted = query.clauses().iter().filter(|clause| clause.occur != Occur::MustNot);
    let slots: BTreeSet<usize> =
        wanted.flat_map(|clause| &clause.words).map(|(slot, _)| *slot).collect();
    let find = |token: Token| {
        let slot = slots.iter().copied().find(|slot| query.slots()[*slot].has(&token.text))?;
        Some(Found { range: token.range, slot })
    };
    query.analyzer().tokens(text).into_iter().filter_map(find).collect()
}

/// Ranges that overlap become one.
fn joined(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// About so many characters around a word: a third of them before it, whole words.
fn fragment(text: &str, word: usize, characters: usize) -> Range<usize> {
    let (before, after) = text.split_at_checked(word).unwrap_or(("", text));
    let from = match before.char_indices().rev().nth(characters / 3) {
        None => 0,
        Some((at, _)) => {
            let begins = before.get(at..).and_then(|part| part.find(char::is_whitespace));
            begins.map_or(word, |skip| at + skip)
        }
    };
    let from = from + text.get(from..).map_or(0, |rest| rest.len() - rest.trim_start().len());
    let left =
        characters.saturating_sub(text.get(from..word).map_or(0, |part| part.chars().count()));
    let to = match after.char_indices().nth(left) {
        None => text.len(),
        Some((at, _)) => {
            let rest = after.get(at..).unwrap_or_default();
            word + at + rest.find(char::is_whitespace).unwrap_or(rest.len())
        }
    };
    from..to
}

fn marked(
    text: &str,
    range: Range<usize>,
    words: &[Range<usize>],
    options: &Highlight,
) -> Fragment {
    let mut out = String::new();
    let mut at = range.start;
    let inside = words.iter().filter(|word| range.start <= word.start && word.end <= range.end);
    for word in inside {
        out.push_str(text.get(at..word.start).unwrap_or_default());
        out.push_str(&options.before);
        out.push_str(text.get(word.clone()).unwrap_or_default());
        out.push_str(&options.after);
        at = word.end;
    }
    out.push_str(text.get(at..range.end).unwrap_or_default());
    Fragment { range, text: out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use crate::path::Path;
    use crate::schema::{Schema, Undeclared};
    use crate::text::TextMatch;

    fn query(text: &str) -> TextQuery {
        let schema = r#"{"t":{"type":"string","full_text_search":{"stemming":true}}}"#;
        let request = Json::parse(schema.as_bytes()).unwrap();
        let schema = Schema::new(Undeclared::Refuse).declare(request, None).unwrap().schema;
        TextMatch::any(Path::parse("t").unwrap(), text).compile(&schema).unwrap()
    }

    #[test]
    fn words_are_marked_as_they_are_written() {
        let text = "The Quick fox jumped over quickly running foxes";
        let found: Vec<&str> =
            spans(&query("jumping foxes"), text).into_iter().map(|at| &text[at]).collect();
        assert_eq!(found, ["fox", "jumped", "foxes"]);
        let fragments = highlight(&query("jumping foxes"), text, &Highlight::default());
        let expect = "The Quick <em>fox</em> <em>jumped</em> over quickly running <em>foxes</em>";
        assert_eq!(fragments, [Fragment { range: 0..text.len(), text: expect.to_owned() }]);
        assert_eq!(highlight(&query("bear"), text, &Highlight::default()), []);
    }

    #[test]
    fn the_fragment_with_most_words_is_shown() {
        let text = "Es gibt fox here and some more of other words which go on. Much später a fox met a bear, \
                    and both were glad. Then there is nothing at all for a very long time, und nichts.";
        let options =
            Highlight { characters: 40, before: "[".into(), after: "]".into(), fragments: 1 };
        let fragments = highlight(&query("fox bear"), text, &options);
        assert_eq!(fragments.len(), 1);
        assert!(fragments[0].text.contains("[fox] met a [bear],"), "{fragments:?}");
        let two = highlight(&query("fox bear"), text, &Highlight { fragments: 2, ..options });
        assert_eq!(two.len(), 2);
        assert!(two[0].text.contains("gibt [fox] here") && two[0].range.end <= two[1].range.start);
    }
}
