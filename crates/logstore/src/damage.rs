//! Files that are no longer databases: put aside with a report, never deleted.
//!
//! A file `2026-11-21.001.logs` goes to `damaged/2026-11-21.001.logs.<milliseconds>`, with what
//! SQLite keeps beside it, and `….report.json` says why, what the file was known to hold, and which
//! number comes next: no number of a lost entry is given to another.

use std::path::{Path, PathBuf};

use base::clock::WallMs;
use base::io::{Disk, Open, read_exact_at, write_all_at};

use crate::entry::EntryId;
use crate::error::{LogError, Result};
use crate::partition::PartitionKey;
use crate::sqlite::rows::Bounds;

/// Where damaged files go.
pub(crate) const DAMAGED_DIR: &str = "damaged";
const REPORT: &str = ".report.json";
/// Reports are a few hundred bytes; a longer file is none.
const REPORT_BYTES_MAX: u64 = 64 * 1024;
/// How many numbers a file of unknown contents may have used.
pub(crate) const UNKNOWN_IDS: u64 = 1 << 32;
/// What SQLite keeps beside a file.
pub(crate) const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Why and when a file was put aside.
#[derive(Debug)]
pub(crate) struct Finding<'f> {
    pub(crate) reason: &'f str,
    pub(crate) at: WallMs,
    /// What is known of its contents.
    pub(crate) bounds: Option<Bounds>,
    /// The number that the next entry gets.
    pub(crate) next_id: u64,
}

/// Puts a file aside. Nobody may have it open for writing.
pub(crate) fn put_aside(
    disk: &dyn Disk,
    dir: &Path,
    key: PartitionKey,
    finding: &Finding<'_>,
) -> Result<PathBuf> {
    let aside = dir.join(DAMAGED_DIR);
    let io = |what, path: &Path, error| LogError::io(what, path, error);
    if disk.stat(&aside).map_err(|error| io("looking", &aside, error))?.is_none() {
        disk.create_dir(&aside).map_err(|error| io("making a directory", &aside, error))?;
    }
    let name = key.to_string();
    let target = free_name(disk, &aside, &name, finding.at)?;
    // The report first: a file that is gone without a report would be a silent loss.
    write_report(disk, &target, key, finding)?;
    for suffix in BESIDE.into_iter().chain([""]) {
        let from = dir.join(format!("{name}{suffix}"));
        let mut to = target.clone().into_os_string();
        to.push(suffix);
        match disk.rename(&from, Path::new(&to)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !suffix.is_empty() => {}
            Err(error) => return Err(io("putting aside", &from, error)),
        }
    }
    for changed in [&aside, dir] {
        disk.sync_dir(changed).map_err(|error| io("syncing", changed, error))?;
    }
    Ok(target)
}

fn free_name(disk: &dyn Disk, aside: &Path, name: &str, at: WallMs) -> Result<PathBuf> {
    let mut stamp = at.0;
    loop {
        let target = aside.join(format!("{name}.{stamp}"));
        let report = report_of(&target);
        let taken = disk.stat(&report).map_err(|error| LogError::io("looking", &report, error))?;
        if taken.is_none() {
            return Ok(target);
        }
        stamp += 1;
    }
}

fn report_of(target: &Path) -> PathBuf {
    let mut report = target.to_owned().into_os_string();
    report.push(REPORT);
    report.into()
}

fn write_report(
    disk: &dyn Disk,
    target: &Path,
    key: PartitionKey,
    finding: &Finding<'_>,
) -> Result<()> {
    let known = finding.bounds.filter(|bounds| bounds.rows > 0).map(|bounds| {
        serde_json::json!({
            "entries": bounds.rows,
            "first_id": bounds.first_id.0,
            "last_id": bounds.last_id.0,
            "first_time": bounds.min_time.rfc3339(),
            "last_time": bounds.max_time.rfc3339(),
        })
    });
    let report = serde_json::json!({
        "partition": key.to_string(),
        "found_at": finding.at.rfc3339(),
        "reason": finding.reason,
        "next_id": finding.next_id,
        "known_contents": known,
        "what_to_do": "`sqlite3 FILE .recover` prints what can still be read",
    });
    let path = report_of(target);
    let written = (|| {
        let file = disk.open(&path, Open::CreateNew)?;
        write_all_at(&*file, format!("{report:#}\n").as_bytes(), 0)?;
        file.sync_all()
    })();
    written.map_err(|error| LogError::io("writing a report", &path, error))
}

/// The least number that no report says was used; 1 when there are none.
pub(crate) fn next_id_of_reports(disk: &dyn Disk, dir: &Path) -> Result<u64> {
    let aside = dir.join(DAMAGED_DIR);
    let io = |error| LogError::io("reading reports", &aside, error);
    if disk.stat(&aside).map_err(io)?.is_none() {
        return Ok(1);
    }
    let mut next = 1;
    for entry in disk.list(&aside).map_err(io)? {
        if !entry.name.ends_with(REPORT) || entry.len > REPORT_BYTES_MAX {
            continue;
        }
        let file = disk.open(&aside.join(&entry.name), Open::Read).map_err(io)?;
        let mut text = vec![0; usize::try_from(entry.len).unwrap_or(0)];
        read_exact_at(&*file, &mut text, 0).map_err(io)?;
        let report: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
        let said = report.as_ref().and_then(|report| report.get("next_id")?.as_u64());
        next = next.max(said.unwrap_or(1));
    }
    Ok(next)
}

/// The number after everything that a file of unknown contents may have used.
pub(crate) fn after_unknown(last: EntryId) -> u64 {
    last.0.saturating_add(UNKNOWN_IDS)
}
