//! The search schema of a collection, as the document store keeps it: a property, and the rule that
//! every document is judged by before it is logged, whichever surface it came through.

use std::sync::Arc;

use base::document::Document;
use base::error::{Code, Coded as _};
use base::words::{DocId, Name};
use docstore::{DocumentRule, Fit, Misfit, PropertyRule};
use search::error::SearchError;
use search::schema::{Schema, Undeclared};

/// The property that holds the search schema, in its stored form.
pub(in crate::engine) fn schema_property() -> Name {
    Name::new("search").expect("it is a valid name")
}

/// What the document store is told of search schemas.
pub(super) fn property_rule() -> PropertyRule {
    PropertyRule { property: schema_property(), make }
}

fn make(value: &Document) -> Arc<dyn DocumentRule> {
    match Schema::from_stored(value.as_bytes()) {
        Ok(schema) => Arc::new(Fitting { schema }),
        Err(error) => Arc::new(Unreadable { error }),
    }
}

/// Documents must fit a schema.
#[derive(Debug)]
struct Fitting {
    schema: Schema,
}

impl DocumentRule for Fitting {
    fn check(&self, id: &DocId, document: &Document) -> Result<Fit, Misfit> {
        let fit = || {
            let grown = match self.schema.undeclared() {
                Undeclared::Infer => self.schema.infer(document)?,
                Undeclared::Refuse | Undeclared::Ignore => None,
            };
            let Some(grown) = grown else {
                self.schema.row(id, document)?;
                return Ok(Fit::AsItIs);
            };
            grown.row(id, document)?;
            Ok(Fit::With(Document::parse(grown.to_stored().as_bytes())?))
        };
        fit().map_err(|error: SearchError| Misfit {
            code: error.code(),
            message: format!("{error} id={id}").into(),
        })
    }
}

/// A schema that this program does not understand, because a newer one wrote it: nothing may be
/// written that it would perhaps refuse.
#[derive(Debug)]
struct Unreadable {
    error: SearchError,
}

impl DocumentRule for Unreadable {
    fn check(&self, _: &DocId, _: &Document) -> Result<Fit, Misfit> {
        let message = format!("the search schema of the collection cannot be read: {}", self.error);
        Err(Misfit { code: Code::Unsupported, message: message.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_document_makes_the_schema_grow_by_what_nobody_declared() {
        let empty = document(&Schema::new(Undeclared::Infer).to_stored());
        let id = DocId::U64(1);
        let Ok(Fit::With(grown)) = make(&empty).check(&id, &document(r#"{"n":1}"#)) else {
            panic!("it does not grow")
        };
        let rule = make(&grown);
        assert_eq!(rule.check(&id, &document(r#"{"n":2}"#)), Ok(Fit::AsItIs));
        for bad in [r#"{"n":"x"}"#, r#"{"n":1,"id":2}"#, r#"{"$n":1}"#, "[1]"] {
            let misfit = rule.check(&id, &document(bad)).unwrap_err();
            assert_eq!(misfit.code, Code::InvalidSchema, "{bad}");
            assert!(misfit.message.contains("id=1"), "{misfit}");
        }
    }

    #[test]
    fn under_a_schema_that_is_not_understood_nothing_is_written() {
        let newer = document(r#"{"version":2}"#);
        let refused = make(&newer).check(&DocId::U64(1), &document("{}")).unwrap_err();
        assert_eq!(refused.code, Code::Unsupported);
    }
}
