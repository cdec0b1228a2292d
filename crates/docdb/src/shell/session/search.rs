//! Commands of search: what they print is the server's JSON.

use super::{Result, Session};
use crate::shell::command::SchemaAction;

impl Session<'_> {
    /// A query sees what is committed: there is none within a transaction.
    pub(super) fn query(&mut self, query: &str) -> Result {
        self.without_transaction(".query")?;
        let answer = self.database.collection(&self.collection).query(query)?;
        self.answer(&answer)
    }

    pub(super) fn explain(&mut self, query: &str) -> Result {
        self.without_transaction(".explain")?;
        let answer = self.database.collection(&self.collection).explain(query)?;
        self.answer(&answer)
    }

    pub(super) fn search_schema(&mut self, action: &SchemaAction) -> Result {
        let collection = self.database.collection(&self.collection);
        let answer = match action {
            SchemaAction::Read => collection.search_schema()?,
            SchemaAction::Infer => collection.infer_search_schema()?,
            SchemaAction::Set(change) => collection.set_search_schema(change)?,
            SchemaAction::Remove => {
                collection.remove_search_schema()?;
                return Ok(self.out.ok("")?);
            }
        };
        self.answer(&answer)
    }

    fn answer(&mut self, json: &str) -> Result {
        self.out.ok("")?;
        Ok(self.out.document(json.as_bytes())?)
    }
}
