//! Whether a log is whole from one position to another: what somebody must know who wants to replay it from further
//! back than usual, before anything is opened.
//!
//! What it is not: it decides nothing by itself. The code that opens logs is asked, with another replay start.

use std::path::Path;

use base::io::{DiskRef, Open};
use base::words::Lsn;

use crate::anchor::FileAnchor;
use crate::error::{Result, WalError};
use crate::frame::Kind;
use crate::options::Options;
use crate::survey::survey;
use crate::walk::walk;

/// Why the log in `dir` cannot be replayed from behind `from` on, of which everything up to `upto` had been durable:
/// it would not open so, or it has lost something on the way that a salvage left a gap for. None when it can be.
/// Writes nothing and takes no lock.
///
/// # Errors
/// The disk's. Damage is no error.
pub fn why_not_whole(disk: &DiskRef, dir: &Path, from: Lsn, upto: Lsn) -> Result<Option<String>> {
    let mut expected = from.next();
    let mut gap = None;
    let read = FileAnchor::peek(disk, dir).and_then(|mut state| {
        state.replay_lsn = state.replay_lsn.min(from);
        state.durable_lsn = state.durable_lsn.max(upto);
        let found = survey(disk, dir, &state, Open::Read)?;
        if let (true, Some(refusal)) = (found.pieces.is_empty(), found.robbed(&state)) {
            return Err(refusal);
        }
        if found.pieces.is_empty() {
            return Ok(());
        }
        walk(&found, &state, &Options::default(), &mut |frame| {
            if frame.lsn <= from {
                return Ok(());
            }
            let whole = if frame.kind == Kind::Gap { frame.next_lsn() } else { frame.lsn };
            if whole > expected && expected <= upto {
                gap.get_or_insert((expected, whole));
            }
            expected = frame.next_lsn();
            Ok(())
        })
        .map(drop)
    });
    match read {
        Err(error @ (WalError::Corrupt(_) | WalError::Manifest(_))) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
        Ok(()) if gap.is_none() && expected <= upto => gap_between(expected, upto.next()),
        Ok(()) => gap.map_or(Ok(None), |(from, to)| gap_between(from, to)),
    }
}

fn gap_between(from: Lsn, next: Lsn) -> Result<Option<String>> {
    Ok(Some(format!("the log has lost LSN {from} to {}", next.0 - 1)))
}
