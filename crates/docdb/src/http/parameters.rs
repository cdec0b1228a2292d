//! The query of a URL: what a route lists, each at most once, and nothing else.

use percent_encoding::percent_decode_str;

use super::error::{Failure, Result};
use super::id::{IdForm, IdType};

/// A parameter that a route takes, in the query or as a header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// Its JSON Schema.
    pub(super) schema: &'static str,
    pub(super) what: &'static str,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Query,
    Header,
}

/// A parameter of the query.
pub(super) const fn query(
    name: &'static str,
    schema: &'static str,
    what: &'static str,
) -> Parameter {
    Parameter { name, place: Place::Query, schema, what }
}

/// A header.
pub(super) const fn header(
    name: &'static str,
    schema: &'static str,
    what: &'static str,
) -> Parameter {
    Parameter { name, place: Place::Header, schema, what }
}

const BOOL: &str = r#"{"type":"boolean"}"#;

/// Whether something is done with what it holds.
pub(super) const FORCE: Parameter =
    query("force", BOOL, "Drop it with everything in it; without this it must be empty.");
/// How answers write ids.
pub(super) const IDS: Parameter = query(
    "ids",
    r#"{"type":"string","enum":["json","text"]}"#,
    "`text`: every id is a string with `id_type` beside it, for clients that lose integers past 2^53.",
);
/// The database of a namespace.
pub(super) const DATABASE: Parameter = query(
    "database",
    r#"{"type":"string","minLength":1,"maxLength":128,"pattern":"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"}"#,
    "The database of the namespace; `default` unless it is said.",
);
/// What kind of id the URL has.
pub(super) const ID_TYPE: Parameter = query(
    "id_type",
    r#"{"type":"string","enum":["u64","uuid","string"]}"#,
    "What the id in the URL is, where its form does not say it.",
);

/// What becomes of parameters that a route does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Refuse,
    PassOver,
}

/// The parameters of a request, decoded.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query of which `known` are allowed.
    pub(super) fn parse(text: Option<&str>, known: &[Parameter]) -> Result<Self> {
        Self::read(text, known, Unknown::Refuse)
    }

    /// The same, and what is not known is passed over: clients of others add parameters of their own.
    pub(super) fn parse_known(text: Option<&str>, known: &[Parameter]) -> Result<Self> {
        Self::read(text, known, Unknown::PassOver)
    }

    fn read(text: Option<&str>, known: &[Parameter], unknown: Unknown) -> Result<Self> {
        let mut read: Vec<(String, String)> = Vec::new();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            let of_query = || known.iter().filter(|known| known.place == Place::Query);
            if !of_query().any(|known| known.name == name) {
                if unknown == Unknown::PassOver {
                    continue;
                }
                let names: Vec<_> = of_query().map(|known| known.name).collect();
                let takes = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                let shown: String = name.chars().take(64).collect();
                let what = format!("unknown parameter {shown:?}; this request takes: {takes}");
                return Err(Failure::bad(what));
            }
            if read.iter().any(|(other, _)| *other == name) {
                return Err(Failure::bad(format!("the parameter {name} is there twice")));
            }
            read.push((name, value));
        }
        Ok(Self(read))
    }

    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A number within `range`.
    pub(super) fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        let number = number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (from, to) = range.into_inner();
            Failure::bad(format!("{name} is an integer from {from} to {to}"))
        })?;
        Ok(Some(number))
    }

    /// Yes or no; no when it is not there.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(Failure::bad(format!("{name} is true or false"))),
        }
    }

    /// How answers write ids.
    pub(super) fn id_form(&self) -> Result<IdForm> {
        match self.get(IDS.name) {
            None | Some("json") => Ok(IdForm::Json),
            Some("text") => Ok(IdForm::Text),
            Some(_) => Err(Failure::bad("ids is json or text")),
        }
    }

    /// What the ids in the URL are.
    pub(super) fn id_type(&self) -> Result<Option<IdType>> {
        self.get(ID_TYPE.name).map(IdType::parse).transpose()
    }
}

fn decode(text: &str) -> Result<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let decoded = decoded.map_err(|_| Failure::bad("the query is not UTF-8"))?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Parameter] =
        &[FORCE, IDS, query("limit", "{}", ""), header("if-match", "{}", "")];

    fn parse(text: &str) -> Result<Query> {
        Query::parse(Some(text), KNOWN)
    }

    #[test]
    fn a_query_is_decoded_and_asked_by_name() {
        let query = parse("limit=1%30&ids=text&force").unwrap();
        assert_eq!(query.number("limit", 1..=10).unwrap(), Some(10));
        assert!(query.number("limit", 1..=9).is_err());
        assert!(query.flag("force").unwrap());
        assert_eq!(query.id_form().unwrap(), IdForm::Text);
        assert!(!parse("").unwrap().flag("force").unwrap());
        assert_eq!(parse("limit=a+b%2B").unwrap().get("limit"), Some("a b+"));
    }

    #[test]
    fn what_is_not_taken_is_refused() {
        for text in ["limits=1", "limit=1&limit=2", "if-match=1", "limit=%ff", "=1"] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.error.code, base::error::Code::InvalidQuery, "{text}");
        }
        for text in ["limit=-1", "limit=+1", "limit=", "limit=1e3", "limit=99999999999999999999"] {
            assert!(parse(text).unwrap().number("limit", 0..=u64::MAX).is_err(), "{text}");
        }
        assert!(parse("force=yes").unwrap().flag("force").is_err());
    }
}
