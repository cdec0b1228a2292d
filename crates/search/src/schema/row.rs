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

    /// A row of values that were read from an index; it has no vectors.
    pub(crate) fn of_values(id: Value, mut values: Vec<(FieldNo, Value)>) -> Self {
        values.sort_unstable_by_key(|(number, _)| *number);
        Self { id, values, vectors: Vec::new() }
    }

    /// The row with these vectors.
    pub(crate) fn with_vectors(self, vectors: Vec<(FieldNo, Vector)>) -> Self {
        Self { vectors, ..self }
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

    /// Every vector.
    pub fn vectors(&self) -> impl Iterator<Item = (FieldNo, &Vector)> {
        self.vectors.iter().map(|(number, vector)| (*number, vector))
    }

    /// Every value, in the order of numbers.
    pub fn values(&self) -> impl Iterator<Item = (FieldNo, &Value)> {
        self.values.iter().map(|(number, value)| (*number, value))
    }
}
