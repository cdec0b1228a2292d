//! What is said to SQLite: connections and their pragmas, the schema and its migrations, rows.

pub(crate) mod connection;
pub(crate) mod rows;
pub(crate) mod schema;
