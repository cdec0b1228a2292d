//! How far a long command is: a bar on a terminal, and a plain line now and then elsewhere.
//!
//! The bar is the one thing that is drawn on the terminal itself and not written to the `err` that
//! a command is given: it is no text, and it is gone at the end.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use base::clock::{ClockRef, Instant, SystemClock};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long it is silent between two plain lines, and before the first.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// How often a bar is drawn at most.
const DRAWS_PER_SECOND: u8 = 10;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Bytes.
    Bytes,
    /// Documents.
    Documents,
}

/// Shows how far a command is.
pub(super) struct Progress<'a> {
    what: &'static str,
    unit: Unit,
    shown: Shown,
    err: &'a mut dyn Write,
}

enum Shown {
    Bar(ProgressBar),
    Lines { clock: ClockRef, next: Instant },
}

impl<'a> Progress<'a> {
    /// A bar when standard error is a terminal, plain lines on `err` otherwise. Nobody knows the
    /// total yet.
    pub(super) fn new(what: &'static str, unit: Unit, err: &'a mut dyn Write) -> Self {
        if !io::stderr().is_terminal() {
            return Self::lines(what, unit, err, SystemClock::shared());
        }
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style(unit, false));
        bar.set_message(what);
        Self { what, unit, shown: Shown::Bar(bar), err }
    }

    fn lines(what: &'static str, unit: Unit, err: &'a mut dyn Write, clock: ClockRef) -> Self {
        let next = clock.now().after(PLAIN_INTERVAL);
        Self { what, unit, shown: Shown::Lines { clock, next }, err }
    }

    /// So much is done, of so much when that is known. What cannot be shown is not shown: the work
    /// goes on.
    pub(super) fn at(&mut self, done: u64, total: Option<u64>) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                if bar.length() != total {
                    if let Some(total) = total {
                        bar.set_length(total);
                    }
                    bar.set_style(style(self.unit, total.is_some()));
                }
                bar.set_position(done);
            }
            Shown::Lines { clock, next } => {
                let now = clock.now();
                if now >= *next {
                    *next = now.after(PLAIN_INTERVAL);
                    let line = plain(self.unit, done, total);
                    let _ = writeln!(self.err, "{}: {line}", self.what);
                }
            }
        }
    }

    /// Writes a line to `err`, above the bar.
    pub(super) fn note(&mut self, line: &str) -> io::Result<()> {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(|| writeln!(self.err, "{line}")),
            Shown::Lines { .. } => writeln!(self.err, "{line}"),
        }
    }
}

impl Drop for Progress<'_> {
    /// The bar makes way for the result, or for the reason why there is none.
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn style(unit: Unit, has_total: bool) -> ProgressStyle {
    let template = match (unit, has_total) {
        (Unit::Bytes, true) => {
            "{msg} [{bar:30}] {percent} % {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left"
        }
        (Unit::Bytes, false) => "{msg} {bytes}, {bytes_per_sec}, {elapsed}",
        (Unit::Documents, true) => {
            "{msg} [{bar:30}] {percent} % {pos} of {len} documents, {per_sec}, {eta} left"
        }
        (Unit::Documents, false) => "{msg} {pos} documents, {per_sec}, {elapsed}",
    };
    let style = ProgressStyle::with_template(template).expect("a test reads every template");
    style.progress_chars("=> ")
}

/// What a plain line says.
fn plain(unit: Unit, done: u64, total: Option<u64>) -> String {
    let percent = |total: u64| done.saturating_mul(100) / total.max(1);
    match (unit, total) {
        (Unit::Bytes, Some(total)) => {
            format!("{} % ({} of {})", percent(total), bytes(done), bytes(total))
        }
        (Unit::Bytes, None) => bytes(done),
        (Unit::Documents, Some(total)) => {
            format!("{} % ({done} of {total} documents)", percent(total))
        }
        (Unit::Documents, None) => format!("{done} documents"),
    }
}

/// A number of bytes for people.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let (mut unit, mut scale) = ("", 1_u64);
    for name in UNITS {
        if bytes / scale < 1024 {
            break;
        }
        (unit, scale) = (name, scale * 1024);
    }
    // In tenths of the unit, in integers: a float would round what it shows.
    let tenths = (u128::from(bytes) * 10) / u128::from(scale);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use base::clock::{Clock, WallMs};

    use super::*;

    #[derive(Debug, Default)]
    struct ByHand(AtomicU64);

    impl Clock for ByHand {
        fn now(&self) -> Instant {
            Instant(self.0.load(Ordering::Relaxed) * 1_000_000_000)
        }

        fn wall(&self) -> WallMs {
            WallMs(0)
        }
    }

    #[test]
    fn plain_lines_come_now_and_then_and_notes_at_once() {
        let clock = Arc::new(ByHand::default());
        let mut err = Vec::new();
        let shared: ClockRef = Arc::clone(&clock) as ClockRef;
        let mut progress = Progress::lines("backup", Unit::Bytes, &mut err, shared);
        for second in 0..25 {
            clock.0.store(second, Ordering::Relaxed);
            progress.at(second * 1024, Some(64 * 1024));
        }
        progress.note("a note").unwrap();
        drop(progress);
        let text = String::from_utf8(err).unwrap();
        assert_eq!(
            text,
            "backup: 15 % (10.0 KiB of 64.0 KiB)\nbackup: 31 % (20.0 KiB of 64.0 KiB)\na note\n"
        );
    }

    #[test]
    fn what_is_done_is_said_with_and_without_a_total() {
        assert_eq!(plain(Unit::Documents, 3, Some(0)), "300 % (3 of 0 documents)");
        assert_eq!(plain(Unit::Documents, 3, None), "3 documents");
        assert_eq!(plain(Unit::Bytes, 3, None), "3 bytes");
        for (n, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1_572_864, "1.5 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn every_template_of_a_bar_can_be_read() {
        for unit in [Unit::Bytes, Unit::Documents] {
            style(unit, true);
            style(unit, false);
        }
    }
}
