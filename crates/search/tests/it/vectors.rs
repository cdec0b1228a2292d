//! The vector index against comparing with every row.

use std::collections::BTreeSet;

use search::vector::{
    Effort, Element, Hit, Kernels, Metric, Options, Request, RowSet, Rows, VectorError, VectorIndex,
};

use crate::data::{Data, clustered, sentences};

pub(crate) fn rows_of(data: &Data) -> Rows<'_> {
    Rows::new(data.element, data.dims, &data.rows).expect("whole rows")
}

pub(crate) fn all(effort: Effort) -> Request<'static> {
    Request { k: 10, effort, filter: None }
}

/// The part of the exact answers that a search has, and the greatest difference of a distance.
pub(crate) fn recall(index: &VectorIndex, data: &Data, request: &Request<'_>) -> f64 {
    let rows = rows_of(data);
    let mut space = index.space();
    let (mut hits, mut wanted) = (0, 0);
    for query in &data.queries {
        let exact = index.exact(rows, query, request.k, request.filter).expect("an answer");
        let found = index.search(rows, query, request, &mut space).expect("an answer");
        assert!(found.windows(2).all(|pair| nearer(index, pair)), "nearest first");
        // Of rows at one distance any will do.
        let farthest = exact.last().map_or(0.0, |hit| hit.distance);
        wanted += exact.len();
        hits += found.iter().filter(|hit| within(index, hit.distance, farthest)).count();
        let distinct: BTreeSet<u32> = found.iter().map(|hit| hit.row).collect();
        assert_eq!(distinct.len(), found.len(), "each row once");
        if let Some(filter) = request.filter {
            assert!(found.iter().all(|hit| filter.contains(hit.row)), "rows that pass");
        }
    }
    hits as f64 / wanted as f64
}

fn nearer(index: &VectorIndex, pair: &[Hit]) -> bool {
    within(index, pair[0].distance, pair[1].distance)
}

fn within(index: &VectorIndex, distance: f32, farthest: f32) -> bool {
    match index.metric() {
        Metric::Dot => distance >= farthest,
        Metric::Cosine | Metric::EuclideanSquared => distance <= farthest,
    }
}

fn build(data: &Data, metric: Metric, clusters: usize) -> VectorIndex {
    let options = Options { clusters: Some(clusters), threads: 2, ..Options::new(metric) };
    VectorIndex::build(&options, rows_of(data)).expect("an index")
}

#[test]
fn one_cluster_finds_nearly_everything_by_every_metric_and_number_of_bits() {
    let data = clustered(96, 3000, 40, 1);
    for metric in [Metric::Cosine, Metric::EuclideanSquared, Metric::Dot] {
        for extra_bits in [0, 1, 3, 4, 7] {
            let options =
                Options { extra_bits: Some(extra_bits), clusters: Some(1), ..Options::new(metric) };
            let index = VectorIndex::build(&options, rows_of(&data)).expect("an index");
            let recall = recall(&index, &data, &all(Effort::Recall(0.95)));
            assert!(recall > 0.98, "{metric:?}, {extra_bits} extra bits: {recall}");
        }
    }
}

#[test]
fn many_clusters_give_the_recall_that_was_asked_for_by_every_metric() {
    let data = clustered(64, 12_000, 100, 2);
    for metric in [Metric::Cosine, Metric::EuclideanSquared, Metric::Dot] {
        let index = build(&data, metric, 100);
        for wanted in [0.9, 0.95, 0.99] {
            let recall = recall(&index, &data, &all(Effort::Recall(wanted)));
            // A hundred queries: a deviation of the mean of about 0.01.
            assert!(recall > f64::from(wanted) - 0.03, "{metric:?}: {recall} for {wanted}");
        }
    }
}

#[test]
fn a_search_of_many_clusters_looks_at_a_small_part_of_the_rows() {
    let data = clustered(64, 12_000, 50, 3);
    let index = build(&data, Metric::Cosine, 100);
    let mut space = index.space();
    let (mut scanned, mut refined, mut compared) = (0, 0, 0);
    for query in &data.queries {
        let request = all(Effort::Recall(0.95));
        index.search(rows_of(&data), query, &request, &mut space).expect("an answer");
        let work = space.work();
        scanned += work.scanned;
        refined += work.refined;
        compared += work.compared;
    }
    let rows = 12_000 * data.queries.len();
    assert!(scanned < rows / 3, "{scanned} of {rows} scanned");
    assert!(refined < scanned / 2, "{refined} of {scanned} refined");
    assert!(compared < 40 * data.queries.len(), "{compared} compared");
}

#[test]
fn elements_of_every_kind_give_the_same_answers() {
    let floats = clustered(64, 2000, 20, 4);
    for metric in [Metric::Cosine, Metric::EuclideanSquared, Metric::Dot] {
        let answers = [Element::F32, Element::F16, Element::I8].map(|element| {
            let data = floats.kept_as(element);
            let index = build(&data, metric, 10);
            let mut space = index.space();
            let request = all(Effort::Recall(0.95));
            data.queries
                .iter()
                .map(|query| index.search(rows_of(&data), query, &request, &mut space))
                .collect::<Result<Vec<_>, _>>()
                .expect("answers")
        });
        assert_eq!(answers[0], answers[1], "{metric:?}");
        assert_eq!(answers[0], answers[2], "{metric:?}");
    }
}

#[test]
fn every_instruction_set_gives_the_same_answers() {
    let data = clustered(100, 3000, 20, 5);
    let answers = |kernels: Kernels| {
        let options =
            Options { clusters: Some(20), kernels, ..Options::new(Metric::EuclideanSquared) };
        let index = VectorIndex::build(&options, rows_of(&data)).expect("an index");
        let mut space = index.space();
        let found = data.queries.iter().map(|query| {
            let request = all(Effort::Recall(0.9));
            let hits = index.search(rows_of(&data), query, &request, &mut space).expect("hits");
            (hits, space.work())
        });
        found.collect::<Vec<_>>()
    };
    let expect = answers(Kernels::scalar());
    for kernels in Kernels::available() {
        assert_eq!(answers(kernels), expect, "{}", kernels.name());
    }
}

/// Filters at several selectivities: rows at random, and rows that are near each other.
pub(crate) fn filters(index: &VectorIndex, data: &Data, count: usize) -> Vec<(String, RowSet)> {
    let mut filters = Vec::new();
    for per_mille in [500, 100, 10, 1] {
        let step = 1000 / per_mille;
        let rows = (0..u32::try_from(count).expect("few")).filter(|row| row % step == 0);
        filters.push((format!("{per_mille} of 1000 at random"), RowSet::new(rows)));
        // What is nearest to one row, which is far from most queries.
        let keep = count / step as usize;
        let nearest = index.exact(rows_of(data), &data.queries[0], keep.min(10_000), None);
        let rows = nearest.expect("an answer").into_iter().map(|hit| hit.row);
        filters.push((format!("{per_mille} of 1000 together"), RowSet::new(rows)));
    }
    filters
}

#[test]
fn a_filter_widens_the_search_until_enough_rows_pass() {
    let data = clustered(64, 15_000, 40, 6);
    let index = build(&data, Metric::Cosine, 100);
    for (what, filter) in filters(&index, &data, 15_000) {
        let request = Request { k: 10, effort: Effort::Recall(0.95), filter: Some(&filter) };
        let recall = recall(&index, &data, &request);
        assert!(recall >= 0.95, "{what}: {recall}");
    }
}

#[test]
fn clusters_without_a_row_that_passes_are_not_looked_at() {
    let data = clustered(64, 15_000, 20, 10);
    let index = build(&data, Metric::Cosine, 100);
    let mut space = index.space();
    // More rows than are compared one by one, all of them in one place.
    let nearest = index.exact(rows_of(&data), &data.queries[0], 700, None).expect("hits");
    let filter = RowSet::new(nearest.iter().map(|hit| hit.row));
    let whole = all(Effort::Recall(1.0));
    for query in &data.queries {
        let request = Request { filter: Some(&filter), ..whole };
        let found = index.search(rows_of(&data), query, &request, &mut space).expect("hits");
        let exact = index.exact(rows_of(&data), query, 10, Some(&filter)).expect("hits");
        assert_eq!(found, exact);
        let clusters = space.work().clusters;
        assert!((1..60).contains(&clusters), "{clusters} for 700 rows near each other");
        index.search(rows_of(&data), query, &whole, &mut space).expect("hits");
        assert_eq!(space.work().clusters, 100, "without a filter every cluster promises something");
    }
}

#[test]
fn real_vectors_are_found_behind_any_filter() {
    let Some(sentences) = sentences() else { return };
    let mut data = sentences.data;
    data.rows.truncate(20_000 * 384 * 2);
    data.queries.truncate(50);
    let index = build(&data, Metric::Cosine, 125);
    for (what, filter) in filters(&index, &data, 20_000) {
        let request = Request { k: 10, effort: Effort::Recall(0.95), filter: Some(&filter) };
        let recall = recall(&index, &data, &request);
        assert!(recall >= 0.95, "{what}: {recall}");
    }
}

#[test]
fn a_filter_that_few_or_no_rows_pass_gives_just_these() {
    let data = clustered(64, 3000, 5, 7);
    let index = build(&data, Metric::Cosine, 20);
    let mut space = index.space();
    for rows in [vec![], vec![17], vec![2999, 5, 3000, 1_000_000]] {
        let filter = RowSet::new(rows.iter().copied());
        let request = Request { k: 10, effort: Effort::Recall(0.9), filter: Some(&filter) };
        let hits = index.search(rows_of(&data), &data.queries[0], &request, &mut space);
        let found: BTreeSet<u32> = hits.expect("an answer").iter().map(|hit| hit.row).collect();
        let expect: BTreeSet<u32> = rows.into_iter().filter(|row| *row < 3000).collect();
        assert_eq!(found, expect);
    }
}

#[test]
fn small_and_strange_sets_of_rows_are_searched_too() {
    let zeros = vec![0.0_f32; 70 * 33];
    let alike = vec![2.5_f32; 130 * 5];
    let one = vec![1.0_f32, -2.0, 3.0];
    for (dims, floats) in [(33, zeros), (5, alike), (3, one), (1, vec![4.0; 9]), (8, vec![])] {
        let rows: Vec<u8> = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
        let rows = Rows::new(Element::F32, dims, &rows).expect("whole rows");
        for metric in [Metric::Cosine, Metric::EuclideanSquared, Metric::Dot] {
            for clusters in [1, rows.len().clamp(1, 3)] {
                let options = Options { clusters: Some(clusters), ..Options::new(metric) };
                let index = VectorIndex::build(&options, rows).expect("an index");
                let mut space = index.space();
                for query in [vec![0.0; dims], vec![1.0; dims], vec![-1e9; dims]] {
                    for k in [0, 1, 1000] {
                        let request = Request { k, effort: Effort::Recall(1.0), filter: None };
                        let hits = index.search(rows, &query, &request, &mut space).expect("hits");
                        let expect = index.exact(rows, &query, k, None).expect("hits");
                        assert_eq!(hits, expect, "{metric:?}, {dims} dimensions, {clusters}, {k}");
                        assert_eq!(hits.len(), k.min(rows.len()));
                    }
                }
            }
        }
    }
}

#[test]
fn the_greatest_dimension_is_indexed() {
    let data = clustered(10_752, 150, 3, 8);
    let index = build(&data, Metric::Cosine, 2);
    assert_eq!(recall(&index, &data, &all(Effort::Recall(1.0))), 1.0);
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = clustered(64, 100, 1, 9);
    let rows = rows_of(&data);
    let index = build(&data, Metric::Cosine, 1);
    let mut space = index.space();
    let request = all(Effort::Recall(0.9));
    let search = |query: &[f32], k: usize, space: &mut _| {
        index.search(rows, query, &Request { k, ..request }, space)
    };
    let found = search(&[0.0; 63], 1, &mut space);
    assert!(matches!(found, Err(VectorError::Dimension { wanted: 64, found: 63 })));
    for bad in [f32::NAN, f32::INFINITY, -2e15] {
        let mut query = vec![0.0; 64];
        query[7] = bad;
        let found = search(&query, 1, &mut space);
        assert!(matches!(found, Err(VectorError::NotFinite { element: 7 })));
        let bytes: Vec<u8> = query.iter().flat_map(|x| x.to_le_bytes()).collect();
        let rows = Rows::new(Element::F32, 64, &bytes).expect("a row");
        let built = VectorIndex::build(&Options::new(Metric::Dot), rows);
        assert!(matches!(built, Err(VectorError::NotFinite { element: 7 })));
    }
    let found = search(&data.queries[0], 10_001, &mut space);
    assert!(matches!(found, Err(VectorError::OutOfRange { what: "k", .. })));
    let fewer = Rows::new(Element::F32, 64, &data.rows[..64 * 4]).expect("a row");
    let found = index.search(fewer, &data.queries[0], &request, &mut space);
    assert!(matches!(found, Err(VectorError::OutOfRange { what: "rows", .. })));
    for (dims, bytes) in [(0, 0), (10_753, 0), (64, 255)] {
        let made = Rows::new(Element::F32, dims, &data.rows[..bytes]);
        assert!(matches!(made, Err(VectorError::OutOfRange { .. })));
    }
    for options in [
        Options { clusters: Some(101), ..Options::new(Metric::Cosine) },
        Options { clusters: Some(0), ..Options::new(Metric::Cosine) },
        Options { extra_bits: Some(8), ..Options::new(Metric::Cosine) },
    ] {
        let built = VectorIndex::build(&options, rows);
        assert!(matches!(built, Err(VectorError::OutOfRange { .. })));
    }
}

#[test]
fn real_vectors_have_the_neighbours_that_others_found() {
    let Some(sentences) = sentences() else { return };
    let data = &sentences.data;
    let index = build(data, Metric::Cosine, 1);
    for (query, neighbours) in data.queries.iter().zip(&sentences.neighbours).take(20) {
        let exact = index.exact(rows_of(data), query, 100, None).expect("an answer");
        let found: BTreeSet<u32> = exact.iter().map(|hit| hit.row).collect();
        let both = neighbours.iter().filter(|row| found.contains(row)).count();
        // Rows at the same distance to the last digit may change places with the 101st.
        assert!(both >= 99, "{both} of 100");
    }
}

#[test]
fn real_vectors_give_the_recall_that_was_asked_for() {
    let Some(sentences) = sentences() else { return };
    let mut data = sentences.data;
    data.rows.truncate(20_000 * 384 * 2);
    data.queries.truncate(200);
    let index = build(&data, Metric::Cosine, 200);
    for wanted in [0.9, 0.95, 0.99] {
        let recall = recall(&index, &data, &all(Effort::Recall(wanted)));
        assert!(recall > f64::from(wanted) - 0.02, "{recall} for {wanted}");
    }
    let flat = build(&data, Metric::Cosine, 1);
    let recall = recall(&flat, &data, &all(Effort::Recall(0.95)));
    assert!(recall > 0.98, "{recall} by one cluster");
}
