//! What clients were answered, and how long it took.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Error, ErrorCode};

/// Buckets of the latencies: eight for each power of two of a microsecond.
const BUCKETS: usize = 8 * 32;

/// Counts of one epoch.
#[derive(Debug)]
pub(crate) struct Counts {
    answered: AtomicU64,
    upkept: AtomicU64,
    followed: AtomicU64,
    lost: AtomicU64,
    /// What was refused, by the name of its code.
    refused: Mutex<BTreeMap<&'static str, u64>>,
    latencies: Vec<AtomicU64>,
}

/// The same as numbers, of one epoch or of many.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// Operations that were answered.
    pub(crate) answered: u64,
    /// Checkpoints, compactions, backups, scrubs, reports.
    pub(crate) upkept: u64,
    /// Changes that the feed told.
    pub(crate) followed: u64,
    /// Connections that were lost with what they asked.
    pub(crate) lost: u64,
    /// What was refused, by code.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    latencies: Vec<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            answered: AtomicU64::default(),
            upkept: AtomicU64::default(),
            followed: AtomicU64::default(),
            lost: AtomicU64::default(),
            refused: Mutex::default(),
            latencies: std::iter::repeat_with(AtomicU64::default).take(BUCKETS).collect(),
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    pub(super) fn answered(&self, took: Duration) {
        add(&self.answered);
        add(&self.latencies[bucket(took)]);
    }

    pub(super) fn upkept(&self) {
        add(&self.upkept);
    }

    pub(super) fn followed(&self) {
        add(&self.followed);
    }

    /// An error with a code was told by the server, any other is a lost connection.
    pub(super) fn unknown(&self, error: &Error) {
        match error.code() {
            Some(_) => self.refused(error),
            None => add(&self.lost),
        }
    }

    pub(super) fn refused(&self, error: &Error) {
        *self.refused.lock().unwrap().entry(error.name()).or_default() += 1;
    }

    pub(super) fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            answered: read(&self.answered),
            upkept: read(&self.upkept),
            followed: read(&self.followed),
            lost: read(&self.lost),
            refused: self.refused.lock().unwrap().clone(),
            latencies: self.latencies.iter().map(read).collect(),
        }
    }
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.upkept += other.upkept;
        self.followed += other.followed;
        self.lost += other.lost;
        for (code, count) in &other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.latencies.resize(BUCKETS, 0);
        for (own, more) in self.latencies.iter_mut().zip(&other.latencies) {
            *own += more;
        }
    }

    /// A quantile of the latencies, in thousandths: the upper end of its bucket.
    pub(crate) fn latency(&self, of_a_thousand: u64) -> Duration {
        let all: u64 = self.latencies.iter().sum();
        let mut left = (all * of_a_thousand).div_ceil(1000);
        for (at, count) in self.latencies.iter().enumerate() {
            if *count >= left {
                return upper(at);
            }
            left -= count;
        }
        upper(BUCKETS)
    }

    /// Codes that tell of nothing but a document that is or is not there, two writers at one, or a
    /// server that stops; of the feed, that it came too late.
    pub(crate) fn odd(&self) -> BTreeMap<&'static str, u64> {
        let expected = [
            ErrorCode::DocNotFound,
            ErrorCode::TxnConflict,
            ErrorCode::TxnNotFound,
            ErrorCode::PoolStopped,
            ErrorCode::LsnTrimmed,
            ErrorCode::SnapshotExpired,
        ]
        .map(ErrorCode::name);
        let refused = self.refused.iter().filter(|(code, _)| !expected.contains(code));
        refused.map(|(code, count)| (*code, *count)).collect()
    }
}

fn bucket(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(8);
    let log = us.ilog2();
    let eighth = (us >> (log - 3)) & 7;
    (8 * log as usize + usize::try_from(eighth).unwrap_or(0)).min(BUCKETS - 1)
}

/// The end of a bucket.
fn upper(bucket: usize) -> Duration {
    let (log, eighth) = (bucket / 8, bucket as u64 % 8);
    Duration::from_micros((9 + eighth) << log.saturating_sub(3))
}
