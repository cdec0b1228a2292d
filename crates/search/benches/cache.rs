//! What does a read through the block cache cost: when the block is in memory, when it is on the disk tier, and when it
//! has to come from a store in a directory; beside it, the same read without a cache.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use base::io::RealDisk;
use base::rng::Rng;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use search::storage::cache::{
    BLOCK_BYTES, Blocks, Cache, CachedObject, MemoryCache, TieredCache, TieredOptions,
};
use search::storage::{LocalStore, Name, Object, ReadRanges, StoreRef};

const BLOCKS: u64 = 256;
const READ_BYTES: u64 = 4096;
/// Room for everything.
const ROOM: usize = 64 << 20;

/// A read within one block, somewhere.
fn somewhere(rng: &mut Rng) -> Range<u64> {
    let start = rng.below(BLOCKS) * BLOCK_BYTES + rng.below(BLOCK_BYTES - READ_BYTES);
    start..start + READ_BYTES
}

fn cached(store: &StoreRef, name: &Name, cache: Box<dyn Cache>) -> CachedObject {
    Blocks::new(cache, 0).object(Arc::clone(store), name.clone(), BLOCKS * BLOCK_BYTES)
}

fn cache(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = LocalStore::open(RealDisk::shared(), &dir.path().join("store")).expect("a store");
    let store: StoreRef = Arc::new(store);
    let name = Name::new("object").expect("a name");
    let content = vec![7; usize::try_from(BLOCKS * BLOCK_BYTES).expect("it fits in memory")];
    store.put_new(&name, &content).expect("an object");
    let mut rng = Rng::new(1);
    let mut group = criterion.benchmark_group("cache");
    group.throughput(Throughput::Bytes(READ_BYTES));
    let mut reads = |what: &str, reader: &dyn ReadRanges| {
        group.bench_function(what, |bencher| {
            bencher.iter(|| {
                let range = somewhere(&mut rng);
                black_box(reader.read(&[range])).expect("the object is there")
            });
        });
    };
    let hit = cached(&store, &name, Box::new(MemoryCache::new(ROOM)));
    search::storage::cache::warm(std::slice::from_ref(&hit), u64::MAX)
        .expect("the object is there");
    reads("hit", &hit);
    // Room for no block at all.
    let miss = cached(&store, &name, Box::new(MemoryCache::new(1)));
    reads("miss", &miss);
    let options = TieredOptions {
        memory_bytes_max: 1 << 20,
        disk_bytes_max: ROOM,
        directory: dir.path().join("cache"),
    };
    let tiers = Arc::new(TieredCache::open(&RealDisk, &options).expect("a cache"));
    let disk = cached(&store, &name, Box::new(Arc::clone(&tiers)));
    search::storage::cache::warm(std::slice::from_ref(&disk), u64::MAX)
        .expect("the object is there");
    tiers.flush();
    reads("disk_hit", &disk);
    reads("no_cache", &Object::new(store, name));
    group.finish();
}

criterion_group!(benches, cache);
criterion_main!(benches);
