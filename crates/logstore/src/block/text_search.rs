//! Text search over the messages of a whole block: one sweep for a token, then a look at the few
//! rows where it stands.

use memchr::memmem::Finder;

use super::RowSet;
use super::column::TextColumn;
use crate::text::{Node, Phrase};

/// Keeps the rows of `set` whose message `query` finds.
pub(crate) fn retain(set: &mut RowSet, messages: &TextColumn, query: &Node) {
    let TextColumn::Plain { text, ends } = messages else {
        messages.retain(set, |message| query.matches(message));
        return;
    };
    let folded = text.to_ascii_lowercase();
    let sweep = Sweep { folded: folded.as_bytes(), ends };
    if let Some(candidates) = sweep.candidates(query) {
        set.intersect(&candidates);
    }
    set.retain(|row| query.matches(messages.get(row)));
}

struct Sweep<'b> {
    /// All messages, with ASCII in lower case. Other letters are as they stand.
    folded: &'b [u8],
    ends: &'b [u32],
}

impl Sweep<'_> {
    /// The rows that may match; none when that cannot be told from single tokens.
    fn candidates(&self, node: &Node) -> Option<RowSet> {
        match node {
            Node::Phrase(phrase) => self.rows_with(phrase),
            Node::And(nodes) => {
                let known = nodes.iter().filter_map(|node| self.candidates(node));
                known.reduce(|mut all, one| {
                    all.intersect(&one);
                    all
                })
            }
            Node::Or(nodes) => {
                let mut any = RowSet::NONE;
                for node in nodes {
                    any.unite(&self.candidates(node)?);
                }
                Some(any)
            }
            Node::Not(_) => None,
        }
    }

    /// The rows with the longest ASCII token of a phrase, as a token or within one.
    fn rows_with(&self, phrase: &Phrase) -> Option<RowSet> {
        let ascii = phrase.tokens.iter().filter(|token| token.is_ascii());
        let needle = ascii.max_by_key(|token| token.len())?;
        let finder = Finder::new(needle.as_bytes());
        let mut rows = RowSet::NONE;
        let (mut at, mut row) = (0, 0);
        while let Some(found) = finder.find(&self.folded[at..]) {
            let (begin, end) = (at + found, at + found + needle.len());
            row += self.ends[row..].partition_point(|row_end| (*row_end as usize) <= begin);
            let row_end = *self.ends.get(row)? as usize;
            if end <= row_end {
                rows.insert(row);
                at = row_end;
            } else {
                // It stands half in this row and half in the next.
                at = begin + 1;
            }
        }
        Some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::column::put_plain;
    use crate::text::TextQuery;

    #[test]
    fn a_sweep_finds_what_looking_at_each_message_finds() {
        let messages = [
            "disk full",
            "",
            "Disk",
            "fulldisk",
            "the DISK is FULL",
            "di",
            "sk",
            "Größe disk",
            "größe",
            "full disk full",
            "x",
            "disk-full",
            "K \u{212a}",
            "diskette",
        ];
        let column = TextColumn::read(put_plain(&messages), messages.len()).unwrap();
        for typed in [
            "disk",
            "full",
            "disk full",
            "\"disk full\"",
            "disk OR größe",
            "-disk",
            "disk -full",
            "GRÖSSE",
            "größe",
            "disk*",
            "di",
            "k",
            "\u{212a}",
            "x OR -x",
            "(disk OR x) full",
        ] {
            let query = TextQuery::parse(typed);
            let mut rows = RowSet::first(messages.len());
            retain(&mut rows, &column, query.root().unwrap());
            let expect: Vec<usize> =
                (0..messages.len()).filter(|row| query.matches(messages[*row])).collect();
            assert_eq!(rows.iter().collect::<Vec<_>>(), expect, "{typed}");
        }
    }
}
