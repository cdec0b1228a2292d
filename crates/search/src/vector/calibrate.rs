//! How far a search has to go for a wanted recall: measured, not assumed.
//!
//! When an index is built, some of its rows are asked as queries, with several reaches, and what is
//! found is compared with an exact search. The result is a table from recall to reach that is kept
//! in the index. Rows are queries of their own distribution; queries of another one may find less,
//! which the reported recall of an application's own sample would show.

/// Reaches that are tried, ascending.
pub(crate) const REACHES: &[f32] = &[
    0.00, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50, 0.60, 0.70, 0.85, 1.0, 1.3,
    2.0,
];

/// Recalls at the tried reaches.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Calibration {
    /// Reach and recall, both ascending.
    pub(crate) points: Vec<(f32, f32)>,
}

impl Calibration {
    /// From measurements: recall can only grow with reach, so noise that says otherwise is
    /// levelled.
    pub(crate) fn new(measured: impl IntoIterator<Item = (f32, f32)>) -> Self {
        let mut best = 0.0_f32;
        let points = measured.into_iter().map(|(reach, recall)| {
            best = best.max(recall);
            (reach, best)
        });
        Self { points: points.collect() }
    }

    /// The reach for a recall: between two measured points on the line through them; without
    /// bound where no measured reach was enough.
    pub(crate) fn reach(&self, wanted: f32) -> f32 {
        let Some(at) = self.points.iter().position(|(_, recall)| *recall >= wanted) else {
            return f32::INFINITY;
        };
        let (reach, recall) = self.points[at];
        let Some((low_reach, low_recall)) = at.checked_sub(1).map(|before| self.points[before])
        else {
            return reach;
        };
        low_reach + (reach - low_reach) * (wanted - low_recall) / (recall - low_recall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reach_of_a_recall_lies_between_the_measured_ones() {
        let measured = [(0.1, 0.6), (0.2, 0.9), (0.3, 0.85), (0.4, 0.99)];
        let calibration = Calibration::new(measured);
        for (wanted, expect) in
            [(0.0, 0.1), (0.6, 0.1), (0.75, 0.15), (0.9, 0.2), (0.99, 0.4), (0.995, f32::INFINITY)]
        {
            let reach = calibration.reach(wanted);
            assert!(reach == expect || (reach - expect).abs() < 1e-6, "{wanted}: {reach}");
        }
        assert_eq!(Calibration::default().reach(0.5), f32::INFINITY);
    }
}
