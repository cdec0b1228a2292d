//! The FTS5 index, where there is one: which entries may match, by number.
//!
//! The index says where to look; whether an entry matches is decided by the filter, as always.

use rusqlite::{Connection, params};

use crate::filter::{Field, Filter, Polarity};
use crate::stored_block::ReadError;
use crate::text::{Node, Phrase};
use crate::writer::index_is_complete;

/// With more candidates than this the term is common, and blocks are read in order instead.
const CANDIDATES_MAX: usize = 4096;

/// The numbers of all entries of a file that may match, ascending; none when the index does not
/// know them all or they are too many.
pub(super) fn candidates(
    connection: &Connection,
    filter: &Filter,
) -> Result<Option<Vec<u64>>, ReadError> {
    let Some(expression) = filter.text.root().and_then(expression) else { return Ok(None) };
    if !index_is_complete(connection, streams(filter))? {
        return Ok(None);
    }
    let sql = "SELECT rowid FROM term WHERE term MATCH ?1 LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(CANDIDATES_MAX + 1).unwrap_or(i64::MAX);
    let mut found = statement.query(params![expression, limit])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        ids.push(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0));
    }
    ids.sort_unstable();
    Ok((ids.len() <= CANDIDATES_MAX).then_some(ids))
}

/// The streams that a filter is limited to.
fn streams(filter: &Filter) -> Option<&[String]> {
    let mut limits = filter.fields.iter().filter(|condition| {
        condition.field == Field::AppName && condition.polarity == Polarity::Is
    });
    limits.next().map(|condition| condition.values.as_slice())
}

/// What to ask FTS5, in its language, for a superset of what a query finds; none when that would be
/// everything. Tokens have no quotes, so quoting them is safe.
fn expression(node: &Node) -> Option<String> {
    match node {
        Node::Phrase(phrase) => Some(phrase_expression(phrase)),
        Node::And(nodes) => joined(nodes.iter().filter_map(expression).collect(), " AND "),
        Node::Or(nodes) => {
            joined(nodes.iter().map(expression).collect::<Option<Vec<_>>>()?, " OR ")
        }
        Node::Not(_) => None,
    }
}

fn phrase_expression(phrase: &Phrase) -> String {
    let mut parts: Vec<String> = phrase.whole().map(|token| format!("\"{token}\"")).collect();
    if let (true, Some(last)) = (phrase.is_prefix, phrase.tokens.last()) {
        parts.push(format!("\"{last}\"*"));
    }
    format!("({})", parts.join(" AND "))
}

fn joined(parts: Vec<String>, operator: &str) -> Option<String> {
    (!parts.is_empty()).then(|| format!("({})", parts.join(operator)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::TextQuery;

    #[test]
    fn a_query_becomes_one_that_finds_at_least_as_much() {
        for (typed, expect) in [
            ("disk", Some("(\"disk\")")),
            ("\"disk full\"", Some("(\"disk\" AND \"full\")")),
            ("disk* OR x", Some("((\"disk\"*) OR (\"x\"))")),
            ("disk -full", Some("((\"disk\"))")),
            ("-full", None),
            ("disk OR -full", None),
            ("", None),
        ] {
            let query = TextQuery::parse(typed);
            assert_eq!(query.root().and_then(expression).as_deref(), expect, "{typed}");
        }
    }
}
