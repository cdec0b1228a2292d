//! An attribute that a query orders, groups or calculates by, found in the schema.

use crate::error::{Result, SearchError};
use crate::path::Path;
use crate::place::Place;
use crate::schema::{FieldNo, Row, Schema};
use crate::value::{Value, ValueType};

/// An attribute, or `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column(Option<(FieldNo, ValueType)>);

impl Column {
    /// The attribute at a path, which must be filterable.
    pub(crate) fn find(path: &Path, schema: &Schema, place: &Place<'_>) -> Result<Self> {
        if path.is_id() {
            return Ok(Self(None));
        }
        match schema.attribute(path) {
            Some((number, attribute)) if attribute.filterable => {
                Ok(Self(Some((number, attribute.value_type))))
            }
            Some(_) => {
                let reason = format!("`{path}` is not filterable; make it so in the schema");
                Err(SearchError::query(place, reason))
            }
            None => {
                let reason = format!("the schema has no attribute `{path}`");
                Err(SearchError::query(place, reason))
            }
        }
    }

    /// As [`Column::find`], of an attribute with one value.
    pub(crate) fn find_one(path: &Path, schema: &Schema, place: &Place<'_>) -> Result<Self> {
        let column = Self::find(path, schema, place)?;
        if column.value_type().is_some_and(|kind| kind.is_array) {
            let reason = format!("`{path}` is an array; this needs an attribute of one value");
            return Err(SearchError::query(place, reason));
        }
        Ok(column)
    }

    /// Its type; none of `id`.
    pub(crate) fn value_type(self) -> Option<ValueType> {
        self.0.map(|(_, value_type)| value_type)
    }

    /// The number of the attribute; none of `id`.
    pub(crate) fn field(self) -> Option<FieldNo> {
        self.0.map(|(number, _)| number)
    }

    /// The value of a row.
    pub(crate) fn value(self, row: &Row) -> Option<&Value> {
        match self.0 {
            Some((number, _)) => row.value(number),
            None => Some(row.id()),
        }
    }
}
