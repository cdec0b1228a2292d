//! Reading past the page cache: dropping clean pages shows what a failed sync lost.

use base::io::{Disk, File, read_full_at};
use sim::FaultDisk;
use sim::disk::{Calls, Crash, Effect, Fate, Fault, Loss, Op};

use crate::{found, named_file, p};

fn content(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    read_full_at(file, &mut bytes, 0).unwrap();
    bytes
}

/// A file with `before` synced and `orphan` written over it, whose sync failed.
fn with_a_failed_sync(
    disk: &FaultDisk,
    before: &[u8],
    orphan: &[u8],
    at: u64,
) -> base::io::FileRef {
    let file = named_file(disk, "/f");
    file.write_at(before, 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(orphan, at).unwrap();
    disk.inject(Fault::once(Calls::Syncs, 1, Effect::Eio));
    file.sync_data().unwrap_err();
    file
}

#[test]
fn what_a_failed_sync_lost_is_read_until_its_pages_are_dropped() {
    let disk = FaultDisk::new();
    let file = with_a_failed_sync(&disk, b"before", b"OR", 2);
    assert_eq!(content(&*file), b"beORre");
    file.evict(0, 6).unwrap();
    assert_eq!(content(&*file), b"before");
    // What was seen to be lost does not come back.
    assert_eq!(disk.pending(), []);
    assert_eq!(disk.crash(&Crash::PowerLoss(Loss::Nothing)).peek(p("/f")), Some(b"before".into()));
}

#[test]
fn synced_and_unsynced_bytes_stay() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    file.write_at(b"synced", 0).unwrap();
    file.sync_data().unwrap();
    file.evict(0, u64::MAX).unwrap();
    assert_eq!(content(&*file), b"synced");
    file.write_at(b"dirty!", 0).unwrap();
    let hash = disk.content_hash();
    file.evict(0, u64::MAX).unwrap();
    assert_eq!(disk.content_hash(), hash);
    assert_eq!(found(&disk, "/f", &[Fate::APPLIED]), Some(b"dirty!".into()));
    assert_eq!(found(&disk, "/f", &[Fate::LOST]), Some(b"synced".into()));
}

#[test]
fn a_page_with_unsynced_bytes_keeps_what_was_lost_beside_them() {
    let disk = FaultDisk::new();
    let file = with_a_failed_sync(&disk, b"before", b"OR", 2);
    file.write_at(b"!", 5).unwrap();
    file.evict(0, 6).unwrap();
    assert_eq!(content(&*file), b"beORr!");
    file.sync_data().unwrap();
    file.evict(0, 6).unwrap();
    assert_eq!(content(&*file), b"befor!");
}

#[test]
fn only_the_pages_of_the_range_are_dropped() {
    let disk = FaultDisk::new();
    let (before, orphan) = (vec![b'b'; 3 * 4096], vec![b'o'; 2 * 4096]);
    let file = with_a_failed_sync(&disk, &before, &orphan, 2048);
    file.evict(4096, 1).unwrap();
    let seen = content(&*file);
    assert!(seen[2048..4096].iter().all(|b| *b == b'o'), "the page before it stays");
    assert!(seen[4096..8192].iter().all(|b| *b == b'b'), "its own page is what the device has");
    assert!(seen[8192..10240].iter().all(|b| *b == b'o'), "the page behind it stays");
    // The two pieces that are left have a fate each.
    let half = found(&disk, "/f", &[Fate::APPLIED, Fate::LOST]).unwrap();
    assert_eq!(&half[..8192], &seen[..8192]);
    assert!(half[8192..].iter().all(|b| *b == b'b'));
}

#[test]
fn a_lost_extension_of_a_file_reads_as_zeros() {
    let disk = FaultDisk::new();
    let file = with_a_failed_sync(&disk, b"before", b"OR", 6);
    file.evict(0, 8).unwrap();
    assert_eq!(content(&*file), b"before\0\0");
}

#[test]
fn bytes_written_again_and_synced_are_not_dropped() {
    let disk = FaultDisk::new();
    let file = with_a_failed_sync(&disk, b"before", b"OR", 2);
    file.write_at(b"NEW", 3).unwrap();
    file.sync_data().unwrap();
    file.evict(0, 6).unwrap();
    assert_eq!(content(&*file), b"befNEW");
    assert_eq!(
        disk.crash(&Crash::PowerLoss(Loss::Everything)).peek(p("/f")),
        Some(b"befNEW".into())
    );
}

#[test]
fn evicting_is_a_call_like_any_other() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    disk.inject(Fault::once(Calls::Only(Op::Evict), 1, Effect::Eio));
    assert_eq!(file.evict(0, 1).unwrap_err().raw_os_error(), Some(5));
    file.evict(0, 1).unwrap();
    let traced = disk.trace().iter().filter(|call| call.op == Op::Evict).count();
    assert_eq!(traced, 2);
    assert!(disk.open(p("/f"), base::io::Open::Read).unwrap().evict(0, 9).is_ok());
}
