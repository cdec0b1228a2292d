//! Defects to run with, so that the tests can show that they would notice them. Compiled only
//! with the feature `planted-bugs`, which only tests turn on.

/// A known way to get an index wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A row that died while its segment was merged is alive in the merged one.
    DeathLostInMerge,
    /// A row that died while its memtable waited for the flush is alive in the segment.
    DeathLostInFlush,
    /// A manifest says that all changes are in its segments which have been applied in memory.
    AppliedTooFar,
    /// A manifest has the deaths by later changes than those that it says it has.
    DeathsOfLater,
    /// A manifest is published before all files of its new segment are in the store.
    PublishBeforeUpload,
    /// A sweep takes files that were named a moment ago, and those that are being made.
    SweepWithoutGrace,
    /// A change that was applied is applied once more when it comes again.
    ReplayTwice,
    /// A rebuild takes the place of an index that has applied more.
    AdoptBehind,
    /// A writer goes on though another one has the index.
    FenceIgnored,
}
