//! Damage at rest is what it says, is durable, and is never a damage that damages nothing.

use base::io::Disk;
use sim::FaultDisk;
use sim::disk::{Crash, Loss, Rot};

use crate::{named_file, p};

/// A disk with two synced files; the second sector of `/a` was written twice.
fn disk() -> FaultDisk {
    let disk = FaultDisk::new();
    let (a, b) = (named_file(&disk, "/a"), named_file(&disk, "/b"));
    a.write_at(&[1; 1300], 0).unwrap();
    a.sync_data().unwrap();
    a.write_at(&[2; 512], 512).unwrap();
    a.sync_data().unwrap();
    b.write_at(&[9; 600], 0).unwrap();
    b.sync_data().unwrap();
    disk
}

/// `/a` after the damage, seen by a machine that lost power since.
fn damaged(rot: &Rot) -> Option<Vec<u8>> {
    let disk = disk();
    disk.rot(rot).unwrap();
    let seen = disk.peek(p("/a"));
    let after = disk.crash(&Crash::PowerLoss(Loss::Everything));
    assert_eq!(after.peek(p("/a")), seen, "the damage is durable and seen at once");
    seen
}

fn whole() -> Vec<u8> {
    disk().peek(p("/a")).unwrap()
}

#[test]
fn each_damage_does_what_it_says_and_harms_nothing_else() {
    let path = || p("/a").to_path_buf();
    let mut flipped = whole();
    flipped[700] ^= 0x41;
    assert_eq!(damaged(&Rot::Flip { path: path(), offset: 700, mask: 0x41 }), Some(flipped));

    let mut zeroed = whole();
    zeroed[1024..].fill(0);
    assert_eq!(damaged(&Rot::Zero { path: path(), sector: 2 }), Some(zeroed));

    let garbage = damaged(&Rot::Garbage { path: path(), sector: 0, seed: 3 }).unwrap();
    assert_eq!(garbage[512..], whole()[512..]);
    assert!(garbage[..512].iter().any(|byte| *byte > 2));

    let mut misdirected = whole();
    misdirected[512..1024].fill(9);
    let from = (p("/b").to_path_buf(), 0);
    assert_eq!(damaged(&Rot::Misdirect { from, to: (path(), 1) }), Some(misdirected));

    let mut dropped = whole();
    dropped[512..1024].fill(1);
    assert_eq!(damaged(&Rot::DropWrite { path: path(), sector: 1 }), Some(dropped));

    let cut = damaged(&Rot::Truncate { path: path(), len: 600 });
    assert_eq!(cut.as_deref(), Some(&whole()[..600]));
    assert_eq!(damaged(&Rot::Remove { path: path() }), None);
}

#[test]
fn the_first_write_of_a_sector_drops_to_zeros() {
    let mut expect = whole();
    expect[..512].fill(0);
    let rot = Rot::DropWrite { path: p("/a").to_path_buf(), sector: 0 };
    assert_eq!(damaged(&rot), Some(expect));
}

#[test]
fn a_damage_that_would_change_nothing_is_refused() {
    let path = || p("/a").to_path_buf();
    let disk = disk();
    let refused = |rot: &Rot| disk.rot(rot).unwrap_err().kind();
    for rot in [
        Rot::Flip { path: path(), offset: 5, mask: 0 },
        Rot::Flip { path: path(), offset: 1300, mask: 1 },
        Rot::Zero { path: path(), sector: 3 },
        Rot::Misdirect { from: (path(), 1), to: (path(), 1) },
        Rot::Truncate { path: path(), len: 1300 },
    ] {
        assert_eq!(refused(&rot), std::io::ErrorKind::InvalidInput, "{rot:?}");
    }
    let missing = Rot::Remove { path: p("/no").to_path_buf() };
    assert_eq!(refused(&missing), std::io::ErrorKind::NotFound);
}

#[test]
fn damage_is_no_call() {
    let disk = disk();
    let calls = disk.calls();
    disk.rot(&Rot::Remove { path: p("/b").to_path_buf() }).unwrap();
    assert_eq!(disk.calls(), calls);
    assert_eq!(disk.list(p("/")).unwrap().len(), 1);
}
