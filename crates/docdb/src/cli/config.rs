//! `docdb config`: the settings in effect, each with where it came from, and the list of all.
//!
//! What it prints for people is a file that `--config` takes: settings that mean nothing beside the
//! others, and secrets, are comments in it.

use std::io::{self, Write};

use serde_json::{Map, Value as Json, json};

use super::Environment;
use super::arguments::SettingsArguments;
use crate::config::table::{self, Kind, Setting};
use crate::config::{ConfigErrors, Entry, Machine, Settings, rule};

pub(super) const HELP: &str = "\
Examples:
  docdb config
  docdb config --wal.fsync.mode=always --json
  docdb config --list";

/// What to print, and the settings themselves.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print every setting there is, with its default and what it may be, instead of what is in effect
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// Runs the command.
pub(super) fn run(
    arguments: &Arguments,
    environment: Environment,
    out: &mut dyn Write,
) -> Result<io::Result<()>, ConfigErrors> {
    if arguments.list {
        return Ok(list(arguments.json, out));
    }
    let settings = arguments.settings.gather(environment)?;
    let machine = Machine::detect(&base::io::RealDisk);
    Ok(if arguments.json {
        writeln!(out, "{:#}", to_json(&settings, &machine))
    } else {
        write(&settings, &machine, out)
    })
}

/// What the part of an entry that is not set stands for on this machine.
fn meaning(entry: &Entry, settings: &Settings, machine: &Machine) -> Option<String> {
    let shown = entry.shown();
    let empty = entry.setting.empty.filter(|_| shown == "0" || shown.is_empty())?;
    let config = settings.config(machine);
    let exact = match entry.setting.name {
        "memory.total_mb" => format!(": {} MiB", config.memory.total_bytes >> 20),
        "db.memory_mb" => format!(": {} MiB", config.databases.memory_bytes >> 20),
        "scheduler.workers" => format!(": {}", config.scheduler.workers),
        "scheduler.query_workers" => format!(": {}", config.scheduler.query_workers),
        _ => String::new(),
    };
    Some(format!("{empty}{exact}"))
}

fn write(settings: &Settings, machine: &Machine, out: &mut dyn Write) -> io::Result<()> {
    match settings.file() {
        Some(file) => writeln!(out, "# the settings in effect; file: {}", file.display())?,
        None => writeln!(out, "# the settings in effect; no file")?,
    }
    let mut group = None;
    for entry in settings.entries() {
        if entry.setting.group() != group {
            group = entry.setting.group();
            writeln!(out)?;
        }
        let mut notes = vec![entry.origin.to_string()];
        notes.extend(meaning(entry, settings, machine).map(|meaning| format!("= {meaning}")));
        let unmet = settings.unmet(entry.setting);
        notes.extend(unmet.map(|only| only.to_string()));
        let is_secret = entry.setting.secret && !entry.shown().is_empty();
        let comment = if unmet.is_some() || is_secret { "# " } else { "" };
        let assignment = format!("{comment}{} = {}", entry.setting.name, toml(entry));
        writeln!(out, "{assignment:<44} # {}", notes.join("; "))?;
    }
    Ok(())
}

/// The value as TOML has it.
fn toml(entry: &Entry) -> String {
    let shown = entry.shown();
    let is_bare = matches!(entry.setting.kind, Kind::Bool | Kind::Ratio)
        || (!shown.is_empty() && shown.bytes().all(|b| b.is_ascii_digit()));
    // JSON's strings are TOML's basic strings: the control characters that differ are in no value.
    if is_bare { shown } else { Json::String(shown).to_string() }
}

fn to_json(settings: &Settings, machine: &Machine) -> Json {
    let entry = |entry: &Entry| {
        let value = json!({
            "value": entry.shown(),
            "origin": entry.origin.to_string(),
            "set": entry.is_given(),
            "stands_for": meaning(entry, settings, machine),
            "in_effect": settings.unmet(entry.setting).is_none(),
        });
        (entry.setting.name.to_owned(), value)
    };
    Json::Object(settings.entries().map(entry).collect::<Map<_, _>>())
}

fn list(as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        let rows = table::all().map(row).collect();
        return writeln!(out, "{:#}", Json::Array(rows));
    }
    for setting in table::all() {
        let default = if setting.default.is_empty() { "not set" } else { setting.default };
        writeln!(out, "{}", setting.name)?;
        writeln!(out, "    {}", setting.what)?;
        writeln!(out, "    {}", setting.trade)?;
        writeln!(out, "    {}; default {default}", rule(setting))?;
    }
    Ok(())
}

fn row(setting: &'static Setting) -> Json {
    let only: Vec<String> = setting.only.iter().map(ToString::to_string).collect();
    json!({
        "name": setting.name,
        "variable": setting.variable(),
        "default": setting.default,
        "empty": setting.empty,
        "rule": rule(setting),
        "what": setting.what,
        "trade": setting.trade,
        "reader": setting.reader.name(),
        "only": only,
        "secret": setting.secret,
    })
}

#[cfg(test)]
mod tests;
