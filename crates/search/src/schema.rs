//! The search schema of a collection: which attributes and vectors its documents have, and how they are
//! found.
//!
//! A schema is a value: changing one gives another and says which indexes must be built first
//! ([`Change`]). Nothing here reads documents that are stored or builds anything.
//!
//! Invariants:
//! - A field has a number that it keeps for ever; numbers are never used twice, so that rows and files
//!   may name fields by them whatever becomes of the schema.
//! - No field's path is the beginning of another's, and `id` is no field: it is the key.
//! - What a schema writes, [`Schema::from_stored`] reads back as the same schema.
//!
//! Start with [`Schema::declare`] (what clients say), [`Schema::row`] (a document under a schema) and
//! `stored.rs` (the form in the database, `docs/formats/search-schema.md`).

mod change;
mod declaration;
mod document;
mod field;
mod full_text;
mod half;
mod row;
mod stored;
mod vectors;

use std::collections::BTreeMap;

use crate::error::{Result, SearchError};
use crate::path::Path;

pub use change::{Build, BuildKind, Change};
pub use field::{Attribute, Field, FieldKind, FieldNo, VectorField, metric_name};
pub use full_text::{FullText, Language, Tokenizer};
pub use row::Row;
pub use vectors::Vector;
pub(crate) use vectors::read_vector;

/// Most fields of a schema.
pub const FIELDS_MAX: usize = 1024;
/// Most vector fields of a schema.
pub const VECTOR_FIELDS_MAX: usize = 2;

/// What becomes of members of a document that the schema does not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Undeclared {
    /// The schema grows by what they are: a namespace. No member is ever dropped from the index.
    Infer,
    /// The document is refused.
    Refuse,
    /// They are kept in the document and not indexed: an index on some paths.
    Ignore,
}

impl Undeclared {
    const ALL: [Self; 3] = [Self::Infer, Self::Refuse, Self::Ignore];

    /// Its name in the stored form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Refuse => "refuse",
            Self::Ignore => "ignore",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Which fields the documents of a collection have.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    undeclared: Undeclared,
    /// The number of the next field.
    next_number: u16,
    fields: BTreeMap<Path, Field>,
}

impl Schema {
    /// A schema without fields.
    #[must_use]
    pub const fn new(undeclared: Undeclared) -> Self {
        Self { undeclared, next_number: 0, fields: BTreeMap::new() }
    }

    /// What becomes of members that are not declared.
    #[must_use]
    pub const fn undeclared(&self) -> Undeclared {
        self.undeclared
    }

    /// The same fields with the same numbers, and other members treated so: to read documents of a
    /// schema that may have grown meanwhile, for one.
    #[must_use]
    pub fn with_undeclared(&self, undeclared: Undeclared) -> Self {
        Self { undeclared, ..self.clone() }
    }

    /// The field at a path.
    #[must_use]
    pub fn field(&self, path: &Path) -> Option<&Field> {
        self.fields.get(path)
    }

    /// Every field, in the order of paths.
    pub fn fields(&self) -> impl Iterator<Item = (&Path, &Field)> {
        self.fields.iter()
    }

    /// The attribute at a path, with its number.
    #[must_use]
    pub fn attribute(&self, path: &Path) -> Option<(FieldNo, &Attribute)> {
        let field = self.fields.get(path)?;
        Some((field.number, field.kind.attribute()?))
    }

    /// The vector field at a path, with its number.
    #[must_use]
    pub fn vector(&self, path: &Path) -> Option<(FieldNo, &VectorField)> {
        let field = self.fields.get(path)?;
        Some((field.number, field.kind.vector()?))
    }

    /// Adds a field that is not there yet.
    fn insert(&mut self, path: Path, kind: FieldKind) -> Result<()> {
        if path.is_id() {
            let reason =
                "`id` is the key of the document and filterable as it is; do not declare it";
            return Err(SearchError::schema(path, reason));
        }
        if self.fields.len() >= FIELDS_MAX || self.next_number == u16::MAX {
            let reason = format!("a schema has at most {FIELDS_MAX} fields; drop some or split it");
            return Err(SearchError::schema(path, reason));
        }
        let vectors = self.fields.values().filter(|field| field.kind.vector().is_some()).count();
        if kind.vector().is_some() && vectors >= VECTOR_FIELDS_MAX {
            let reason = format!("a schema has at most {VECTOR_FIELDS_MAX} vector fields");
            return Err(SearchError::schema(path, reason));
        }
        if let Some(other) = self.overlapping(&path) {
            let reason = format!(
                "`{other}` is declared, and a value cannot be an object with members as well; rename one"
            );
            return Err(SearchError::schema(path, reason));
        }
        let number = FieldNo(self.next_number);
        self.next_number += 1;
        self.fields.insert(path, Field { number, kind });
        Ok(())
    }

    /// A field above or below this path.
    fn overlapping(&self, path: &Path) -> Option<&Path> {
        let keys = path.keys();
        let above = (1..keys.len())
            .find_map(|len| self.fields.get_key_value(keys.get(..len)?).map(|(above, _)| above));
        above.or_else(|| self.below(keys))
    }

    /// A field below these keys.
    fn below(&self, keys: &[Box<str>]) -> Option<&Path> {
        use std::ops::Bound;
        let after = (Bound::Excluded(keys), Bound::Unbounded);
        let (next, _) = self.fields.range::<[Box<str>], _>(after).next()?;
        next.keys().starts_with(keys).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Scalar, ValueType};

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn int() -> FieldKind {
        FieldKind::Attribute(Attribute::inferred(ValueType::one(Scalar::Int)))
    }

    #[test]
    fn a_field_cannot_stand_above_or_below_another() {
        let mut schema = Schema::new(Undeclared::Infer);
        for good in ["a.b", "a.c", "ab", "a.b-", "z"] {
            schema.insert(path(good), int()).unwrap();
        }
        for bad in ["a", "a.b.c", "z.z.z", "id"] {
            assert!(schema.insert(path(bad), int()).is_err(), "{bad}");
        }
        let numbers: Vec<u16> = schema.fields().map(|(_, field)| field.number.0).collect();
        assert_eq!(numbers, [0, 3, 1, 2, 4]);
    }

    #[test]
    fn other_members_may_be_treated_otherwise_and_fields_keep_their_numbers() {
        let mut schema = Schema::new(Undeclared::Infer);
        schema.insert(path("a"), int()).unwrap();
        let reading = schema.with_undeclared(Undeclared::Ignore);
        assert_eq!(reading.undeclared(), Undeclared::Ignore);
        assert!(reading.fields().eq(schema.fields()));
        for undeclared in Undeclared::ALL {
            assert_eq!(Undeclared::named(undeclared.name()), Some(undeclared));
        }
        assert_eq!(Undeclared::named("drop"), None);
    }

    #[test]
    fn the_number_of_fields_is_bounded() {
        let mut schema = Schema::new(Undeclared::Infer);
        for n in 0..FIELDS_MAX {
            schema.insert(path(&format!("f{n}")), int()).unwrap();
        }
        assert!(schema.insert(path("more"), int()).is_err());
    }
}
