//! Rows scored by an expression, a column at a time: what the expression takes from each row is read of all of
//! them at once, and no row is put together.

use roaring::RoaringBitmap;

use super::column::{ColumnReader, Lookup};
use super::error::Result;
use super::evaluate::Words;
use super::read::Reader;
use crate::rank::{Column, Leaf, Scorer};

/// An expression, and what it takes from some rows of a file beside the scores of its texts.
#[derive(Debug)]
pub(crate) struct Scores<'a> {
    scorer: &'a Scorer,
    inputs: Vec<Input<'a>>,
}

/// What a leaf of an expression is in a file.
#[derive(Debug)]
enum Input<'a> {
    /// The values of an attribute; none when no row has one.
    Attribute(Option<(ColumnReader<'a>, Lookup)>),
    /// The rows for which a filter holds.
    Filter(RoaringBitmap),
    /// The number of a text.
    Text(usize),
}

impl Reader {
    /// Makes an expression ready to be asked of `rows`; `words` finds those of its filters.
    pub(crate) fn scores_of<'a>(
        &'a self,
        scorer: &'a Scorer,
        rows: &RoaringBitmap,
        words: &Words<'_>,
    ) -> Result<Scores<'a>> {
        let input = |leaf: &Leaf| {
            Ok(match leaf {
                Leaf::Attribute(field) => Input::Attribute(match self.column(*field)? {
                    Some(column) => Some((column, column.lookup_rows(rows)?)),
                    None => None,
                }),
                Leaf::Filter(filter) => {
                    Input::Filter(self.matching_with(filter, Some(rows), words)?)
                }
                Leaf::Text(text) => Input::Text(*text),
            })
        };
        let inputs = scorer.leaves().iter().map(input).collect::<Result<_>>()?;
        Ok(Scores { scorer, inputs })
    }
}

impl Scores<'_> {
    /// The scores of some of the rows, which ascend, given those of each text.
    pub(crate) fn of(&self, rows: &[u32], texts: &[Vec<Option<f32>>]) -> Result<Vec<f64>> {
        let columns = self
            .inputs
            .iter()
            .map(|input| column_of(input, rows, texts))
            .collect::<Result<Vec<_>>>()?;
        Ok(self.scorer.score_columns(rows.len(), &columns))
    }
}

fn column_of(input: &Input<'_>, rows: &[u32], texts: &[Vec<Option<f32>>]) -> Result<Column> {
    Ok(match input {
        Input::Attribute(None) => vec![None; rows.len()],
        Input::Attribute(Some((column, lookup))) => {
            let number = |symbol: u32| lookup.value(symbol)?.to_score();
            column.symbols(rows)?.into_iter().map(number).collect()
        }
        Input::Filter(holds) => {
            rows.iter().map(|row| Some(f64::from(u8::from(holds.contains(*row))))).collect()
        }
        // A text that does not match counts as 0.
        Input::Text(text) => match texts.get(*text) {
            Some(scores) => scores.iter().map(|score| Some(score.map_or(0.0, f64::from))).collect(),
            None => vec![Some(0.0); rows.len()],
        },
    })
}
