//! Settings of one log, with their ranges.

use std::time::Duration;

use crate::error::{Result, WalError};
use crate::{frame, segment};

/// When a write is acknowledged, and so what can lose it afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsyncMode {
    /// After a sync of its own: lost by nothing short of losing the disk.
    Always,
    /// After a sync shared with those who waited for the same one: as safe as `Always`.
    Group,
    /// After the write; a sync follows within the interval: power loss can take at most the
    /// interval plus one sync of writes, killing the process nothing.
    Interval(Duration),
    /// After the write; the system writes back when it likes: power loss can take what it had not
    /// written, killing the process nothing.
    Never,
}

impl FsyncMode {
    /// Whether an acknowledgement waits for a sync.
    #[must_use]
    pub const fn syncs_before_ack(self) -> bool {
        matches!(self, Self::Always | Self::Group)
    }

    /// The name used in configuration and statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Group => "group",
            Self::Interval(_) => "interval",
            Self::Never => "none",
        }
    }
}

/// Who does the work that is nobody's request: claiming segments ahead, hints, timed syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Threads of the log, started when there is something to do and ended when there is not.
    Threads,
    /// Nobody: the owner calls [`crate::Log::maintain`]. Simulations do, so that a run is a
    /// function of its seed.
    Manual,
}

/// Settings of one log.
#[derive(Debug, Clone)]
pub struct Options {
    /// When a write is acknowledged. Default `Group`.
    pub fsync: FsyncMode,
    /// Size of the first segment, bytes; each following one is twice as large. Default 1 MiB.
    pub segment_bytes_first: u64,
    /// Where the doubling ends, bytes. Default 64 MiB.
    pub segment_bytes_max: u64,
    /// Segments kept behind the active one whatever the readers say. Default 2.
    pub keep_segments: u32,
    /// How many bytes of log a limited reader may hold back before it is let go. Default 4 GiB.
    pub retain_bytes: u64,
    /// How many segments a limited reader may hold back; 0 = not counted. Default 0.
    pub max_segments: u32,
    /// Most bytes of one group. Default 4 MiB. A larger transaction is a group of its own.
    pub group_bytes_max: usize,
    /// Most transactions of one group; 0 = not counted. Default 0.
    pub group_commits_max: usize,
    /// Most bytes that may wait for the committer. Default 64 MiB.
    pub waiting_bytes_max: u64,
    /// Transactions above this many bytes wait in a file instead of memory. Default 4 MiB.
    pub spool_bytes: usize,
    /// A log without writes for so long writes down what it knows to be durable. Default 100 ms.
    pub hint_after: Duration,
    /// A log without writes for so long gives back its memory, its threads and its claimed space.
    /// Default 1 s.
    pub park_after: Duration,
    /// Who does the background work. Default `Threads`.
    pub background: Background,
    /// A defect to run with, so that the tests can show that they notice.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<crate::planted::Bug>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fsync: FsyncMode::Group,
            segment_bytes_first: 1024 * 1024,
            segment_bytes_max: 64 * 1024 * 1024,
            keep_segments: 2,
            retain_bytes: 4096 * 1024 * 1024,
            max_segments: 0,
            group_bytes_max: 4 * 1024 * 1024,
            group_commits_max: 0,
            waiting_bytes_max: 64 * 1024 * 1024,
            spool_bytes: 4 * 1024 * 1024,
            hint_after: Duration::from_millis(100),
            park_after: Duration::from_secs(1),
            background: Background::Threads,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }
}

impl Options {
    /// Checks every range.
    ///
    /// # Errors
    /// [`WalError::Setting`] names the first setting that is out of range.
    pub fn validate(&self) -> Result<()> {
        let bad = |setting, value, rule| Err(WalError::Setting { setting, value, rule });
        let first = self.segment_bytes_first;
        if first < segment::BYTES_MIN || !first.is_multiple_of(segment::ALIGN) {
            return bad("segment_bytes_first", first, "at least 1 KiB, a multiple of 512");
        }
        let max = self.segment_bytes_max;
        if max < first || max > segment::BYTES_MAX || !max.is_multiple_of(segment::ALIGN) {
            return bad("segment_bytes_max", max, "from the first size to 1 GiB, in 512s");
        }
        if self.group_bytes_max < frame::HEADER_BYTES {
            return bad("group_bytes_max", self.group_bytes_max as u64, "at least one frame");
        }
        if self.waiting_bytes_max < self.group_bytes_max as u64 {
            return bad("waiting_bytes_max", self.waiting_bytes_max, "at least one group");
        }
        if let FsyncMode::Interval(interval) = self.fsync
            && (interval.is_zero() || interval > Duration::from_secs(60))
        {
            let ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
            return bad("interval_ms", ms, "from 1 ms to 60 s");
        }
        Ok(())
    }
}
