//! Runs a case: ours and the peer in turn, the probe around them.

use std::io;

use base::clock::{ClockRef, SystemClock};

use crate::probe::Probe;
use crate::report::{CaseReport, Report, SideReport};
use crate::stopwatch::{Sample, Stopwatch};
use crate::verdict::{self, Spread};
use crate::{Options, Scratch};

/// A question, and what would answer it with yes.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Its name, one word, unique in the bench.
    pub name: &'a str,
    /// What one operation is, for the reader of the report.
    pub operation: &'a str,
    /// The peer's name and version.
    pub peer: &'a str,
    /// Least ratio of ours to the peer's operations per second; none when nothing is claimed.
    pub aim: Option<f64>,
}

/// A bench in progress.
#[derive(Debug)]
pub struct Bench<'a> {
    scratch: &'a Scratch,
    clock: ClockRef,
    pairs: usize,
    smoke: bool,
    report: Report,
}

impl<'a> Bench<'a> {
    /// A bench without cases yet.
    #[must_use]
    pub fn new(name: &str, scratch: &'a Scratch, options: &Options) -> Self {
        Self {
            scratch,
            clock: SystemClock::shared(),
            pairs: if options.smoke { 1 } else { options.pairs.max(1) },
            smoke: options.smoke,
            report: Report::new(name),
        }
    }

    /// Where the bench may write.
    #[must_use]
    pub fn scratch(&self) -> &'a Scratch {
        self.scratch
    }

    /// Whether it is only seen whether everything works.
    #[must_use]
    pub fn is_smoke(&self) -> bool {
        self.smoke
    }

    /// How much work to do where `full` is worth measuring: little in a smoke run.
    #[must_use]
    pub fn amount(&self, full: u64) -> u64 {
        if self.smoke { full.min(4) } else { full }
    }

    /// Runs a case: each side once to warm up, then pairs in which the first is in turn ours and
    /// the peer, so that neither always follows the other.
    ///
    /// # Errors
    /// The first error of either side, or of the probe.
    pub fn case(
        &mut self,
        case: Case<'_>,
        ours: impl FnMut(&mut Stopwatch) -> io::Result<()>,
        peer: impl FnMut(&mut Stopwatch) -> io::Result<()>,
    ) -> io::Result<()> {
        self.case_in_slices(case, 1, ours, peer)
    }

    /// The same for sides that depend on a disk whose speed drifts within seconds: the two samples
    /// of a pair are the sums of `slices` runs each, in turn, so that both see the same drift.
    ///
    /// # Errors
    /// The first error of either side, or of the probe.
    pub fn case_in_slices(
        &mut self,
        case: Case<'_>,
        slices: usize,
        mut ours: impl FnMut(&mut Stopwatch) -> io::Result<()>,
        mut peer: impl FnMut(&mut Stopwatch) -> io::Result<()>,
    ) -> io::Result<()> {
        let slices = if self.smoke { 1 } else { slices };
        let clock = ClockRef::clone(&self.clock);
        let mut pair = |first_is_ours: bool, slices: usize| {
            let mut a = Stopwatch::new(ClockRef::clone(&clock));
            let mut b = Stopwatch::new(ClockRef::clone(&clock));
            for slice in 0..slices {
                if first_is_ours == slice.is_multiple_of(2) {
                    ours(&mut a)?;
                    peer(&mut b)?;
                } else {
                    peer(&mut b)?;
                    ours(&mut a)?;
                }
            }
            Ok::<_, io::Error>((a.finish()?, b.finish()?))
        };
        if !self.smoke {
            pair(true, 1)?;
        }
        let before = Probe::take(self.scratch, &self.clock, self.smoke)?;
        let pairs = (0..self.pairs)
            .map(|n| pair(n.is_multiple_of(2), slices))
            .collect::<io::Result<Vec<_>>>()?;
        let after = Probe::take(self.scratch, &self.clock, self.smoke)?;
        self.report.cases.push(case_report(case, &pairs, before, after));
        Ok(())
    }

    /// What was found.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.report
    }
}

fn case_report(
    case: Case<'_>,
    pairs: &[(Sample, Sample)],
    before: Probe,
    after: Probe,
) -> CaseReport {
    let ratios: Vec<f64> =
        pairs.iter().map(|(ours, peer)| ours.per_second() / peer.per_second()).collect();
    CaseReport {
        name: case.name.to_owned(),
        operation: case.operation.to_owned(),
        peer_name: case.peer.to_owned(),
        aim: case.aim,
        ours: side_report(pairs.iter().map(|(ours, _)| ours)),
        peer: side_report(pairs.iter().map(|(_, peer)| peer)),
        ratio: Spread::of(&ratios),
        before,
        after,
        verdict: verdict::judge(&ratios, case.aim, before, after),
        ratios,
    }
}

fn side_report<'s>(samples: impl Iterator<Item = &'s Sample>) -> SideReport {
    let (rates, costs): (Vec<f64>, Vec<f64>) =
        samples.map(|s| (s.per_second(), s.cpu_us_per_operation())).unzip();
    SideReport {
        per_second: Spread::of(&rates).median,
        cpu_us_per_operation: Spread::of(&costs).median,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Verdict;
    use std::cell::RefCell;
    use std::time::Duration;

    const CASE: Case<'_> =
        Case { name: "write", operation: "one write", peer: "raw", aim: Some(0.9) };

    fn options(smoke: bool) -> Options {
        Options { smoke, pairs: 9, json: None, dir: None }
    }

    #[test]
    fn the_sides_alternate_and_take_turns_in_going_first() {
        let scratch = Scratch::new(&std::env::temp_dir(), "alternate").unwrap();
        let mut bench = Bench::new("test", &scratch, &options(false));
        let order = RefCell::new(String::new());
        let side = |letter: char| {
            let order = &order;
            move |stopwatch: &mut Stopwatch| {
                order.borrow_mut().push(letter);
                stopwatch.time(1, || Ok(()))
            }
        };
        bench.case(CASE, side('o'), side('p')).unwrap();
        assert_eq!(*order.borrow(), ["op"; 2].concat() + &["poop"; 4].concat());
        assert_eq!(bench.into_report().cases[0].ratios.len(), 9);
    }

    #[test]
    fn slices_alternate_within_a_pair_and_add_up() {
        let scratch = Scratch::new(&std::env::temp_dir(), "slices").unwrap();
        let mut bench = Bench::new("test", &scratch, &Options { pairs: 2, ..options(false) });
        let order = RefCell::new(String::new());
        let side = |letter: char| {
            let order = &order;
            move |stopwatch: &mut Stopwatch| {
                order.borrow_mut().push(letter);
                stopwatch.time(1, || Ok(()))
            }
        };
        bench.case_in_slices(CASE, 3, side('o'), side('p')).unwrap();
        assert_eq!(*order.borrow(), ["op", "oppoop", "pooppo"].concat());
    }

    #[test]
    fn a_smoke_run_does_each_side_once_and_claims_nothing() {
        let scratch = Scratch::new(&std::env::temp_dir(), "smoke").unwrap();
        let mut bench = Bench::new("test", &scratch, &options(true));
        let rounds = RefCell::new(0);
        let side = |stopwatch: &mut Stopwatch| {
            *rounds.borrow_mut() += 1;
            stopwatch.time(1, || Ok(()))
        };
        bench.case(CASE, side, side).unwrap();
        assert_eq!(*rounds.borrow(), 2);
        assert_eq!(bench.amount(1_000_000), 4);
        assert_eq!(bench.into_report().cases[0].verdict, Verdict::TooFewPairs);
    }

    #[test]
    fn an_error_of_a_side_ends_the_case() {
        let scratch = Scratch::new(&std::env::temp_dir(), "error").unwrap();
        let mut bench = Bench::new("test", &scratch, &options(true));
        let fails = |_: &mut Stopwatch| Err(io::Error::other("no peer here"));
        let done = bench.case(CASE, |s| s.time(1, || Ok(())), fails);
        assert_eq!(done.unwrap_err().to_string(), "no peer here");
        assert!(bench.into_report().cases.is_empty());
    }

    #[test]
    fn the_ratio_is_ours_to_the_peer_pair_by_pair() {
        let sample = |ms| Sample {
            operations: 100,
            wall: Duration::from_millis(ms),
            cpu: Duration::from_millis(1),
        };
        let pairs: Vec<_> = (0..9).map(|n| (sample(100), sample(100 + 10 * n))).collect();
        let probe = Probe { median_us: 100.0 };
        let report = case_report(CASE, &pairs, probe, probe);
        assert!((report.ratio.min - 1.0).abs() < 1e-9);
        assert!((report.ratio.median - 1.4).abs() < 1e-9);
        assert!((report.ratio.max - 1.8).abs() < 1e-9);
        assert!((report.ours.per_second - 1000.0).abs() < 1e-9);
        assert!((report.ours.cpu_us_per_operation - 10.0).abs() < 1e-9);
        assert_eq!(report.verdict, Verdict::Holds);
    }
}
