//! A document under a schema: is it one, what are its values, and what would the schema have to become.

use base::document::Document;
use base::words::DocId;
use uuid::Uuid;

use super::{Attribute, FieldKind, FieldNo, Row, Schema, Undeclared, Vector};
use crate::error::{Result, SearchError};
use crate::json::{Json, Kind};
use crate::path::Path;
use crate::value::{Scalar, Value, ValueType, decode, natural};

impl Schema {
    /// The values of a document, every declared field checked.
    ///
    /// # Errors
    /// [`SearchError::Schema`] with the path of the first member that does not fit: no object; an `id` that
    /// is not the key; a value that is not of its field's type; an undeclared member, unless they are
    /// ignored (where they are inferred, call [`Schema::infer`] first).
    pub fn row(&self, id: &DocId, document: &Document) -> Result<Row> {
        let mut reader = Reader { schema: self, id, values: Vec::new(), vectors: Vec::new() };
        walk(self, document, &mut reader)?;
        Ok(Row::new(id, reader.values, reader.vectors))
    }

    /// The schema with what the undeclared members of a document are: none when there are none, or only such
    /// as are null or empty, which say nothing. A string is a string, `true` a bool, an integer an
    /// int or if it is too large a uint, another number a float; an array one of those; the members of
    /// objects are attributes of their own. UUIDs and datetimes are strings until they are
    /// declared, and vectors have to be.
    ///
    /// # Errors
    /// [`SearchError::Schema`] with the path of a member that no type fits: an integer beyond 64 bits, an
    /// array of several types or of arrays or objects, a reserved name; and beyond
    /// [`super::FIELDS_MAX`] fields. Also when this schema does not infer.
    pub fn infer(&self, document: &Document) -> Result<Option<Self>> {
        let mut inference = Inference { found: Vec::new() };
        walk(self, document, &mut inference)?;
        if inference.found.is_empty() {
            return Ok(None);
        }
        if self.undeclared != Undeclared::Infer {
            let (path, _) = inference.found.swap_remove(0);
            return Err(undeclared(&path));
        }
        let mut grown = self.clone();
        for (path, value_type) in inference.found {
            grown.insert(path, FieldKind::Attribute(Attribute::inferred(value_type)))?;
        }
        Ok(Some(grown))
    }
}

fn undeclared(path: &Path) -> SearchError {
    SearchError::schema(path, "the attribute is not declared; add it to the schema")
}

/// What is done with the members of a document.
trait Visit {
    fn id(&mut self, value: Json<'_>) -> Result<()>;
    fn declared(
        &mut self,
        path: &[Box<str>],
        number: FieldNo,
        kind: &FieldKind,
        value: Json<'_>,
    ) -> Result<()>;
    /// Neither null nor an object; only where undeclared members are not ignored.
    fn undeclared(&mut self, path: Path, value: Json<'_>) -> Result<()>;
}

fn walk(schema: &Schema, document: &Document, visit: &mut impl Visit) -> Result<()> {
    let json = Json::of(document);
    if json.kind() != Kind::Object {
        let reason = format!("a searchable document is a JSON object, not {}", json.kind().name());
        return Err(SearchError::schema("", reason));
    }
    walk_object(schema, &mut Vec::new(), json, visit)
}

/// Recursion ends at the depth that documents may have.
fn walk_object(
    schema: &Schema,
    keys: &mut Vec<Box<str>>,
    object: Json<'_>,
    visit: &mut impl Visit,
) -> Result<()> {
    for (key, value) in object.members().into_iter().flatten() {
        if keys.is_empty() && key == "id" {
            visit.id(value)?;
            continue;
        }
        keys.push(key.into());
        walk_member(schema, keys, value, visit)?;
        keys.pop();
    }
    Ok(())
}

fn walk_member(
    schema: &Schema,
    keys: &mut Vec<Box<str>>,
    value: Json<'_>,
    visit: &mut impl Visit,
) -> Result<()> {
    if let Some(field) = schema.fields.get(keys.as_slice()) {
        return visit.declared(keys, field.number, &field.kind, value);
    }
    let below = schema.below(keys);
    match value.kind() {
        Kind::Null => Ok(()),
        Kind::Object if below.is_some() || schema.undeclared != Undeclared::Ignore => {
            walk_object(schema, keys, value, visit)
        }
        kind @ (Kind::Bool(_) | Kind::Number | Kind::String | Kind::Array | Kind::Object) => {
            if let Some(below) = below {
                let reason = format!(
                    "expected an object, because the schema has `{below}`; found {}",
                    kind.name()
                );
                return Err(SearchError::schema(display(keys), reason));
            }
            if schema.undeclared == Undeclared::Ignore {
                return Ok(());
            }
            visit.undeclared(Path::from_keys(keys.clone())?, value)
        }
    }
}

fn display(keys: &[Box<str>]) -> String {
    Path::from_keys(keys.to_vec()).map_or_else(|_| keys.join("."), |path| path.to_string())
}

struct Reader<'a> {
    schema: &'a Schema,
    id: &'a DocId,
    values: Vec<(FieldNo, Value)>,
    vectors: Vec<(FieldNo, Vector)>,
}

impl Visit for Reader<'_> {
    fn id(&mut self, value: Json<'_>) -> Result<()> {
        if is_key(value, self.id) {
            return Ok(());
        }
        let reason = format!(
            "the member must be the key of the document, {}, or be left out; found {}",
            self.id,
            value.excerpt()
        );
        Err(SearchError::schema("id", reason))
    }

    fn declared(
        &mut self,
        path: &[Box<str>],
        number: FieldNo,
        kind: &FieldKind,
        value: Json<'_>,
    ) -> Result<()> {
        let refuse = |reason: String| SearchError::schema(display(path), reason);
        match kind {
            FieldKind::Attribute(attribute) => {
                let value = decode(value, attribute.value_type).map_err(refuse)?;
                self.values.extend(value.map(|value| (number, value)));
            }
            FieldKind::Vector(field) => {
                if value.kind() != Kind::Null {
                    self.vectors.push((number, Vector::decode(value, field).map_err(refuse)?));
                }
            }
        }
        Ok(())
    }

    fn undeclared(&mut self, path: Path, value: Json<'_>) -> Result<()> {
        // What says nothing of its type is missing, as it would be if it were declared.
        let is_empty = value.elements().is_some_and(|mut elements| elements.next().is_none());
        if is_empty && self.schema.undeclared == Undeclared::Infer {
            return Ok(());
        }
        Err(undeclared(&path))
    }
}

/// Whether a JSON value is this key: a number, or the text of a UUID or a string.
fn is_key(value: Json<'_>, id: &DocId) -> bool {
    match id {
        DocId::U64(key) => value.number().and_then(|text| text.parse().ok()) == Some(*key),
        DocId::Uuid(key) => {
            value.string().and_then(|text| Uuid::try_parse(&text).ok()).as_ref() == Some(key)
        }
        DocId::Str(key) => value.string().as_deref() == Some(key.as_str()),
    }
}

struct Inference {
    found: Vec<(Path, ValueType)>,
}

impl Visit for Inference {
    fn id(&mut self, _value: Json<'_>) -> Result<()> {
        Ok(())
    }

    fn declared(&mut self, _: &[Box<str>], _: FieldNo, _: &FieldKind, _: Json<'_>) -> Result<()> {
        Ok(())
    }

    fn undeclared(&mut self, path: Path, value: Json<'_>) -> Result<()> {
        let inferred = type_of(value).map_err(|reason| SearchError::schema(&path, reason))?;
        self.found.extend(inferred.map(|value_type| (path, value_type)));
        Ok(())
    }
}

/// The type of a value that nobody declared; none for an array without elements.
fn type_of(value: Json<'_>) -> std::result::Result<Option<ValueType>, String> {
    let Some(elements) = value.elements() else {
        return Ok(Some(ValueType::one(scalar_of(value)?)));
    };
    let mut common: Option<Elements> = None;
    for (index, element) in elements.enumerate() {
        let scalar = scalar_of(element).map_err(|reason| format!("element {index}: {reason}"))?;
        let is_negative = element.number().is_some_and(|text| text.starts_with('-'));
        let seen = common.get_or_insert(Elements { scalar, has_negative: is_negative });
        seen.join(scalar, is_negative).map_err(|reason| format!("element {index}: {reason}"))?;
    }
    Ok(common.map(|elements| ValueType::array(elements.scalar)))
}

/// What is known of the elements of an array.
struct Elements {
    scalar: Scalar,
    has_negative: bool,
}

impl Elements {
    fn join(&mut self, scalar: Scalar, is_negative: bool) -> std::result::Result<(), String> {
        let before = self.scalar;
        self.has_negative |= is_negative;
        self.scalar = match (before, scalar) {
            (Scalar::Float, _) | (_, Scalar::Float) if before.is_number() && scalar.is_number() => {
                Scalar::Float
            }
            (Scalar::Uint, Scalar::Int) | (Scalar::Int, Scalar::Uint) => Scalar::Uint,
            _ if before == scalar => scalar,
            _ => {
                let (before, scalar) = (before.name(), scalar.name());
                return Err(format!("{scalar} in an array of {before}; an array has one type"));
            }
        };
        if self.scalar == Scalar::Uint && self.has_negative {
            let advice = "declare the attribute as []float or []string";
            return Err(format!("no type of integers holds all elements; {advice}"));
        }
        Ok(())
    }
}

fn scalar_of(value: Json<'_>) -> std::result::Result<Scalar, String> {
    match natural(value)? {
        Value::Bool(_) => Ok(Scalar::Bool),
        Value::Int(_) => Ok(Scalar::Int),
        Value::Uint(_) => Ok(Scalar::Uint),
        Value::Float(_) => Ok(Scalar::Float),
        Value::String(_) => Ok(Scalar::String),
        Value::DateTime(_) | Value::Uuid(_) | Value::Array(_) => {
            Err("a value has no such type by itself".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(undeclared: Undeclared, text: &str) -> Schema {
        let request = Json::parse(text.as_bytes()).unwrap();
        Schema::new(undeclared).declare(request, None).unwrap().schema
    }

    fn row(schema: &Schema, text: &str) -> Result<Row> {
        schema.row(&DocId::U64(7), &Document::parse(text.as_bytes()).unwrap())
    }

    fn inferred(text: &str) -> Result<String> {
        let schema = Schema::new(Undeclared::Infer);
        let grown = schema.infer(&Document::parse(text.as_bytes()).unwrap())?;
        let types = grown.iter().flat_map(Schema::fields);
        let types = types.map(|(path, field)| format!("{path}:{}", field.kind.type_name()));
        Ok(types.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_schema_grows_by_what_documents_have() {
        for (text, expect) in [
            (r#"{"id":7,"a":1,"b":"x","c":true,"d":0.5}"#, "a:int b:string c:bool d:float"),
            (r#"{"u":9223372036854775808,"n":null,"e":[],"o":{}}"#, "u:uint"),
            (
                r#"{"a":[1,2.5],"b":[9223372036854775808,0],"c":["x"]}"#,
                "a:[]float b:[]uint c:[]string",
            ),
            (r#"{"a":{"b":{"c":1},"d":[true]},"x.y":1}"#, "a.b.c:int a.d:[]bool /x.y:int"),
            (
                r#"{"t":"2024-01-01","u":"00112233-4455-6677-8899-aabbccddeeff"}"#,
                "t:string u:string",
            ),
        ] {
            assert_eq!(inferred(text).as_deref(), Ok(expect), "{text}");
        }
        for (text, path, reason) in [
            (r#"{"a":18446744073709551616}"#, "a", "beyond 64 bits"),
            (r#"{"a":[1,"x"]}"#, "a", "element 1: string in an array of int"),
            (r#"{"a":[[1]]}"#, "a", "element 0"),
            (r#"{"a":{"b":[{"c":1}]}}"#, "a.b", "element 0"),
            (r#"{"a":[null]}"#, "a", "element 0"),
            (r#"{"a":[-1,9223372036854775808]}"#, "a", "no type of integers"),
            (r#"{"a":[9223372036854775808,-1]}"#, "a", "no type of integers"),
            (r#"{"$a":1}"#, "$a", "reserved"),
            (r"[1]", "", "JSON object"),
        ] {
            let error = inferred(text).unwrap_err();
            let SearchError::Schema { path: found, reason: why } = &error else {
                panic!("{error}")
            };
            assert!(&**found == path && why.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_document_that_was_inferred_from_fits_and_adds_nothing_more() {
        let text = r#"{"id":7,"a":{"b":1,"c":[]},"d":null,"e":["x"],"f":2.0}"#;
        let document = Document::parse(text.as_bytes()).unwrap();
        let schema = Schema::new(Undeclared::Infer);
        assert!(schema.row(&DocId::U64(7), &document).is_err());
        let schema = schema.infer(&document).unwrap().unwrap();
        assert_eq!(schema.infer(&document), Ok(None));
        let row = schema.row(&DocId::U64(7), &document).unwrap();
        let (number, _) = schema.attribute(&Path::parse("a.b").unwrap()).unwrap();
        assert_eq!(row.value(number), Some(&Value::Int(1)));
        assert_eq!((row.values().count(), row.id()), (3, &Value::Uint(7)));
    }

    #[test]
    fn a_document_that_does_not_fit_is_refused_with_its_path() {
        let schema = declared(
            Undeclared::Refuse,
            r#"{"a.b":"int","s":"string","v":{"type":"[2]f32","distance_metric":"dot"}}"#,
        );
        for (text, path, reason) in [
            (r#"{"id":8}"#, "id", "must be the key"),
            (r#"{"id":"7"}"#, "id", "must be the key"),
            (r#"{"id":7.0}"#, "id", "must be the key"),
            (r#"{"id":null}"#, "id", "must be the key"),
            (r#"{"a":1}"#, "a", "expected an object"),
            (r#"{"a":[{"b":1}]}"#, "a", "expected an object"),
            (r#"{"a":{"b":"x"}}"#, "a.b", "expected int"),
            (r#"{"a":{"b":1.5}}"#, "a.b", "an integer"),
            (r#"{"a":{"c":1}}"#, "a.c", "not declared"),
            (r#"{"x":[]}"#, "x", "not declared"),
            (r#"{"s":{"t":"x"}}"#, "s", "expected string"),
            (r#"{"v":[1]}"#, "v", "of 2 elements"),
            ("3", "", "JSON object"),
        ] {
            let error = row(&schema, text).unwrap_err();
            let SearchError::Schema { path: found, reason: why } = &error else {
                panic!("{error}")
            };
            assert!(&**found == path && why.contains(reason), "{text}: {error}");
        }
        let row = row(&schema, r#"{"a":null,"s":null,"v":[1,2],"x":null}"#).unwrap();
        let (number, field) = schema.vector(&Path::parse("v").unwrap()).unwrap();
        let vector: Vec<f32> = row.vector(number).unwrap().floats(field.element).collect();
        assert_eq!((row.values().count(), vector), (0, vec![1.0, 2.0]));
    }

    #[test]
    fn an_index_on_paths_reads_these_alone() {
        let schema = declared(Undeclared::Ignore, r#"{"a.b":"int"}"#);
        let text = r#"{"$x":1,"y":[{}],"z":{"$":[1,"a"]},"a":{"b":3,"c":[[]]}}"#;
        assert_eq!(row(&schema, text).unwrap().values().count(), 1);
        assert_eq!(schema.infer(&Document::parse(text.as_bytes()).unwrap()), Ok(None));
        assert!(row(&schema, r#"{"a":3}"#).is_err());
    }

    #[test]
    fn keys_are_compared_as_the_ids_they_are() {
        let uuid = "00112233-4455-6677-8899-aabbccddeeff";
        let id = DocId::Uuid(uuid.parse().unwrap());
        let text = DocId::string("7").unwrap();
        for (json, id, same) in [
            (format!("\"{uuid}\""), &id, true),
            (r#""7""#.to_owned(), &text, true),
            ("7".to_owned(), &text, false),
            ("18446744073709551615".to_owned(), &DocId::U64(u64::MAX), true),
            ("18446744073709551616".to_owned(), &DocId::U64(u64::MAX), false),
        ] {
            assert_eq!(is_key(Json::parse(json.as_bytes()).unwrap(), id), same, "{json}");
        }
    }
}
