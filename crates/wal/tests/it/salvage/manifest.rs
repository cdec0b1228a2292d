//! Salvage of logs whose manifest is damaged, alone or together with segments.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use base::error::Code;
use base::words::DatabaseId;
use sim::disk::{FaultDisk, Rot};
use wal::salvage::{Identity, Outcome};

use super::healthy::{Closed, Hurt, WORKLOAD, healthy};
use super::{read_back, refusal, reported, run};
use crate::world::{DIR, Step};

/// Damages these copies of the manifest.
pub(super) fn hurt_manifest(disk: &FaultDisk, slots: Range<u32>) {
    for slot in slots {
        let path = PathBuf::from(format!("{DIR}/MANIFEST.{slot}"));
        match disk.peek(&path) {
            Some(bytes) if bytes.is_empty() => {}
            _ => disk.rot(&Rot::Flip { path, offset: 40, mask: 1 }).unwrap(),
        }
    }
}

#[test]
fn a_manifest_without_a_valid_copy_is_rebuilt_from_the_segments() {
    for closed in [Closed::Yes, Closed::No] {
        let healthy = healthy(&WORKLOAD, closed);
        let disk = healthy.disk.fork();
        hurt_manifest(&disk, 0..3);
        assert_eq!(refusal(&disk), Some(Code::WalCorrupt));
        let report = run(&disk).unwrap();
        assert_eq!(report.outcome, Outcome::ManifestRebuilt);
        let newest = healthy.segments.last().unwrap().0;
        assert_eq!(report.identity, Identity::SegmentHeader(newest));
        assert_eq!(report.database, DatabaseId::from_bytes([9; 16]));
        assert!(report.end_unknown && report.lost.is_empty(), "{report}");
        assert_eq!(report.quarantined.len(), 3, "{report}");
        let (changes, gaps, last) = read_back(&disk).unwrap();
        assert_eq!((changes, last), (healthy.left(&BTreeSet::new(), healthy.last), healthy.last));
        assert!(gaps.is_empty());
    }
}

#[test]
fn a_damaged_manifest_and_damaged_segments_are_salvaged_together() {
    let healthy = healthy(&WORKLOAD, Closed::Yes);
    for n in 0..healthy.frames.len() - 1 {
        if !healthy.frames[n].takes_lsn {
            continue;
        }
        let disk = healthy.disk.fork();
        healthy.plant(&disk, Hurt::Payload(n));
        hurt_manifest(&disk, 0..3);
        let report = run(&disk).unwrap();
        assert!(matches!(report.identity, Identity::SegmentHeader(_)));
        assert_eq!(reported(&report), healthy.lost(&[Hurt::Payload(n)]), "{n}\n{report}");
        let (changes, ..) = read_back(&disk).unwrap();
        assert_eq!(changes, healthy.left(&reported(&report), healthy.last), "{n}");
    }
}

#[test]
fn damage_in_some_slots_of_the_manifest_is_no_refusal() {
    let healthy = healthy(&WORKLOAD, Closed::Yes);
    let disk = healthy.disk.fork();
    hurt_manifest(&disk, 0..1);
    if refusal(&disk).is_none() {
        assert_eq!(run(&disk).unwrap().outcome, Outcome::NothingToDo);
    }
}

#[test]
fn without_any_identity_or_any_log_it_says_so_and_changes_nothing() {
    let healthy = healthy(&[Step::Append], Closed::Yes);
    let disk = healthy.disk.fork();
    healthy.plant(&disk, Hurt::SegmentHeader(1));
    hurt_manifest(&disk, 0..3);
    let before = disk.content_hash();
    let error = run(&disk).unwrap_err();
    assert!(error.to_string().contains("which database"), "{error}");
    assert_eq!(disk.content_hash(), before);
    let empty = FaultDisk::new();
    crate::world::make_dir(&empty.shared());
    let before = empty.content_hash();
    assert!(run(&empty).unwrap_err().to_string().contains("there is no log"));
    assert_eq!(empty.content_hash(), before, "not even a lock file is made");
}
