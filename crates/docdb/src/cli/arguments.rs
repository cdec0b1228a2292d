//! The settings as flags: one for each row of the table, by its dotted name, and the short ones.
//! A command takes all of them by flattening [`SettingsArguments`].

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Environment;
use crate::config::table::{self, Kind, Setting};
use crate::config::{ConfigErrors, Settings, Sources, rule};

/// The heading of the flags in the help.
const HEADING: &str = "Settings";

/// Short names of flags, beside the dotted ones.
const SHORT: &[(&str, &str)] = &[
    ("data_dir", "data-dir"),
    ("http.listen", "http"),
    ("ipc.socket", "socket"),
    ("http.insecure", "insecure"),
];

/// Every setting as a flag, and `--config`.
#[derive(Debug, Default)]
pub(super) struct SettingsArguments {
    file: Option<PathBuf>,
    flags: Vec<(String, String)>,
}

impl SettingsArguments {
    /// The settings in effect: of the file, the environment and these flags.
    pub(super) fn gather(&self, environment: Environment) -> Result<Settings, ConfigErrors> {
        let (file, flags) = (self.file.clone(), self.flags.clone());
        Settings::gather(&Sources { file, environment, flags }, &base::io::RealDisk::shared())
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let short = SHORT.iter().find(|(name, _)| *name == setting.name).map(|(_, short)| *short);
    let value_name = match setting.kind {
        Kind::Bool => "BOOL",
        Kind::Count { .. } | Kind::Ratio => "NUMBER",
        Kind::Bytes { .. } => "BYTES",
        Kind::Time { .. } => "TIME",
        Kind::Choice(_) => "WORD",
        Kind::Path | Kind::Socket => "PATH",
        Kind::Address => "ADDRESS",
        Kind::Url => "URL",
        Kind::Origins | Kind::Weights | Kind::Streams | Kind::Networks => "LIST",
    };
    let default = if setting.default.is_empty() { "not set" } else { setting.default };
    let help = format!("{} [{}] [default: {default}]", setting.what, rule(setting));
    let arg = Arg::new(setting.name)
        .long(short.unwrap_or(setting.name))
        .value_name(value_name)
        .action(ArgAction::Set)
        .help_heading(HEADING)
        // The short help has the few that have a short name.
        .hide_short_help(short.is_none())
        .help(help);
    let arg = if short.is_some() { arg.visible_alias(setting.name) } else { arg };
    // `--insecure` alone says true.
    if matches!(setting.kind, Kind::Bool) {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        arg
    }
}

impl clap::Args for SettingsArguments {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help_heading(HEADING)
            .help("A TOML file of settings; flags and DOCDB_ variables come before it");
        command.arg(file).args(table::all().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for SettingsArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let value = |setting: &'static Setting| {
            let value = matches.get_one::<String>(setting.name)?;
            Some((setting.name.to_owned(), value.clone()))
        };
        let flags = table::all().filter_map(value).collect();
        Ok(Self { file: matches.get_one("config").cloned(), flags })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
