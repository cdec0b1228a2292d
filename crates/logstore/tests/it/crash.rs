//! A process that stores logs, killed with SIGKILL at any moment, again and again on the same
//! directory: what it said was committed is there, nothing is there twice, and search works at once.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base::rng::Rng;
use logstore::*;

use crate::support::{all, partitions};

const CHILD_DIR: &str = "TESTS_LOGS_CHILD_DIR";
const CHILD_CYCLE: &str = "TESTS_LOGS_CHILD_CYCLE";

/// Kills of one directory; everything in it is compared after each.
const CYCLES_OF_ONE: u64 = 10;

fn options() -> Options {
    // Small files, so that kills also hit the change from one to the next.
    Options { partition_bytes: 1 << 20, ..Options::default() }
}

/// The child: stores until it is killed, and says what was committed.
#[test]
fn child_that_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR).map(PathBuf::from) else { return };
    let cycle = std::env::var(CHILD_CYCLE).unwrap();
    let mut rng = Rng::new(cycle.parse().unwrap());
    let store = BatchedSqliteStorage::open(&dir, options(), Environment::system()).unwrap();
    let mut out = std::io::stdout().lock();
    let mut n = 0;
    loop {
        let count = [1, 10, 150, 1000, 2500][rng.index(5)];
        let entries: Vec<_> = (n..n + count)
            .map(|n| {
                let message = format!("cycle{cycle} entry{n} token{}", n % 17);
                Entry::new(UnixNanos(1_767_268_800_000_000_000 + i64::from(n)), message)
            })
            .collect();
        let group = store.store_all(entries).unwrap();
        let receipt = group.wait().unwrap();
        assert!(receipt.refused.is_empty());
        // A line is written at once, whole; the parent reads it even after the kill.
        writeln!(out, "\nack {} {n} {count}", receipt.first).unwrap();
        out.flush().unwrap();
        n += count;
    }
}

#[test]
fn what_was_acknowledged_survives_kills_and_nothing_is_there_twice() {
    let dir = tempfile::tempdir().unwrap();
    // A hundred by `TESTS_LOGS_KILLS`.
    let kills: u64 = std::env::var("TESTS_LOGS_KILLS").map_or(10, |n| n.parse().unwrap());
    let mut rng = Rng::new(99);
    let mut acknowledged: BTreeMap<u64, String> = BTreeMap::new();
    let mut path = PathBuf::new();
    for cycle in 0..kills {
        if cycle % CYCLES_OF_ONE == 0 {
            path = dir.path().join(format!("logs{cycle}"));
            acknowledged.clear();
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_that_is_killed", "--nocapture"])
            .env(CHILD_DIR, &path)
            .env(CHILD_CYCLE, cycle.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Some acknowledgements later, in the middle of whatever it does then.
        let mut left = 1 + rng.below(12);
        while let Some(Ok(line)) = lines.next() {
            left -= u64::from(note(&line, cycle, &mut acknowledged));
            if left == 0 {
                break;
            }
        }
        assert_eq!(left, 0, "the child ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(std::result::Result::ok) {
            note(&line, cycle, &mut acknowledged);
        }
        check(&path, cycle, &acknowledged);
    }
}

/// Remembers what a line of the child says; whether it was an acknowledgement.
fn note(line: &str, cycle: u64, acknowledged: &mut BTreeMap<u64, String>) -> bool {
    let Some(numbers) = line.strip_prefix("ack ") else { return false };
    let numbers: Vec<u64> = numbers.split(' ').map_while(|n| n.parse().ok()).collect();
    let [first, n, count] = numbers[..] else { return false };
    for at in 0..count {
        let message = format!("cycle{cycle} entry{} token{}", n + at, (n + at) % 17);
        assert_eq!(acknowledged.insert(first + at, message), None, "a number was given twice");
    }
    true
}

fn check(path: &std::path::Path, cycle: u64, acknowledged: &BTreeMap<u64, String>) {
    let options = Options { background: Background::Manual, ..options() };
    let store = BatchedSqliteStorage::open(path, options, Environment::system()).unwrap();
    let found =
        store.search(&Query::new(Filter::default().text(&format!("cycle{cycle} token3")))).unwrap();
    assert_eq!(found.unreadable, []);
    let stored = all(&store, &Filter::default());
    let mut messages: Vec<_> = stored.iter().map(|s| s.entry.message.as_str()).collect();
    messages.sort_unstable();
    assert!(messages.is_sorted_by(|a, b| a < b), "something is there twice");
    let by_id: BTreeMap<u64, &str> =
        stored.iter().map(|s| (s.id.0, s.entry.message.as_str())).collect();
    assert_eq!(by_id.len(), stored.len(), "a number is there twice");
    for (id, message) in acknowledged {
        assert_eq!(by_id.get(id), Some(&message.as_str()), "cycle {cycle}, entry {id}");
    }
    drop(store);
    for name in partitions(path) {
        let file = rusqlite::Connection::open(path.join(&name)).unwrap();
        let sound: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok", "{name}");
    }
}
