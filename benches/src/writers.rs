//! Many threads that each do durable writes one after another, with the time of every write; and a
//! committer in front of an engine, so that peers that do not combine writes can be measured on
//! the same terms.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};

/// What the writes of all threads took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Latencies {
    /// Half of the writes took at most this.
    pub p50: Duration,
    /// Of a hundred writes, 99 took at most this.
    pub p99: Duration,
    /// Of a thousand writes, 999 took at most this.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

impl Latencies {
    /// Quantiles of some times, by nearest rank.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |of_a_thousand: usize| {
            let rank = (times.len() * of_a_thousand).div_ceil(1000).max(1);
            times.get(rank - 1).copied().unwrap_or_default()
        };
        Self { p50: at(500), p99: at(990), p999: at(999), max: at(1000) }
    }
}

impl std::fmt::Display for Latencies {
    /// The last round's, in microseconds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, max] = [self.p50, self.p99, self.max].map(|time| time.as_micros());
        write!(f, "p50 {p50} µs, p99 {p99} µs, longest {max} µs")
    }
}

/// How much each thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// So many writes.
    Writes(u64),
    /// Writes until so many milliseconds have passed, one at least.
    Millis(u64),
}

/// Lets `threads` threads do `writes` writes each: `write(thread, n)`.
///
/// # Errors
/// The first error of a write.
pub fn run(
    threads: u64,
    writes: u64,
    write: impl Fn(u64, u64) -> io::Result<()> + Sync,
) -> io::Result<Latencies> {
    let times = times(threads, Amount::Writes(writes), |thread| {
        let write = &write;
        move |n| write(thread, n)
    })?;
    Ok(Latencies::of(times.into_iter().flatten().collect()))
}

/// Lets `threads` threads do as much as `amount` says, each with what `writer` makes for it, and
/// answers how long every write of every thread took.
///
/// # Errors
/// The first error of a write.
pub fn times<W: FnMut(u64) -> io::Result<()>>(
    threads: u64,
    amount: Amount,
    writer: impl Fn(u64) -> W + Sync,
) -> io::Result<Vec<Vec<Duration>>> {
    let clock = SystemClock::new();
    let (clock, writer) = (&clock, &writer);
    let work = move |thread| {
        let (mut times, mut write) = (Vec::new(), writer(thread));
        let begin = clock.now();
        for n in 0.. {
            let start = clock.now();
            let is_over = match amount {
                Amount::Writes(writes) => n == writes,
                Amount::Millis(ms) => n > 0 && start.since(begin) >= Duration::from_millis(ms),
            };
            if is_over {
                break;
            }
            write(n)?;
            times.push(clock.now().since(start));
        }
        Ok::<_, io::Error>(times)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|n| scope.spawn(move || work(n))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, io::Result<_>>| {
            thread.join().map_err(|_| io::Error::other("a writer panicked"))?
        };
        // All are joined before the first error is answered.
        let joined: Vec<_> = running.into_iter().map(join).collect();
        joined.into_iter().collect()
    })
}

/// Combines the writes of many threads: who comes while a group is written waits for the next one,
/// and one of them writes it for all.
#[derive(Debug)]
pub struct Combiner<W> {
    state: Mutex<Combined<W>>,
    done: Condvar,
}

#[derive(Debug)]
struct Combined<W> {
    waiting: Vec<W>,
    leading: bool,
    taken: u64,
    written: u64,
    groups: u64,
    failed: bool,
}

impl<W> Default for Combiner<W> {
    fn default() -> Self {
        let state = Combined {
            waiting: Vec::new(),
            leading: false,
            taken: 0,
            written: 0,
            groups: 0,
            failed: false,
        };
        Self { state: Mutex::new(state), done: Condvar::new() }
    }
}

impl<W> Combiner<W> {
    /// Returns when `write` was written by `write_all`, called here or by another thread.
    ///
    /// # Errors
    /// When `write_all` failed, now or before.
    pub fn commit(
        &self,
        write: W,
        write_all: impl Fn(&mut Vec<W>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.push(write);
        state.taken += 1;
        let mine = state.taken;
        while state.written < mine && !state.failed {
            if state.leading {
                state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.leading = true;
            let upto = state.taken;
            let mut group = std::mem::take(&mut state.waiting);
            drop(state);
            let result = write_all(&mut group);
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.leading = false;
            state.written = upto;
            state.groups += 1;
            state.failed |= result.is_err();
            self.done.notify_all();
            result?;
        }
        if state.failed { Err(io::Error::other("a group was not written")) } else { Ok(()) }
    }

    /// Mean number of writes in a group.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench stay far below 2^53")]
    pub fn mean_group(&self) -> f64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.written as f64 / state.groups.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let ms = Duration::from_millis;
        let expected = Latencies { p50: ms(50), p99: ms(99), p999: ms(100), max: ms(100) };
        assert_eq!(Latencies::of(times), expected);
        assert_eq!(Latencies::of(Vec::new()), Latencies::default());
    }

    #[test]
    fn everything_that_is_combined_is_written_once() {
        let written = Mutex::new(Vec::new());
        let combiner = Combiner::default();
        run(8, 50, |thread, n| {
            combiner.commit((thread, n), |group| {
                written.lock().unwrap().append(group);
                Ok(())
            })
        })
        .unwrap();
        let mut written = written.into_inner().unwrap();
        written.sort_unstable();
        written.dedup();
        assert_eq!(written.len(), 400);
        assert!(combiner.mean_group() >= 1.0);
    }

    #[test]
    fn a_group_that_fails_fails_everybody_in_it() {
        let combiner = Combiner::default();
        let fails = |_: &mut Vec<u64>| Err(io::Error::other("no"));
        assert!(run(4, 2, |_, n| combiner.commit(n, fails)).is_err());
    }
}
