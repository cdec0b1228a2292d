//! What a schema sees of a document: the values of its fields.

use base::words::DocId;

use super::{FieldNo, Vector};
use crate::value::Value;

/// The fields of one document that are not missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    id: Value,
    /// In the order of numbers.
    values: Vec<(FieldNo, Value)>,
    vectors: Vec<(FieldNo, Vector)>,
}

impl Row {
    pub(super) fn new(
        id: &DocId,
        mut values: Vec<(FieldNo, Value)>,
        vectors: Vec<(FieldNo, Vector)>,
    ) -> Self {
        values.sort_unstable_by_key(|(number, _)| *number);
        Self { id: Value::of_id(id), values, vectors }
    }

    /// The value of `id`.
    #[must_use]
    pub const fn id(&self) -> &Value {
        &self.id
    }

    /// The value of an attribute; none when it is missing.
    #[must_use]
    pub fn value(&self, number: FieldNo) -> Option<&Value> {
        let at = self.values.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.values.get(at).map(|(_, value)| value)
    }

    /// The vector of a field; none when it is missing.
    #[must_use]
    pub fn vector(&self, number: FieldNo) -> Option<&Vector> {
        self.vectors.iter().find(|(found, _)| *found == number).map(|(_, vector)| vector)
    }

    /// Every value, in the order of numbers.
    pub fn values(&self) -> impl Iterator<Item = (FieldNo, &Value)> {
        self.values.iter().map(|(number, value)| (*number, value))
    }
}
