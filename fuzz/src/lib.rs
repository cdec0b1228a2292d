//! Fuzz targets: what must hold for any bytes whatever. A target panics when it does not.
//!
//! A target is a module with `run` (one input) and `seeds` (inputs to start from, made by the code
//! that writes the format, so that they are always of today's format). Two programs drive it:
//! `drive`, ours, reproducible and without tools; and libFuzzer, by a file in `fuzz_targets`.
//! To add one: the module here, a line in [`ALL`], that file, and its `[[bin]]` in `Cargo.toml`.

pub mod attributes_file;
pub mod backup_catalog;
pub mod config;
pub mod data_file;
pub mod data_record;
pub mod doc_id;
pub mod document;
pub mod driver;
pub mod http_body;
pub mod http_query;
pub mod import_line;
pub mod index_run;
pub mod ipc_request;
pub mod ipc_response;
pub mod keys;
pub mod log_block;
mod log_entries;
pub mod log_requests;
pub mod log_search;
pub mod log_stream;
pub mod log_syslog;
pub mod mutate;
pub mod name;
pub mod patch;
pub mod search_manifest;
pub mod search_query;
pub mod search_rows;
pub mod search_schema;
pub mod shell_line;
pub mod slots;
pub mod text_file;
pub mod vector_file;
pub mod wal_frame;
pub mod wal_log;

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, that of its module and of its libFuzzer program.
    pub name: &'static str,
    /// Feeds it one input.
    pub run: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target, by name.
pub const ALL: &[Target] = &[
    Target { name: "attributes_file", run: attributes_file::run, seeds: attributes_file::seeds },
    Target { name: "backup_catalog", run: backup_catalog::run, seeds: backup_catalog::seeds },
    Target { name: "config", run: config::run, seeds: config::seeds },
    Target { name: "data_file", run: data_file::run, seeds: data_file::seeds },
    Target { name: "data_record", run: data_record::run, seeds: data_record::seeds },
    Target { name: "doc_id", run: doc_id::run, seeds: doc_id::seeds },
    Target { name: "document", run: document::run, seeds: document::seeds },
    Target { name: "http_body", run: http_body::run, seeds: http_body::seeds },
    Target { name: "http_query", run: http_query::run, seeds: http_query::seeds },
    Target { name: "import_line", run: import_line::run, seeds: import_line::seeds },
    Target { name: "index_run", run: index_run::run, seeds: index_run::seeds },
    Target { name: "ipc_request", run: ipc_request::run, seeds: ipc_request::seeds },
    Target { name: "ipc_response", run: ipc_response::run, seeds: ipc_response::seeds },
    Target { name: "keys", run: keys::run, seeds: keys::seeds },
    Target { name: "log_block", run: log_block::run, seeds: log_block::seeds },
    Target { name: "log_requests", run: log_requests::run, seeds: log_requests::seeds },
    Target { name: "log_search", run: log_search::run, seeds: log_search::seeds },
    Target { name: "log_stream", run: log_stream::run, seeds: log_stream::seeds },
    Target { name: "log_syslog", run: log_syslog::run, seeds: log_syslog::seeds },
    Target { name: "name", run: name::run, seeds: name::seeds },
    Target { name: "patch", run: patch::run, seeds: patch::seeds },
    Target { name: "search_manifest", run: search_manifest::run, seeds: search_manifest::seeds },
    Target { name: "search_query", run: search_query::run, seeds: search_query::seeds },
    Target { name: "search_rows", run: search_rows::run, seeds: search_rows::seeds },
    Target { name: "search_schema", run: search_schema::run, seeds: search_schema::seeds },
    Target { name: "shell_line", run: shell_line::run, seeds: shell_line::seeds },
    Target { name: "slots", run: slots::run, seeds: slots::seeds },
    Target { name: "text_file", run: text_file::run, seeds: text_file::seeds },
    Target { name: "vector_file", run: vector_file::run, seeds: vector_file::seeds },
    Target { name: "wal_frame", run: wal_frame::run, seeds: wal_frame::seeds },
    Target { name: "wal_log", run: wal_log::run, seeds: wal_log::seeds },
];
