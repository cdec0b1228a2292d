//! The server's own log lines: structured, on standard error, in the format of `log.format`.

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat, LogLevel};

/// What is ours; of everything else only warnings are shown.
const OURS: &[&str] = &["base", "docdb", "docstore", "wal"];

/// Begins to write log lines. Does nothing when somebody has begun already, as tests may have.
pub(super) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let others = LevelFilter::from_level(level).min(LevelFilter::WARN);
    let targets = OURS.iter().map(|target| (*target, level));
    let filter = Targets::new().with_default(others).with_targets(targets);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    let begun = match log.format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    if begun.is_err() {
        tracing::debug!("log lines are written by somebody else already");
    }
}
