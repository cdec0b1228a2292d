//! Vector indexes made from others: what is kept of them, and what recall is left.

use base::rng::Rng;
use search::vector::{
    Changes, Effort, Element, GONE, Kept, Kernels, Metric, Options, Rows, VectorError, VectorIndex,
};

use crate::data::{Data, clustered, sentences};
use crate::vectors::{all, recall, rows_of};

const IDENTITY: [u8; 16] = *b"a merged segment";

fn row_bytes(data: &Data) -> usize {
    data.dims * data.element.bytes()
}

fn with_rows(data: &Data, rows: Vec<u8>) -> Data {
    Data { dims: data.dims, element: data.element, rows, queries: data.queries.clone() }
}

fn file(index: &VectorIndex, data: &Data) -> Vec<u8> {
    let mut bytes = Vec::new();
    index.write(rows_of(data), &IDENTITY, &mut bytes).expect("a file");
    bytes
}

/// The rows that stay of `data`, those of `new` behind them, and the numbers of the former.
fn changed(data: &Data, new: &[u8], mut goes: impl FnMut(usize) -> bool) -> (Data, Vec<u32>) {
    let (mut numbers, mut rows) = (Vec::new(), Vec::new());
    for (at, row) in data.rows.chunks_exact(row_bytes(data)).enumerate() {
        if goes(at) {
            numbers.push(GONE);
        } else {
            numbers.push(u32::try_from(rows.len() / row_bytes(data)).expect("few rows"));
            rows.extend_from_slice(row);
        }
    }
    rows.extend_from_slice(new);
    (with_rows(data, rows), numbers)
}

fn merge(
    options: &Options,
    index: &VectorIndex,
    numbers: &[u32],
    data: &Data,
) -> (VectorIndex, Changes) {
    VectorIndex::merge(options, Kept { index, numbers }, rows_of(data)).expect("an index")
}

/// Replaces a fifth of the rows by merges: index and rows at the end, and what all merges did.
fn replaced(data: &Data, options: &Options, merges: usize) -> (VectorIndex, Data, Changes) {
    let row = row_bytes(data);
    let count = data.rows.len() / row * 5 / 6;
    let (first, new) = data.rows.split_at(count * row);
    let mut now = with_rows(data, first.to_vec());
    let mut index = VectorIndex::build(options, rows_of(&now)).expect("an index");
    let mut sum = Changes::default();
    let mut rng = Rng::new(11);
    for new in new.chunks(new.len() / row / merges * row) {
        let mut left = new.len() / row;
        let (next, numbers) = changed(&now, new, |at| {
            let goes = rng.index(count - at) < left;
            left -= usize::from(goes);
            goes
        });
        let (merged, changes) = merge(options, &index, &numbers, &next);
        assert_eq!(changes.copied + changes.encoded, count);
        sum.copied += changes.copied;
        sum.encoded += changes.encoded;
        sum.split += changes.split;
        sum.dissolved += changes.dissolved;
        sum.calibrated |= changes.calibrated;
        (index, now) = (merged, next);
    }
    (index, now, sum)
}

/// Whether merges leave the recall of a fresh build, by the same number of clusters and by what is asked for.
fn is_as_good(data: &Data, clusters: usize, (effort, tolerance): (usize, f64)) {
    let options = Options { clusters: Some(clusters), threads: 2, ..Options::new(Metric::Cosine) };
    let (index, now, changes) = replaced(data, &options, 4);
    let rows = now.rows.len() / row_bytes(&now);
    assert!(changes.calibrated, "two fifths of all rows changed");
    assert!(changes.copied > 3 * rows, "{changes:?} of {rows} rows");
    let fresh = VectorIndex::build(&options, rows_of(&now)).expect("an index");
    for effort in [Effort::Clusters(effort), Effort::Recall(0.95), Effort::Recall(0.99)] {
        let expect = recall(&fresh, &now, &all(effort));
        let found = recall(&index, &now, &all(effort));
        println!("{effort:?}: {found} by merges, {expect} afresh, {changes:?}");
        assert!(found > expect - tolerance, "{effort:?}: {found} for {expect}");
        if let Effort::Recall(wanted) = effort {
            assert!(found > f64::from(wanted) - 0.02, "{found} for {wanted}");
        }
    }
}

#[test]
fn a_fifth_of_the_rows_replaced_by_merges_leaves_the_recall_of_a_fresh_build() {
    // Of 2,000 neighbours one in two hundred is ten.
    is_as_good(&clustered(64, 14_400, 200, 21), 100, (20, 0.005));
}

#[test]
fn a_fifth_of_real_rows_replaced_by_merges_leaves_the_recall_of_a_fresh_build() {
    let Some(sentences) = sentences() else { return };
    let mut data = sentences.data;
    data.rows.truncate(24_000 * 384 * 2);
    is_as_good(&data, 130, (20, 0.005));
}

#[test]
fn a_merge_that_changes_no_row_is_the_same_file_byte_by_byte() {
    let data = clustered(72, 3000, 0, 22);
    for (metric, clusters) in
        [(Metric::Cosine, 1), (Metric::EuclideanSquared, 20), (Metric::Dot, 20)]
    {
        let options = Options { clusters: Some(clusters), ..Options::new(metric) };
        let index = VectorIndex::build(&options, rows_of(&data)).expect("an index");
        let numbers: Vec<u32> = (0..3000).collect();
        let (merged, changes) = merge(&options, &index, &numbers, &data);
        assert_eq!(changes, Changes { copied: 3000, ..Changes::default() });
        assert!(file(&merged, &data) == file(&index, &data), "{metric:?}");
    }
}

#[test]
fn merges_are_the_same_byte_by_byte_whatever_makes_them() {
    let data = clustered(72, 3600, 0, 23);
    let bytes = |threads, kernels| {
        let options =
            Options { clusters: Some(60), threads, kernels, ..Options::new(Metric::Cosine) };
        let (index, now, changes) = replaced(&data, &options, 2);
        assert!(changes.copied > 3000, "{changes:?}");
        file(&index, &now)
    };
    let expect = bytes(1, Kernels::scalar());
    for kernels in Kernels::available() {
        assert!(bytes(3, kernels) == expect, "{}", kernels.name());
    }
}

#[test]
fn clusters_that_grow_are_split_and_those_that_shrink_are_dissolved() {
    let data = clustered(64, 6000, 100, 24);
    let options = Options { clusters: Some(60), threads: 2, ..Options::new(Metric::Cosine) };
    let index = VectorIndex::build(&options, rows_of(&data)).expect("an index");
    // What is near one query goes, and what is near another comes once more.
    let near = |at: usize, k| -> Vec<u32> {
        let hits = index.exact(rows_of(&data), &data.queries[at], k, None).expect("hits");
        hits.into_iter().map(|hit| hit.row).collect()
    };
    let (goes, comes) = (near(0, 1500), near(1, 1500));
    let row = row_bytes(&data);
    let new: Vec<u8> =
        comes.iter().flat_map(|at| &data.rows[*at as usize * row..][..row]).copied().collect();
    let (next, numbers) =
        changed(&data, &new, |at| goes.contains(&u32::try_from(at).expect("few rows")));
    let (merged, changes) = merge(&options, &index, &numbers, &next);
    assert!(changes.split > 0 && changes.dissolved > 0 && changes.calibrated, "{changes:?}");
    assert!(changes.copied > 2000, "{changes:?}");
    let found = recall(&merged, &next, &all(Effort::Recall(0.95)));
    assert!(found > 0.92, "{found}");
    assert_eq!(recall(&merged, &next, &all(Effort::Recall(1.0))), 1.0);
}

#[test]
fn an_index_that_is_of_no_use_is_not_kept() {
    let data = clustered(64, 2000, 0, 25);
    let options = Options { clusters: Some(10), ..Options::new(Metric::Cosine) };
    let index = VectorIndex::build(&options, rows_of(&data)).expect("an index");
    let same: Vec<u32> = (0..2000).collect();
    // All but 900 rows are others.
    let few: Vec<u32> = (0..900).chain((900..2000).map(|_| GONE)).collect();
    let none = vec![GONE; 2000];
    for (numbers, options) in [
        (&few, options),
        (&none, options),
        (&same, Options { metric: Metric::Dot, ..options }),
        (&same, Options { extra_bits: Some(2), ..options }),
        (&same, Options { clusters: Some(1), ..options }),
    ] {
        let (merged, changes) = merge(&options, &index, numbers, &data);
        let expect = Changes { encoded: 2000, calibrated: true, ..Changes::default() };
        assert_eq!(changes, expect);
        let fresh = VectorIndex::build(&options, rows_of(&data)).expect("an index");
        assert!(file(&merged, &data) == file(&fresh, &data));
    }
}

#[test]
fn numbers_that_do_not_fit_and_new_rows_that_are_no_numbers_are_refused() {
    let data = clustered(64, 100, 0, 26);
    let options = Options { clusters: Some(4), ..Options::new(Metric::Cosine) };
    let index = VectorIndex::build(&options, rows_of(&data)).expect("an index");
    let refused = |numbers: &[u32], rows: Rows<'_>| {
        VectorIndex::merge(&options, Kept { index: &index, numbers }, rows).expect_err("refused")
    };
    let same: Vec<u32> = (0..100).collect();
    for numbers in [
        (0..99).collect::<Vec<u32>>(),
        (0..99).chain([98]).collect(),
        (0..99).chain([100]).collect(),
        [1, 0].into_iter().chain(2..100).collect(),
    ] {
        let error = refused(&numbers, rows_of(&data));
        assert!(matches!(error, VectorError::OutOfRange { .. }), "{error}");
    }
    let mut bytes = data.rows.clone();
    bytes.extend(f32::NAN.to_le_bytes().repeat(64));
    let error = refused(&same, Rows::new(Element::F32, 64, &bytes).expect("whole rows"));
    assert!(matches!(error, VectorError::NotFinite { element: 0 }), "{error}");
}
