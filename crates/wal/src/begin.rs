//! The files of a log that begins behind an LSN: for a database made from a backup, whose documents
//! keep their revisions and whose next write must not repeat one.
//!
//! They are those of a log of which everything up to the LSN was trimmed: one segment without a
//! frame whose header says which LSN comes first, and a manifest that says that replay begins
//! there. Opening it needs no rule of its own.

use std::path::Path;

use base::clock::WallMs;
use base::io::{DiskRef, Open, write_all_at, zero_range};
use base::words::{DatabaseId, Lsn};

use crate::anchor::{FileAnchor, LogState};
use crate::error::{Op, Result, WalError};
use crate::frame::LSN_MAX;
use crate::segment::{BYTES_MIN, FileName, HEADER_BYTES, Header};

/// Makes the files of an empty log in the empty directory `dir`, whose first LSN is the one after
/// `last`; durable on return, but for the name of `dir`. Open it with [`crate::Log::open_dir`].
/// No time in it will be before `wall`.
///
/// For a directory that is still being built: a crash leaves files that a second call refuses.
///
/// # Errors
/// `Unsupported` when `last` is larger than any LSN; the disk's, `FileOpen` among them when the
/// directory is not empty.
pub fn begin_behind(
    disk: &DiskRef,
    dir: &Path,
    database: DatabaseId,
    last: Lsn,
    wall: WallMs,
) -> Result<()> {
    if last.0 >= LSN_MAX {
        let rule = "less than the largest LSN";
        return Err(WalError::Setting { setting: "first LSN", value: last.0, rule });
    }
    let sequence = 1;
    let path = FileName::Segment(sequence).path(dir);
    let fail = |op| {
        let path = path.clone();
        move |e| WalError::io(op, path, e)
    };
    let file = disk.open(&path, Open::CreateNew).map_err(fail(Op::Open))?;
    let header = Header {
        database,
        sequence,
        first_lsn: last.next(),
        previous: 0,
        previous_end: 0,
        hint: last,
        created_ms: wall.0,
        chain: 0,
    };
    write_all_at(&*file, &header.encode(), 0).map_err(fail(Op::Write))?;
    zero_range(&*file, HEADER_BYTES as u64, BYTES_MIN).map_err(fail(Op::Write))?;
    file.sync_data().map_err(fail(Op::Sync))?;
    disk.sync_dir(dir).map_err(|e| WalError::io(Op::Sync, dir, e))?;
    let state = LogState {
        database,
        first_segment: sequence,
        newest_segment: sequence,
        replay_lsn: last,
        durable_lsn: last,
    };
    FileAnchor::replace(disk, dir, &state)
}
