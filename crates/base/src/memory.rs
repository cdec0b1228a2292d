//! Budgets of memory: who may hold how much, and who holds it.
//!
//! A [`Budget`] counts bytes that its holders promise to use; it allocates nothing. A
//! [`Reservation`] holds some of them and gives them back when dropped. A database has a budget
//! of its own under that of the process: what it reserves counts in both, and either may refuse.
//!
//! # Invariants
//!
//! - What is reserved is at most the limit, except while a limit that was lowered is waiting for
//!   holders to give back, and it is never below zero.
//! - What a budget has reserved is at least the sum of what its children have.
//! - A refused request changes nothing.
//!
//! Lock-free: a compare-and-swap for each level. Start with [`Budget::reserve`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Code, Coded};

/// A budget refused: it, or one above it, is used up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the memory budget is used up, budget={budget} for={purpose} wanted={wanted} used={used} limit={limit}"
)]
pub struct MemoryLimit {
    /// The budget that refused.
    pub budget: Arc<str>,
    /// What the memory was for.
    pub purpose: &'static str,
    /// Bytes asked for.
    pub wanted: u64,
    /// Bytes reserved at that moment.
    pub used: u64,
    /// The limit.
    pub limit: u64,
}

impl Coded for MemoryLimit {
    fn code(&self) -> Code {
        Code::MemoryLimit
    }
}

/// A number of bytes that may be reserved. Cheap to clone; clones are the same budget.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Level>);

#[derive(Debug)]
struct Level {
    name: Arc<str>,
    limit: AtomicU64,
    used: AtomicU64,
    highest: AtomicU64,
    refused: AtomicU64,
    parent: Option<Budget>,
}

/// What a budget looks like at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetStats {
    /// Its name.
    pub name: Arc<str>,
    /// Bytes that may be reserved.
    pub limit: u64,
    /// Bytes that are reserved, those of children included.
    pub used: u64,
    /// The most that was ever reserved at once.
    pub highest: u64,
    /// Requests that this budget refused.
    pub refused_total: u64,
}

impl Budget {
    /// A budget of its own, of `limit` bytes.
    #[must_use]
    pub fn new(name: &str, limit: u64) -> Self {
        Self::with_parent(name, limit, None)
    }

    /// A budget whose reservations count in this one too. The limits of children may add up to
    /// more than this one's: then whoever comes first is served.
    #[must_use]
    pub fn child(&self, name: &str, limit: u64) -> Self {
        Self::with_parent(name, limit, Some(self.clone()))
    }

    fn with_parent(name: &str, limit: u64, parent: Option<Budget>) -> Self {
        Self(Arc::new(Level {
            name: name.into(),
            limit: limit.into(),
            used: AtomicU64::new(0),
            highest: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            parent,
        }))
    }

    /// Reserves `bytes` for `purpose`, a short name that errors and logs show.
    ///
    /// # Errors
    /// [`Code::MemoryLimit`], which is transient: the same request may succeed once others have
    /// given back. A request above the limit itself never will.
    pub fn reserve(&self, purpose: &'static str, bytes: u64) -> Result<Reservation, MemoryLimit> {
        self.take(purpose, bytes)?;
        Ok(Reservation { budget: self.clone(), purpose, bytes })
    }

    /// Changes the limit. What is reserved stays so; a lower limit refuses until enough of it has
    /// been given back.
    pub fn set_limit(&self, limit: u64) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes that are reserved, those of children included.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The numbers, each exact; read one after the other, so not of one single moment.
    #[must_use]
    pub fn stats(&self) -> BudgetStats {
        BudgetStats {
            name: self.0.name.clone(),
            limit: self.0.limit.load(Ordering::Relaxed),
            used: self.used(),
            highest: self.0.highest.load(Ordering::Relaxed),
            refused_total: self.0.refused.load(Ordering::Relaxed),
        }
    }

    /// Counts `bytes` here and in every budget above, or nowhere.
    fn take(&self, purpose: &'static str, bytes: u64) -> Result<(), MemoryLimit> {
        // The parent first: when this level refuses, only the parent's count goes up and down
        // again, and the sum of the children never exceeds it. Budgets are two or three deep.
        if let Some(parent) = &self.0.parent {
            parent.take(purpose, bytes)?;
        }
        self.take_here(purpose, bytes).inspect_err(|_| {
            if let Some(parent) = &self.0.parent {
                parent.give(bytes);
            }
        })
    }

    fn take_here(&self, purpose: &'static str, bytes: u64) -> Result<(), MemoryLimit> {
        let level = &*self.0;
        let limit = level.limit.load(Ordering::Relaxed);
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit || bytes == 0);
        // Relaxed: the counts guard no other memory.
        match level.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(before) => {
                level.highest.fetch_max(before.saturating_add(bytes), Ordering::Relaxed);
                Ok(())
            }
            Err(used) => {
                level.refused.fetch_add(1, Ordering::Relaxed);
                let budget = level.name.clone();
                Err(MemoryLimit { budget, purpose, wanted: bytes, used, limit })
            }
        }
    }

    /// Gives back what [`Budget::take`] took.
    fn give(&self, bytes: u64) {
        let before = self.0.used.fetch_sub(bytes, Ordering::Relaxed);
        assert!(before >= bytes, "a budget gets back only what was taken from it");
        if let Some(parent) = &self.0.parent {
            parent.give(bytes);
        }
    }
}

/// Bytes that are held; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    purpose: &'static str,
    bytes: u64,
}

impl Reservation {
    /// How many bytes are held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What for.
    #[must_use]
    pub fn purpose(&self) -> &'static str {
        self.purpose
    }

    /// Holds `more` bytes in addition.
    ///
    /// # Errors
    /// As [`Budget::reserve`]; what was held stays held.
    pub fn grow(&mut self, more: u64) -> Result<(), MemoryLimit> {
        self.budget.take(self.purpose, more)?;
        // The budget has counted the sum, so it fits.
        self.bytes += more;
        Ok(())
    }

    /// Gives back `fewer` bytes, or all that are held when that is less; returns how many.
    pub fn shrink(&mut self, fewer: u64) -> u64 {
        let given = fewer.min(self.bytes);
        self.bytes -= given;
        self.budget.give(given);
        given
    }

    /// Moves `bytes`, or all that are held when that is less, into a reservation of its own, for
    /// another owner. The budget does not notice.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Reservation {
        let moved = bytes.min(self.bytes);
        self.bytes -= moved;
        Reservation { budget: self.budget.clone(), purpose: self.purpose, bytes: moved }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn reservations_fill_the_budget_to_the_byte_and_give_back_on_drop() {
        let budget = Budget::new("process", 100);
        let mut first = budget.reserve("memtable", 60).unwrap();
        let second = budget.reserve("cache", 40).unwrap();
        let error = budget.reserve("query", 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the memory budget is used up, budget=process for=query wanted=1 used=100 limit=100"
        );
        assert!(error.code() == Code::MemoryLimit && error.retryable());
        drop(second);
        first.grow(40).unwrap();
        assert!(first.grow(1).is_err());
        assert_eq!((first.bytes(), first.purpose(), budget.used()), (100, "memtable", 100));
        assert_eq!(first.shrink(30), 30);
        let moved = first.split(50);
        assert_eq!((first.bytes(), moved.bytes(), budget.used()), (20, 50, 70));
        assert_eq!(first.shrink(u64::MAX), 20);
        drop(first);
        assert_eq!(budget.used(), 50);
        drop(moved);
        let expected = BudgetStats {
            name: "process".into(),
            limit: 100,
            used: 0,
            highest: 100,
            refused_total: 2,
        };
        assert_eq!(budget.stats(), expected);
    }

    #[test]
    fn a_child_counts_in_its_parent_and_either_may_refuse() {
        let process = Budget::new("process", 100);
        let (one, two) = (process.child("one", 80), process.child("two", 80));
        assert_eq!(&*one.reserve("x", 81).unwrap_err().budget, "one");
        assert_eq!((one.used(), process.used()), (0, 0));
        let held = one.reserve("x", 70).unwrap();
        assert_eq!(&*two.reserve("x", 31).unwrap_err().budget, "process");
        assert_eq!((one.used(), two.used(), process.used()), (70, 0, 70));
        let rest = two.reserve("x", 30).unwrap();
        assert_eq!(process.used(), 100);
        drop((held, rest));
        assert_eq!((one.used(), two.used(), process.used()), (0, 0, 0));
    }

    #[test]
    fn no_size_overflows() {
        let budget = Budget::new("all", u64::MAX);
        let most = budget.reserve("x", u64::MAX).unwrap();
        assert!(budget.reserve("x", 1).is_err());
        assert!(budget.reserve("x", u64::MAX).is_err());
        let nothing = budget.reserve("x", 0).unwrap();
        drop((most, nothing));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_lower_limit_refuses_until_enough_is_given_back() {
        let budget = Budget::new("process", 100);
        let mut held = budget.reserve("x", 100).unwrap();
        budget.set_limit(50);
        assert_eq!(budget.used(), 100);
        held.shrink(49);
        assert!(budget.reserve("x", 1).is_err());
        held.shrink(2);
        assert!(budget.reserve("x", 1).is_ok());
    }

    #[test]
    fn threads_that_reserve_at_once_stay_within_the_limits_and_give_back_all() {
        let process = Budget::new("process", 1000);
        let threads: Vec<_> = (0..4)
            .map(|seed| {
                let (parent, child) = (process.clone(), process.child("database", 400));
                let work = move || {
                    let mut rng = Rng::new(seed);
                    let mut held = Vec::new();
                    for _ in 0..20_000 {
                        match child.reserve("x", rng.below(100)) {
                            Ok(reservation) => held.push(reservation),
                            Err(_) => held.truncate(rng.index(held.len())),
                        }
                        assert!(child.used() <= 400 && parent.used() <= 1000);
                    }
                };
                crate::workers::spawn("reserving", work).unwrap()
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let stats = process.stats();
        assert!(stats.used == 0 && stats.highest <= 1000 && stats.highest > 0, "{stats:?}");
    }
}
