//! The probe: what the disk does at this moment for the smallest durable write. It runs before and
//! after each case, because on a shared machine the same write takes 0.1 ms in one minute and 4 ms
//! in the next, and figures of such minutes must not be compared.

use std::io;

use base::clock::ClockRef;

use crate::scratch::{RawFile, Scratch};
use crate::verdict::Spread;

/// Writes per probe.
const WRITES: u64 = 200;
const WRITES_SMOKE: u64 = 5;
/// Bytes per write.
const WRITE_BYTES: usize = 4096;

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probe {
    /// Median time of a raw 4 KiB write and `fdatasync` into a zero-filled file, in microseconds.
    pub median_us: f64,
}

impl Probe {
    /// Takes a reading in `scratch`.
    ///
    /// # Errors
    /// Whatever the system says about the probe's file.
    pub fn take(scratch: &Scratch, clock: &ClockRef, smoke: bool) -> io::Result<Self> {
        let writes = if smoke { WRITES_SMOKE } else { WRITES };
        let block = [0xA5; WRITE_BYTES];
        let file = RawFile::zero_filled(&scratch.path("probe"), writes * WRITE_BYTES as u64)?;
        let mut times_us = Vec::new();
        for n in 0..writes {
            let start = clock.now();
            file.write_all_at(&block, n * WRITE_BYTES as u64)?;
            file.sync_data()?;
            times_us.push(clock.now().since(start).as_secs_f64() * 1e6);
        }
        scratch.remove("probe")?;
        Ok(Self { median_us: Spread::of(&times_us).median })
    }

    /// By which factor two readings differ: 1 when they agree.
    #[must_use]
    pub fn drift(self, other: Probe) -> f64 {
        let ratio = self.median_us / other.median_us;
        if ratio < 1.0 { 1.0 / ratio } else { ratio }
    }
}
