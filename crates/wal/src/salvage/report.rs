//! What a salvage found and did, for people and for programs.

use std::fmt;
use std::path::PathBuf;

use base::words::{DatabaseId, Lsn};

use crate::anchor::LogState;
use crate::error::WalError;

/// A place in the log that is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedPlace {
    /// Sequence of the segment.
    pub segment: u64,
    /// Where in it, bytes; 0 for its header or the whole of it.
    pub offset: u64,
    /// What is wrong.
    pub what: &'static str,
}

/// LSNs that are lost, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostRange {
    /// The first one.
    pub from: Lsn,
    /// The last one.
    pub to: Lsn,
}

/// A transaction of which a part is lost, and so all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedTransaction {
    /// LSN of its first frame.
    pub first: Lsn,
    /// Intact frames of it that are dropped; the quarantine has them.
    pub frames: u64,
}

/// How it is known which database the log belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The manifest says so.
    Manifest,
    /// The manifest cannot be read; this segment's header says so.
    SegmentHeader(u64),
}

/// What a salvage does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: the log opens as it is.
    NothingToDo,
    /// The manifest is written anew from the segments, which are left as they are.
    ManifestRebuilt,
    /// Everything from the first damage on is written anew into this segment.
    Rewritten(u64),
}

impl Outcome {
    /// Its name in machine-readable output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NothingToDo => "nothing_to_do",
            Self::ManifestRebuilt => "manifest_rebuilt",
            Self::Rewritten(_) => "rewritten",
        }
    }
}

/// What a salvage found and did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvageReport {
    /// The database.
    pub database: DatabaseId,
    /// How that is known.
    pub identity: Identity,
    /// What is done.
    pub outcome: Outcome,
    /// Why the log could not be opened.
    pub refusal: Option<String>,
    /// Segments that were read to find out what is lost; none when nothing is to be done.
    pub segments: Vec<u64>,
    /// What is damaged.
    pub damaged: Vec<DamagedPlace>,
    /// What is lost. Nothing else is.
    pub lost: Vec<LostRange>,
    /// Transactions that are lost because a part of them is.
    pub dropped: Vec<DroppedTransaction>,
    /// Everything up to here is in the checkpoint: of the lost LSNs only those behind it matter to
    /// the documents.
    pub replay_lsn: Lsn,
    /// Last LSN of the log; the next write gets the one behind it.
    pub last: Lsn,
    /// Frames read and kept.
    pub frames_kept: u64,
    /// How many of them are written anew.
    pub frames_rewritten: u64,
    /// Intact frames behind the end that nobody was promised, and that are gone.
    pub frames_cut: u64,
    /// Files copied to the quarantine: where they are now.
    pub quarantined: Vec<PathBuf>,
    /// The newest segment or the manifest is gone: nobody can know what stood behind `last`.
    pub end_unknown: bool,
}

impl SalvageReport {
    /// A report that nothing is to be done.
    pub(crate) fn new(state: LogState, identity: Identity, refusal: Option<&WalError>) -> Self {
        Self {
            database: state.database,
            identity,
            outcome: Outcome::NothingToDo,
            refusal: refusal.map(ToString::to_string),
            segments: Vec::new(),
            damaged: Vec::new(),
            lost: Vec::new(),
            dropped: Vec::new(),
            replay_lsn: state.replay_lsn,
            last: state.replay_lsn,
            frames_kept: 0,
            frames_rewritten: 0,
            frames_cut: 0,
            quarantined: Vec::new(),
            end_unknown: false,
        }
    }

    /// How many LSNs are lost.
    #[must_use]
    pub fn lost_count(&self) -> u64 {
        self.lost.iter().map(|range| range.to.0 - range.from.0 + 1).sum()
    }
}

impl fmt::Display for LostRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            write!(f, "{}", self.from)
        } else {
            write!(f, "{}..={}", self.from, self.to)
        }
    }
}

fn plural(n: u64, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

/// Most lines that one list takes in the text; the fields have all of it.
const LINES_MAX: usize = 20;

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    items: &[T],
    line: impl Fn(&T) -> String,
) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}:")?;
    for item in items.iter().take(LINES_MAX) {
        writeln!(f, "  {}", line(item))?;
    }
    match items.len().checked_sub(LINES_MAX) {
        Some(more @ 1..) => writeln!(f, "  and {more} more"),
        Some(0) | None => Ok(()),
    }
}

impl fmt::Display for SalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.identity {
            Identity::Manifest => "from the manifest".to_owned(),
            Identity::SegmentHeader(segment) => {
                format!("from the header of segment {segment}: the manifest cannot be read")
            }
        };
        writeln!(f, "database   {} ({source})", self.database)?;
        let segments = plural(self.segments.len() as u64, "segment");
        let frames = plural(self.frames_kept, "frame");
        if self.outcome == Outcome::NothingToDo {
            writeln!(f, "read       {frames} from the checkpoint on, last LSN {}", self.last)?;
        } else {
            writeln!(f, "read       {segments}, {frames} kept, last LSN {}", self.last)?;
        }
        if let Some(refusal) = &self.refusal {
            writeln!(f, "refused    {refusal}")?;
        }
        if self.outcome == Outcome::NothingToDo {
            return writeln!(f, "Nothing to do: the log opens as it is.");
        }
        list(f, "damaged", &self.damaged, |place| {
            format!("segment {} offset {}: {}", place.segment, place.offset, place.what)
        })?;
        self.losses(f)?;
        match self.outcome {
            Outcome::NothingToDo => {}
            Outcome::ManifestRebuilt => {
                writeln!(f, "action     write the manifest anew; the segments stay as they are")?;
            }
            Outcome::Rewritten(segment) => {
                let frames = plural(self.frames_rewritten, "frame");
                writeln!(f, "action     write {frames} anew into segment {segment}")?;
            }
        }
        list(f, "quarantine", &self.quarantined, |path| path.display().to_string())
    }
}

impl SalvageReport {
    fn losses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lost.is_empty() {
            writeln!(f, "lost       nothing that can be named")?;
        } else {
            writeln!(f, "lost       {}", plural(self.lost_count(), "LSN"))?;
        }
        list(f, "lost LSNs", &self.lost, |range| match range.to <= self.replay_lsn {
            true => format!("{range} (the checkpoint has them)"),
            false if range.from <= self.replay_lsn => {
                format!("{range} (the checkpoint has those up to {})", self.replay_lsn)
            }
            false => range.to_string(),
        })?;
        list(f, "transactions dropped because a part of them is lost", &self.dropped, |tx| {
            format!("from LSN {}: {} intact", tx.first, plural(tx.frames, "frame"))
        })?;
        if self.frames_cut > 0 {
            let frames = plural(self.frames_cut, "frame");
            writeln!(f, "cut        {frames} behind the end that nobody was promised")?;
        }
        if self.end_unknown {
            writeln!(
                f,
                "unknown    what stood behind LSN {}: the newest segment or the manifest is gone",
                self.last
            )?;
        }
        Ok(())
    }
}
