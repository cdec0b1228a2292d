//! What the index costs: a lookup that hits and one that misses, a range of a hundred, a change, a
//! merge, and loading, with 1 million and 10 million documents.
//!
//! Lookups go to documents by chance, so that nothing they need was just used.

use std::hint::black_box;
use std::ops::Bound;

use base::io::RealDisk;
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use docstore::index::file::{self, Header, Kind};
use docstore::index::{Entry, Index, Target};
use docstore::{FileNumber, Location};

const DOCUMENTS: [u64; 2] = [1_000_000, 10_000_000];
const MILLION: u64 = 1_000_000;
const COLLECTION: CollectionId = CollectionId(1);

/// How ids come.
#[derive(Clone, Copy)]
struct Ids {
    name: &'static str,
    /// The id of the document with this number; one more than it is the id of none.
    id: fn(u64) -> DocId,
}

const DENSE: Ids = Ids { name: "dense", id: |n| DocId::U64(2 * n) };
const SPREAD: Ids = Ids {
    name: "spread",
    // Odd multiples of an odd number are no even ones, so misses are misses.
    id: |n| DocId::U64((2 * n).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
};
const TEXT: Ids =
    Ids { name: "text", id: |n| DocId::string(&format!("document {:016}", 2 * n)).expect("short") };

impl Ids {
    fn missing(self, n: u64) -> DocId {
        match (self.id)(n) {
            DocId::U64(id) => DocId::U64(id.wrapping_add(1)),
            DocId::Str(text) => DocId::string(&format!("{}.", text.as_str())).expect("short"),
            uuid @ DocId::Uuid(_) => uuid,
        }
    }
}

fn entry(n: u64) -> Entry {
    let offset = u32::try_from(n % (256 << 20)).expect("less than that");
    Entry { lsn: Lsn(n + 1), location: Location { file: FileNumber(1), offset }, expires_at: None }
}

/// An index of so many documents, all in its base.
fn filled(ids: Ids, documents: u64) -> Index {
    let mut index = Index::new();
    for n in 0..documents {
        index.put(COLLECTION, &(ids.id)(n), entry(n));
        if n % MILLION == 0 {
            settle(&mut index);
        }
    }
    settle(&mut index);
    index
}

fn settle(index: &mut Index) {
    index.freeze();
    if let Some(merge) = index.merge(Target::Base) {
        index.install(merge.run()).expect("the only merge");
    }
}

fn reads(criterion: &mut Criterion) {
    for (ids, documents) in [(DENSE, 0), (DENSE, 1), (SPREAD, 0), (SPREAD, 1), (TEXT, 0)] {
        let documents = DOCUMENTS[documents];
        let index = filled(ids, documents);
        let mut rng = Rng::new(1);
        let mut group = criterion.benchmark_group(format!("{}_{}M", ids.name, documents / MILLION));
        group.bench_function("hit", |b| {
            b.iter_batched(
                || (ids.id)(rng.below(documents)),
                |id| assert!(index.get(COLLECTION, &id).is_some()),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("miss", |b| {
            b.iter_batched(
                || ids.missing(rng.below(documents)),
                |id| assert!(index.get(COLLECTION, &id).is_none()),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("range_of_100", |b| {
            b.iter_batched(
                || (ids.id)(rng.below(documents)),
                |id| {
                    let range = index.range(COLLECTION, Bound::Included(&id), Bound::Unbounded);
                    range.take(100).map(|(_, entry)| entry.lsn.0).sum::<u64>()
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

/// Replacing a document that is in the base, and merging 100,000 such changes into 1M.
fn changes(criterion: &mut Criterion) {
    let mut rng = Rng::new(1);
    let mut index = filled(DENSE, MILLION);
    let mut group = criterion.benchmark_group("change_1M");
    group.bench_function("put", |b| {
        b.iter(|| index.put(COLLECTION, &(DENSE.id)(rng.below(MILLION)), entry(MILLION)));
    });
    let mut index = filled(DENSE, MILLION);
    for n in 0..100_000 {
        index.put(COLLECTION, &(DENSE.id)(rng.below(MILLION)), entry(MILLION + n));
    }
    let layer = index.freeze().expect("there are changes");
    group.sample_size(10);
    group.throughput(Throughput::Elements(layer.len()));
    group.bench_function("pack", |b| b.iter(|| Index::pack(&layer).run()));
    group.throughput(Throughput::Elements(MILLION));
    group.bench_function("merge_100k_by_chance", |b| {
        b.iter(|| index.merge(Target::Base).map(docstore::index::Merge::run));
    });
    group.finish();
}

/// Writing and loading a base, from the system's cache.
fn files(criterion: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory of cargo's");
    let disk = RealDisk::shared();
    let database = DatabaseId::from_bytes([1; 16]);
    let mut group = criterion.benchmark_group("file_1M");
    group.sample_size(10);
    group.throughput(Throughput::Elements(MILLION));
    for (number, ids) in [(1, DENSE), (2, TEXT)] {
        let index = filled(ids, MILLION);
        let header = Header { database, number, kind: Kind::Base, checkpoint: Lsn(MILLION) };
        let write = || file::write(&disk, dir.path(), header, index.base()).expect("it has room");
        group.bench_function(format!("write_{}", ids.name), |b| b.iter(write));
        let info = write();
        group.bench_function(format!("load_{}", ids.name), |b| {
            b.iter(|| file::load(&disk, dir.path(), black_box(&info)));
        });
    }
    group.finish();
}

criterion_group!(benches, reads, changes, files);
criterion_main!(benches);
