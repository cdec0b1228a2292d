//! The steps that workloads are made of.

/// One step of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A document is replaced.
    Put,
    /// A part of a document is changed.
    Patch,
    /// A document is deleted; made, when there is none.
    Delete,
    /// Several operations at once, in two collections, one document twice.
    Batch,
    /// An interactive transaction that reads and writes.
    Transaction,
    /// A document that does not fit into what is left of the segment.
    Rotate,
    /// Memory goes to data files, and the log is trimmed.
    Checkpoint,
    /// The data file with the most garbage is rewritten.
    Compact,
    /// Enough checkpoints that the log loses its oldest segments.
    Trim,
    /// A collection is dropped with what it holds, made again, and written to.
    Recreate,
    /// A document expires and is reclaimed.
    Expire,
    /// A byte of a data file is damaged.
    Rot,
    /// The same, and everything is read.
    Heal,
    /// Time passes, and what is due is done.
    Idle,
    /// The database is closed and opened.
    Reopen,
}

/// All steps.
pub(crate) const STEPS: [Step; 15] = [
    Step::Put,
    Step::Patch,
    Step::Delete,
    Step::Batch,
    Step::Transaction,
    Step::Rotate,
    Step::Checkpoint,
    Step::Compact,
    Step::Trim,
    Step::Recreate,
    Step::Expire,
    Step::Rot,
    Step::Heal,
    Step::Idle,
    Step::Reopen,
];
