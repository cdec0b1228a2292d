//! The form of a schema in the database: JSON with a version, as `docs/formats/search-schema.md` says.
//!
//! It says everything of every field, so that no default of a later version changes a schema that is
//! stored. Readers refuse what they do not know.

use std::collections::BTreeMap;

use super::declaration::{Declaration, Refusal, write_members};
use super::{Field, FieldNo, Schema, Undeclared};
use crate::error::{Result, SearchError};
use crate::json::{Json, write_list, write_string};
use crate::path::Path;

/// The version that is written and read.
const VERSION: u32 = 1;

impl Schema {
    /// The form that is stored.
    #[must_use]
    pub fn to_stored(&self) -> String {
        let (undeclared, next) = (self.undeclared.name(), self.next_number);
        let mut out = format!(
            "{{\"version\":{VERSION},\"undeclared\":\"{undeclared}\",\"next_number\":{next},\"fields\":"
        );
        write_list(('[', ']'), self.fields(), &mut out, |(path, field), out| {
            use std::fmt::Write as _;
            let _ = write!(out, "{{\"number\":{},\"path\":", field.number.0);
            write_list(('[', ']'), path.keys(), out, |key, out| write_string(key, out));
            out.push(',');
            write_members(&field.kind, out);
            out.push('}');
        });
        out.push('}');
        out
    }

    /// Reads the form that is stored.
    ///
    /// # Errors
    /// [`SearchError::Unsupported`] for another version, [`SearchError::Schema`] for anything that
    /// [`Schema::to_stored`] does not write, and [`SearchError::Json`].
    pub fn from_stored(text: &[u8]) -> Result<Self> {
        let json = Json::parse(text)?;
        let version = json.get("version").and_then(Json::number);
        if version != Some("1") {
            let what = "the stored schema is of a version that this program does not know";
            return Err(SearchError::unsupported("version", what));
        }
        let is_known =
            |name: &str| matches!(name, "version" | "undeclared" | "next_number" | "fields");
        if json.members().into_iter().flatten().any(|(name, _)| !is_known(&name)) {
            return Err(malformed(
                "the stored schema has a member that this version does not know",
            ));
        }
        let undeclared = json.get("undeclared").and_then(Json::string);
        let undeclared = undeclared.and_then(|name| Undeclared::named(&name));
        let next_number = json.get("next_number").and_then(number);
        let fields = json.get("fields").and_then(Json::elements);
        let (Some(undeclared), Some(next_number), Some(fields)) = (undeclared, next_number, fields)
        else {
            return Err(malformed("a member of the stored schema is missing or malformed"));
        };
        let mut found = BTreeMap::new();
        for field in fields {
            let (path, field) = read_field(field)?;
            if field.number.0 >= next_number || found.insert(field.number, (path, field)).is_some()
            {
                return Err(malformed(
                    "a number of the stored schema is used twice or not yet given",
                ));
            }
        }
        // In the order of numbers, through the gate that every new field goes through.
        let mut schema = Self::new(undeclared);
        for (number, (path, field)) in found {
            schema.next_number = number.0;
            schema.insert(path, field.kind)?;
        }
        schema.next_number = next_number;
        Ok(schema)
    }
}

fn malformed(reason: &'static str) -> SearchError {
    SearchError::schema("", reason)
}

fn number(json: Json<'_>) -> Option<u16> {
    json.number()?.parse().ok()
}

fn read_field(json: Json<'_>) -> Result<(Path, Field)> {
    let keys = json.get("path").and_then(Json::elements).and_then(|keys| {
        keys.map(|key| key.string().map(|key| key.into())).collect::<Option<Vec<Box<str>>>>()
    });
    let (Some(number), Some(keys)) = (json.get("number").and_then(number), keys) else {
        return Err(malformed("a field of the stored schema has no number or no path"));
    };
    let path = Path::from_keys(keys)?;
    // The rest is a declaration that says everything.
    let mut declared = String::new();
    write_list(
        ('{', '}'),
        json.members()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !matches!(&**name, "number" | "path")),
        &mut declared,
        |(name, value), out| {
            write_string(&name, out);
            out.push(':');
            out.push_str(&value.text());
        },
    );
    let declared = Declaration::parse(Json::parse(declared.as_bytes())?);
    let declared = declared.map_err(|refusal| match refusal {
        Refusal::Invalid(reason) => SearchError::schema(&path, reason),
        Refusal::Unsupported(what) => SearchError::unsupported(&path, what),
    })?;
    let kind = declared.apply(None, None).map_err(|reason| SearchError::schema(&path, reason))?;
    Ok((path, Field { number: FieldNo(number), kind }))
}

#[cfg(test)]
mod tests {
    use base::error::{Code, Coded};

    use super::*;

    /// As version 1 writes it. What is stored must open for ever: this text does not change.
    const STORED: &str = concat!(
        r#"{"version":1,"undeclared":"infer","next_number":9,"fields":["#,
        r#"{"number":2,"path":["a","b.c"],"type":"[]datetime","filterable":false},"#,
        r#"{"number":0,"path":["t"],"type":"string","filterable":false,"full_text_search":"#,
        r#"{"tokenizer":"word_v4","language":"english","stemming":false,"remove_stopwords":true,"#,
        r#""case_sensitive":false,"ascii_folding":false,"max_token_length":39,"k1":1.2,"b":0.75}},"#,
        r#"{"number":7,"path":["v"],"type":"[3]i8","ann":false,"distance_metric":"dot"}]}"#,
    );

    #[test]
    fn what_is_stored_reads_back_as_it_was() {
        let schema = Schema::from_stored(STORED.as_bytes()).unwrap();
        assert_eq!(schema.to_stored(), STORED);
        let numbers: Vec<u16> = schema.fields().map(|(_, field)| field.number.0).collect();
        assert_eq!(numbers, [2, 0, 7]);
        let request = Json::parse(br#"{"new":"bool"}"#).unwrap();
        let grown = schema.declare(request, None).unwrap().schema;
        assert_eq!(grown.attribute(&Path::parse("new").unwrap()).unwrap().0, FieldNo(9));
        assert_eq!(Schema::from_stored(grown.to_stored().as_bytes()), Ok(grown));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (from, to) in [
            (r#""undeclared":"infer""#, r#""undeclared":"guess""#),
            (r#""next_number":9"#, r#""next_number":7"#),
            (r#""next_number":9"#, r#""next_number":-1"#),
            (r#""number":2"#, r#""number":7"#),
            (r#""number":2"#, r#""no":7"#),
            (r#"["a","b.c"]"#, r#"["t","b.c"]"#),
            (r#"["a","b.c"]"#, r"[]"),
            (r#"["a","b.c"]"#, r"[1]"),
            (r#""filterable":false}"#, r#""filterable":false,"more":1}"#),
            (r#"{"version":1,"#, r#"{"version":1,"more":1,"#),
        ] {
            let text = STORED.replacen(from, to, 1);
            assert_ne!(text, STORED, "{from}");
            let error = Schema::from_stored(text.as_bytes()).unwrap_err();
            assert_eq!(error.code(), Code::InvalidSchema, "{to}: {error}");
        }
        let later = STORED.replacen("\"version\":1", "\"version\":2", 1);
        assert_eq!(Schema::from_stored(later.as_bytes()).unwrap_err().code(), Code::Unsupported);
        assert!(Schema::from_stored(b"{").is_err());
    }
}
