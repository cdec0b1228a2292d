//! How a client declares a field: a type by its name, or an object with the type and options.
//!
//! What is not said is `None`: of a field that exists it stays as it is, of a new one it is the default.

use super::field::{metric_name, metric_named};
use super::full_text::flag;
use super::{Attribute, FieldKind, FullText, Tokenizer, VectorField};
use crate::json::{Json, Kind, write_string};
use crate::value::{Scalar, ValueType};
use crate::vector::{DIMS_MAX, Element, Metric};

/// What is said of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Declaration {
    pub(super) declared: Declared,
    filterable: Option<bool>,
    full_text: Option<Option<FullText>>,
    ann: Option<bool>,
    metric: Option<Metric>,
}

/// The type that is declared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Declared {
    Values(ValueType),
    Vector { dims: usize, element: Element },
}

/// Why a declaration is refused.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Refusal {
    /// It is wrong.
    Invalid(String),
    /// It is known, and not done.
    Unsupported(&'static str),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Invalid(reason)
    }
}

impl Declaration {
    /// Reads one.
    pub(super) fn parse(json: Json<'_>) -> Result<Self, Refusal> {
        let name = match json.kind() {
            Kind::String => json.string(),
            Kind::Object => json.get("type").and_then(Json::string),
            Kind::Null | Kind::Bool(_) | Kind::Number | Kind::Array => None,
        };
        let Some(name) = name else {
            let wanted = "expected a type, as \"string\", or an object with a member `type`";
            return Err(Refusal::Invalid(format!("{wanted}; found {}", json.excerpt())));
        };
        let mut declaration = Self {
            declared: Declared::parse(&name)?,
            filterable: None,
            full_text: None,
            ann: None,
            metric: None,
        };
        for (name, value) in json.members().into_iter().flatten().filter(|(name, _)| name != "type")
        {
            declaration.set(&name, value)?;
        }
        declaration.check()?;
        Ok(declaration)
    }

    fn set(&mut self, name: &str, value: Json<'_>) -> Result<(), Refusal> {
        let named = |reason: String| format!("{name}: {reason}");
        match name {
            "filterable" => self.filterable = Some(flag(value).map_err(named)?),
            "full_text_search" => self.full_text = Some(FullText::parse(value)?),
            "distance_metric" => {
                let text = value.string().unwrap_or_default();
                self.metric = Some(metric_named(&text)?);
            }
            "ann" => self.set_ann(value)?,
            // Every filterable string answers Regex, Glob and Fuzzy: asking for them asks for that.
            "regex" | "glob" | "fuzzy" => {
                let asked = flag(value).map_err(named)?;
                if asked && self.declared != Declared::Values(ValueType::one(Scalar::String)) {
                    return Err(Refusal::Invalid(format!(
                        "{name} is for attributes of type string"
                    )));
                }
                if asked && self.filterable.is_none() {
                    self.filterable = Some(true);
                }
            }
            "sparse_knn" => return Err(Refusal::Unsupported("sparse vectors are not supported")),
            "embed" => {
                return Err(Refusal::Unsupported("embedding is not done here; send vectors"));
            }
            _ => return Err(Refusal::Invalid(format!("there is no option `{name}` of a field"))),
        }
        Ok(())
    }

    fn set_ann(&mut self, value: Json<'_>) -> Result<(), Refusal> {
        let Some(members) = value.members() else {
            self.ann = Some(flag(value).map_err(|reason| format!("ann: {reason}"))?);
            return Ok(());
        };
        self.ann = Some(true);
        for (name, value) in members {
            if name != "distance_metric" {
                return Err(Refusal::Invalid(format!("there is no option `{name}` of ann")));
            }
            self.metric = Some(metric_named(&value.string().unwrap_or_default())?);
        }
        Ok(())
    }

    /// Options must be of the kind of field that is declared.
    fn check(&self) -> Result<(), Refusal> {
        let refuse = |reason: &str| Err(Refusal::Invalid(reason.to_owned()));
        let Declared::Values(kind) = self.declared else {
            if self.filterable == Some(true) || matches!(self.full_text, Some(Some(_))) {
                return refuse("a vector is neither filterable nor text; leave out these options");
            }
            return Ok(());
        };
        if self.ann == Some(true) || self.metric.is_some() {
            return refuse("ann and distance_metric are for vectors, as [512]f32");
        }
        let Some(Some(full_text)) = &self.full_text else { return Ok(()) };
        if kind.scalar != Scalar::String {
            return refuse("full_text_search is for string and []string");
        }
        if full_text.tokenizer == Tokenizer::PreTokenizedArray && !kind.is_array {
            return refuse("the tokenizer pre_tokenized_array is for []string");
        }
        Ok(())
    }

    /// The field that is declared, for a field that is there already or a new one.
    pub(super) fn apply(
        &self,
        existing: Option<&FieldKind>,
        default_metric: Option<Metric>,
    ) -> Result<FieldKind, String> {
        match self.declared {
            Declared::Values(value_type) => {
                let before = existing.and_then(FieldKind::attribute);
                let full_text = match (self.full_text, before) {
                    (Some(asked), _) => asked,
                    (None, Some(before)) => before.full_text,
                    (None, None) => None,
                };
                let default = before.map_or(full_text.is_none(), |before| before.filterable);
                let filterable = self.filterable.unwrap_or(default);
                Ok(FieldKind::Attribute(Attribute { value_type, filterable, full_text }))
            }
            Declared::Vector { dims, element } => {
                let before = existing.and_then(FieldKind::vector);
                let metric = self.metric.or(before.map(|field| field.metric)).or(default_metric);
                let Some(metric) = metric else {
                    return Err("a vector needs a distance_metric: cosine_distance, \
                         euclidean_squared or dot"
                        .to_owned());
                };
                let ann = self.ann.unwrap_or(before.is_none_or(|field| field.ann));
                Ok(FieldKind::Vector(VectorField { dims, element, metric, ann }))
            }
        }
    }
}

impl Declared {
    fn parse(name: &str) -> Result<Self, Refusal> {
        if let Some(kind) = ValueType::parse(name) {
            return Ok(Self::Values(kind));
        }
        if name.starts_with("{}") {
            return Err(Refusal::Unsupported("sparse vectors are not supported"));
        }
        if name.starts_with("[][") {
            return Err(Refusal::Unsupported("several vectors of one document are not supported"));
        }
        let vector = name.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let element = vector.and_then(|(_, element)| match element {
            "f32" => Some(Element::F32),
            "f16" => Some(Element::F16),
            "i8" => Some(Element::I8),
            _ => None,
        });
        let (Some((dims, _)), Some(element)) = (vector, element) else {
            return Err(Refusal::Invalid(format!(
                "unknown type `{name}`; there are string, int, uint, float, bool, uuid, datetime, \
                 arrays as []int, and vectors as [512]f32, [512]f16, [512]i8"
            )));
        };
        let is_digits = !dims.is_empty() && dims.bytes().all(|byte| byte.is_ascii_digit());
        match dims.parse() {
            Ok(dims) if is_digits && (1..=DIMS_MAX).contains(&dims) => {
                Ok(Self::Vector { dims, element })
            }
            _ => Err(Refusal::Invalid(format!(
                "a vector has 1 to {DIMS_MAX} dimensions; found `{name}`"
            ))),
        }
    }
}

/// Writes the members of a declaration that says everything of a field, without brackets.
pub(super) fn write_members(kind: &FieldKind, out: &mut String) {
    use std::fmt::Write as _;
    out.push_str("\"type\":");
    write_string(&kind.type_name(), out);
    match kind {
        FieldKind::Attribute(attribute) => {
            let _ = write!(out, ",\"filterable\":{}", attribute.filterable);
            if let Some(full_text) = &attribute.full_text {
                out.push_str(",\"full_text_search\":");
                full_text.write_json(out);
            }
        }
        FieldKind::Vector(vector) => {
            let metric = metric_name(vector.metric);
            let _ = write!(out, ",\"ann\":{},\"distance_metric\":\"{metric}\"", vector.ann);
        }
    }
}
