//! How far a search has to go for a wanted recall: measured, not assumed.
//!
//! When an index is built, some of its rows are asked as queries, with several reaches, and what is
//! found is compared with a search of everything, which prunes by bounds that hold for all but one of
//! ten thousand rows. The result is a table from recall to reach that is kept
//! in the index. Rows are queries of their own distribution; queries of another one may find less,
//! which the reported recall of an application's own sample would show.

/// Reaches that are tried, ascending.
pub(crate) const REACHES: &[f32] = &[
    0.00, 0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95, 1.00, 1.05,
    1.10, 1.15, 1.20, 1.30, 1.50, 2.00,
];

/// What was measured with one reach.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Point {
    pub(crate) reach: f32,
    pub(crate) recall: f32,
    /// Clusters looked at by a query, on the average.
    pub(crate) clusters: f32,
}

/// What was measured with each reach, ascending.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Calibration {
    pub(crate) points: Vec<Point>,
}

impl Calibration {
    /// From measurements: recall can only grow with reach, so noise that says otherwise is
    /// levelled.
    pub(crate) fn new(measured: impl IntoIterator<Item = Point>) -> Self {
        let mut best = 0.0_f32;
        let points = measured.into_iter().map(|point| {
            best = best.max(point.recall);
            Point { recall: best, ..point }
        });
        Self { points: points.collect() }
    }

    /// The reach for a recall: between two measured points on the line through them; without
    /// bound where no measured reach was enough.
    pub(crate) fn reach(&self, wanted: f32) -> f32 {
        let Some(at) = self.points.iter().position(|point| point.recall >= wanted) else {
            return f32::INFINITY;
        };
        let point = self.points[at];
        let Some(before) = at.checked_sub(1).map(|before| self.points[before]) else {
            return point.reach;
        };
        let part = (wanted - before.recall) / (point.recall - before.recall);
        before.reach + (point.reach - before.reach) * part
    }

    /// Clusters that most queries need with this reach, of `all`: twice the average.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates, and the result is bounded"
    )]
    pub(crate) fn clusters(&self, reach: f32, all: usize) -> usize {
        let point = self.points.iter().find(|point| point.reach >= reach);
        point.map_or(all, |point| (point.clusters * 2.0).ceil() as usize).clamp(1, all.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reach_of_a_recall_lies_between_the_measured_ones() {
        let measured = [(0.1, 0.6, 2.0), (0.2, 0.9, 5.0), (0.3, 0.85, 9.0), (0.4, 0.99, 30.0)];
        let point = |(reach, recall, clusters)| Point { reach, recall, clusters };
        let calibration = Calibration::new(measured.map(point));
        for (wanted, expect) in
            [(0.0, 0.1), (0.6, 0.1), (0.75, 0.15), (0.9, 0.2), (0.99, 0.4), (0.995, f32::INFINITY)]
        {
            let reach = calibration.reach(wanted);
            assert!(reach == expect || (reach - expect).abs() < 1e-6, "{wanted}: {reach}");
        }
        assert_eq!(Calibration::default().reach(0.5), f32::INFINITY);
        for (reach, expect) in [(0.0, 4), (0.2, 10), (0.35, 40), (0.5, 40), (f32::INFINITY, 40)] {
            assert_eq!(calibration.clusters(reach, 40), expect, "{reach}");
        }
    }
}
