//! Which document each row is of, and at which LSN that was written.
//!
//! Both are kept as attributes are, so that a row is found by its id or its LSN as by any value.

use base::words::{DocId, Lsn};

use super::column::ColumnReader;
use super::error::{Result, damaged};
use super::key;
use crate::value::Value;

/// The ids and LSNs of a file.
#[derive(Debug, Clone, Copy)]
pub struct Ids<'a> {
    pub(super) ids: ColumnReader<'a>,
    pub(super) lsns: ColumnReader<'a>,
}

/// The LSNs of all rows in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LsnOrder {
    /// They ascend.
    pub lsns: Vec<Lsn>,
    /// The row of each; none where row `n` has LSN number `n`, as in a segment whose rows are in the order
    /// in which they were written.
    pub rows: Option<Vec<u32>>,
}

impl LsnOrder {
    /// The row that was written at an LSN, if it is one of these.
    #[must_use]
    pub fn row(&self, lsn: Lsn) -> Option<u32> {
        let at = self.lsns.binary_search(&lsn).ok()?;
        match &self.rows {
            Some(rows) => rows.get(at).copied(),
            None => u32::try_from(at).ok(),
        }
    }
}

impl Ids<'_> {
    /// The ids of rows, in whatever order these are given.
    ///
    /// # Errors
    /// [`super::AttributesError::Damaged`] for a row that there is not, and as for every read.
    pub fn ids(&self, rows: &[u32]) -> Result<Vec<DocId>> {
        let values = self.ids.values(rows)?;
        values.into_iter().map(|value| id_of(value).ok_or(damaged("a row has no id"))).collect()
    }

    /// The LSNs of rows, in whatever order these are given.
    ///
    /// # Errors
    /// [`super::AttributesError::Damaged`] for a row that there is not, and as for every read.
    pub fn lsns(&self, rows: &[u32]) -> Result<Vec<Lsn>> {
        let values = self.lsns.values(rows)?;
        let lsn = |value: Option<Value>| match value {
            Some(Value::Uint(lsn)) => Ok(Lsn(lsn)),
            _ => Err(damaged("a row has no LSN")),
        };
        values.into_iter().map(lsn).collect()
    }

    /// The rows of these documents; none of one that is not here.
    ///
    /// # Errors
    /// As for every read.
    pub fn rows_of(&self, ids: &[DocId]) -> Result<Vec<Option<u32>>> {
        let values: Vec<Value> = ids.iter().map(Value::of_id).collect();
        self.ids.first_rows(&values)
    }

    /// The rows that were written at these LSNs; none of one that is not here.
    ///
    /// # Errors
    /// As for every read.
    pub fn rows_at(&self, lsns: &[Lsn]) -> Result<Vec<Option<u32>>> {
        let values: Vec<Value> = lsns.iter().map(|lsn| Value::Uint(lsn.0)).collect();
        self.lsns.first_rows(&values)
    }

    /// Every LSN with its row: 8 to 12 bytes of memory a row.
    ///
    /// # Errors
    /// As for every read.
    pub fn lsn_order(&self) -> Result<LsnOrder> {
        let mut lsns = Vec::new();
        self.lsns.scan(|block| {
            for at in 0..block.len() {
                let Value::Uint(lsn) = key::decode(block.key(at))? else {
                    return Err(damaged("a row has no LSN"));
                };
                lsns.push(Lsn(lsn));
            }
            Ok(())
        })?;
        if self.lsns.entry.is_ordinal {
            return Ok(LsnOrder { lsns, rows: None });
        }
        let mut rows = Vec::with_capacity(lsns.len());
        self.lsns.each_posting(&self.lsns.all_codes(), |_, posting| {
            rows.push(posting.first());
            Ok(())
        })?;
        Ok(LsnOrder { lsns, rows: Some(rows) })
    }
}

/// The id that a value is.
fn id_of(value: Option<Value>) -> Option<DocId> {
    match value? {
        Value::Uint(number) => Some(DocId::U64(number)),
        Value::Uuid(uuid) => Some(DocId::Uuid(uuid)),
        Value::String(text) => DocId::string(&text).ok(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::DateTime(_) | Value::Array(_) => {
            None
        }
    }
}
