//! JSON Schema for the documents of a collection: compiled once, asked before every write.
//!
//! The rules are those of the crate `jsonschema`: Draft 2020-12 unless `$schema` names an older
//! one. What is decided here is what surrounds them: nothing is fetched, everything is bounded,
//! patterns run in linear time, and numbers are never judged by an approximation of them (see
//! `values.rs`). `format` is an annotation, as 2020-12 says, and checks nothing.
//!
//! A schema is written by who administers a collection, not by who writes documents to it. It is
//! kept from unfolding without end (see `complexity.rs`), but a recursive one that applies itself
//! twice to the same part of a document can still take time that doubles with each level of it.
//!
//! Invariant: a document that [`Validation::check`] lets pass fits the schema exactly as written.
//! Start with [`Validation`].

mod complexity;
mod values;

use std::fmt::Display;
use std::sync::Arc;

use base::document::Document;
use base::error::{Code, Coded};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use values::Numbers;

/// Largest schema, in bytes of its JSON text.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Most subschemas of a schema, each counted as often as a reference leads to it.
pub const SUBSCHEMAS_MAX: usize = 20_000;
/// Deepest nesting of a schema's arrays and objects, with references followed into what they
/// refer to until they come back to where they were.
pub const SCHEMA_DEPTH_MAX: usize = 128;
/// Largest program that one pattern may compile to, in bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// What the lazily built automaton of one pattern may keep, in bytes.
const PATTERN_CACHE_BYTES_MAX: usize = 1024 * 1024;
/// Longest message that is passed on, in bytes.
const MESSAGE_BYTES_MAX: usize = 512;

/// A compiled JSON Schema; cheap to clone, and shared by threads.
///
/// ```
/// use base::document::Document;
/// use docstore::validation::Validation;
///
/// let schema = Document::parse(br#"{
///     "type": "object",
///     "required": ["name"],
///     "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}}
/// }"#)?;
/// let validation = Validation::compile(&schema)?;
/// assert!(validation.check(&Document::parse(br#"{"name": "Ada", "age": 36}"#)?).is_ok());
/// let error = validation.check(&Document::parse(br#"{"name": "Ada", "age": -1}"#)?).unwrap_err();
/// assert!(error.to_string().contains("path=\"/age\""), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Validation {
    validator: Arc<Validator>,
    /// What to do about numbers that the validator cannot represent.
    numbers: Numbers,
}

impl Validation {
    /// Compiles a schema.
    ///
    /// # Errors
    /// When it is no schema of its draft, refers to something outside itself, holds a pattern
    /// that cannot run in linear time, or is larger than the limits. The code is `InvalidSchema`,
    /// or `PayloadTooLarge` above [`SCHEMA_BYTES_MAX`].
    pub fn compile(schema: &Document) -> Result<Self, ValidationError> {
        let bytes = schema.as_bytes().len();
        if bytes > SCHEMA_BYTES_MAX {
            return Err(ValidationError::SchemaTooLarge { bytes });
        }
        let schema = values::value_of(schema, Numbers::Judged)
            .map_err(|path| ValidationError::SchemaNumber { path })?;
        let complexity = complexity::of_schema(&schema).ok_or(ValidationError::TooComplex)?;
        let patterns = PatternOptions::regex()
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_CACHE_BYTES_MAX);
        let draft = draft_of(&schema)?;
        let options =
            jsonschema::options().offline().with_draft(draft).with_pattern_options(patterns);
        let validator = options.build(&schema).map_err(|error| refused_schema(&error))?;
        Ok(Self { validator: Arc::new(validator), numbers: complexity.numbers })
    }

    /// Whether `document` fits.
    ///
    /// Builds a tree of values that lives as long as the call: up to some twenty times the size of
    /// the document, when that consists of very small values.
    ///
    /// # Errors
    /// The first rule that it breaks, and where; `InvalidSchema`. Also when the schema looks at
    /// the values of numbers and the document holds one that cannot be judged exactly: neither a
    /// 64-bit integer nor a number that a double holds to the last digit.
    pub fn check(&self, document: &Document) -> Result<(), ValidationError> {
        let value = values::value_of(document, self.numbers)
            .map_err(|path| ValidationError::DocumentNumber { path })?;
        self.validator.validate(&value).map_err(|error| ValidationError::Document {
            path: shortened(error.instance_path()),
            rule: shortened(error.schema_path()),
            message: shortened(error.masked()),
        })
    }
}

/// The draft that `$schema` names; the newest when there is none.
fn draft_of(schema: &Value) -> Result<Draft, ValidationError> {
    let Some(named) = schema.get("$schema") else { return Ok(Draft::Draft202012) };
    let name = named.as_str().unwrap_or_default();
    match name.trim_end_matches('#') {
        "https://json-schema.org/draft/2020-12/schema" => Ok(Draft::Draft202012),
        "https://json-schema.org/draft/2019-09/schema" => Ok(Draft::Draft201909),
        "http://json-schema.org/draft-07/schema" => Ok(Draft::Draft7),
        "http://json-schema.org/draft-06/schema" => Ok(Draft::Draft6),
        "http://json-schema.org/draft-04/schema" => Ok(Draft::Draft4),
        _ => Err(ValidationError::UnknownDraft { name: shortened(named) }),
    }
}

fn refused_schema(error: &jsonschema::ValidationError<'_>) -> ValidationError {
    let message = shortened(error);
    if matches!(error.kind(), ValidationErrorKind::Referencing(_)) {
        return ValidationError::Reference { message };
    }
    ValidationError::Schema { path: shortened(error.instance_path()), message }
}

/// The text of something, cut at a character when it is too long.
fn shortened(text: impl Display) -> Box<str> {
    let mut text = text.to_string();
    if text.len() > MESSAGE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
        text.push('…');
    }
    text.into()
}

/// Why a schema cannot be used, or which rule of it a document breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidationError {
    /// The schema is larger than [`SCHEMA_BYTES_MAX`].
    #[error("a schema has at most {SCHEMA_BYTES_MAX} bytes, bytes={bytes}")]
    SchemaTooLarge {
        /// What it has.
        bytes: usize,
    },
    /// The schema unfolds to more than [`SUBSCHEMAS_MAX`] subschemas or nests deeper than
    /// [`SCHEMA_DEPTH_MAX`].
    #[error(
        "once its references are followed, a schema has at most {SUBSCHEMAS_MAX} subschemas, \
         nested at most {SCHEMA_DEPTH_MAX} deep"
    )]
    TooComplex,
    /// `$schema` names no draft that docdb knows.
    #[error("$schema must be the address of draft 4, 6, 7, 2019-09 or 2020-12, found={name}")]
    UnknownDraft {
        /// What it names.
        name: Box<str>,
    },
    /// A reference leads nowhere, or out of the schema: nothing is ever fetched.
    #[error(
        "a $ref must lead to a place in the schema itself, nothing is fetched from files or the \
         network: {message}"
    )]
    Reference {
        /// Which, in the words of the validator.
        message: Box<str>,
    },
    /// The schema breaks a rule of its draft.
    #[error("the schema is not valid: {message}, path={path:?}")]
    Schema {
        /// JSON Pointer into the schema.
        path: Box<str>,
        /// What is wrong.
        message: Box<str>,
    },
    /// The schema holds a number that cannot be represented exactly.
    #[error(
        "the schema holds a number that is neither a 64-bit integer nor exactly a double, \
         path={path:?}"
    )]
    SchemaNumber {
        /// JSON Pointer into the schema.
        path: Box<str>,
    },
    /// The document breaks a rule.
    #[error("the document does not fit its schema: {message}, path={path:?}, rule={rule:?}")]
    Document {
        /// JSON Pointer into the document.
        path: Box<str>,
        /// JSON Pointer into the schema.
        rule: Box<str>,
        /// What is wrong, without the value.
        message: Box<str>,
    },
    /// The schema looks at numbers, and the document holds one that it cannot judge exactly.
    #[error(
        "the schema looks at the values of numbers, and this one is neither a 64-bit integer nor \
         exactly a double, path={path:?}"
    )]
    DocumentNumber {
        /// JSON Pointer into the document.
        path: Box<str>,
    },
}

impl Coded for ValidationError {
    fn code(&self) -> Code {
        match self {
            Self::SchemaTooLarge { .. } => Code::PayloadTooLarge,
            Self::TooComplex
            | Self::UnknownDraft { .. }
            | Self::Reference { .. }
            | Self::Schema { .. }
            | Self::SchemaNumber { .. }
            | Self::Document { .. }
            | Self::DocumentNumber { .. } => Code::InvalidSchema,
        }
    }
}
