//! An index as a file: read by ranges, damaged, and opened as what it is not.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use search::vector::{
    Effort, Element, Kernels, Metric, Options, ReadRanges, Request, RowSet, Rows, VectorError,
    VectorFile, VectorIndex, Written,
};

use crate::data::{Data, clustered};
use crate::vectors::filters;

const IDENTITY: [u8; 16] = *b"one of two files";

/// A file in memory that counts what is read of it.
#[derive(Debug, Default)]
struct Counted {
    bytes: Vec<u8>,
    trips: AtomicU64,
    read: AtomicU64,
}

impl Counted {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Round trips and bytes since the last call.
    fn take(&self) -> (u64, u64) {
        (self.trips.swap(0, Ordering::Relaxed), self.read.swap(0, Ordering::Relaxed))
    }
}

impl ReadRanges for &Counted {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        self.trips.fetch_add(1, Ordering::Relaxed);
        let place = |at: u64| usize::try_from(at).expect("a place in memory");
        ranges
            .iter()
            .map(|range| {
                self.read.fetch_add(range.end - range.start, Ordering::Relaxed);
                let part = self.bytes.get(place(range.start)..place(range.end));
                part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            })
            .collect()
    }
}

fn rows_of(data: &Data) -> Rows<'_> {
    Rows::new(data.element, data.dims, &data.rows).expect("whole rows")
}

fn written(data: &Data, metric: Metric, clusters: usize) -> (VectorIndex, Vec<u8>, Written) {
    let options = Options { clusters: Some(clusters), ..Options::new(metric) };
    let index = VectorIndex::build(&options, rows_of(data)).expect("an index");
    let mut bytes = Vec::new();
    let written = index.write(rows_of(data), &IDENTITY, &mut bytes).expect("a file");
    assert_eq!(written.len, bytes.len() as u64);
    (index, bytes, written)
}

fn open(file: &Counted, written: Written) -> Result<VectorFile<&Counted>, VectorError> {
    VectorFile::open(file, &IDENTITY, written, Kernels::best())
}

fn request(effort: Effort) -> Request<'static> {
    Request { k: 10, effort, filter: None }
}

#[test]
fn what_is_loaded_answers_as_what_was_written() {
    for (element, metric, clusters) in [
        (Element::F32, Metric::Cosine, 1),
        (Element::F16, Metric::EuclideanSquared, 15),
        (Element::I8, Metric::Dot, 40),
    ] {
        let data = clustered(50, 2000, 20, 1).kept_as(element);
        let (index, bytes, written) = written(&data, metric, clusters);
        let file = Counted::new(bytes.clone());
        let open = open(&file, written).expect("a file");
        let (loaded, rows) = open.load().expect("all of it");
        assert_eq!(rows, data.rows);
        let (mut space, mut other) = (index.space(), loaded.space());
        for query in &data.queries {
            let request = request(Effort::Recall(0.95));
            let expect = index.search(rows_of(&data), query, &request, &mut space);
            let found = loaded.search(rows_of(&data), query, &request, &mut other);
            assert_eq!(found.expect("hits"), expect.expect("hits"));
            assert_eq!(other.work(), space.work());
        }
        let mut again = Vec::new();
        loaded.write(rows_of(&data), &IDENTITY, &mut again).expect("a file");
        assert!(again == bytes, "the same file, byte by byte");
    }
}

#[test]
fn builds_are_the_same_byte_by_byte_whatever_builds_them() {
    let data = clustered(72, 3000, 0, 2);
    let bytes = |threads, kernels| {
        let options =
            Options { clusters: Some(100), threads, kernels, ..Options::new(Metric::Cosine) };
        let index = VectorIndex::build(&options, rows_of(&data)).expect("an index");
        let mut bytes = Vec::new();
        index.write(rows_of(&data), &IDENTITY, &mut bytes).expect("a file");
        bytes
    };
    let expect = bytes(1, Kernels::scalar());
    for kernels in Kernels::available() {
        assert!(bytes(3, kernels) == expect, "{}", kernels.name());
    }
}

#[test]
fn a_search_of_a_file_takes_two_round_trips_and_a_small_part_of_the_bytes() {
    let data = clustered(96, 20_000, 100, 3);
    let (index, bytes, written) = written(&data, Metric::Cosine, 200);
    let len = bytes.len() as u64;
    let file = Counted::new(bytes);
    let open = open(&file, written).expect("a file");
    assert_eq!(file.take(), (1, written.head_bytes), "opening is one round trip");
    let mut space = open.space();
    let (mut hits, mut wanted) = (0, 0);
    for query in &data.queries {
        let found = open.search(query, &request(Effort::Recall(0.95)), &mut space).expect("hits");
        let (trips, read) = file.take();
        assert_eq!(trips, 2, "posting lists, then rows");
        assert!(read < len / 4, "{read} of {len} bytes");
        let exact = index.exact(rows_of(&data), query, 10, None).expect("hits");
        wanted += exact.len();
        hits += found.iter().filter(|hit| exact.contains(hit)).count();
    }
    let recall = hits as f64 / wanted as f64;
    assert!(recall > 0.93, "{recall}");
}

#[test]
fn a_search_of_a_file_behind_a_filter_reads_until_nothing_more_is_promised() {
    let data = clustered(64, 15_000, 40, 13);
    let (index, bytes, written) = written(&data, Metric::Cosine, 100);
    let file = Counted::new(bytes);
    let open = open(&file, written).expect("a file");
    let mut space = open.space();
    let (_, _) = file.take();
    for (number, (what, filter)) in filters(&index, &data, 15_000).into_iter().enumerate() {
        let request = Request { k: 10, effort: Effort::Recall(0.95), filter: Some(&filter) };
        let (mut hits, mut wanted) = (0, 0);
        for (at, query) in data.queries.iter().enumerate() {
            let found = open.search(query, &request, &mut space).expect("hits");
            let (trips, _) = file.take();
            let map = u64::from(number == 0 && at == 0);
            assert!(trips <= 4 + map, "{what}: {trips} round trips");
            let exact = index.exact(rows_of(&data), query, 10, Some(&filter)).expect("hits");
            let farthest = exact.last().map_or(0.0, |hit| hit.distance);
            wanted += exact.len();
            hits += found.iter().filter(|hit| hit.distance <= farthest).count();
        }
        let recall = hits as f64 / wanted as f64;
        assert!(recall >= 0.95, "{what}: {recall}");
    }
}

#[test]
fn a_damaged_row_map_leaves_searches_with_filters_as_right_as_before() {
    let data = clustered(64, 3000, 10, 14);
    let (index, mut bytes, written) = written(&data, Metric::Cosine, 20);
    let filter = RowSet::new((0..3000).filter(|row| row % 3 == 0));
    let request = Request { k: 10, effort: Effort::Recall(1.0), filter: Some(&filter) };
    let exact =
        |query: &[f32]| index.exact(rows_of(&data), query, 10, Some(&filter)).expect("hits");
    // Header, head, centroids; then the map.
    let map = usize::try_from(written.head_bytes).expect("small") + 20 * (64 * 4 + 4);
    bytes[map + 100] ^= 1;
    let file = Counted::new(bytes);
    let open = open(&file, written).expect("a file");
    let mut space = open.space();
    for query in &data.queries {
        assert_eq!(open.search(query, &request, &mut space).expect("hits"), exact(query));
        assert_eq!(space.work().damaged, 0, "no list is");
    }
    assert!(open.verify().is_err());
}

#[test]
fn a_damaged_list_is_noticed_and_its_rows_are_compared_exactly() {
    let data = clustered(64, 2000, 10, 4);
    let (index, bytes, written) = written(&data, Metric::EuclideanSquared, 10);
    // The lists are the last part of the file: every one is hit.
    let lists = bytes.len() - index.list_bytes();
    let mut hit = bytes.clone();
    for at in (lists + 100..hit.len()).step_by(997) {
        hit[at] ^= 0x10;
    }
    let file = Counted::new(hit);
    let opened = open(&file, written).expect("a file");
    let mut space = opened.space();
    for query in &data.queries {
        let request = request(Effort::Recall(1.0));
        let found = opened.search(query, &request, &mut space).expect("hits");
        assert_eq!(found, index.exact(rows_of(&data), query, 10, None).expect("hits"));
        let work = space.work();
        assert!(work.damaged > 0 && work.damaged == work.clusters, "{work:?}");
    }
    assert!(matches!(opened.load(), Err(VectorError::Damaged { .. })));
    let whole = Counted::new(bytes);
    let opened = open(&whole, written).expect("a file");
    opened.search(&data.queries[0], &request(Effort::Recall(0.9)), &mut space).expect("hits");
    assert_eq!(space.work().damaged, 0);
}

#[test]
fn any_flipped_bit_is_an_error_or_leaves_the_answer_as_it_was() {
    let data = clustered(16, 150, 2, 5);
    let (index, bytes, written) = written(&data, Metric::Cosine, 4);
    let expect = index.exact(rows_of(&data), &data.queries[0], 5, None).expect("hits");
    let (mut errors, mut same) = (0, 0);
    for at in 0..bytes.len() {
        let mut hit = bytes.clone();
        hit[at] ^= 1 << (at % 8);
        let file = Counted::new(hit);
        let answer = open(&file, written).and_then(|open| {
            let request = Request { k: 5, effort: Effort::Clusters(4), filter: None };
            open.search(&data.queries[0], &request, &mut open.space())
        });
        match answer {
            Ok(found) => {
                assert_eq!(found, expect, "byte {at}");
                same += 1;
            }
            Err(VectorError::Damaged { .. }) => errors += 1,
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(errors > 0 && same > 0);
}

#[test]
fn a_file_of_another_identity_or_length_is_not_opened() {
    let data = clustered(16, 50, 0, 6);
    let (_, bytes, written) = written(&data, Metric::Cosine, 2);
    let file = Counted::new(bytes.clone());
    let other = VectorFile::open(&file, b"another of the 2", written, Kernels::best());
    assert!(matches!(other, Err(VectorError::Damaged { .. })));
    for len in [0, 127, 128, bytes.len() - 1] {
        let file = Counted::new(bytes[..len].to_vec());
        let short = open(&file, Written { len: len as u64, ..written });
        assert!(short.is_err(), "{len} bytes");
        assert!(open(&file, written).and_then(|open| open.load()).is_err(), "{len} bytes");
    }
    // What is said of the head is a hint: too little costs a round trip.
    for head_bytes in [0, 200, u64::MAX] {
        assert!(open(&file, Written { head_bytes, ..written }).is_ok(), "{head_bytes}");
    }
}

#[test]
fn an_index_of_no_rows_is_a_file_too() {
    let data = clustered(16, 0, 1, 7);
    let (_, bytes, written) = written(&data, Metric::Dot, 1);
    let file = Counted::new(bytes);
    let open = open(&file, written).expect("a file");
    assert!(open.is_empty());
    let hits = open.search(&data.queries[0], &request(Effort::Recall(0.9)), &mut open.space());
    assert_eq!(hits.expect("an answer"), []);
    assert!(open.load().expect("all of it").0.is_empty());
}
