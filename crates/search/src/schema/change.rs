//! How a schema changes: what may be said of a field that exists, and what has to be built first.
//!
//! | change | |
//! |---|---|
//! | a new field, where undeclared members are inferred or refused | at once: no document has it |
//! | a new field, where undeclared members are ignored | is built: documents may have it |
//! | filterable, full text or index of vectors taken away | at once |
//! | filterable, full text (or other options of it), index of vectors, another metric | is built |
//! | another type, other dimensions, another type of element | refused |
//!
//! What an update does not mention stays as it is.

use super::declaration::{Declaration, Refusal, write_members};
use super::{Field, FieldKind, Schema, Undeclared};
use crate::error::{Result, SearchError};
use crate::json::{Json, write_list, write_string};
use crate::path::Path;
use crate::vector::Metric;

/// A schema after a change, and what stands between the two.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The schema as it then is.
    pub schema: Schema,
    /// What has to be built from the documents before queries may use it. Building meets every document,
    /// and refuses the change when one does not fit.
    pub builds: Vec<Build>,
}

/// Something to be built from the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Of which field.
    pub path: Path,
    /// What.
    pub kind: BuildKind,
}

/// What is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildKind {
    /// The values of an attribute, for filters.
    Values,
    /// The text of an attribute.
    Text,
    /// The index of vectors.
    Vectors,
}

impl Schema {
    /// The schema after a client has declared fields: a JSON object of paths, each with a type or an object
    /// of type and options. `metric` is that of vector fields which do not say theirs.
    ///
    /// # Errors
    /// [`SearchError::Schema`] for a declaration that is malformed or that the field cannot become, with its
    /// path and what to do; [`SearchError::Unsupported`] for sparse vectors, several vectors in one
    /// field, and embedding. Nothing is changed then.
    pub fn declare(&self, request: Json<'_>, metric: Option<Metric>) -> Result<Change> {
        let Some(members) = request.members() else {
            let reason = "a schema is a JSON object of attributes and their types";
            return Err(SearchError::schema("", reason));
        };
        let mut change = Change { schema: self.clone(), builds: Vec::new() };
        for (name, value) in members {
            let path = Path::parse(&name)?;
            let declaration = Declaration::parse(value).map_err(|refusal| match refusal {
                Refusal::Invalid(reason) => SearchError::schema(&path, reason),
                Refusal::Unsupported(what) => SearchError::unsupported(&path, what),
            })?;
            change.declare(path, &declaration, metric)?;
        }
        Ok(change)
    }

    /// Whether an index of the documents that was made for the schema `before` cannot answer for this one, so that
    /// it has to be built anew. It need not when no document has what this schema has more.
    #[must_use]
    pub fn needs_build(&self, before: &Self) -> bool {
        let is_kept = |(path, field): (&Path, &Field)| {
            self.fields.get(path).is_some_and(|found| found.number == field.number)
        };
        if !before.fields().all(is_kept) {
            return true;
        }
        self.fields().any(|(path, field)| match before.fields.get(path) {
            Some(known) => !builds(Some(&known.kind), &field.kind).is_empty(),
            // Where others were ignored, documents may have it.
            None => before.undeclared == Undeclared::Ignore,
        })
    }

    /// The schema as clients see it: what [`Schema::declare`] reads back.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        write_list(('{', '}'), self.fields(), &mut out, |(path, field), out| {
            write_string(&path.to_string(), out);
            out.push_str(":{");
            write_members(&field.kind, out);
            out.push('}');
        });
        out
    }
}

impl Change {
    fn declare(
        &mut self,
        path: Path,
        declaration: &Declaration,
        metric: Option<Metric>,
    ) -> Result<()> {
        let existing = self.schema.fields.get_mut(&path);
        let before = existing.as_ref().map(|field| field.kind.clone());
        let after = declaration
            .apply(before.as_ref(), metric)
            .map_err(|reason| SearchError::schema(&path, reason))?;
        if let Some(before) = &before {
            check_type(&path, before, &after)?;
        }
        match existing {
            Some(field) => field.kind = after.clone(),
            None => self.schema.insert(path.clone(), after.clone())?,
        }
        let is_empty = before.is_none() && self.schema.undeclared != Undeclared::Ignore;
        if !is_empty {
            let kinds = builds(before.as_ref(), &after);
            self.builds.extend(kinds.into_iter().map(|kind| Build { path: path.clone(), kind }));
        }
        Ok(())
    }
}

fn check_type(path: &Path, before: &FieldKind, after: &FieldKind) -> Result<()> {
    let (before, after) = (before.type_name(), after.type_name());
    if before == after {
        return Ok(());
    }
    let reason = format!(
        "the attribute is of type {before} and cannot become {after}; use another name, or copy the \
         documents into a collection with that schema"
    );
    Err(SearchError::schema(path, reason))
}

/// What the new field has that the old one had not.
fn builds(before: Option<&FieldKind>, after: &FieldKind) -> Vec<BuildKind> {
    let mut builds = Vec::new();
    match after {
        FieldKind::Attribute(after) => {
            let before = before.and_then(FieldKind::attribute);
            if after.filterable && !before.is_some_and(|before| before.filterable) {
                builds.push(BuildKind::Values);
            }
            let text_before = before.and_then(|before| before.full_text);
            if after.full_text.is_some() && after.full_text != text_before {
                builds.push(BuildKind::Text);
            }
        }
        FieldKind::Vector(after) => {
            let same = before
                .and_then(FieldKind::vector)
                .is_some_and(|before| before.ann && before.metric == after.metric);
            if after.ann && !same {
                builds.push(BuildKind::Vectors);
            }
        }
    }
    builds
}

#[cfg(test)]
mod tests {
    use base::error::{Code, Coded};

    use super::*;

    fn declare(schema: &Schema, text: &str) -> Result<Change> {
        schema.declare(Json::parse(text.as_bytes()).unwrap(), None)
    }

    fn schema(undeclared: Undeclared, text: &str) -> Schema {
        declare(&Schema::new(undeclared), text).unwrap().schema
    }

    const BEFORE: &str = r#"{"s":"string","t":{"type":"string","full_text_search":true},
        "v":{"type":"[3]f32","distance_metric":"cosine_distance"},"a.b":"[]int"}"#;

    #[test]
    fn a_change_says_what_has_to_be_built() {
        use BuildKind::{Text, Values, Vectors};
        let before = schema(Undeclared::Infer, BEFORE);
        for (text, expect) in [
            (r"{}", vec![]),
            (r#"{"s":"string","/a/b":"[]int"}"#, vec![]),
            (r#"{"t":"string","v":"[3]f32"}"#, vec![]),
            (r#"{"new":"float"}"#, vec![]),
            (
                r#"{"s":{"type":"string","filterable":false},"v":{"type":"[3]f32","ann":false}}"#,
                vec![],
            ),
            (r#"{"t":{"type":"string","full_text_search":false}}"#, vec![]),
            (r#"{"t":{"type":"string","filterable":true}}"#, vec![Values]),
            (r#"{"t":{"type":"string","glob":true}}"#, vec![Values]),
            (r#"{"s":{"type":"string","full_text_search":true}}"#, vec![Text]),
            (r#"{"t":{"type":"string","full_text_search":{"k1":2}}}"#, vec![Text]),
            (r#"{"v":{"type":"[3]f32","distance_metric":"dot"}}"#, vec![Vectors]),
        ] {
            let change = declare(&before, text).unwrap();
            let kinds: Vec<BuildKind> = change.builds.iter().map(|build| build.kind).collect();
            assert_eq!(kinds, expect, "{text}");
            assert_eq!(change.schema.needs_build(&before), !expect.is_empty(), "{text}");
        }
        let ignoring = schema(Undeclared::Ignore, BEFORE);
        let change = declare(&ignoring, r#"{"new":"float"}"#).unwrap();
        assert_eq!(change.builds, [Build { path: Path::parse("new").unwrap(), kind: Values }]);
        assert!(change.schema.needs_build(&ignoring));
        assert!(before.needs_build(&change.schema), "a field is gone");
        let again = schema(Undeclared::Infer, r#"{"first":"int","s":"string"}"#);
        let other = schema(Undeclared::Infer, r#"{"s":"string","first":"int"}"#);
        assert!(again.needs_build(&other), "the same paths under other numbers");
    }

    #[test]
    fn text_is_filterable_only_when_asked_for_and_an_update_keeps_what_it_does_not_name() {
        let before = schema(Undeclared::Infer, BEFORE);
        let attribute = |schema: &Schema, name: &str| {
            let (_, attribute) = schema.attribute(&Path::parse(name).unwrap()).unwrap();
            (attribute.filterable, attribute.full_text.is_some())
        };
        assert_eq!(
            (attribute(&before, "s"), attribute(&before, "t")),
            ((true, false), (false, true))
        );
        let text = r#"{"s":{"type":"string","full_text_search":true},"t":{"type":"string"}}"#;
        let after = declare(&before, text).unwrap().schema;
        assert_eq!((attribute(&after, "s"), attribute(&after, "t")), ((true, true), (false, true)));
    }

    #[test]
    fn what_a_field_cannot_be_is_refused_with_its_path() {
        let before = schema(Undeclared::Infer, BEFORE);
        for (text, path, reason) in [
            (r"[]", "", "JSON object"),
            (r#"{"s":"int"}"#, "s", "cannot become int"),
            (r#"{"s":"[]string"}"#, "s", "cannot become []string"),
            (r#"{"v":"[4]f32"}"#, "v", "cannot become [4]f32"),
            (r#"{"v":"[3]f16"}"#, "v", "cannot become [3]f16"),
            (r#"{"w":"[4]f32"}"#, "w", "needs a distance_metric"),
            (r#"{"w":{"type":"[4]f32","distance_metric":"hamming"}}"#, "w", "hamming"),
            (r#"{"w":{"type":"[4]f32","ann":{"lists":3}}}"#, "w", "no option `lists`"),
            (r#"{"w":"[0]f32"}"#, "w", "1 to 10752"),
            (r#"{"w":"[10753]f32"}"#, "w", "1 to 10752"),
            (r#"{"w":"[+3]f32"}"#, "w", "1 to 10752"),
            (r#"{"w":"[3]f64"}"#, "w", "unknown type"),
            (r#"{"w":"text"}"#, "w", "unknown type"),
            (r#"{"w":7}"#, "w", "expected a type"),
            (r#"{"w":{"filterable":true}}"#, "w", "expected a type"),
            (r#"{"w":{"type":"int","colour":1}}"#, "w", "no option `colour`"),
            (r#"{"w":{"type":"int","full_text_search":true}}"#, "w", "for string"),
            (r#"{"w":{"type":"int","glob":true}}"#, "w", "of type string"),
            (r#"{"w":{"type":"int","ann":true}}"#, "w", "for vectors"),
            (r#"{"v":{"type":"[3]f32","filterable":true}}"#, "v", "neither filterable"),
            (
                r#"{"w":{"type":"string","full_text_search":{"tokenizer":"pre_tokenized_array"}}}"#,
                "w",
                "[]string",
            ),
            (r#"{"id":"int"}"#, "id", "the key"),
            (r#"{"$dist":"float"}"#, "$dist", "reserved"),
            (r#"{"a":"int"}"#, "a", "`a.b` is declared"),
            (r#"{"s.x":"int"}"#, "s.x", "`s` is declared"),
        ] {
            let error = declare(&before, text).unwrap_err();
            let SearchError::Schema { path: found, reason: why } = &error else {
                panic!("{text}: {error}")
            };
            assert!(&**found == path && why.contains(reason), "{text}: {error}");
        }
        for text in
            [r#"{"w":"{}f16"}"#, r#"{"w":"[][3]f32"}"#, r#"{"w":{"type":"string","embed":{}}}"#]
        {
            assert_eq!(declare(&before, text).unwrap_err().code(), Code::Unsupported, "{text}");
        }
        let two = r#"{"w":{"type":"[4]f32","distance_metric":"dot"},"x":{"type":"[4]f32","distance_metric":"dot"}}"#;
        assert!(declare(&before, two).unwrap_err().to_string().contains("at most 2 vector fields"));
    }

    #[test]
    fn what_clients_are_shown_declares_the_same_schema_again() {
        let before = schema(Undeclared::Infer, BEFORE);
        let shown = before.to_json();
        let change = declare(&before, &shown).unwrap();
        assert_eq!((change.schema, change.builds), (before, vec![]), "{shown}");
    }
}
