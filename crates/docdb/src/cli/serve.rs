//! `docdb serve`: the server, until a signal ends it.

use std::io;
use std::process::ExitCode;

use base::io::DiskRef;

use super::Environment;
use super::arguments::SettingsArguments;
use crate::config::{ConfigErrors, Machine};

pub(super) const HELP: &str = "\
Examples:
  docdb serve
  docdb serve --data-dir /var/lib/docdb --http 127.0.0.1:8000
  docdb serve --config /etc/docdb.toml --wal.fsync.mode=always

SIGTERM and SIGINT end it in order, within shutdown_timeout; a second one ends it at once.
Exit codes: 0 ended in order, 1 did not start, 2 the configuration is wrong,
3 shutdown_timeout was not enough, 4 a second signal came.";

/// What to serve.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

/// Runs the command.
pub(super) fn run(
    arguments: &Arguments,
    environment: Environment,
    disk: DiskRef,
) -> Result<io::Result<ExitCode>, ConfigErrors> {
    let settings = arguments.settings.gather(environment)?;
    let machine = Machine::detect(&base::io::RealDisk);
    Ok(crate::serve::run(&settings.config(&machine), &machine, disk))
}
