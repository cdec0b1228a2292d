//! `docdb repair`: making what is damaged usable again, and saying what is lost. A log by itself is
//! salvaged here; `database` and `index` have what concerns databases.

mod database;
mod index;
mod search;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use base::clock::SystemClock;
use base::io::RealDisk;
use serde_json::{Value, json};
use wal::salvage::{Identity, Outcome, Salvage, SalvageReport};
use wal::{Environment, Options};

use super::place::DirectoryArguments;
use super::{Environment as Variables, failed};

/// What to repair.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Make a database open again whose log is damaged, or a log in a directory of its own: what is
    /// whole is kept, what is lost is reported and recorded in the log, the damaged files are
    /// copied to the log's `quarantine` first
    #[arg(long, value_name = "DIR", num_args = 0..=1, required_unless_present = "rebuild_index")]
    salvage: Option<Option<PathBuf>>,
    /// Make the index of a closed database again, from its data files and its log
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with = "salvage")]
    rebuild_index: Option<Option<PathBuf>>,
    #[command(flatten)]
    place: DirectoryArguments,
    /// Do it without asking; with --rebuild-index: even in doubt about what is lost
    #[arg(long)]
    yes: bool,
    /// Print the report as JSON; `applied` says whether it was carried out
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Without DIR the database is looked for in the data directory.

The report of a salvage is shown first. On a terminal you are then asked; without one,
--yes is needed and nothing is changed otherwise. A log that opens as it is is not touched.
Salvaging needs room for copies of the damaged files and for what is written anew.

An index is rebuilt without asking when nothing speaks against it. When records can be
read no more, and neither an older checkpoint nor the log tells whose they were, an older
version of a document may come up in the place of a lost one: then you are asked, and the
report stays in the directory as `rebuilt-<index>.txt` for as long as you leave it there.

Exit codes:
  0  repaired, or there was nothing to do
  1  not repaired: it is in use, there is none, no room, or the disk failed
  2  the command line is wrong
  3  not repaired because nobody said yes; nothing was changed

Examples:
  docdb repair --salvage --database orders
  docdb repair --salvage DIR
  docdb repair --salvage DIR --yes
  docdb repair --salvage DIR --yes --json | jq .lost
  docdb repair --rebuild-index DIR
  docdb repair --rebuild-index DIR --yes --json | jq .documents";

/// How a repair ended without a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// There was nothing to do, or it was done.
    Yes,
    /// Nobody agreed.
    Declined,
}

/// Runs the command, asking on the process's terminal.
pub(super) fn run(
    arguments: &Arguments,
    variables: &Variables,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Done> {
    let find = |dir: &Option<PathBuf>| arguments.place.find(dir.as_deref(), variables);
    let input = io::stdin();
    let answer =
        if input.is_terminal() { Some(&mut input.lock() as &mut dyn BufRead) } else { None };
    let env = Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None };
    match (&arguments.rebuild_index, &arguments.salvage) {
        (Some(dir), _) => index::run(arguments, &env, &find(dir)?, answer, out, err),
        (None, Some(dir)) => {
            let dir = find(dir)?;
            if dir.join("log").is_dir() {
                database::run(arguments, &env, &dir, answer, out, err)
            } else {
                salvage(arguments, &env, &dir, answer, out, err)
            }
        }
        // Clap asks for one of them.
        (None, None) => Ok(Done::Yes),
    }
}

/// Plans, shows, asks `answers` unless told not to, and carries out.
fn salvage(
    arguments: &Arguments,
    env: &Environment,
    dir: &Path,
    answers: Option<&mut dyn BufRead>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Done> {
    let planned = Salvage::plan(env, dir, &Options::default()).map_err(failed)?;
    let report = planned.report();
    let nothing = report.outcome == Outcome::NothingToDo;
    if !arguments.json {
        write!(out, "{report}")?;
        out.flush()?;
    }
    let agreed = nothing || arguments.yes || asked(SALVAGE, answers, err)?;
    if !agreed {
        if arguments.json {
            writeln!(out, "{:#}", to_json(report, false))?;
        }
        return Ok(Done::Declined);
    }
    if !nothing {
        // A log in a directory of its own is most often that of a database.
        _ = search::remove_indexes(&*env.disk, &search::beside(dir), report.database)?;
    }
    let report = planned.apply().map_err(failed)?;
    if arguments.json {
        writeln!(out, "{:#}", to_json(&report, !nothing))?;
    } else if !nothing {
        writeln!(out, "Salvaged: the log opens again.")?;
    }
    Ok(Done::Yes)
}

const SALVAGE: &str = "Salvage this log? What is lost stays lost.";

/// Puts a question; without anybody to answer it the answer is no.
fn asked(
    question: &str,
    answers: Option<&mut dyn BufRead>,
    err: &mut dyn Write,
) -> io::Result<bool> {
    let Some(answers) = answers else {
        writeln!(err, "docdb: nothing was changed; say --yes to do it")?;
        return Ok(false);
    };
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut line = String::new();
    answers.read_line(&mut line)?;
    let yes = matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !yes {
        writeln!(err, "docdb: nothing was changed")?;
    }
    Ok(yes)
}

fn to_json(report: &SalvageReport, applied: bool) -> Value {
    let (identity, identity_segment) = match report.identity {
        Identity::Manifest => ("manifest", None),
        Identity::SegmentHeader(segment) => ("segment_header", Some(segment)),
    };
    let fresh = match report.outcome {
        Outcome::Rewritten(segment) => Some(segment),
        Outcome::NothingToDo | Outcome::ManifestRebuilt => None,
    };
    let damaged = report.damaged.iter();
    let dropped = report.dropped.iter();
    json!({
        "applied": applied,
        "outcome": report.outcome.name(),
        "database": report.database.to_string(),
        "identity": identity,
        "identity_segment": identity_segment,
        "refusal": report.refusal,
        "segments": report.segments,
        "fresh_segment": fresh,
        "damaged": damaged
            .map(|d| json!({ "segment": d.segment, "offset": d.offset, "what": d.what }))
            .collect::<Vec<_>>(),
        "lost": report.lost.iter()
            .map(|range| json!({ "from": range.from.0, "to": range.to.0 }))
            .collect::<Vec<_>>(),
        "lost_lsns": report.lost_count(),
        "transactions_dropped": dropped
            .map(|tx| json!({ "first_lsn": tx.first.0, "intact_frames": tx.frames }))
            .collect::<Vec<_>>(),
        "replay_lsn": report.replay_lsn.0,
        "last_lsn": report.last.0,
        "end_unknown": report.end_unknown,
        "frames_kept": report.frames_kept,
        "frames_rewritten": report.frames_rewritten,
        "frames_cut": report.frames_cut,
        "quarantined": report.quarantined.iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (said, agreed) in
            [("y\n", true), ("YES\n", true), ("\n", false), ("", false), ("no\n", false)]
        {
            let mut err = Vec::new();
            let answers: &mut dyn BufRead = &mut said.as_bytes();
            assert_eq!(asked(SALVAGE, Some(answers), &mut err).unwrap(), agreed, "{said:?}");
            assert_eq!(err.ends_with(b"nothing was changed\n"), !agreed, "{said:?}");
        }
    }

    #[test]
    fn without_a_terminal_nobody_can_say_yes() {
        let mut err = Vec::new();
        assert!(!asked(SALVAGE, None, &mut err).unwrap());
        assert!(String::from_utf8(err).unwrap().contains("--yes"));
    }
}
