//! Which segments are merged: neighbours of about one size, the cheapest first.
//!
//! A segment's tier is how often a factor of four goes into its size above the smallest worth keeping. Four
//! neighbours of one tier are merged into one of the next, so that a row is written about once a tier. Only
//! neighbours, because the spans of their positions then stay apart.

use std::ops::Range;

/// Neighbours of one tier that are merged.
const FAN_IN: usize = 4;

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Bytes of its files.
    pub(super) bytes: u64,
    /// The part of its rows that are dead.
    pub(super) dead_ratio: f64,
}

/// The limits that decide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    pub(super) segments_max: usize,
    pub(super) segment_bytes_min: u64,
    pub(super) merge_bytes_max: u64,
    pub(super) dead_ratio_max: f64,
}

/// Whether small segments have stood beside each other for long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// They may wait for more of their kind.
    Left,
    /// Two are enough.
    Spent,
}

/// Which neighbours to merge; none when they are well as they are.
pub(super) fn decide(
    segments: &[Candidate],
    limits: &Limits,
    patience: Patience,
) -> Option<Range<usize>> {
    let wasted = segments.iter().position(|segment| segment.dead_ratio > limits.dead_ratio_max);
    if let Some(at) = wasted {
        return Some(at..at + 1);
    }
    if let Some(run) = runs(segments, limits, FAN_IN).next() {
        return Some(run);
    }
    if patience == Patience::Spent
        && let Some(run) = runs(segments, limits, 2).find(|run| is_small(segments, run, limits))
    {
        return Some(run);
    }
    if segments.len() > limits.segments_max {
        return cheapest(segments, limits);
    }
    None
}

fn is_small(segments: &[Candidate], run: &Range<usize>, limits: &Limits) -> bool {
    let mut run = segments.get(run.clone()).into_iter().flatten();
    run.all(|segment| segment.bytes < limits.segment_bytes_min)
}

fn tier(bytes: u64, limits: &Limits) -> u32 {
    let times = bytes / limits.segment_bytes_min.max(1);
    if times == 0 { 0 } else { 1 + times.ilog2() / 2 }
}

/// Runs of at least so many neighbours of one tier, cut where they would be too large together.
fn runs<'a>(
    segments: &'a [Candidate],
    limits: &'a Limits,
    least: usize,
) -> impl Iterator<Item = Range<usize>> + 'a {
    let end_of = |from: usize| {
        let first = tier(segments.get(from).map_or(0, |segment| segment.bytes), limits);
        let mut bytes = 0_u64;
        let run = segments.iter().skip(from).take_while(|segment| {
            bytes = bytes.saturating_add(segment.bytes);
            tier(segment.bytes, limits) == first && bytes <= limits.merge_bytes_max
        });
        from + run.count()
    };
    (0..segments.len()).map(move |from| from..end_of(from)).filter(move |run| run.len() >= least)
}

/// The two neighbours that are the smallest together.
fn cheapest(segments: &[Candidate], limits: &Limits) -> Option<Range<usize>> {
    let pairs = segments.windows(2).enumerate().map(|(at, pair)| {
        (pair.iter().map(|segment| segment.bytes).fold(0, u64::saturating_add), at)
    });
    let (bytes, at) = pairs.min()?;
    (bytes <= limits.merge_bytes_max).then_some(at..at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        segments_max: 6,
        segment_bytes_min: 10,
        merge_bytes_max: 1000,
        dead_ratio_max: 0.3,
    };

    fn check(bytes: &[u64], patience: Patience, expect: Option<Range<usize>>) {
        let segments: Vec<Candidate> =
            bytes.iter().map(|bytes| Candidate { bytes: *bytes, dead_ratio: 0.3 }).collect();
        assert_eq!(decide(&segments, &LIMITS, patience), expect, "{bytes:?}");
    }

    #[test]
    fn neighbours_of_one_tier_are_merged_when_there_are_enough() {
        use Patience::{Left, Spent};
        check(&[], Spent, None);
        check(&[5, 6, 7], Left, None);
        check(&[5, 6, 7], Spent, Some(0..3));
        check(&[500, 5, 6, 7, 8, 9], Left, Some(1..6));
        check(&[500, 5, 50, 7], Spent, None);
        check(&[45, 50, 55, 60], Left, Some(0..4));
        check(&[45, 50, 55], Spent, None);
        check(&[400, 400, 400, 400], Left, None);
    }

    #[test]
    fn too_many_segments_are_merged_whatever_their_tiers() {
        check(&[900, 50, 800, 5, 500, 12, 900], Patience::Left, Some(3..5));
        check(&[900, 201, 800, 201, 900, 201, 900], Patience::Left, None);
    }

    #[test]
    fn a_segment_with_many_dead_rows_is_written_anew() {
        let mut segments = [Candidate { bytes: 500, dead_ratio: 0.0 }; 3];
        segments[1].dead_ratio = 0.31;
        assert_eq!(decide(&segments, &LIMITS, Patience::Left), Some(1..2));
    }
}
