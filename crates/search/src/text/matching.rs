//! What is asked of a text, as clients write it: `["title","BM25","quick fox",{"last_as_prefix":true}]`.
//!
//! | option | is |
//! |---|---|
//! | `match` | `any` (the default): rows with any of the words; `all`: with all; `phrase`: one after the other; `boolean`: see `boolean.rs` |
//! | `last_as_prefix` | the last word is the beginning of one |
//! | `max_edit_distance` | 0 (the default) to 2: how many characters of a word may be wrong; none in two characters, one in five |
//!
//! What is asked may be an array of strings: tokens, where the attribute's are given, and texts otherwise.

use super::QUERY_BYTES_MAX;
use super::fuzzy::EDITS_MAX;
use crate::error::{Result, SearchError};
use crate::json::{Json, Kind, write_list, write_string};
use crate::path::Path;
use crate::place::Place;

/// Rows whose text has words.
#[derive(Debug, Clone, PartialEq)]
pub struct TextMatch {
    /// Of which attribute.
    pub path: Path,
    /// The words.
    pub texts: Vec<Box<str>>,
    /// How many of them, and how.
    pub mode: Mode,
    /// Whether the last word is the beginning of one.
    pub last_as_prefix: bool,
    /// How many characters of a word may be wrong, 0 to 2.
    pub edits: u8,
}

/// Which rows match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Those with any of the words.
    Any,
    /// Those with all of them.
    All,
    /// Those with all of them, one after the other.
    Phrase,
    /// What the text says with `+`, `-`, quotes, `*` and `~`.
    Boolean,
}

impl Mode {
    const ALL: [Self; 4] = [Self::Any, Self::All, Self::Phrase, Self::Boolean];

    /// Its name in queries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::All => "all",
            Self::Phrase => "phrase",
            Self::Boolean => "boolean",
        }
    }
}

impl TextMatch {
    /// Any of the words of a text.
    #[must_use]
    pub fn any(path: Path, text: &str) -> Self {
        Self { path, texts: vec![text.into()], mode: Mode::Any, last_as_prefix: false, edits: 0 }
    }

    /// Whether a JSON value looks like one: an array of an attribute, `BM25` and more.
    pub(crate) fn is_one(json: Json<'_>) -> bool {
        let second = json.elements().and_then(|mut elements| elements.nth(1));
        second.and_then(Json::string).as_deref() == Some("BM25")
    }

    pub(crate) fn parse_at(json: Json<'_>, place: &Place<'_>) -> Result<Self> {
        let parts: Vec<Json<'_>> = json.elements().into_iter().flatten().take(5).collect();
        let (name, text, options) = match parts.as_slice() {
            [name, _, text] => (name, text, None),
            [name, _, text, options] => (name, text, Some(*options)),
            _ => {
                let reason =
                    "expected [\"attribute\",\"BM25\",\"words\"], and an object of options";
                return Err(SearchError::query(place, reason));
            }
        };
        let Some(name) = name.string() else {
            return Err(SearchError::query(place.at(0), "expected the name of an attribute"));
        };
        let path = Path::parse(&name)
            .map_err(|error| SearchError::query(place.at(0), error.to_string()))?;
        let texts = texts(*text, &place.at(2))?;
        let mut query = Self { path, texts, mode: Mode::Any, last_as_prefix: false, edits: 0 };
        if let Some(options) = options {
            query.set_all(options, &place.at(3))?;
        }
        Ok(query)
    }

    fn set_all(&mut self, options: Json<'_>, place: &Place<'_>) -> Result<()> {
        let Some(members) = options.members() else {
            return Err(SearchError::query(place, "expected an object of options"));
        };
        for (name, value) in members {
            match &*name {
                "match" => {
                    let named = value.string();
                    let mode =
                        Mode::ALL.into_iter().find(|mode| Some(mode.name()) == named.as_deref());
                    self.mode = mode.ok_or_else(|| {
                        SearchError::query(place, "match is any, all, phrase or boolean")
                    })?;
                }
                "last_as_prefix" => match value.kind() {
                    Kind::Bool(bool) => self.last_as_prefix = bool,
                    Kind::Null | Kind::Number | Kind::String | Kind::Array | Kind::Object => {
                        return Err(SearchError::query(place, "last_as_prefix is true or false"));
                    }
                },
                "max_edit_distance" => {
                    let edits = value.number().and_then(|text| text.parse().ok());
                    self.edits = edits.filter(|edits| *edits <= EDITS_MAX).ok_or_else(|| {
                        SearchError::query(place, "max_edit_distance is 0, 1 or 2")
                    })?;
                }
                _ => {
                    let reason =
                        "the options of BM25 are match, last_as_prefix and max_edit_distance";
                    return Err(SearchError::query(place, reason));
                }
            }
        }
        if self.mode == Mode::Boolean && (self.last_as_prefix || self.edits > 0) {
            let reason = "a boolean text says so itself: write `word*` and `word~1`";
            return Err(SearchError::query(place, reason));
        }
        Ok(())
    }

    /// Writes it: what [`crate::rank::Rank::parse`] reads back.
    pub(crate) fn write_json(&self, out: &mut String) {
        use std::fmt::Write as _;
        out.push('[');
        write_string(&self.path.to_string(), out);
        out.push_str(",\"BM25\",");
        write_texts(&self.texts, out);
        let Self { mode, last_as_prefix, edits, .. } = self;
        let _ = write!(
            out,
            ",{{\"match\":\"{}\",\"last_as_prefix\":{last_as_prefix},\"max_edit_distance\":{edits}}}]",
            mode.name()
        );
    }
}

/// A string, or an array of strings.
pub(crate) fn texts(json: Json<'_>, place: &Place<'_>) -> Result<Vec<Box<str>>> {
    let wanted =
        |place: &Place<'_>| SearchError::query(place, "expected a string, or an array of them");
    let mut texts: Vec<Box<str>> = Vec::new();
    match json.elements() {
        None => texts.push(json.string().ok_or_else(|| wanted(place))?.into()),
        Some(elements) => {
            for (index, element) in elements.enumerate() {
                texts.push(element.string().ok_or_else(|| wanted(&place.at(index)))?.into());
            }
        }
    }
    let bytes: usize = texts.iter().map(|text| text.len() + 1).sum();
    if bytes > QUERY_BYTES_MAX {
        let reason = format!("the text of a query has at most {QUERY_BYTES_MAX} bytes");
        return Err(SearchError::query(place, reason));
    }
    Ok(texts)
}

pub(crate) fn write_texts(texts: &[Box<str>], out: &mut String) {
    match texts {
        [text] => write_string(text, out),
        texts => write_list(('[', ']'), texts, out, |text, out| write_string(text, out)),
    }
}
