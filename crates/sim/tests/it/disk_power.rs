//! Bytes: what a kill and a power loss leave of writes, lengths and syncs, failed ones too.

use base::io::{Disk, Open};
use sim::FaultDisk;
use sim::disk::{Calls, Crash, Effect, Fate, Fault, Kept, Loss, Pending, Rest};

use crate::{after, found, named_file, p};

const APPLIED: Fate = Fate::APPLIED;
const LOST: Fate = Fate::LOST;

fn all_lost(disk: &FaultDisk) -> FaultDisk {
    disk.crash(&Crash::PowerLoss(Loss::Everything))
}

#[test]
fn a_kill_keeps_every_byte_and_a_later_power_loss_still_takes_them() {
    let disk = FaultDisk::new();
    named_file(&disk, "/f").write_at(b"unsynced", 0).unwrap();
    let killed = disk.crash(&Crash::Kill);
    assert_eq!(killed.peek(p("/f")), Some(b"unsynced".to_vec()));
    assert_eq!(all_lost(&killed).peek(p("/f")), Some(vec![]));
    // Recovery that syncs a file it never wrote to saves what the dead process wrote.
    killed.open(p("/f"), Open::Write).unwrap().sync_data().unwrap();
    assert_eq!(all_lost(&killed).peek(p("/f")), Some(b"unsynced".to_vec()));
}

#[test]
fn synced_bytes_survive_and_unsynced_ones_have_a_fate_each() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    file.write_at(b"AAAA", 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(b"b", 1).unwrap();
    file.write_at(b"c", 2).unwrap();
    for (fates, expect) in [
        ([LOST, LOST], b"AAAA"),
        ([APPLIED, LOST], b"AbAA"),
        ([LOST, APPLIED], b"AAcA"),
        ([APPLIED, APPLIED], b"AbcA"),
    ] {
        assert_eq!(found(&disk, "/f", &fates).as_deref(), Some(expect.as_slice()));
    }
    file.sync_all().unwrap();
    assert_eq!(found(&disk, "/f", &[]).as_deref(), Some(b"AbcA".as_slice()));
}

#[test]
fn writes_to_the_same_place_arrive_in_call_order() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    file.write_at(b"1", 0).unwrap();
    file.write_at(b"2", 0).unwrap();
    assert_eq!(found(&disk, "/f", &[APPLIED, APPLIED]), Some(b"2".to_vec()));
    assert_eq!(found(&disk, "/f", &[APPLIED, LOST]), Some(b"1".to_vec()));
}

#[test]
fn a_lost_write_before_an_applied_one_leaves_a_hole() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    file.write_at(b"ab", 0).unwrap();
    file.write_at(b"cd", 2).unwrap();
    assert_eq!(found(&disk, "/f", &[LOST, APPLIED]), Some(b"\0\0cd".to_vec()));
}

#[test]
fn a_write_may_be_torn_grown_or_replaced() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    file.write_at(&[1; 1536], 0).unwrap();
    let read = |fate| found(&disk, "/f", &[fate]).unwrap();
    assert_eq!(read(Fate::GROWN), [0; 1536]);
    assert_eq!(read(Fate::torn(Kept::Prefix(1), Rest::Old)), [1; 512]);
    let suffix = read(Fate::torn(Kept::Suffix(2), Rest::Old));
    assert_eq!((suffix.len(), suffix[1023], suffix[1024]), (1536, 0, 1));
    let garbage = read(Fate::torn(Kept::Prefix(2), Rest::Garbage(7)));
    assert_eq!((garbage.len(), &garbage[..1024]), (1536, &[1; 1024][..]));
    assert!(garbage[1024..].iter().any(|byte| *byte > 1));
}

#[test]
fn a_change_of_length_is_applied_or_lost() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    file.write_at(b"abcd", 0).unwrap();
    file.sync_data().unwrap();
    file.set_len(2).unwrap();
    file.write_at(b"Z", 3).unwrap();
    assert_eq!(found(&disk, "/f", &[APPLIED, APPLIED]), Some(b"ab\0Z".to_vec()));
    assert_eq!(found(&disk, "/f", &[LOST, APPLIED]), Some(b"abcZ".to_vec()));
    assert_eq!(found(&disk, "/f", &[APPLIED, LOST]), Some(b"ab".to_vec()));
}

#[test]
fn a_failed_sync_leaves_bytes_that_are_read_and_that_no_later_sync_saves() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    disk.inject(Fault::once(Calls::Syncs, 1, Effect::Eio));
    file.write_at(b"orphan", 0).unwrap();
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    file.sync_data().unwrap();
    assert_eq!(disk.peek(p("/f")), Some(b"orphan".to_vec()));
    assert_eq!(found(&disk, "/f", &[LOST]), Some(vec![]));
    assert_eq!(found(&disk, "/f", &[APPLIED]), Some(b"orphan".to_vec()));
    // Nor does a sync by the next process.
    let killed = disk.crash(&Crash::Kill);
    killed.open(p("/f"), Open::Write).unwrap().sync_all().unwrap();
    assert_eq!(all_lost(&killed).peek(p("/f")), Some(vec![]));
}

#[test]
fn bytes_written_after_a_failed_sync_are_saved_by_the_next_one() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    file.write_at(b"......", 0).unwrap();
    file.sync_data().unwrap();
    disk.inject(Fault::once(Calls::Syncs, 1, Effect::Enospc));
    file.write_at(b"orphan", 0).unwrap();
    file.sync_data().unwrap_err();
    file.write_at(b"PH", 2).unwrap();
    file.sync_data().unwrap();
    // The overlapping part is durable whatever becomes of the rest, and is never undone by it.
    assert_eq!(found(&disk, "/f", &[LOST]), Some(b"..PH..".to_vec()));
    assert_eq!(found(&disk, "/f", &[APPLIED]), Some(b"orPHan".to_vec()));
    file.write_at(b"ORPHAN", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(found(&disk, "/f", &[]), Some(b"ORPHAN".to_vec()));
}

#[test]
fn each_call_under_a_failed_sync_has_a_fate_of_its_own() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    disk.inject(Fault::once(Calls::Syncs, 1, Effect::Eio));
    file.write_at(b"a", 0).unwrap();
    file.write_at(b"b", 1).unwrap();
    file.sync_data().unwrap_err();
    assert_eq!(found(&disk, "/f", &[LOST, APPLIED]), Some(b"\0b".to_vec()));
    assert_eq!(found(&disk, "/f", &[APPLIED, LOST]), Some(b"a".to_vec()));
}

#[test]
fn the_disk_after_a_crash_crashes_in_its_turn_and_the_first_is_untouched() {
    let disk = FaultDisk::new();
    named_file(&disk, "/f").write_at(b"one", 0).unwrap();
    let first = after(&disk, &[APPLIED]);
    let file = first.open(p("/f"), Open::Write).unwrap();
    file.write_at(b"two", 3).unwrap();
    let second = after(&first, &[LOST]);
    assert_eq!(second.peek(p("/f")), Some(b"one".to_vec()));
    assert_eq!(first.peek(p("/f")), Some(b"onetwo".to_vec()));
    assert_eq!(disk.peek(p("/f")), Some(b"one".to_vec()));
    assert_eq!((second.calls(), first.calls()), (0, 2));
}

#[test]
fn a_seeded_loss_is_the_same_for_the_same_seed_and_seeds_differ() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    for i in 0..32_u8 {
        file.write_at(&[i; 300], u64::from(i) * 300).unwrap();
    }
    let hash = |seed| disk.crash(&Crash::PowerLoss(Loss::Seeded(seed))).content_hash();
    assert_eq!(hash(3), hash(3));
    let mut hashes: Vec<u64> = (0..50).map(hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert!(hashes.len() > 45, "{}", hashes.len());
}

#[test]
fn pending_names_the_calls_that_a_power_loss_decides() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    file.write_at(b"abc", 5).unwrap();
    file.set_len(6).unwrap();
    let path = || "/f".to_owned();
    let write = Pending::Write { path: path(), offset: 5, len: 3, grows: true };
    assert_eq!(disk.pending(), [write, Pending::SetLen { path: path(), len: 6 }]);
    // What nobody can reach after any crash has no fate to decide.
    disk.remove_file(p("/f")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(disk.pending(), []);
}

#[test]
fn locks_are_free_after_a_crash_and_after_they_are_dropped() {
    let disk = FaultDisk::new();
    let lock = disk.lock(p("/lock")).unwrap();
    let refused = disk.lock(p("/lock")).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock);
    let killed = disk.crash(&Crash::Kill);
    let again = killed.lock(p("/lock")).unwrap();
    drop(lock);
    assert!(killed.lock(p("/lock")).is_err(), "the dead process's lock freed another's");
    drop(again);
    disk.lock(p("/lock")).unwrap();
}
