//! What data files cost: appending records of a kilobyte, on disk with everything that makes them
//! verified, reading one of them, going through all, and checking a stripe.
//!
//! Files lie in cargo's directory, so that the disk is that of the build.

use std::hint::black_box;
use std::path::Path;

use base::document::Document;
use base::io::{DiskRef, MemDisk, RealDisk};
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use docstore::data::{
    Body, DataFile, DataWriter, Expected, FileIdentity, Layout, Parity, Payloads, RecordRef,
};
use docstore::{FileNumber, Location};

const RECORDS: u64 = 16 * 1024;
const COLLECTION: CollectionId = CollectionId(1);

fn identity() -> FileIdentity {
    FileIdentity { database: DatabaseId::from_bytes([1; 16]), number: FileNumber(1) }
}

/// A kilobyte of JSON: an array of numbers that LZ4 packs to about two thirds.
fn document(n: u64) -> Document {
    let mut rng = Rng::new(n);
    let mut text = String::from("[0");
    while text.len() < 1015 {
        text.push_str(&format!(", {}", rng.below(1_000_000)));
    }
    text.push(']');
    Document::parse(text.as_bytes()).expect("an array of numbers")
}

fn fill(disk: &DiskRef, dir: &Path, layout: Layout, documents: &[Document]) -> Vec<Location> {
    let mut writer = DataWriter::create(disk, dir, identity(), layout).expect("an empty directory");
    let put = |(n, document): (u64, &Document)| {
        let body = Body::Document { document, expires_at: None };
        let record = RecordRef { collection: COLLECTION, id: &DocId::U64(n), lsn: Lsn(n), body };
        writer.append(&record).expect("room on the disk")
    };
    let locations = (1..=RECORDS).zip(documents.iter().cycle()).map(put).collect();
    writer.finish().expect("a disk that works");
    locations
}

fn append(criterion: &mut Criterion, documents: &[Document]) {
    let bytes: usize = documents.iter().map(|document| document.as_bytes().len()).sum();
    let bytes = bytes as u64 * RECORDS / documents.len() as u64;
    let mut group = criterion.benchmark_group("append_16Ki_records_of_1KiB");
    group.throughput(Throughput::Bytes(bytes)).sample_size(10);
    for (name, parity) in [("parity", Parity::On), ("no_parity", Parity::Off)] {
        let layout = Layout { parity, ..Layout::default() };
        group.bench_function(format!("memory/{name}"), |b| {
            b.iter_batched(
                MemDisk::shared,
                |disk| fill(&disk, Path::new("/"), layout, documents),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("disk_verified/{name}"), |b| {
            b.iter_batched(
                || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("cargo's directory"),
                |dir| {
                    fill(&RealDisk::shared(), dir.path(), layout, documents);
                    dir
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn read(criterion: &mut Criterion, documents: &[Document]) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("cargo's directory");
    let disk = RealDisk::shared();
    let locations = fill(&disk, dir.path(), Layout::default(), documents);
    let path = identity().number.path(dir.path());
    let len = disk.stat(&path).ok().flatten().map_or(0, |stat| stat.len);
    let verified = Layout::default().data_len(len);
    let file =
        DataFile::open(&disk, dir.path(), identity(), verified).expect("it was just written");
    let mut rng = Rng::new(1);
    criterion.bench_function("read_one_of_16Ki_records_of_1KiB", |b| {
        b.iter(|| {
            let n = rng.below(RECORDS) + 1;
            let at = usize::try_from(n - 1).ok().and_then(|n| locations.get(n)).expect("in range");
            let id = DocId::U64(n);
            let expected = Expected { collection: COLLECTION, id: &id, lsn: Lsn(n) };
            black_box(file.read(*at, &expected).expect("a sound file"))
        });
    });
    let mut group = criterion.benchmark_group("go_through_a_file");
    group.throughput(Throughput::Bytes(verified)).sample_size(10);
    group.bench_function("records", |b| {
        b.iter(|| file.records(0..verified, Payloads::Skip).filter(Result::is_ok).count());
    });
    group.throughput(Throughput::Bytes(Layout::default().geometry.stripe_bytes()));
    group.bench_function("check_one_stripe", |b| b.iter(|| file.check_stripe(black_box(1))));
    group.finish();
}

fn all(criterion: &mut Criterion) {
    let documents: Vec<Document> = (0..256).map(document).collect();
    append(criterion, &documents);
    read(criterion, &documents);
}

criterion_group!(benches, all);
criterion_main!(benches);
