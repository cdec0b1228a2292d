//! Whether a claim holds, from the ratios of the pairs and the probe alone.

use crate::probe::Probe;

/// Pairs without which there is no verdict.
pub const PAIRS_MIN: usize = 9;
/// Of [`PAIRS_MIN`], how many must meet the aim; more pairs, the same share.
pub const PAIRS_MEETING_MIN: usize = 7;
/// How far the probe may move between before and after.
pub const PROBE_DRIFT_MAX: f64 = 2.0;

/// What a case showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The claim holds.
    Holds,
    /// It does not.
    Fails,
    /// There was no claim to judge: the figures stand as measured.
    Measured,
    /// Fewer than [`PAIRS_MIN`] pairs.
    TooFewPairs,
    /// The machine changed under the run: nothing in it may be quoted.
    ThrownAway,
}

impl Verdict {
    /// The word for a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Measured => "measured",
            Self::TooFewPairs => "too few pairs",
            Self::ThrownAway => "thrown away",
        }
    }
}

/// Judges the ratios (ours to peer, larger is better) of all pairs of a case.
#[must_use]
pub fn judge(ratios: &[f64], aim: Option<f64>, before: Probe, after: Probe) -> Verdict {
    if ratios.len() < PAIRS_MIN {
        return Verdict::TooFewPairs;
    }
    if before.drift(after) > PROBE_DRIFT_MAX {
        return Verdict::ThrownAway;
    }
    let Some(aim) = aim else { return Verdict::Measured };
    let meeting = ratios.iter().filter(|ratio| **ratio >= aim).count();
    let enough = meeting * PAIRS_MIN >= ratios.len() * PAIRS_MEETING_MIN;
    if enough && Spread::of(ratios).median >= aim { Verdict::Holds } else { Verdict::Fails }
}

/// Median and range of some figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The middle one; between the middle two when their number is even.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of `figures`; not-a-number throughout when there are none.
    #[must_use]
    pub fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) && !sorted.is_empty() {
            f64::midpoint(at(middle - 1), at(middle))
        } else {
            at(middle)
        };
        Self { min: at(0), median, max: sorted.last().copied().unwrap_or(f64::NAN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Probe = Probe { median_us: 110.0 };

    fn check(ratios: &[f64], aim: Option<f64>, expect: Verdict) {
        assert_eq!(judge(ratios, aim, QUIET, QUIET), expect, "{ratios:?} {aim:?}");
    }

    #[test]
    fn a_claim_holds_with_seven_of_nine_pairs() {
        check(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5], Some(0.9), Verdict::Holds);
    }

    #[test]
    fn a_claim_fails_with_six_of_nine_pairs_although_the_median_meets_it() {
        check(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5], Some(0.9), Verdict::Fails);
    }

    #[test]
    fn a_claim_is_met_exactly() {
        check(&[0.9; 9], Some(0.9), Verdict::Holds);
        check(&[0.8999; 9], Some(0.9), Verdict::Fails);
    }

    #[test]
    fn more_pairs_need_the_same_share() {
        let pairs = |good: usize, bad: usize| [vec![1.0; good], vec![0.1; bad]].concat();
        check(&pairs(14, 4), Some(0.9), Verdict::Holds);
        check(&pairs(13, 5), Some(0.9), Verdict::Fails);
        check(&pairs(8, 2), Some(0.9), Verdict::Holds);
        check(&pairs(7, 3), Some(0.9), Verdict::Fails);
    }

    #[test]
    fn eight_pairs_are_too_few_however_good() {
        check(&[9.0; 8], Some(0.9), Verdict::TooFewPairs);
        check(&[], None, Verdict::TooFewPairs);
    }

    #[test]
    fn a_run_on_a_machine_that_changed_is_thrown_away_either_way() {
        let busy = Probe { median_us: 221.0 };
        assert_eq!(judge(&[1.0; 9], Some(0.9), QUIET, busy), Verdict::ThrownAway);
        assert_eq!(judge(&[1.0; 9], Some(0.9), busy, QUIET), Verdict::ThrownAway);
        let twice = Probe { median_us: 220.0 };
        assert_eq!(judge(&[1.0; 9], Some(0.9), QUIET, twice), Verdict::Holds);
    }

    #[test]
    fn without_an_aim_there_is_nothing_to_hold() {
        check(&[0.1; 9], None, Verdict::Measured);
    }

    #[test]
    fn a_ratio_that_is_not_a_number_meets_nothing() {
        check(&[f64::NAN; 9], Some(0.9), Verdict::Fails);
    }

    #[test]
    fn the_spread_has_the_middle_of_odd_and_even_counts() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]);
        assert_eq!(spread, Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert!((Spread::of(&[4.0, 1.0, 2.0, 3.0]).median - 2.5).abs() < 1e-9);
        assert!(Spread::of(&[]).median.is_nan());
    }
}
