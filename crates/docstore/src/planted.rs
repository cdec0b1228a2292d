//! Defects to run with, so that the tests can show that they would notice them. Compiled only
//! with the feature `planted-bugs`, which only tests turn on.

/// A known way to get a document store wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Changes are shown before the log has them.
    IndexBeforeLog,
    /// A refusal is answered though what it rests on was not acknowledged yet.
    RefusalFromPending,
    /// A flush takes what is not durable yet.
    DerivedAheadOfLog,
    /// The log is trimmed although older checkpoints and data without parity need it.
    EarlyTrim,
    /// Readers are answered from the index although a newer version is in memory.
    StaleRead,
    /// Compaction leaves a document behind that it cannot read.
    CompactionDropsUnreadable,
    /// Compaction drops a tombstone that still hides an older record.
    TombstoneDroppedEarly,
    /// A collection's number is used again after it was dropped.
    NumberReused,
    /// The manifest names records that were not read back from the device.
    UnverifiedRecords,
}
