//! Backups of a store in use, and what is made of them.

use std::path::Path;

use base::io::{Disk as _, Open, RealDisk, read_exact_at, write_all_at};
use logstore::*;

use crate::support::{Bed, DAY, messages, names};

fn filled(bed: &Bed) -> BatchedSqliteStorage {
    let store = bed.open();
    let entries = (0..5000).map(|n| bed.entry(format!("m{n}"))).collect();
    drop(store.store_all(entries).unwrap());
    bed.flush(&store);
    bed.clock.advance(DAY);
    bed.store(&store, &["tomorrow"]);
    store
}

#[test]
fn a_backup_of_a_store_in_use_becomes_a_store_with_the_same_entries() {
    let bed = Bed::new(Options { queue_size: 5000, ..Options::default() });
    let store = filled(&bed);
    let to = bed.dir.path().join("backup");
    let report = store.backup(&to).unwrap();
    assert_eq!((report.partitions, report.entries), (2, 5001));
    let before = messages(&store);
    bed.store(&store, &["after the backup"]);
    assert_eq!(
        names(&to),
        ["2026-01-01.001.logs", "2026-01-02.001.logs", "manifest.json"],
        "nothing lies beside the copies"
    );
    assert_eq!(check_backup(&RealDisk, &to).unwrap(), report);

    let restored = bed.dir.path().join("restored");
    assert_eq!(restore_backup(&RealDisk, &to, &restored).unwrap(), report);
    let environment = Environment { clock: bed.clock.shared(), ..Environment::system() };
    let copy = BatchedSqliteStorage::open(&restored, bed.options.clone(), environment).unwrap();
    assert_eq!(messages(&copy), before);
    assert_eq!(bed.store(&copy, &["goes on"]).first, EntryId(5002));
}

#[test]
fn a_backup_that_is_damaged_is_refused() {
    let bed = Bed::new(Options { queue_size: 5000, ..Options::default() });
    let to = bed.dir.path().join("backup");
    filled(&bed).backup(&to).unwrap();
    flip(&to.join("2026-01-01.001.logs"), 5000);
    assert!(matches!(check_backup(&RealDisk, &to), Err(LogError::Damaged { .. })));
    let restored = restore_backup(&RealDisk, &to, &bed.dir.path().join("restored"));
    assert!(matches!(restored, Err(LogError::Damaged { .. })));
}

#[test]
fn a_directory_without_a_manifest_or_with_a_wrong_one_is_no_backup() {
    let bed = Bed::new(Options::default());
    let dir = bed.dir.path();
    assert!(matches!(check_backup(&RealDisk, dir), Err(LogError::Damaged { .. })));
    let part = |name: &str| {
        format!(
            "{{\"format\":1,\"partitions\":[{{\"name\":\"{name}\",\"bytes\":0,\"crc32c\":0,\"entries\":0}}]}}"
        )
    };
    for manifest in ["{", "{}", "{\"format\":1}", &part("../secret"), &part("2026-1-1.001.logs")] {
        write(&dir.join("manifest.json"), manifest);
        let refused = check_backup(&RealDisk, dir);
        assert!(matches!(refused, Err(LogError::Damaged { .. })), "{manifest} {refused:?}");
    }
    write(&dir.join("manifest.json"), "{\"format\":2}");
    assert!(matches!(check_backup(&RealDisk, dir), Err(LogError::Unsupported { .. })));
}

#[test]
fn a_backup_never_writes_over_something() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    bed.store(&store, &["m"]);
    assert!(store.backup(bed.dir.path()).is_err());
}

fn flip(path: &Path, at: u64) {
    let file = RealDisk.open(path, Open::Write).unwrap();
    let mut byte = [0];
    read_exact_at(&*file, &mut byte, at).unwrap();
    write_all_at(&*file, &[byte[0] ^ 1], at).unwrap();
}

fn write(path: &Path, text: &str) {
    _ = RealDisk.remove_file(path);
    let file = RealDisk.open(path, Open::CreateNew).unwrap();
    write_all_at(&*file, text.as_bytes(), 0).unwrap();
}
