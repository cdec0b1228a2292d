//! What an enumeration visited, and what it found.

use std::fmt;

use super::{Mode, Point};
use crate::disk::{Call, Kept, Pending, Rest};

/// How much of what was possible at one moment was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    /// Every combination of fates.
    Exhaustive,
    /// Every subset of calls applied and lost; other fates one at a time and by chance.
    Subsets,
    /// Corners, other fates one at a time, and chance.
    Sampled,
}

/// What an enumeration visited. Kinds count distinct states; a state may be of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Moments at which the machine was stopped.
    pub prefixes: u64,
    /// Of them, those whose power losses were all tried.
    pub prefixes_exhaustive: u64,
    /// Those of which all subsets of whole calls were tried.
    pub prefixes_subsets: u64,
    /// Those that were sampled.
    pub prefixes_sampled: u64,
    /// States built.
    pub states: u64,
    /// States that differed from all before, and were checked.
    pub distinct: u64,
    /// States after a kill between calls.
    pub kills: u64,
    /// States after a kill within a write.
    pub kills_within: u64,
    /// States after a power loss that took or left whole calls.
    pub power_whole: u64,
    /// States with a torn write.
    pub power_torn: u64,
    /// States with a write replaced by garbage, in part or whole.
    pub power_garbage: u64,
    /// States with the length of a write without its bytes.
    pub power_grown: u64,
}

impl Report {
    pub(super) fn count_coverage(&mut self, coverage: Coverage) {
        match coverage {
            Coverage::Exhaustive => self.prefixes_exhaustive += 1,
            Coverage::Subsets => self.prefixes_subsets += 1,
            Coverage::Sampled => self.prefixes_sampled += 1,
        }
    }

    pub(super) fn count_state(&mut self, mode: &Mode) {
        self.distinct += 1;
        let fates = match mode {
            Mode::Kill => return self.kills += 1,
            Mode::KillWithin { .. } => return self.kills_within += 1,
            Mode::PowerLoss(fates) => fates,
        };
        let part = || fates.iter().filter(|fate| !fate.is_applied() && !fate.is_lost());
        let any = |found: bool| u64::from(found);
        self.power_whole += any(part().next().is_none());
        self.power_torn += any(part().any(|fate| fate.kept != Kept::None));
        self.power_garbage += any(part().any(|fate| matches!(fate.rest, Rest::Garbage(_))));
        self.power_grown += any(part().any(|fate| fate.rest == Rest::Grown));
    }

    /// Adds what another enumeration visited.
    pub fn add(&mut self, other: &Self) {
        self.prefixes += other.prefixes;
        self.prefixes_exhaustive += other.prefixes_exhaustive;
        self.prefixes_subsets += other.prefixes_subsets;
        self.prefixes_sampled += other.prefixes_sampled;
        self.states += other.states;
        self.distinct += other.distinct;
        self.kills += other.kills;
        self.kills_within += other.kills_within;
        self.power_whole += other.power_whole;
        self.power_torn += other.power_torn;
        self.power_garbage += other.power_garbage;
        self.power_grown += other.power_grown;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} distinct states of {} built at {} moments ({} exhaustive, {} all subsets, \
             {} sampled); kills {} + {} within a write; power loss: {} whole, {} torn, \
             {} garbage, {} grown",
            self.distinct,
            self.states,
            self.prefixes,
            self.prefixes_exhaustive,
            self.prefixes_subsets,
            self.prefixes_sampled,
            self.kills,
            self.kills_within,
            self.power_whole,
            self.power_torn,
            self.power_garbage,
            self.power_grown,
        )
    }
}

/// A state that failed its check. [`super::Recording::disk_at`] builds it again from `point`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the enumeration.
    pub seed: u64,
    /// Where.
    pub point: Point,
    /// What the check said.
    pub message: String,
    /// The mutating calls before the crash.
    pub calls: Vec<Call>,
    /// How many marks had been set.
    pub acknowledged: usize,
    /// The calls whose fates `point` gives.
    pub pending: Vec<Pending>,
}

/// How many of the last calls a failure prints.
const CALLS_SHOWN: usize = 24;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.message)?;
        let Point { prefix, mode } = &self.point;
        let acknowledged = self.acknowledged;
        writeln!(f, "seed={} prefix={prefix} acknowledged={acknowledged}", self.seed)?;
        let hidden = self.calls.len().saturating_sub(CALLS_SHOWN);
        if hidden > 0 {
            writeln!(f, "  ({hidden} earlier calls)")?;
        }
        for call in &self.calls[hidden..] {
            writeln!(f, "  {call}")?;
        }
        match mode {
            Mode::Kill => writeln!(f, "killed"),
            Mode::KillWithin { bytes } => writeln!(f, "killed after {bytes} bytes of a write"),
            Mode::PowerLoss(fates) => {
                writeln!(f, "power lost:")?;
                for (pending, fate) in self.pending.iter().zip(fates) {
                    writeln!(f, "  {pending}: {fate}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Failure {}
