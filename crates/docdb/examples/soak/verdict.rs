//! What a soak came to, and whether it is good.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use sim::history::{Checked, Violation};

use crate::load::{Figures, Load};
use crate::probe::Asked;
use crate::samples::{Sample, Samples};
use crate::server::Ending;

/// What memory and disk may be more at the end than they were early, and how much is nothing.
const GROWTH: f64 = 1.25;
const NOTHING_KIB: u64 = 32 * 1024;
/// Descriptors come and go with files and connections.
const DESCRIPTORS: u64 = 16;

/// Everything that was found.
pub(crate) struct Verdict {
    life: u64,
    figures: Figures,
    endings: Vec<(Ending, Duration)>,
    checked: usize,
    violations: Vec<String>,
    took: Duration,
    asked: Asked,
    samples: Option<Samples>,
    files_are_sound: bool,
}

impl Verdict {
    pub(crate) fn new(life: u64) -> Self {
        Self {
            life,
            figures: Figures::default(),
            endings: Vec::new(),
            checked: 0,
            violations: Vec::new(),
            took: Duration::ZERO,
            asked: Asked::default(),
            samples: None,
            files_are_sound: false,
        }
    }

    pub(crate) fn note_epoch(
        &mut self,
        endings: Vec<(Ending, Duration)>,
        checked: Result<Checked, Violation>,
        load: &Load,
    ) {
        self.endings.extend(endings);
        self.figures.add(&load.figures());
        match checked {
            Ok(checked) => self.checked += checked.operations,
            Err(violation) => self.violations.push(violation.to_string()),
        }
    }

    pub(crate) fn note_end(&mut self, took: Duration, asked: Asked, samples: Samples) {
        (self.took, self.asked, self.samples) = (took, asked, Some(samples));
    }

    pub(crate) fn note_files(&mut self, are_sound: bool) {
        self.files_are_sound = are_sound;
    }

    /// How long the server was away after each ending of a kind, shortest first.
    fn away(&self, kind: Ending) -> Vec<Duration> {
        let of_kind = self.endings.iter().filter(|(ending, _)| *ending == kind);
        let mut all: Vec<_> = of_kind.map(|(_, took)| *took).collect();
        all.sort_unstable();
        all
    }

    /// The part of the time in which it answered, restarts included.
    fn availability(&self) -> f64 {
        let away: Duration = self.endings.iter().map(|(_, took)| *took).sum();
        1.0 - away.as_secs_f64() / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn early_and_late(&self) -> (Sample, Sample) {
        self.samples.as_ref().map(Samples::early_and_late).unwrap_or_default()
    }

    /// Whether what it holds is where it was.
    fn is_flat(&self) -> bool {
        let (early, late) = self.early_and_late();
        is_flat(early.resident_kib, late.resident_kib)
            && is_flat(early.disk_kib, late.disk_kib)
            && late.descriptors <= early.descriptors + DESCRIPTORS
    }

    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty()
            && self.checked > 0
            && self.asked.unexpected == 0
            && self.figures.odd().is_empty()
            && self.is_flat()
            && self.files_are_sound
    }

    pub(crate) fn to_json(&self) -> Value {
        let (early, late) = self.early_and_late();
        let sample = |sample: Sample| {
            json!({
                "resident_kib": sample.resident_kib,
                "descriptors": sample.descriptors,
                "disk_kib": sample.disk_kib,
            })
        };
        json!({
            "good": self.is_good(),
            "seconds": self.took.as_secs(),
            "life_seconds": self.life,
            "answered": self.figures.answered,
            "checked": self.checked,
            "violations": self.violations,
            "availability": self.availability(),
            "unexpected": self.asked.unexpected,
            "odd": self.figures.odd(),
            "files_are_sound": self.files_are_sound,
            "early": sample(early),
            "late": sample(late),
            "lives": self.samples.as_ref().map(Samples::to_json),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "kibibytes stay far below 2^53")]
fn is_flat(early: u64, late: u64) -> bool {
    late <= early + NOTHING_KIB || late as f64 <= early as f64 * GROWTH
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (figures, asked) = (&self.figures, &self.asked);
        writeln!(f, "time        {} s, lives of {} s", self.took.as_secs(), self.life)?;
        writeln!(
            f,
            "load        {} operations answered, {} connections lost, refused {:?}",
            figures.answered, figures.lost, figures.refused
        )?;
        let [p50, p99, p999] = [500, 990, 999].map(|q| figures.latency(q).as_micros());
        writeln!(f, "latency     p50 {p50} µs, p99 {p99} µs, p99.9 {p999} µs")?;
        writeln!(f, "upkeep      {} done, {} changes followed", figures.upkept, figures.followed)?;
        writeln!(f, "history     {} operations checked, {:?}", self.checked, self.violations)?;
        for (kind, name) in [(Ending::Kill, "killed"), (Ending::Term, "ended")] {
            let away = self.away(kind);
            let middle = away.get(away.len() / 2).copied().unwrap_or_default();
            let longest = away.last().copied().unwrap_or_default();
            let (times, middle, longest) = (away.len(), middle.as_millis(), longest.as_millis());
            writeln!(f, "{name:<11} {times} times, away {middle} ms, at most {longest} ms")?;
        }
        let (answered, away, odd) = (asked.answered, asked.while_away, asked.unexpected);
        let availability = self.availability() * 100.0;
        writeln!(
            f,
            "available   {availability:.3} %: asked {answered} times, {away} times while it was \
             away, {odd} times in vain"
        )?;
        let (early, late) = self.early_and_late();
        writeln!(
            f,
            "memory      {} KiB early, {} KiB late",
            early.resident_kib, late.resident_kib
        )?;
        writeln!(f, "descriptors {} early, {} late", early.descriptors, late.descriptors)?;
        writeln!(f, "disk        {} KiB early, {} KiB late", early.disk_kib, late.disk_kib)?;
        writeln!(f, "files       {}", if self.files_are_sound { "sound" } else { "NOT SOUND" })?;
        if !figures.odd().is_empty() {
            writeln!(f, "odd         {:?}", figures.odd())?;
        }
        write!(f, "verdict     {}", if self.is_good() { "good" } else { "NOT GOOD" })
    }
}
