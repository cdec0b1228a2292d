//! Times one round: wall time, and CPU time of the whole process, so that work pushed to another
//! thread is not free.

use std::io;
use std::time::Duration;

use base::clock::ClockRef;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What one round took.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Operations done.
    pub operations: u64,
    /// Wall time.
    pub wall: Duration,
    /// CPU time, user and system, of all threads of this process.
    pub cpu: Duration,
}

impl Sample {
    /// Operations per second of wall time.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        count(self.operations) / self.wall.as_secs_f64()
    }

    /// CPU microseconds per operation.
    #[must_use]
    pub fn cpu_us_per_operation(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count(self.operations)
    }
}

/// Handed to each round, which prepares, calls [`Stopwatch::time`] around what counts, and cleans
/// up.
#[derive(Debug)]
pub struct Stopwatch {
    clock: ClockRef,
    sample: Sample,
}

impl Stopwatch {
    /// A stopwatch at zero.
    #[must_use]
    pub fn new(clock: ClockRef) -> Self {
        Self { clock, sample: Sample::default() }
    }

    /// Times `work`, which does `operations`. Several calls in one round add up.
    ///
    /// # Errors
    /// Those of `work`; the round then counts for nothing.
    pub fn time(
        &mut self,
        operations: u64,
        work: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let (start, cpu) = (self.clock.now(), cpu_now());
        work()?;
        self.sample.cpu += cpu_now().saturating_sub(cpu);
        self.sample.wall += self.clock.now().since(start);
        self.sample.operations += operations;
        Ok(())
    }

    /// Adds what was timed elsewhere, as in another process.
    pub fn add(&mut self, other: Sample) {
        self.sample.operations += other.operations;
        self.sample.wall += other.wall;
        self.sample.cpu += other.cpu;
    }

    /// What was timed.
    ///
    /// # Errors
    /// When nothing was: a round that times nothing is a mistake in the bench.
    pub fn finish(self) -> io::Result<Sample> {
        if self.sample.operations == 0 || self.sample.wall.is_zero() {
            return Err(io::Error::other("a round of the bench timed nothing"));
        }
        Ok(self.sample)
    }
}

/// CPU time of this process until now, user and system, of all its threads.
#[must_use]
pub fn cpu_now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench stay far below 2^53")]
fn count(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::clock::SystemClock;

    #[test]
    fn rates_are_per_operation() {
        let sample = Sample {
            operations: 1000,
            wall: Duration::from_millis(500),
            cpu: Duration::from_millis(250),
        };
        assert!((sample.per_second() - 2000.0).abs() < 1e-9);
        assert!((sample.cpu_us_per_operation() - 250.0).abs() < 1e-9);
    }

    #[test]
    fn calls_of_one_round_add_up() {
        let mut stopwatch = Stopwatch::new(SystemClock::shared());
        stopwatch.time(2, || Ok(())).unwrap();
        stopwatch.time(3, || Ok(())).unwrap();
        assert_eq!(stopwatch.finish().unwrap().operations, 5);
    }

    #[test]
    fn a_round_that_times_nothing_is_an_error() {
        assert!(Stopwatch::new(SystemClock::shared()).finish().is_err());
    }
}
