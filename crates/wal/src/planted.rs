//! Defects to run with, so that the tests can show that they would notice them. Compiled only
//! with the feature `planted-bugs`, which only tests turn on.

/// A known way to get a log wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Acknowledges a group before its sync.
    AckBeforeSync,
    /// Recovery accepts a transaction whose last frame is missing.
    MissingCommitCheck,
    /// Trim ignores the marks of readers.
    EarlyTrim,
    /// Recovery cuts one transaction too many.
    CutTooFar,
    /// Recovery keeps what follows a bad frame when it finds the next good one.
    CutTooShort,
    /// Frames are not bound to their segment, so those of a recycled file verify.
    UnseededFrames,
    /// Recovery serves what it read without writing it again, though a sync may have failed.
    TrustPageCache,
    /// A torn tail is taken for one even if a hint says that it had been durable.
    IgnoreHints,
    /// The name of a new segment is not made durable before it takes frames.
    NoDirectorySync,
    /// A failed sync is tried again, and its success believed.
    RetrySync,
    /// Recovery goes on writing behind the cut instead of starting a segment.
    ContinueInPlace,
    /// A leader that is done wakes its own group and nobody who could lead the next.
    LostWakeUp,
    /// A sync on demand runs beside the leader's and may take an error away from it.
    UnguardedSync,
}
