//! `docdb key`: makes, lists and removes API keys, in the data directory, whether a server runs on it
//! or not. A running server sees the change within seconds, or at once on SIGHUP.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::clock::{Clock, SystemClock, WallMs};
use base::io::RealDisk;
use serde_json::{Value as Json, json};

use super::Environment;
use super::place::{absolute, require_dir};
use crate::auth::{Grant, Key, KeyFile, Wanted};
use crate::config::{Config, ConfigErrors, Machine, Settings, Sources, parse_time};
use crate::logging::Rfc3339;

pub(super) const HELP: &str = "\
Examples:
  docdb key add deploy --grant '*=admin'
  docdb key add shop --grant orders=write --grant stock=read --expires 90d
  docdb key add shipper --grant @logs=write
  docdb key list --json
  docdb key remove deploy

As soon as one key exists, every request needs one. The key is printed once and kept nowhere: the
data directory has its hash. A running server reads changes within two seconds.";

/// What to do with keys.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// The directory of the databases
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<String>,
    /// The configuration of the server, for its data_dir
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a key and print it, once
    Add(Add),
    /// List the keys, without what would let anybody use them
    List,
    /// Remove a key: requests with it are refused from then on
    Remove {
        /// Its id or its label
        key: String,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// What to call it
    label: String,
    /// What it allows: DATABASE=SCOPE, where the scope is read, write or admin, and `*` is every
    /// database and the server itself; may be repeated
    #[arg(long, value_name = "GRANT", required = true)]
    grant: Vec<Grant>,
    /// How long it works, such as 90d; without it, until it is removed
    #[arg(long, value_name = "TIME", value_parser = parse_expiry)]
    expires: Option<Duration>,
}

fn parse_expiry(text: &str) -> Result<Duration, String> {
    let time = parse_time(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| "a time is written as 90d, 12h or 1d12h".to_owned())
}

/// Runs the command.
pub(super) fn run(
    arguments: &Arguments,
    environment: Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<io::Result<()>, ConfigErrors> {
    let flag = arguments.data_dir.iter().map(|dir| ("data_dir".to_owned(), dir.clone()));
    let sources = Sources { file: arguments.config.clone(), environment, flags: flag.collect() };
    let settings = Settings::gather(&sources, &RealDisk::shared())?;
    let config = settings.config(&Machine::detect(&RealDisk));
    Ok(act(arguments, &config, SystemClock::new().wall(), out, err))
}

fn act(
    arguments: &Arguments,
    config: &Config,
    now: WallMs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let file = KeyFile::new(&RealDisk::shared(), &config.data_dir);
    let is_made = prepare(&arguments.action, &config.data_dir)?;
    match &arguments.action {
        Action::Add(wanted) => {
            add(wanted, &file, now, arguments.json, out, err)?;
            if is_made {
                let dir = config.data_dir.display();
                writeln!(err, "the data directory `{dir}` was not there and has been made")?;
            }
            Ok(())
        }
        Action::List => {
            let keys = file.load().map_err(io::Error::other)?;
            if arguments.json {
                let rows = keys.iter().map(|key| to_json(key, now)).collect();
                return writeln!(out, "{:#}", Json::Array(rows));
            }
            keys.iter().try_for_each(|key| write_key(key, now, out))
        }
        Action::Remove { key } => {
            let removed = file.remove(key).map_err(io::Error::other)?;
            let left = file.load().map_err(io::Error::other)?.len();
            if left == 0 {
                writeln!(err, "no key is left: on this machine requests need none any more")?;
            }
            if arguments.json {
                return writeln!(out, "{:#}", to_json(&removed, now));
            }
            writeln!(out, "removed {} {}", removed.id(), removed.label)
        }
    }
}

/// Refuses a data directory that is not there, where one must be, and one that cannot be made. Says
/// whether it will be made.
fn prepare(action: &Action, data_dir: &Path) -> io::Result<bool> {
    let hint = "; --data-dir says where it is";
    let Action::Add(_) = action else {
        return require_dir("data directory", data_dir, hint).map(|()| false);
    };
    if RealDisk::shared().stat(data_dir)?.is_some() {
        return require_dir("data directory", data_dir, hint).map(|()| false);
    }
    let parent = absolute(data_dir)?.parent().map(Path::to_path_buf).unwrap_or_default();
    let dir = data_dir.display();
    require_dir("directory", &parent, &format!(" to make the data directory `{dir}` in{hint}"))?;
    Ok(true)
}

fn add(
    wanted: &Add,
    file: &KeyFile,
    now: WallMs,
    as_json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let until = |time: Duration| {
        WallMs(now.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    };
    let wanted = Wanted {
        label: wanted.label.clone(),
        expires: wanted.expires.map(until),
        grants: wanted.grant.clone(),
    };
    let made = file.add(wanted, now).map_err(io::Error::other)?;
    if as_json {
        let mut shown = to_json(&made.key, now);
        shown["key"] = made.secret.reveal().into();
        return writeln!(out, "{shown:#}");
    }
    // The key alone is on standard output, for scripts.
    writeln!(err, "key {} ({}); it is not shown again:", made.key.id(), made.key.label)?;
    writeln!(out, "{}", made.secret.reveal())
}

fn grants(key: &Key) -> Vec<String> {
    key.grants.iter().map(ToString::to_string).collect()
}

fn write_key(key: &Key, now: WallMs, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}  {}  {}", key.id(), key.label, grants(key).join(","))?;
    write!(out, "  made {}", Rfc3339(key.created))?;
    match key.expires {
        None => writeln!(out),
        Some(at) if key.is_expired(now) => writeln!(out, "  EXPIRED {}", Rfc3339(at)),
        Some(at) => writeln!(out, "  expires {}", Rfc3339(at)),
    }
}

fn to_json(key: &Key, now: WallMs) -> Json {
    json!({
        "id": key.id().to_string(),
        "label": key.label,
        "grants": grants(key),
        "created_at": Rfc3339(key.created).to_string(),
        "expires_at": key.expires.map(|at| Rfc3339(at).to_string()),
        "expired": key.is_expired(now),
    })
}
