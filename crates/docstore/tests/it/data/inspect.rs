//! Looking at a file: everything is counted, damage is named, nothing is written.

use docstore::FileNumber;
use docstore::data::{Condition, Inspection, Part, inspect};
use sim::disk::{FaultDisk, Rot};

use super::{TINY, finished, path, unfinished};

fn look(disk: &FaultDisk) -> (Inspection, u64) {
    let mut seen = 0;
    let before = disk.content_hash();
    let found = inspect(&disk.shared(), &path(), &mut |_| seen += 1).unwrap();
    assert_eq!(disk.content_hash(), before, "looking changes nothing");
    (found, seen)
}

#[test]
fn a_look_at_a_sound_file_counts_what_was_written() {
    for written in [finished(TINY, 30), unfinished(TINY, 30)] {
        let (found, seen) = look(&written.disk);
        assert!(found.is_sound(), "{found:?}");
        assert_eq!((found.data_len, found.stripes), (written.verified, written.verified / 2048));
        let tombstones = written.records.iter().filter(|(_, s)| s.body.is_none()).count() as u64;
        let contents = found.contents;
        assert_eq!(
            (contents.documents + contents.tombstones, contents.tombstones),
            (30, tombstones)
        );
        assert_eq!(seen, 30);
        let text = written.records.iter().filter_map(|(_, sample)| sample.body.as_ref());
        let text: usize = text.map(|(document, _)| document.as_bytes().len()).sum();
        assert_eq!(contents.text_bytes, text as u64);
        assert!(contents.packed > 0 && contents.stored_bytes < contents.text_bytes);
        let last = written.records.last().unwrap().1.lsn;
        assert_eq!(contents.lsns, Some((written.records[0].1.lsn, last)));
        assert_eq!(found.number_in_name, Some(FileNumber(3)));
    }
}

#[test]
fn a_look_at_a_damaged_file_names_what_is_wrong() {
    let written = finished(TINY, 30);
    let garbage = |disk: &FaultDisk, offset: u64| {
        disk.rot(&Rot::Garbage { path: path(), sector: offset / 512, seed: 1 }).unwrap();
    };
    let disk = written.disk.fork();
    garbage(&disk, 0);
    garbage(&disk, TINY.block_start(1, 2));
    garbage(&disk, TINY.parity_start(3));
    let (found, seen) = look(&disk);
    assert_eq!(found.bad_headers, [0]);
    let block = Condition::Repairable(Part::Block(2));
    assert_eq!(found.bad_stripes, [(1, block), (3, Condition::Repairable(Part::Parity))]);
    assert_eq!(found.damage.len(), 1);
    let bad = 2048 + 1024;
    assert!(found.damage[0].range.start < bad + 512 && bad < found.damage[0].range.end);
    assert!(seen < 30 && !found.is_sound());
    garbage(&disk, 512);
    let (found, seen) = look(&disk);
    assert!(found.header.is_err() && seen == 0, "{found:?}");
}
