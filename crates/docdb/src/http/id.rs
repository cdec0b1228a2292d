//! Ids of documents in URLs and in JSON.
//!
//! In a URL a decimal without leading zero is a u64, the canonical lower-case form of a UUID a UUID,
//! anything else a string; `?id_type=` overrides. In JSON a number is a u64 and a string is a UUID
//! in canonical form or a string, digits too. In the text form (`?ids=text`) an id is always a
//! string with its type beside it, because JavaScript loses integers past 2^53; that is accepted
//! wherever an id is.

use base::words::DocId;
use uuid::Uuid;

use super::error::{Failure, Result};
use super::json::Text;
use base::error::Code;

/// How answers write ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdForm {
    /// Numbers and strings.
    Json,
    /// Strings with a type beside them.
    Text,
}

/// What kind of id a text is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdType {
    U64,
    Uuid,
    Str,
}

impl IdType {
    /// Reads `u64`, `uuid` or `string`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        match text {
            "u64" => Ok(Self::U64),
            "uuid" => Ok(Self::Uuid),
            "string" => Ok(Self::Str),
            _ => Err(bad("id_type is one of u64, uuid, string")),
        }
    }
}

fn bad(message: &str) -> Failure {
    Failure::new(Code::InvalidId, message)
}

/// An id out of a URL, already percent-decoded.
pub(super) fn from_url(text: &str, id_type: Option<IdType>) -> Result<DocId> {
    if let Some(id_type) = id_type {
        return of_type(text, id_type);
    }
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
        && !text.is_empty();
    if is_decimal { of_type(text, IdType::U64) } else { from_text(text) }
}

/// A string of JSON: a UUID or a string.
fn from_text(text: &str) -> Result<DocId> {
    match canonical(text) {
        Some(uuid) => Ok(DocId::Uuid(uuid)),
        None => of_type(text, IdType::Str),
    }
}

/// A text that is said to be of a type.
pub(super) fn of_type(text: &str, id_type: IdType) -> Result<DocId> {
    match id_type {
        IdType::U64 => {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = is_number.then(|| text.parse().ok()).flatten();
            number.map(DocId::U64).ok_or_else(|| bad("a number is from 0 to 18446744073709551615"))
        }
        IdType::Uuid => Uuid::try_parse(text).map(DocId::Uuid).map_err(|_| bad("it is no UUID")),
        IdType::Str => {
            DocId::string(text).map_err(|e| Failure::from(crate::engine::EngineError::from(e)))
        }
    }
}

/// The UUID whose canonical lower-case form this is.
fn canonical(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    (uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text).then_some(uuid)
}

/// An id out of a JSON value, with the type that is said beside it.
pub(super) fn from_json(value: &str, id_type: Option<IdType>) -> Result<DocId> {
    let value = value.trim();
    if value.starts_with('"') {
        let text: String = serde_json::from_str(value).map_err(|_| bad("it is no string"))?;
        return match id_type {
            Some(id_type) => of_type(&text, id_type),
            None => from_text(&text),
        };
    }
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("an id is an integer from 0 to 18446744073709551615 or a string"));
    }
    match id_type {
        None | Some(IdType::U64) => of_type(value, IdType::U64),
        Some(IdType::Uuid | IdType::Str) => Err(bad("an id of this id_type is given as a string")),
    }
}

/// Appends `"id":…`, and its type in the text form.
pub(super) fn write(out: &mut Text, id: &DocId, form: IdForm) {
    let id_type = match id {
        DocId::U64(number) if form == IdForm::Json => {
            out.member("id").number(*number);
            return;
        }
        DocId::U64(_) => "u64",
        DocId::Uuid(_) => "uuid",
        DocId::Str(_) => "string",
    };
    out.member("id").string(&id.to_string());
    if form == IdForm::Text {
        out.member("id_type").string(id_type);
    }
}

/// Writes an id as a value: a number or a string.
pub(super) fn write_value(out: &mut Text, id: &DocId) {
    match id {
        DocId::U64(number) => out.number(*number),
        DocId::Uuid(_) | DocId::Str(_) => out.string(&id.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn shown(id: &Result<DocId>) -> String {
        match id {
            Ok(DocId::U64(n)) => format!("u64 {n}"),
            Ok(DocId::Uuid(uuid)) => format!("uuid {uuid}"),
            Ok(DocId::Str(text)) => format!("string {}", text.as_str()),
            Err(failure) => failure.error.code.name().to_owned(),
        }
    }

    #[test]
    fn the_text_of_a_url_says_which_kind_of_id_it_is() {
        let kinds = [
            ("0", "u64 0"),
            ("7", "u64 7"),
            ("18446744073709551615", "u64 18446744073709551615"),
            ("18446744073709551616", "InvalidId"),
            ("007", "string 007"),
            ("-1", "string -1"),
            ("+1", "string +1"),
            (UUID, "uuid 67e55044-10b1-426f-9247-bb680e5fe0c8"),
            ("67E55044-10B1-426F-9247-BB680E5FE0C8", "string 67E55044-10B1-426F-9247-BB680E5FE0C8"),
            ("", "InvalidId"),
            ("a\u{1}", "InvalidId"),
            ("straße", "string straße"),
        ];
        for (text, expected) in kinds {
            assert_eq!(shown(&from_url(text, None)), expected, "{text:?}");
        }
        assert_eq!(shown(&from_url("7", Some(IdType::Str))), "string 7");
        assert_eq!(shown(&from_url("007", Some(IdType::U64))), "u64 7");
        assert_eq!(shown(&from_url("x", Some(IdType::U64))), "InvalidId");
        assert_eq!(shown(&from_url("+7", Some(IdType::U64))), "InvalidId");
        assert_eq!(shown(&from_url("7", Some(IdType::Uuid))), "InvalidId");
    }

    #[test]
    fn an_id_in_json_is_a_number_or_a_string() {
        let kinds = [
            ("7", None, "u64 7"),
            ("\"7\"", None, "string 7"),
            ("\"7\"", Some(IdType::U64), "u64 7"),
            ("18446744073709551616", None, "InvalidId"),
            ("7.0", None, "InvalidId"),
            ("-7", None, "InvalidId"),
            ("null", None, "InvalidId"),
            ("7", Some(IdType::Str), "InvalidId"),
            ("\"\\u0061\"", None, "string a"),
        ];
        for (text, id_type, expected) in kinds {
            assert_eq!(shown(&from_json(text, id_type)), expected, "{text}");
        }
        let quoted = format!("{UUID:?}");
        assert_eq!(shown(&from_json(&quoted, None)), format!("uuid {UUID}"));
    }

    #[test]
    fn the_text_form_says_the_type() {
        let mut out = Text::object();
        write(&mut out, &DocId::U64(u64::MAX), IdForm::Text);
        assert_eq!(out.end(), br#"{"id":"18446744073709551615","id_type":"u64"}"#);
        let mut out = Text::object();
        write(&mut out, &DocId::U64(u64::MAX), IdForm::Json);
        assert_eq!(out.end(), br#"{"id":18446744073709551615}"#);
    }
}
