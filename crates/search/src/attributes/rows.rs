//! Rows of a file as if they came from documents: for what is calculated from several attributes at once.

use base::words::DocId;

use super::column::ColumnReader;
use super::error::{Result, damaged};
use super::layout::Slot;
use super::read::Reader;
use crate::error::SearchError;
use crate::rank::Scorer;
use crate::schema::{FieldNo, Row};
use crate::value::Value;

impl Reader {
    /// Rows that ascend, each with its id and what it has of some attributes.
    ///
    /// # Errors
    /// [`super::AttributesError::Damaged`] for a row that there is not, and as for every read.
    pub fn rows_with(&self, rows: &[u32], fields: &[FieldNo]) -> Result<Vec<Row>> {
        let id = self.slot(Slot::ID)?.ok_or(damaged("there are no ids"))?;
        let ids = id.values(rows)?.into_iter().map(|id| id.ok_or(damaged("a row has no id")));
        self.compose(rows, fields, ids)
    }

    /// The scores of rows that ascend.
    pub(super) fn scores(&self, scorer: &Scorer, rows: &[u32]) -> Result<Vec<f64>> {
        if scorer.has_words() {
            let what = "a filter of words cannot be part of an expression here; use BM25";
            return Err(SearchError::unsupported("rank_by", what).into());
        }
        let mut attributes = Vec::new();
        scorer.attributes(&mut attributes);
        let needs_id = attributes.contains(&None);
        let mut fields: Vec<FieldNo> = attributes.into_iter().flatten().collect();
        fields.sort_unstable();
        fields.dedup();
        let rows = if needs_id {
            self.rows_with(rows, &fields)?
        } else {
            // An id that nobody looks at.
            let ids = rows.iter().map(|_| Ok(Value::of_id(&DocId::U64(0))));
            self.compose(rows, &fields, ids)?
        };
        Ok(rows.iter().map(|row| scorer.score(row)).collect())
    }

    fn compose(
        &self,
        rows: &[u32],
        fields: &[FieldNo],
        ids: impl Iterator<Item = Result<Value>>,
    ) -> Result<Vec<Row>> {
        let mut columns = Vec::with_capacity(fields.len());
        for field in fields {
            if let Some(column) = self.column(*field)? {
                columns.push((*field, values(&column, rows)?));
            }
        }
        ids.enumerate()
            .map(|(at, id)| {
                let values = columns
                    .iter_mut()
                    .filter_map(|(field, values)| Some((*field, values.get_mut(at)?.take()?)));
                Ok(Row::of_values(id?, values.collect()))
            })
            .collect()
    }
}

/// The values of rows that ascend.
fn values(column: &ColumnReader<'_>, rows: &[u32]) -> Result<Vec<Option<Value>>> {
    if column.is_array() {
        return column.values(rows);
    }
    let symbols = column.symbols(rows)?;
    let lookup = column.lookup(&symbols)?;
    Ok(symbols.iter().map(|symbol| lookup.value(*symbol).cloned()).collect())
}
