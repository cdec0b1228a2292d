//! JSON Schema: what fits, what is refused and why, and what no schema may do to the server.

use base::document::Document;
use base::error::{Code, Coded};
use docstore::validation::{SCHEMA_BYTES_MAX, Validation, ValidationError};

fn document(text: &str) -> Document {
    Document::parse(text.as_bytes()).expect(text)
}

fn compile(schema: &str) -> Result<Validation, ValidationError> {
    Validation::compile(&document(schema))
}

fn check(schema: &str, text: &str) -> Result<(), ValidationError> {
    compile(schema).expect(schema).check(&document(text))
}

/// The document breaks the rule at this place of the schema.
fn breaks(schema: &str, text: &str, at: &str, broken: &str) {
    let error = check(schema, text).expect_err(text);
    assert_eq!(error.code(), Code::InvalidSchema);
    let ValidationError::Document { path, rule, .. } = &error else { panic!("{error}") };
    assert_eq!((&**path, &**rule), (at, broken), "{schema} and {text}");
}

const PERSON: &str = r#"{
    "type": "object", "required": ["name"], "additionalProperties": false,
    "properties": {
        "name": {"type": "string", "minLength": 1, "pattern": "^\\p{L}+$"},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "prefixItems": [{"const": "a"}], "items": {"type": "null"}}
    }
}"#;

#[test]
fn documents_fit_or_break_a_rule_that_is_named() {
    assert_eq!(check(PERSON, r#"{"name":"Zoë","age":1.0,"tags":["a",null]}"#), Ok(()));
    breaks(PERSON, "[]", "", "/type");
    breaks(PERSON, "{}", "", "/required");
    breaks(PERSON, r#"{"name":"x","more":1}"#, "", "/additionalProperties");
    breaks(PERSON, r#"{"name":"1"}"#, "/name", "/properties/name/pattern");
    breaks(PERSON, r#"{"name":"x","age":-1}"#, "/age", "/properties/age/minimum");
    breaks(PERSON, r#"{"name":"x","age":1.5}"#, "/age", "/properties/age/type");
    breaks(PERSON, r#"{"name":"x","tags":["a",1]}"#, "/tags/1", "/properties/tags/items/type");
    breaks(r#"{"properties":{"a/b":false}}"#, r#"{"a/b":1}"#, "/a~1b", "/properties/a~1b");
    breaks("false", "1", "", "");
    assert_eq!(check("true", "1"), Ok(()));
}

#[test]
fn messages_name_the_rule_and_not_the_value() {
    let secret = r#"{"name":"x","age":"my secret"}"#;
    let text = check(PERSON, secret).unwrap_err().to_string();
    assert!(text.contains("integer") && !text.contains("secret"), "{text}");
    let long = format!(r#"{{"{}":1}}"#, "k".repeat(100_000));
    let text = check(PERSON, &long).unwrap_err().to_string();
    assert!(text.len() < 2000, "{}", text.len());
}

#[test]
fn the_draft_is_the_newest_unless_the_schema_names_one() {
    // `prefixItems` is new in 2020-12; a list of `items` is what it was before.
    let items = r#""prefixItems":[false]"#;
    breaks(&format!("{{{items}}}"), "[1]", "/0", "/prefixItems/0");
    let old = format!(r#"{{"$schema":"http://json-schema.org/draft-07/schema#",{items}}}"#);
    assert_eq!(check(&old, "[1]"), Ok(()));
    for name in ["\"https://example.org/own\"", "7"] {
        let error = compile(&format!(r#"{{"$schema":{name}}}"#)).unwrap_err();
        assert!(matches!(error, ValidationError::UnknownDraft { .. }), "{error}");
    }
}

#[test]
fn schemas_that_are_none_are_refused_with_their_place() {
    let error = compile(r#"{"properties":{"a":{"type":7}}}"#).unwrap_err();
    assert_eq!(error.code(), Code::InvalidSchema);
    let ValidationError::Schema { path, .. } = &error else { panic!("{error}") };
    assert_eq!(&**path, "/properties/a/type");
    for schema in ["1", "[]", "\"a\"", "null"] {
        assert!(compile(schema).is_err(), "{schema}");
    }
}

#[test]
fn nothing_is_fetched() {
    for to in ["http://127.0.0.1:9/s", "https://example.org/s", "file:///etc/passwd", "other.json"]
    {
        let error = compile(&format!(r#"{{"$ref":"{to}"}}"#)).unwrap_err();
        assert!(matches!(error, ValidationError::Reference { .. }), "{to}: {error}");
        assert_eq!(error.code(), Code::InvalidSchema);
    }
    let error = compile(r##"{"$ref":"#/$defs/absent"}"##).unwrap_err();
    assert!(matches!(error, ValidationError::Reference { .. }), "{error}");
    // The drafts' own schemas are part of the program.
    let drafts = r#"{"$ref":"https://json-schema.org/draft/2020-12/schema"}"#;
    assert_eq!(check(drafts, r#"{"type":"string"}"#), Ok(()));
    assert!(check(drafts, r#"{"type":7}"#).is_err());
}

#[test]
fn numbers_are_judged_exactly_or_not_at_all() {
    let limit = r#"{"maximum":9007199254740992}"#;
    assert_eq!(check(limit, "9007199254740992"), Ok(()));
    breaks(limit, "9007199254740993", "", "/maximum");
    for number in ["1.00000000000000000000000001", "1e400", "9007199254740993.0"] {
        for schema in [limit, r#"{"const":1}"#, r#"{"type":"integer"}"#] {
            let error = check(schema, number).unwrap_err();
            assert_eq!(error, ValidationError::DocumentNumber { path: "".into() }, "{number}");
            assert_eq!(error.code(), Code::InvalidSchema);
        }
        // Where no rule looks at its value, any number is a number.
        assert_eq!(check(r#"{"type":"number"}"#, number), Ok(()));
        breaks(r#"{"type":"string"}"#, number, "", "/type");
    }
    let error = compile(r#"{"properties":{"a":{"maximum":1e400}}}"#).unwrap_err();
    let path = "/properties/a/maximum".into();
    assert_eq!(error, ValidationError::SchemaNumber { path });
}

#[test]
fn patterns_run_in_linear_time_or_are_refused() {
    let text = format!("\"{}b\"", "a".repeat(1_000_000));
    breaks(r#"{"pattern":"^(a+)+$"}"#, &text, "", "/pattern");
    for pattern in ["(?=a)b", r"(a)\\1", "a{1000}{1000}", "("] {
        let error = compile(&format!(r#"{{"pattern":"{pattern}"}}"#)).unwrap_err();
        assert!(matches!(error, ValidationError::Schema { .. }), "{pattern}: {error}");
    }
}

#[test]
fn large_and_unfolding_schemas_are_refused() {
    let schema = |bytes: usize| format!(r#"{{"$comment":"{}"}}"#, "x".repeat(bytes - 15));
    assert!(compile(&schema(SCHEMA_BYTES_MAX)).is_ok());
    let error = compile(&schema(SCHEMA_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(error, ValidationError::SchemaTooLarge { bytes: SCHEMA_BYTES_MAX + 1 });
    assert_eq!(error.code(), Code::PayloadTooLarge);
    let def = |n: usize| {
        let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, n + 1);
        format!(r#""d{n}":{{"anyOf":[{next},{next}]}}"#)
    };
    let defs: Vec<String> = (0..30).map(def).collect();
    let doubling =
        format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d30":false}}}}"##, defs.join(","));
    assert_eq!(compile(&doubling).unwrap_err(), ValidationError::TooComplex);
}

/// As deep as schemas and documents may nest together, on a thread's usual stack.
#[test]
fn the_deepest_schema_and_document_fit_on_the_stack() {
    // Sixty subschemas around each step into the document, and a reference back to the first.
    let steps = 60;
    let schema = format!(
        r##"{{"allOf":[{}{{"items":{{"$ref":"#"}}}}{}]}}"##,
        r#"{"allOf":["#.repeat(steps),
        "]}".repeat(steps),
    );
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    assert_eq!(check(&schema, &deep), Ok(()));
    for schema in [r##"{"$ref":"#"}"##, r##"{"allOf":[{"$ref":"#"}],"type":"array"}"##] {
        assert_eq!(check(schema, &deep), Ok(()), "{schema}");
    }
}
