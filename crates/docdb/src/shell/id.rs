//! Ids as they are typed and printed: a decimal is a number, a canonical UUID a UUID, anything else
//! a text, and quotes make a text of anything. What is printed means the same id when it is typed.

use client::{ErrorCode, Id};
use uuid::Uuid;

use super::fault::Fault;
use super::line::{Kind, Word};

/// The id that a word means.
///
/// # Errors
/// `InvalidId` for a number that does not fit in 64 bits; `InvalidQuery` for JSON.
pub fn parse_id(word: &Word<'_>) -> Result<Id, Fault> {
    match &word.kind {
        Kind::Quoted(text) => Ok(Id::from(text.clone().into_owned())),
        Kind::Json => Err(Fault::argument("an id is expected before the JSON")),
        Kind::Bare => bare(word.raw),
    }
}

fn bare(text: &str) -> Result<Id, Fault> {
    if is_decimal(text) {
        let too_large = |_| {
            let message = format!("a number as an id is at most {}: {text}", u64::MAX);
            Fault::coded(ErrorCode::InvalidId, message)
        };
        return text.parse().map(Id::U64).map_err(too_large);
    }
    Ok(canonical_uuid(text).map_or_else(|| Id::from(text.to_owned()), Id::Uuid))
}

/// Digits without a leading zero.
fn is_decimal(text: &str) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

fn canonical_uuid(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    (uuid.as_hyphenated().to_string() == text).then_some(uuid)
}

/// An id as it is typed.
#[must_use]
pub fn id_text(id: &Id) -> String {
    match id {
        Id::U64(_) | Id::Uuid(_) => id.to_string(),
        Id::Text(text) => {
            let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"';
            let means_itself = !is_decimal(text)
                && canonical_uuid(text).is_none()
                && !text.starts_with(['{', '[', '-'])
                && !text.is_empty()
                && text.chars().all(is_plain);
            if means_itself { text.to_string() } else { super::json::string(text) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::words;
    use super::*;

    fn parsed(text: &str) -> Result<Id, &'static str> {
        parse_id(&words(text).unwrap()[0]).map_err(|fault| fault.code)
    }

    #[test]
    fn ids_are_read_as_in_addresses_and_quotes_force_a_text() {
        let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(parsed("7"), Ok(Id::U64(7)));
        assert_eq!(parsed("0"), Ok(Id::U64(0)));
        assert_eq!(parsed("18446744073709551615"), Ok(Id::U64(u64::MAX)));
        assert_eq!(parsed("18446744073709551616"), Err("InvalidId"));
        assert_eq!(parsed("007"), Ok(Id::from("007")));
        assert_eq!(parsed("-1"), Ok(Id::from("-1")));
        assert_eq!(parsed("\"7\""), Ok(Id::from("7")));
        assert_eq!(parsed(uuid), Ok(Id::Uuid(Uuid::parse_str(uuid).unwrap())));
        assert_eq!(parsed(&uuid.to_uppercase()), Ok(Id::from(uuid.to_uppercase())));
        assert_eq!(parsed(&format!("\"{uuid}\"")), Ok(Id::from(uuid.to_owned())));
        assert_eq!(parsed("{\"a\":1}"), Err("InvalidQuery"));
    }

    #[test]
    fn a_printed_id_means_the_same_when_it_is_typed() {
        let uuid = Uuid::from_u128(7);
        let texts = ["walden", "7", "007", "a b", "", "é", "\"", "{x", "[", "--x", "\u{9b}", "a\\"];
        let texts = texts.iter().map(|text| Id::from((*text).to_owned()));
        let others = [Id::U64(0), Id::U64(7), Id::Uuid(uuid), Id::from(uuid.to_string())];
        for id in texts.chain(others) {
            assert_eq!(parsed(&id_text(&id)), Ok(id.clone()), "{}", id_text(&id));
        }
    }
}
