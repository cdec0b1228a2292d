//! Rows of answers as JSON: which attributes of a document are shown, and vectors in the form that was
//! asked for. What is no vector keeps the text that it has in the document.

use base::document::Document;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use search::aggregate::Group;
use search::json::{Json, Kind};
use search::path::Path;
use search::query::Query;
use search::schema::Schema;
use search::value::Value;

use super::error::{Failure, Result};
use super::json::Text;
use crate::engine::namespaces::QueryAnswer;
use crate::engine::{EngineError, namespaces};

/// What of a document is shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Include {
    /// Its id alone.
    #[default]
    Nothing,
    /// All of it.
    Everything,
    /// These attributes.
    Only(Vec<Path>),
    /// All members at its top but these.
    Except(Vec<Path>),
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum VectorForm {
    /// An array of numbers.
    #[default]
    Floats,
    /// Base64 of little-endian 32-bit floats.
    Base64,
}

/// How rows are shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Shown {
    pub(super) include: Include,
    pub(super) vectors: VectorForm,
}

impl Shown {
    /// Whether documents must be read for it.
    pub(super) fn documents(&self) -> namespaces::Documents {
        match self.include {
            Include::Nothing => namespaces::Documents::Leave,
            Include::Everything | Include::Only(_) | Include::Except(_) => {
                namespaces::Documents::Fetch
            }
        }
    }

    /// Reads `include_attributes`, `exclude_attributes` and `vector_encoding` of a query.
    ///
    /// # Errors
    /// The answer to a member that is malformed.
    pub(super) fn parse(query: Json<'_>, default: Include) -> Result<Self> {
        let member = |name| query.get(name).filter(|json| json.kind() != Kind::Null);
        let included = match member("include_attributes") {
            None => None,
            Some(json) => Some(match json.kind() {
                Kind::Bool(true) => Include::Everything,
                Kind::Bool(false) => Include::Nothing,
                Kind::Null | Kind::Number | Kind::String | Kind::Array | Kind::Object => {
                    Include::Only(paths(json, "include_attributes")?)
                }
            }),
        };
        let excluded = member("exclude_attributes")
            .map(|json| paths(json, "exclude_attributes"))
            .transpose()?;
        let include = match (included, excluded) {
            (Some(_), Some(_)) => {
                let what = "give include_attributes or exclude_attributes, not both";
                return Err(Failure::bad(what));
            }
            (Some(include), None) => include,
            (None, Some(excluded)) => Include::Except(excluded),
            (None, None) => default,
        };
        Ok(Self { include, vectors: VectorForm::parse(query)? })
    }
}

impl VectorForm {
    /// Reads `vector_encoding`.
    ///
    /// # Errors
    /// The answer to another encoding.
    pub(super) fn parse(query: Json<'_>) -> Result<Self> {
        let json = query.get("vector_encoding").filter(|json| json.kind() != Kind::Null);
        let Some(json) = json else { return Ok(Self::Floats) };
        match json.string().as_deref() {
            Some("float") => Ok(Self::Floats),
            Some("base64") => Ok(Self::Base64),
            _ => Err(Failure::bad("vector_encoding is float or base64")),
        }
    }
}

fn paths(json: Json<'_>, name: &str) -> Result<Vec<Path>> {
    let bad = || Failure::bad(format!("{name} is true, false or an array of attributes"));
    let elements = json.elements().ok_or_else(bad)?;
    let read = |element: Json<'_>| {
        let text = element.string().ok_or_else(bad)?;
        Path::parse(&text).map_err(|error| Failure::from(EngineError::from(error)))
    };
    elements.map(read).collect()
}

/// Writes the attributes of a document that are shown, as members.
pub(super) fn write_attributes(
    out: &mut Text,
    document: &Document,
    schema: Option<&Schema>,
    shown: &Shown,
) {
    let json = Json::of(document);
    match &shown.include {
        Include::Nothing => {}
        Include::Everything => write_members(out, json, schema, shown, &[]),
        Include::Except(excluded) => write_members(out, json, schema, shown, excluded),
        Include::Only(paths) => {
            for path in paths.iter().filter(|path| !path.is_id()) {
                let found = path.keys().iter().try_fold(json, |json, key| json.get(key));
                if let Some(value) = found {
                    out.member(&path.to_string());
                    write_value(out, value, Some(path), schema, shown.vectors);
                }
            }
        }
    }
}

fn write_members(
    out: &mut Text,
    document: Json<'_>,
    schema: Option<&Schema>,
    shown: &Shown,
    excluded: &[Path],
) {
    for (name, value) in document.members().into_iter().flatten() {
        // The key of the document stands before them.
        if name == "id" {
            continue;
        }
        let path = Path::from_keys(vec![Box::from(&*name)]).ok();
        if path.as_ref().is_some_and(|path| excluded.contains(path)) {
            continue;
        }
        out.member(&name);
        write_value(out, value, path.as_ref(), schema, shown.vectors);
    }
}

/// Writes a value; a vector in the form that was asked for.
fn write_value(
    out: &mut Text,
    value: Json<'_>,
    path: Option<&Path>,
    schema: Option<&Schema>,
    form: VectorForm,
) {
    let is_vector = path.zip(schema).is_some_and(|(path, schema)| schema.vector(path).is_some());
    match (is_vector, form, value.kind()) {
        (true, VectorForm::Floats, Kind::String) => match unpacked(value) {
            Some(floats) => write_floats(out, &floats),
            None => out.raw(value.text().as_bytes()),
        },
        (true, VectorForm::Base64, Kind::Array) => match packed(value) {
            Some(text) => out.string(&text),
            None => out.raw(value.text().as_bytes()),
        },
        (_, _, _) => out.raw(value.text().as_bytes()),
    }
}

/// Writes a vector as an array; each number is the shortest that reads back as it.
pub(super) fn write_floats(out: &mut Text, floats: &[f32]) {
    out.open(b'[');
    for float in floats {
        out.element().raw(format!("{float:?}").as_bytes());
    }
    out.close(b']');
}

/// The floats of a vector in base64.
pub(super) fn unpacked(value: Json<'_>) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(value.string()?.as_bytes()).ok()?;
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// The base64 of a vector that is an array of numbers; none when an element is none that a float holds.
pub(super) fn packed(value: Json<'_>) -> Option<String> {
    let mut bytes = Vec::new();
    for element in value.elements()? {
        let float: f32 = element.number()?.parse().ok()?;
        if !float.is_finite() {
            return None;
        }
        bytes.extend_from_slice(&float.to_le_bytes());
    }
    Some(STANDARD.encode(bytes))
}

/// Writes a value, or null for one that is missing.
pub(super) fn write_optional(out: &mut Text, value: Option<&Value>) {
    let mut text = String::new();
    match value {
        Some(value) => value.write_json(&mut text),
        None => text.push_str("null"),
    }
    out.raw(text.as_bytes());
}

/// Writes the numbers about all rows: of one group, or of each.
pub(super) fn write_groups(out: &mut Text, query: &Query, groups: &[Group]) {
    if query.aggregates.is_empty() {
        return;
    }
    let totals = |out: &mut Text, group: &Group| {
        for ((label, _), total) in query.aggregates.iter().zip(&group.totals) {
            let mut text = String::new();
            total.write_json(&mut text);
            out.member(label).raw(text.as_bytes());
        }
    };
    if query.group_by.is_empty() {
        out.member("aggregations").open(b'{');
        groups.iter().for_each(|group| totals(out, group));
        out.close(b'}');
        return;
    }
    out.member("aggregation_groups").open(b'[');
    for group in groups {
        out.element().open(b'{');
        for (path, value) in query.group_by.iter().zip(&group.key) {
            out.member(&path.to_string());
            write_optional(out, value.as_ref());
        }
        totals(out, group);
        out.close(b'}');
    }
    out.close(b']');
}

/// Writes the commonest values of attributes.
pub(super) fn write_facets(out: &mut Text, query: &Query, answer: &QueryAnswer) {
    if query.facets.is_empty() {
        return;
    }
    out.member("facets").open(b'{');
    for (facet, values) in query.facets.iter().zip(&answer.facets) {
        out.member(&facet.path.to_string()).open(b'[');
        for (value, count) in values {
            out.element().open(b'{');
            out.member("value");
            write_optional(out, Some(value));
            out.member("count").number(*count);
            out.close(b'}');
        }
        out.close(b']');
    }
    out.close(b'}');
}

#[cfg(test)]
mod tests {
    use search::schema::Undeclared;

    use super::*;

    fn written(document: &str, shown: &Shown) -> String {
        let declared = br#"{"vector":{"type":"[2]f32","distance_metric":"dot"}}"#;
        let declared = Json::parse(declared).unwrap();
        let schema = Schema::new(Undeclared::Infer).declare(declared, None).unwrap().schema;
        let document = Document::parse(document.as_bytes()).unwrap();
        let mut out = Text::object();
        write_attributes(&mut out, &document, Some(&schema), shown);
        String::from_utf8(out.end()).unwrap()
    }

    #[test]
    fn attributes_keep_their_text_and_vectors_have_the_form_that_is_asked_for() {
        let document =
            r#"{"id":1,"vector":"zczMPc3MTD4=","n": 1.50 ,"o":{"a":[1],"b":"zczMPc3MTD4="}}"#;
        let only = |names: &[&str]| {
            Include::Only(names.iter().map(|name| Path::parse(name).unwrap()).collect())
        };
        let excluded = Include::Except(vec![Path::parse("vector").unwrap()]);
        for (include, vectors, expect) in [
            (Include::Nothing, VectorForm::Floats, "{}"),
            (
                Include::Everything,
                VectorForm::Floats,
                r#"{"vector":[0.1,0.2],"n":1.50,"o":{"a":[1],"b":"zczMPc3MTD4="}}"#,
            ),
            (only(&["vector"]), VectorForm::Base64, r#"{"vector":"zczMPc3MTD4="}"#),
            (only(&["o.a", "id", "gone"]), VectorForm::Floats, r#"{"o.a":[1]}"#),
            (excluded, VectorForm::Floats, r#"{"n":1.50,"o":{"a":[1],"b":"zczMPc3MTD4="}}"#),
        ] {
            assert_eq!(written(document, &Shown { include, vectors }), expect);
        }
        let base64 = Shown { include: Include::Everything, vectors: VectorForm::Base64 };
        assert_eq!(written(r#"{"vector":[0.1,0.2]}"#, &base64), r#"{"vector":"zczMPc3MTD4="}"#);
    }

    #[test]
    fn what_is_shown_is_read_from_the_query() {
        let parse =
            |text: &str| Shown::parse(Json::parse(text.as_bytes()).unwrap(), Include::Nothing);
        assert_eq!(parse("{}").unwrap(), Shown::default());
        let shown = parse(r#"{"include_attributes":true,"vector_encoding":"base64"}"#).unwrap();
        assert_eq!(shown, Shown { include: Include::Everything, vectors: VectorForm::Base64 });
        for bad in [
            r#"{"include_attributes":"a"}"#,
            r#"{"include_attributes":[1]}"#,
            r#"{"include_attributes":["$a"]}"#,
            r#"{"include_attributes":true,"exclude_attributes":["a"]}"#,
            r#"{"vector_encoding":"hex"}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
