//! What a field is: an attribute, or a vector.

use crate::schema::FullText;
use crate::value::ValueType;
use crate::vector::{Element, Metric};

/// The number of a field in its schema; never used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldNo(pub u16);

/// A field and its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its number.
    pub number: FieldNo,
    /// What it is.
    pub kind: FieldKind,
}

/// What a field is.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldKind {
    /// Values to filter, sort and group by, or text.
    Attribute(Attribute),
    /// Vectors.
    Vector(VectorField),
}

impl FieldKind {
    /// The attribute that it is, if it is one.
    #[must_use]
    pub const fn attribute(&self) -> Option<&Attribute> {
        match self {
            Self::Attribute(attribute) => Some(attribute),
            Self::Vector(_) => None,
        }
    }

    /// The vector field that it is, if it is one.
    #[must_use]
    pub const fn vector(&self) -> Option<&VectorField> {
        match self {
            Self::Vector(vector) => Some(vector),
            Self::Attribute(_) => None,
        }
    }

    /// Its type as schemas write it.
    #[must_use]
    pub fn type_name(&self) -> String {
        match self {
            Self::Attribute(attribute) => attribute.value_type.to_string(),
            Self::Vector(vector) => vector.type_name(),
        }
    }
}

/// An attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// The type of its values.
    pub value_type: ValueType,
    /// Whether queries may filter, sort, group and calculate by it.
    pub filterable: bool,
    /// How it is searched as text, if it is.
    pub full_text: Option<FullText>,
}

impl Attribute {
    /// An attribute as it is inferred from a document: filterable, and no text.
    #[must_use]
    pub const fn inferred(value_type: ValueType) -> Self {
        Self { value_type, filterable: true, full_text: None }
    }
}

/// A vector field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorField {
    /// Elements of each vector, 1 to [`crate::vector::DIMS_MAX`].
    pub dims: usize,
    /// What an element is kept as.
    pub element: Element,
    /// How the distance of two is measured.
    pub metric: Metric,
    /// Whether there is an index: without one only exact search finds them.
    pub ann: bool,
}

impl VectorField {
    /// Its type as schemas write it, as `[512]f32`.
    #[must_use]
    pub fn type_name(&self) -> String {
        let element = match self.element {
            Element::F32 => "f32",
            Element::F16 => "f16",
            Element::I8 => "i8",
        };
        format!("[{}]{element}", self.dims)
    }
}

/// The name of a metric in schemas and queries.
#[must_use]
pub const fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "cosine_distance",
        Metric::EuclideanSquared => "euclidean_squared",
        Metric::Dot => "dot",
    }
}

/// The metric of this name; `cosine` is short for `cosine_distance`.
pub(crate) fn metric_named(name: &str) -> Result<Metric, String> {
    match name {
        "cosine_distance" | "cosine" => Ok(Metric::Cosine),
        "euclidean_squared" => Ok(Metric::EuclideanSquared),
        "dot" => Ok(Metric::Dot),
        _ => Err(format!(
            "unknown metric `{name}`; there are cosine_distance, euclidean_squared and dot"
        )),
    }
}
