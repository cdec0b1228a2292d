//! Backups of a store in use, and stores made of them. `docs/formats/logs.md` describes the
//! directory.
//!
//! A backup has a copy of every partition, each as it was at one moment, and a manifest that is
//! written last: a directory without one is no backup.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::io::{Disk, FileRef, Open, read_exact_at, read_full_at, write_all_at};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use serde_json::{Value, json};

use crate::batcher::make_private;
use crate::error::{LogError, Result};
use crate::partition::{Partition, PartitionKey};
use crate::shared::Shared;

const MANIFEST: &str = "manifest.json";
const FORMAT: u64 = 1;
/// A manifest has a line for each day: more than this is none.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
const CHUNK_BYTES: usize = 1024 * 1024;
/// How often a copy is tried while others hold the file's locks, each time for `busy_timeout`.
const TRIES: u32 = 5;

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupReport {
    /// Files.
    pub partitions: u64,
    /// Entries in them.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One file of a backup, as the manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Copy {
    key: PartitionKey,
    bytes: u64,
    crc: u32,
    entries: u64,
}

impl BackupReport {
    fn of(copies: &[Copy]) -> Self {
        Self {
            partitions: copies.len() as u64,
            entries: copies.iter().map(|copy| copy.entries).sum(),
            bytes: copies.iter().map(|copy| copy.bytes).sum(),
        }
    }
}

/// Whether a file of this name belongs to a backup of logs, so that what is beside it is none of
/// something else.
#[must_use]
pub fn is_file_of_backup(name: &str) -> bool {
    name == MANIFEST || PartitionKey::from_name(name).is_some()
}

/// Copies every partition into a directory that is not there yet.
pub(crate) fn backup(shared: &Shared, to: &Path) -> Result<BackupReport> {
    let disk = &*shared.disk;
    make_new_dir(disk, to)?;
    let mut copies = Vec::new();
    for partition in shared.partitions.all() {
        copies.extend(copy_partition(shared, &partition, to)?);
    }
    let manifest = json!({
        "format": FORMAT,
        "taken_at": shared.clock.wall().rfc3339(),
        "partitions": copies.iter().map(|copy| json!({
            "name": copy.key.to_string(),
            "bytes": copy.bytes,
            "crc32c": copy.crc,
            "entries": copy.entries,
        })).collect::<Vec<_>>(),
    });
    sync_dir(disk, to)?;
    let path = to.join(MANIFEST);
    let io = |error| LogError::io("writing a manifest", &path, error);
    let file = disk.open(&path, Open::CreateNew).map_err(io)?;
    write_all_at(&*file, format!("{manifest:#}\n").as_bytes(), 0).map_err(io)?;
    file.sync_all().map_err(io)?;
    sync_dir(disk, to)?;
    Ok(BackupReport::of(&copies))
}

/// Copies one partition; none when retention has dropped it meanwhile.
fn copy_partition(shared: &Shared, partition: &Arc<Partition>, to: &Path) -> Result<Option<Copy>> {
    let path = to.join(partition.key.to_string());
    let reader = shared.partitions.reader(partition, &shared.options)?;
    let Some(reader) = reader else { return Ok(None) };
    make_private(&*shared.disk, &path)?;
    let entries = reader.whole(|source| {
        let sqlite = |error| LogError::sqlite(&path, error);
        let mut target = Connection::open(&path).map_err(sqlite)?;
        copy_pages(source, &mut target).map_err(sqlite)?;
        // One plain file, with nothing beside it.
        let plain = target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()));
        plain.map_err(sqlite)?;
        let sql = "SELECT row_count FROM bounds WHERE one = 1";
        let entries: i64 = target.query_row(sql, [], |row| row.get(0)).map_err(sqlite)?;
        target.close().map_err(|(_, error)| sqlite(error))?;
        Ok(u64::try_from(entries).unwrap_or(0))
    })?;
    let io = |error| LogError::io("reading a copy", &path, error);
    let file = shared.disk.open(&path, Open::Write).map_err(io)?;
    let (bytes, crc) = sum(&file).map_err(io)?;
    file.sync_all().map_err(io)?;
    Ok(Some(Copy { key: partition.key, bytes, crc, entries }))
}

fn copy_pages(source: &Connection, target: &mut Connection) -> rusqlite::Result<()> {
    let copying = Backup::new(source, target)?;
    for _ in 0..TRIES {
        // All pages in one step, so that the copy is of one moment.
        if copying.step(-1)? == StepResult::Done {
            return Ok(());
        }
    }
    let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    Err(rusqlite::Error::SqliteFailure(busy, Some("the file stays locked".to_owned())))
}

/// Length and checksum of a file.
fn sum(file: &FileRef) -> std::io::Result<(u64, u32)> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut bytes, mut crc) = (0, 0);
    loop {
        let len = read_full_at(&**file, &mut chunk, bytes)?;
        crc = crc32c::crc32c_append(crc, &chunk[..len]);
        bytes += len as u64;
        if len < CHUNK_BYTES {
            return Ok((bytes, crc));
        }
    }
}

/// Reads a whole backup and compares it with its manifest.
///
/// # Errors
/// [`LogError::Damaged`] when it is none or a file of it has changed.
pub fn check_backup(disk: &dyn Disk, dir: &Path) -> Result<BackupReport> {
    let copies = manifest(disk, dir)?;
    for copy in &copies {
        check_copy(disk, &dir.join(copy.key.to_string()), copy)?;
    }
    Ok(BackupReport::of(&copies))
}

/// Makes a store of a backup, in a directory that is not there yet. Open it afterwards as any other.
///
/// # Errors
/// [`LogError::Damaged`] when the backup is; nothing may be relied on in `to` then, and it has to be
/// removed before another try.
pub fn restore_backup(disk: &dyn Disk, from: &Path, to: &Path) -> Result<BackupReport> {
    let copies = manifest(disk, from)?;
    make_new_dir(disk, to)?;
    for copy in &copies {
        let name = copy.key.to_string();
        copy_file(disk, &from.join(&name), &to.join(&name))?;
        check_copy(disk, &to.join(&name), copy)?;
    }
    sync_dir(disk, to)?;
    Ok(BackupReport::of(&copies))
}

fn copy_file(disk: &dyn Disk, from: &Path, to: &Path) -> Result<()> {
    let io = |error| LogError::io("copying", from, error);
    let source = disk.open(from, Open::Read).map_err(io)?;
    let target = disk.open(to, Open::CreateNew).map_err(io)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        let len = read_full_at(&*source, &mut chunk, at).map_err(io)?;
        write_all_at(&*target, &chunk[..len], at).map_err(io)?;
        at += len as u64;
        if len < CHUNK_BYTES {
            return target.sync_all().map_err(io);
        }
    }
}

fn check_copy(disk: &dyn Disk, path: &Path, copy: &Copy) -> Result<()> {
    let io = |error| LogError::io("reading a backup", path, error);
    let file = disk.open(path, Open::Read).map_err(io)?;
    if sum(&file).map_err(io)? != (copy.bytes, copy.crc) {
        return Err(LogError::damaged(path, "its checksum is not that of the manifest"));
    }
    Ok(())
}

fn manifest(disk: &dyn Disk, dir: &Path) -> Result<Vec<Copy>> {
    let path = dir.join(MANIFEST);
    let bad = || LogError::damaged(&path, "this is no manifest of a backup of logs");
    let io = |error| LogError::io("reading a manifest", &path, error);
    let stat = disk.stat(&path).map_err(io)?.ok_or_else(bad)?;
    if stat.len > MANIFEST_BYTES_MAX {
        return Err(bad());
    }
    let mut text = vec![0; usize::try_from(stat.len).unwrap_or(0)];
    let file = disk.open(&path, Open::Read).map_err(io)?;
    read_exact_at(&*file, &mut text, 0).map_err(io)?;
    let manifest: Value = serde_json::from_slice(&text).map_err(|_| bad())?;
    match manifest.get("format").and_then(Value::as_u64) {
        Some(FORMAT) => {}
        Some(format) => {
            let what = format!("a backup of format {format}").into();
            return Err(LogError::Unsupported { path, what });
        }
        None => return Err(bad()),
    }
    let partitions = manifest.get("partitions").and_then(Value::as_array).ok_or_else(bad)?;
    partitions.iter().map(|copy| copy_of(copy).ok_or_else(bad)).collect()
}

fn copy_of(value: &Value) -> Option<Copy> {
    // Only the names of partitions are names: no path leads out of the directory.
    let key = PartitionKey::from_name(value.get("name")?.as_str()?)?;
    let number = |name| value.get(name)?.as_u64();
    let crc = u32::try_from(number("crc32c")?).ok()?;
    Some(Copy { key, bytes: number("bytes")?, crc, entries: number("entries")? })
}

fn make_new_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    disk.create_dir(dir).map_err(|error| LogError::io("making a directory", dir, error))?;
    match dir.parent().map(PathBuf::from) {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(disk, &parent),
        _ => Ok(()),
    }
}

fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    disk.sync_dir(dir).map_err(|error| LogError::io("syncing", dir, error))
}
