//! What a log counts about its commits.

use std::time::Duration;

use crate::sync::{Mutex, lock};

/// Statistics of group commit since the log was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CommitStats {
    /// Groups written.
    pub total_batches: u64,
    /// Transactions written.
    pub total_transactions: u64,
    /// Frames written: one for each change.
    pub total_records: u64,
    /// Mean number of transactions in a group.
    pub avg_batch_size: f64,
    /// Most transactions in a group.
    pub max_batch_size: u64,
    /// Mean time from adding a transaction to its acknowledgement, nanoseconds.
    pub avg_latency_ns: u64,
    /// Longest such time, nanoseconds.
    pub max_latency_ns: u64,
    /// Wall time of the last group, nanoseconds since the Unix epoch; 0 = none yet.
    pub last_flush_time_unix_ns: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Sums>);

#[derive(Debug, Default)]
struct Sums {
    batches: u64,
    transactions: u64,
    records: u64,
    batch_max: u64,
    latency_ns: u128,
    latency_max: u64,
    last_flush_ns: u64,
}

impl Counters {
    /// Counts one group: frames and latency of each of its transactions.
    pub(crate) fn group(&self, written: impl Iterator<Item = (u32, Duration)>, wall_ms: u64) {
        let mut sums = lock(&self.0);
        let (mut transactions, mut records) = (0, 0);
        for (frames, latency) in written {
            let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
            transactions += 1;
            records += u64::from(frames);
            sums.latency_ns += u128::from(ns);
            sums.latency_max = sums.latency_max.max(ns);
        }
        sums.batches += 1;
        sums.transactions += transactions;
        sums.records += records;
        sums.batch_max = sums.batch_max.max(transactions);
        sums.last_flush_ns = wall_ms.saturating_mul(1_000_000);
    }

    #[expect(clippy::cast_precision_loss, reason = "a mean for people to read")]
    pub(crate) fn read(&self) -> CommitStats {
        let sums = lock(&self.0);
        let mean = |sum: u128, n: u64| {
            u64::try_from(sum.checked_div(u128::from(n)).unwrap_or(0)).unwrap_or(u64::MAX)
        };
        CommitStats {
            total_batches: sums.batches,
            total_transactions: sums.transactions,
            total_records: sums.records,
            avg_batch_size: if sums.batches == 0 {
                0.0
            } else {
                sums.transactions as f64 / sums.batches as f64
            },
            max_batch_size: sums.batch_max,
            avg_latency_ns: mean(sums.latency_ns, sums.transactions),
            max_latency_ns: sums.latency_max,
            last_flush_time_unix_ns: sums.last_flush_ns,
        }
    }
}
