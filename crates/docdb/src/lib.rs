//! Everything that the one binary of docdb does, as a library, so that tests and fuzz targets reach
//! it without starting a process. Nothing here is an API for others: what embeds documents uses
//! `docstore`.
//!
//! Start with [`cli`]: every command begins there.

pub mod alerts;
pub mod auth;
mod backups;
mod calendar;
pub mod cli;
pub mod config;
pub mod engine;
pub mod http;
pub mod ingest;
pub mod ipc;
pub mod log_search;
pub mod logging;
pub mod metrics;
mod reports;
pub mod scheduler;
pub mod serve;
pub mod shell;
pub mod tls;
