//! Errors on demand: which call fails, how often, and with what.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::call::Op;

/// Which calls a fault looks at and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Every call.
    Any,
    /// Those that can change what a crash leaves ([`Op::is_mutating`]).
    Mutating,
    /// Syncs of files and directories.
    Syncs,
    /// Those of one kind.
    Only(Op),
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// The n-th call only.
    Once,
    /// The n-th call and every later one that matches.
    Forever,
}

/// What a failing call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// `EIO`.
    Eio,
    /// `ENOSPC`.
    Enospc,
    /// `EDQUOT`.
    Edquot,
    /// `EINTR`.
    Eintr,
    /// `EAGAIN`.
    Eagain,
    /// `EMFILE`: there is no descriptor to open anything with. A sync of a directory that fails with
    /// it was never tried, and leaves everything as it was.
    Emfile,
    /// Half of a read or write of two bytes or more is done; any other call is done whole.
    Short,
}

impl Effect {
    /// The error it answers, `None` for [`Effect::Short`].
    pub(crate) fn error(self) -> Option<io::Error> {
        let errno = match self {
            Self::Eio => Errno::IO,
            Self::Enospc => Errno::NOSPC,
            Self::Edquot => Errno::DQUOT,
            Self::Eintr => Errno::INTR,
            Self::Eagain => Errno::AGAIN,
            Self::Emfile => Errno::MFILE,
            Self::Short => return None,
        };
        Some(errno.into())
    }
}

/// A fault to come.
///
/// A failed call does nothing, with one exception: a failed sync, whatever its error but `EMFILE`,
/// marks the pages it covered clean without writing them, so that no later sync makes them durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which calls count.
    pub calls: Calls,
    /// Only calls on this path or below it count.
    pub under: Option<PathBuf>,
    /// Which of them strikes, from 1, counted from the injection.
    pub nth: u64,
    /// How often.
    pub times: Times,
    /// With what.
    pub effect: Effect,
}

impl Fault {
    /// The `nth` call of `calls` fails once with `effect`.
    #[must_use]
    pub const fn once(calls: Calls, nth: u64, effect: Effect) -> Self {
        Self { calls, under: None, nth, times: Times::Once, effect }
    }

    /// From the `nth` call of `calls` on, all fail with `effect`.
    #[must_use]
    pub const fn forever(calls: Calls, nth: u64, effect: Effect) -> Self {
        Self { calls, under: None, nth, times: Times::Forever, effect }
    }

    /// The same, for calls on `path` or below it alone.
    #[must_use]
    pub fn under(self, path: impl Into<PathBuf>) -> Self {
        Self { under: Some(path.into()), ..self }
    }
}

/// A fault and how many matching calls it has seen.
#[derive(Debug, Clone)]
pub(crate) struct Armed {
    pub(crate) fault: Fault,
    pub(crate) seen: u64,
}

impl Armed {
    /// Counts a call; answers what it makes of it.
    pub(crate) fn strikes(&mut self, op: Op, path: &Path) -> Option<Effect> {
        let counted = match self.fault.calls {
            Calls::Any => true,
            Calls::Mutating => op.is_mutating(),
            Calls::Syncs => op.is_sync(),
            Calls::Only(only) => op == only,
        };
        if !counted || self.fault.under.as_ref().is_some_and(|under| !path.starts_with(under)) {
            return None;
        }
        self.seen += 1;
        let now = match self.fault.times {
            Times::Once => self.seen == self.fault.nth,
            Times::Forever => self.seen >= self.fault.nth,
        };
        now.then_some(self.fault.effect)
    }
}
