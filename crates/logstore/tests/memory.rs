//! What a store takes in memory while entries come as fast as they can: all that Rust allocates and
//! all that SQLite does.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]
#![expect(unsafe_code, reason = "SQLite tells its memory by a C function")]

use std::time::Duration;

use logstore::*;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Most that a store with the standard settings takes, in MB.
const MOST_MB: usize = 20;
const ENTRIES: u64 = 100_000;

fn entry(n: u64) -> Entry {
    let message = format!(
        "GET /api/v1/users/{} HTTP/1.1 200 {} bytes in {} ms request={:016x}",
        n % 5000,
        n * 37 % 90_000,
        n % 700,
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    );
    let time = UnixNanos(1_767_268_800_000_000_000 + i64::try_from(n).unwrap() * 1_000_000);
    Entry::new(time, message).from_app("web-1.example.net", "nginx")
}

#[test]
fn a_store_under_load_and_its_searches_take_less_than_twenty_megabytes() {
    let dir = tempfile::tempdir().unwrap();
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let logs = dir.path().join("logs");
    let store =
        BatchedSqliteStorage::open(&logs, Options::default(), Environment::system()).unwrap();
    for n in 0..ENTRIES {
        let mut tried = store.store(entry(n));
        while let Err(LogError::QueueFull { .. }) = tried {
            std::thread::yield_now();
            tried = store.store(entry(n));
        }
        drop(tried.unwrap());
        if n % 20_000 == 0 {
            let query = Query::new(Filter::default().text("users GET"));
            assert!(store.search(&query).is_ok());
        }
    }
    store.close(Duration::from_secs(60)).unwrap();
    assert_eq!(store.stats().unwrap().entries, ENTRIES);
    let ours = ALLOCATOR.peak_usage().saturating_sub(before);
    // SAFETY: the function only reads a counter.
    let sqlite = unsafe { rusqlite::ffi::sqlite3_memory_highwater(0) };
    let total = ours + usize::try_from(sqlite).unwrap();
    let megabytes = total / 1_000_000;
    println!("{ours} bytes of ours and {sqlite} of SQLite's at their highest");
    assert!(megabytes < MOST_MB, "{ours} + {sqlite} bytes");
}
