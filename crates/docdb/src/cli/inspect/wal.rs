//! `docdb inspect wal`: what is in a log, and what opening it would do.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base::io::RealDisk;
use serde_json::{Value, json};
use wal::frame::Kind;
use wal::inspect::{
    Ending, FrameInspection, Inspection, Role, SegmentInspection, Verdict, inspect,
};

use crate::cli::place::DirectoryArguments;
use crate::cli::{Environment, failed};

pub(super) const HELP: &str = "\
Exit codes:
  0  it was read; whether the log would open stands in the verdict
  1  it could not be read, or there is no log
  2  the command line is wrong

Examples:
  docdb inspect wal --database orders
  docdb inspect wal docdb-data/db-1f0c8b5e-6f0e-4a5b-9d51-2f7f6f1c0a3d
  docdb inspect wal DIR --frames | less
  docdb inspect wal DIR/log/0000000000000003.wal --frames
  docdb inspect wal DIR --json | jq -r .verdict.opens";

/// What to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory of a database or of its log, or one segment file; without it, the database is
    /// looked for in the data directory
    path: Option<PathBuf>,
    #[command(flatten)]
    place: DirectoryArguments,
    /// Print JSON: with --frames one object per frame and line, then the summary on the last line
    #[arg(long)]
    json: bool,
    /// Also list every frame, those behind damage and in leftover files too
    #[arg(long)]
    frames: bool,
}

/// Runs the command.
pub(super) fn run(
    wal: &Arguments,
    environment: &Environment,
    out: &mut dyn Write,
) -> io::Result<()> {
    if wal.frames && !wal.json {
        writeln!(out, "segment     offset         LSN  kind               tx LSN  bytes  key")?;
    }
    let mut written = Ok(());
    let disk = RealDisk::shared();
    let dir = wal.place.find(wal.path.as_deref(), environment)?;
    let log = dir.join("log");
    let path = if disk.stat(&log)?.is_some() { log } else { dir };
    let found = inspect(&disk, &path, &mut |frame| {
        if wal.frames && written.is_ok() {
            written = match wal.json {
                true => writeln!(out, "{}", frame_json(frame)),
                false => write_frame(frame, out),
            };
        }
    });
    written?;
    let found = found.map_err(failed)?;
    match (wal.json, wal.frames) {
        (true, true) => writeln!(out, "{}", to_json(&found)),
        (true, false) => writeln!(out, "{:#}", to_json(&found)),
        (false, frames) => {
            if frames {
                writeln!(out)?;
            }
            write_text(&path, &found, out)
        }
    }
}

fn key(frame: &FrameInspection) -> Option<String> {
    frame.key.as_ref().map(|(collection, id)| format!("{collection}/{id}"))
}

fn write_frame(frame: &FrameInspection, out: &mut dyn Write) -> io::Result<()> {
    let header = &frame.header;
    let note = match (key(frame), frame.payload_lsn) {
        (Some(key), _) => key,
        (None, Some(lsn)) if header.kind == Kind::Gap => format!("lost up to LSN {lsn}"),
        (None, Some(lsn)) => format!("up to LSN {lsn}"),
        (None, None) if header.kind.is_hint() => format!("durable up to LSN {}", header.hint),
        (None, None) => String::new(),
    };
    let line = format!(
        "{:>7} {:>10} {:>11}  {:<17} {:>7} {:>6}  {note}",
        frame.segment,
        frame.offset,
        header.lsn.0,
        header.kind.name(),
        header.tx_first().0,
        header.len
    );
    writeln!(out, "{}", line.trim_end())
}

fn frame_json(frame: &FrameInspection) -> Value {
    let header = &frame.header;
    json!({
        "segment": frame.segment,
        "offset": frame.offset,
        "lsn": header.lsn.0,
        "kind": header.kind.name(),
        "tx": header.tx_first().0,
        "tx_index": header.tx_index,
        "commit": header.place == wal::frame::Place::Last,
        "durable_hint": header.hint.0,
        "wall_ms": header.wall_ms,
        "payload_bytes": header.len,
        "collection": frame.key.as_ref().map(|(collection, _)| collection.0),
        "id": frame.key.as_ref().map(|(_, id)| id.to_string()),
        "payload_lsn": frame.payload_lsn.map(|lsn| lsn.0),
    })
}

fn write_text(path: &Path, found: &Inspection, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "log        {}", path.display())?;
    if let Some(database) = found.database {
        writeln!(out, "database   {database}")?;
    }
    match &found.manifest {
        Some(Ok(state)) => writeln!(
            out,
            "manifest   segments {} to {}, checkpoint at LSN {}, durable up to LSN {}",
            state.first_segment, state.newest_segment, state.replay_lsn, state.durable_lsn
        )?,
        Some(Err(why)) => writeln!(out, "manifest   {why}")?,
        None => {}
    }
    for segment in &found.segments {
        write_segment(segment, out)?;
    }
    if !found.leftovers.is_empty() {
        writeln!(out)?;
        for (path, bytes) in &found.leftovers {
            writeln!(out, "unused     {} ({bytes} bytes)", path.display())?;
        }
    }
    match &found.verdict {
        None => Ok(()),
        Some(Verdict::OpensClean { last }) => {
            writeln!(out, "\nverdict    opens without recovery, last LSN {last}")
        }
        Some(Verdict::Recovers { last, rewritten, cut }) => writeln!(
            out,
            "\nverdict    opens after recovery, last LSN {last}; LSNs behind the last hint: \
             {rewritten}, frames cut: {cut}"
        ),
        Some(Verdict::Refuses(why)) => writeln!(out, "\nverdict    does not open: {why}"),
    }
}

fn write_segment(segment: &SegmentInspection, out: &mut dyn Write) -> io::Result<()> {
    let role = match segment.role {
        Role::Log => "",
        Role::Leftover => ", a leftover that opening removes",
        Role::Unclear => ", headers do not say whether it is part of the log",
    };
    writeln!(out, "\nsegment    {} ({} bytes{role})", segment.sequence, segment.len)?;
    match &segment.header {
        Ok(header) if header.previous == 0 => {
            writeln!(out, "  header   first LSN {}, nothing before it", header.first_lsn)?;
        }
        Ok(header) => writeln!(
            out,
            "  header   first LSN {}, behind segment {} which ends at {}",
            header.first_lsn, header.previous, header.previous_end
        )?,
        Err(e) => writeln!(out, "  header   {}", e.what())?,
    }
    let kinds: Vec<String> =
        segment.kinds.iter().map(|(kind, n)| format!("{} {n}", kind.name())).collect();
    let lsns = segment.lsns.map_or("no LSN".to_owned(), |(from, to)| format!("LSN {from} to {to}"));
    writeln!(
        out,
        "  frames   {} ({}), {lsns}, transactions that end here: {}, payload bytes: {}",
        segment.frames(),
        if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") },
        segment.transactions,
        segment.payload_bytes
    )?;
    for (offset, what) in &segment.damaged {
        writeln!(out, "  damaged  at {offset}: {what}; valid frames follow")?;
    }
    writeln!(out, "  ends     at {}: {}", segment.end, ending(segment.ending).1)
}

/// Name for programs and words for people.
fn ending(ending: Ending) -> (&'static str, String) {
    match ending {
        Ending::Continued => ("continued", "the next segment goes on".to_owned()),
        Ending::Closed => ("closed", "the log was closed".to_owned()),
        Ending::Free => ("free", "only free space follows".to_owned()),
        Ending::Torn(what) => ("torn", format!("{what}; no valid frame follows")),
        Ending::Short(what) => {
            ("short", format!("{what}, but the next segment says there is more"))
        }
    }
}

fn to_json(found: &Inspection) -> Value {
    let manifest = found.manifest.as_ref().map(|manifest| match manifest {
        Ok(state) => json!({
            "first_segment": state.first_segment,
            "newest_segment": state.newest_segment,
            "replay_lsn": state.replay_lsn.0,
            "durable_lsn": state.durable_lsn.0,
        }),
        Err(why) => json!({ "error": why }),
    });
    let verdict = found.verdict.as_ref().map(|verdict| match verdict {
        Verdict::OpensClean { last } => json!({ "opens": "clean", "last_lsn": last.0 }),
        Verdict::Recovers { last, rewritten, cut } => json!({
            "opens": "recovers",
            "last_lsn": last.0,
            "rewritten": rewritten,
            "frames_cut": cut,
        }),
        Verdict::Refuses(why) => json!({ "opens": "refused", "why": why }),
    });
    let leftovers = found.leftovers.iter();
    json!({
        "database": found.database.map(|database| database.to_string()),
        "manifest": manifest,
        "segments": found.segments.iter().map(segment_json).collect::<Vec<_>>(),
        "leftovers": leftovers
            .map(|(path, bytes)| json!({ "path": path.display().to_string(), "bytes": bytes }))
            .collect::<Vec<_>>(),
        "verdict": verdict,
    })
}

fn segment_json(segment: &SegmentInspection) -> Value {
    let header = match &segment.header {
        Ok(header) => json!({
            "first_lsn": header.first_lsn.0,
            "previous": header.previous,
            "previous_end": header.previous_end,
            "durable_hint": header.hint.0,
            "created_ms": header.created_ms,
        }),
        Err(e) => json!({ "error": e.what() }),
    };
    let kinds = segment.kinds.iter();
    let kinds: serde_json::Map<String, Value> =
        kinds.map(|(kind, n)| (kind.name().to_owned(), json!(n))).collect();
    let damaged = segment.damaged.iter();
    json!({
        "path": segment.path.display().to_string(),
        "sequence": segment.sequence,
        "bytes": segment.len,
        "role": match segment.role {
            Role::Log => "log",
            Role::Leftover => "leftover",
            Role::Unclear => "unclear",
        },
        "header": header,
        "frames": kinds,
        "first_lsn": segment.lsns.map(|(from, _)| from.0),
        "last_lsn": segment.lsns.map(|(_, to)| to.0),
        "transactions": segment.transactions,
        "payload_bytes": segment.payload_bytes,
        "durable_hint": segment.hint.0,
        "damaged": damaged
            .map(|(offset, what)| json!({ "offset": offset, "what": what }))
            .collect::<Vec<_>>(),
        "end": segment.end,
        "ending": ending(segment.ending).0,
    })
}
