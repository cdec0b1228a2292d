//! Damage at rest in every file of a backup: named by the check and by the restore, which makes
//! nothing of it, or stood in for by another copy and reported.

use std::path::Path;

use super::*;

/// Bytes of the header of a slot file that mean nothing (docs/formats/manifest.md).
const UNCHECKED: std::ops::Range<u64> = 28..32;

fn taken(documents: u64) -> (FaultDisk, Content) {
    let disk = FaultDisk::new();
    let options = Options { data_file_bytes_max: 4096, ..small() };
    let db = fresh(&disk, &clock(), options);
    for n in 0..documents {
        upsert(&db, n, n);
        if n == documents / 2 {
            db.checkpoint().expect("no faults");
        }
    }
    db.backup(&to(&disk)).expect("no faults");
    let expected = content(&db, DEFAULT_COLLECTION);
    (disk, expected)
}

/// Every kind of damage to one sector of a file, and to its whole.
fn damages(disk: &FaultDisk, path: &Path, other: &Path) -> Vec<Rot> {
    let len = disk.peek(path).expect("it is there").len() as u64;
    let path = || path.to_path_buf();
    let mut all = vec![
        Rot::Remove { path: path() },
        Rot::Truncate { path: path(), len: len - 1 },
        Rot::Truncate { path: path(), len: 0 },
    ];
    for sector in 0..len.div_ceil(512) {
        let offset = (sector * 512 + sector * 37 % 512).min(len - 1);
        all.push(Rot::Flip { path: path(), offset, mask: 0x10 });
        all.push(Rot::Zero { path: path(), sector });
        all.push(Rot::Garbage { path: path(), sector, seed: sector + 1 });
        all.push(Rot::Misdirect { from: (other.to_path_buf(), 0), to: (path(), sector) });
        all.push(Rot::Misdirect { from: (path(), sector / 2), to: (path(), sector) });
    }
    all
}

#[test]
fn any_damage_to_a_file_of_a_backup_is_named_by_check_and_restore() {
    let (disk, _) = taken(90);
    let files = held(&disk);
    assert!(files.len() > 2, "{files:?}");
    let mut tried = 0;
    for (at, path) in files.iter().enumerate() {
        let other = &files[(at + 1) % files.len()];
        for damage in damages(&disk, path, other) {
            let bad = disk.fork();
            // Zeros where there were zeros are no damage.
            if bad.rot(&damage).is_err() {
                continue;
            }
            tried += 1;
            let error = check_backup(&to(&bad)).expect_err("it is damaged");
            let is_gone = matches!(damage, Rot::Remove { .. });
            let expected = if is_gone { Code::FileOpen } else { Code::CorruptRecord };
            assert_eq!(error.code(), expected, "{damage:?}: {error}");
            assert!(error.to_string().contains(&path.display().to_string()), "{damage:?}: {error}");
            let refused = restored(&bad, &clock()).expect_err("it is damaged");
            assert_eq!(refused.to_string(), error.to_string());
            for left in [RESTORED, "/restored.new"] {
                let left = bad.shared().stat(Path::new(left)).expect("no faults");
                assert!(left.is_none(), "{damage:?}");
            }
        }
    }
    println!("{tried} damages of {} files", files.len());
    assert!(tried > 100, "{tried}");
}

fn copies() -> Vec<PathBuf> {
    (0..3).map(|n| Path::new(BACKUP).join(format!("BACKUP.{n}"))).collect()
}

#[test]
fn every_damaged_byte_of_a_copy_of_the_catalog_is_reported_and_another_copy_stands_in() {
    let (disk, expected) = taken(8);
    let mut tried = 0;
    for path in copies() {
        let len = disk.peek(&path).expect("it is there").len() as u64;
        let flips = (0..len).filter(|offset| !UNCHECKED.contains(offset));
        let flips =
            flips.map(|offset| Rot::Flip { path: path.clone(), offset, mask: 1 << (offset % 8) });
        let others = [
            Rot::Remove { path: path.clone() },
            Rot::Truncate { path: path.clone(), len: len - 1 },
            Rot::Truncate { path: path.clone(), len: 0 },
        ];
        for damage in flips.chain(others) {
            let bad = disk.fork();
            bad.rot(&damage).expect("it is damage");
            let summary = check_backup(&to(&bad)).expect("two copies are whole");
            assert_eq!(summary.damaged_copies, std::slice::from_ref(&path), "{damage:?}");
            let (copy, report) = restored(&bad, &clock()).expect("two copies are whole");
            assert_eq!(report.summary.damaged_copies, summary.damaged_copies);
            assert_eq!(content(&copy, DEFAULT_COLLECTION), expected);
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried}");
}

#[test]
fn no_two_damaged_copies_of_the_catalog_bring_an_older_backup_back() {
    let disk = FaultDisk::new();
    let db = fresh(&disk, &clock(), small());
    for n in 0..20 {
        upsert(&db, n, n);
    }
    db.backup(&to(&disk)).unwrap();
    // No file of documents changes by this, so that those of the backup before are all there.
    let newer = Document::parse(b"{\"fields\":[]}").unwrap();
    db.set_property(DEFAULT_COLLECTION, &name("search"), Some(newer.clone())).unwrap();
    let second = db.backup(&to(&disk)).unwrap();
    for spared in copies() {
        let bad = disk.fork();
        for path in copies().into_iter().filter(|path| *path != spared) {
            bad.rot(&Rot::Zero { path, sector: 0 }).unwrap();
        }
        let summary = check_backup(&to(&bad)).unwrap();
        assert_eq!((summary.lsn, summary.damaged_copies.len()), (second.summary.lsn, 2));
        let (copy, _) = restored(&bad, &clock()).unwrap();
        let property = copy.property(DEFAULT_COLLECTION, &name("search")).unwrap();
        assert_eq!(property, Some(newer.clone()));
    }
    for path in copies() {
        disk.rot(&Rot::Zero { path, sector: 0 }).unwrap();
    }
    let error = check_backup(&to(&disk)).unwrap_err();
    assert_eq!(error.code(), Code::CorruptRecord, "{error}");
    assert_eq!(restored(&disk, &clock()).unwrap_err().to_string(), error.to_string());
    // The next backup makes it good again.
    db.backup(&to(&disk)).unwrap();
    assert_eq!(check_backup(&to(&disk)).unwrap().damaged_copies, Vec::<PathBuf>::new());
}
