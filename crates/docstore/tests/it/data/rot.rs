//! Damage at rest, in every block of every stripe: healed byte for byte when parity can, reported
//! when it cannot, and never answered as if it were a document.

use base::error::Code;
use base::io::{Disk, Open, write_all_at};
use base::words::DatabaseId;
use docstore::FileNumber;
use docstore::data::{
    Condition, DataError, DataFile, DataWriter, FileHeader, FileIdentity, Geometry, Layout,
    Outcome, Parity, Part,
};
use sim::disk::{Calls, Effect, Fault, FaultDisk, Op, Rot};

use super::{
    DIR, TINY, Written, append, create, finished, identity, open, path, samples, unfinished, walk,
};

/// Sectors of 512 bytes: each is a block, a parity block, a table or a copy of the header.
const SECTOR: u64 = 512;

/// The sector of a part of a stripe: blocks 0 to 3, parity 4, table 5.
fn sector(stripe: u64, part: u64) -> u64 {
    TINY.stripe_start(stripe) / SECTOR + part
}

/// All kinds of damage to one sector.
fn damages(sector: u64) -> [Rot; 4] {
    let path = path();
    [
        Rot::Flip { path: path.clone(), offset: sector * SECTOR, mask: 1 },
        Rot::Flip { path: path.clone(), offset: sector * SECTOR + 511, mask: 0x80 },
        Rot::Garbage { path: path.clone(), sector, seed: sector },
        Rot::Zero { path, sector },
    ]
}

fn garbage(disk: &FaultDisk, sector: u64) {
    disk.rot(&Rot::Garbage { path: path(), sector, seed: sector }).unwrap();
}

/// Every location gives its own record or an error that says why not, and so does going through
/// the file. Answers how many records could not be read.
fn never_wrong(written: &Written, file: &DataFile) -> usize {
    let mut unread = Vec::new();
    for (location, sample) in &written.records {
        match file.read(*location, &sample.expected()) {
            Ok(record) => assert!(sample.is(&record), "wrong bytes at {location}"),
            Err(error) => {
                assert!(matches!(error, DataError::Corrupt { .. }), "{error}");
                unread.push(*location);
            }
        }
    }
    let (records, damage) = walk(file);
    for (location, sample) in &written.records {
        let at = u64::from(location.offset);
        match records.iter().find(|record| record.location == *location) {
            Some(record) => assert!(sample.is(record), "wrong bytes at {location}"),
            None => assert!(
                damage.iter().any(|damage| damage.range.contains(&at)),
                "{location} was skipped in silence"
            ),
        }
    }
    for location in &unread {
        let at = u64::from(location.offset);
        assert!(damage.iter().any(|damage| damage.range.contains(&at)), "{location} was read");
    }
    unread.len()
}

fn stripes(written: &Written) -> u64 {
    written.file().complete_len() / TINY.geometry.stripe_bytes()
}

#[test]
fn any_one_damaged_block_of_a_stripe_is_healed_byte_for_byte() {
    for written in [finished(TINY, 30), unfinished(TINY, 30)] {
        let before = written.bytes();
        let mut healed = 0;
        for stripe in 0..stripes(&written) {
            for part in 0..6 {
                for rot in damages(sector(stripe, part)) {
                    let disk = written.disk.fork();
                    // Not every block has something where the damage would be.
                    if disk.rot(&rot).is_err() {
                        continue;
                    }
                    let file = open(&disk, written.verified);
                    never_wrong(&written, &file);
                    let expected = match usize::try_from(part).unwrap() {
                        part @ 0..4 => Part::Block(part),
                        _ => Part::Parity,
                    };
                    let condition = file.check_stripe(stripe).unwrap();
                    assert_eq!(condition, Condition::Repairable(expected), "{rot:?}");
                    let outcome = file.heal_stripe(stripe).unwrap();
                    assert_eq!(outcome, Outcome::Healed(expected), "{rot:?}");
                    assert!(disk.peek(&path()).unwrap() == before, "{rot:?}");
                    assert_eq!(file.heal_stripe(stripe).unwrap(), Outcome::Sound);
                    assert_eq!(disk.pending(), [], "what was healed is durable");
                    healed += 1;
                }
            }
        }
        assert!(healed > 200, "{healed}");
    }
}

#[test]
fn parity_and_table_lost_together_are_made_again_from_the_records() {
    for written in [finished(TINY, 30), unfinished(TINY, 30)] {
        let before = written.bytes();
        for stripe in 0..stripes(&written) {
            let disk = written.disk.fork();
            garbage(&disk, sector(stripe, 4));
            garbage(&disk, sector(stripe, 5));
            let file = open(&disk, written.verified);
            assert_eq!(file.heal_stripe(stripe).unwrap(), Outcome::Healed(Part::Parity));
            assert!(disk.peek(&path()).unwrap() == before, "stripe {stripe}");
        }
    }
}

#[test]
fn every_table_lost_at_once_is_made_again() {
    let written = finished(TINY, 30);
    let disk = written.disk.fork();
    for stripe in 0..stripes(&written) {
        garbage(&disk, sector(stripe, 5));
    }
    let file = open(&disk, written.verified);
    assert_eq!(never_wrong(&written, &file), 0);
    // From the last one: none has a whole table before it.
    for stripe in (0..stripes(&written)).rev() {
        assert_eq!(file.heal_stripe(stripe).unwrap(), Outcome::Healed(Part::Parity));
    }
    assert!(disk.peek(&path()).unwrap() == written.bytes());
}

#[test]
fn two_damaged_blocks_are_lost_with_their_ranges_and_nothing_is_written() {
    let written = finished(TINY, 30);
    for stripe in 0..stripes(&written) {
        for (first, second) in (0..6).flat_map(|a| (a + 1..6).map(move |b| (a, b))) {
            if (first, second) == (4, 5) {
                continue;
            }
            let disk = written.disk.fork();
            garbage(&disk, sector(stripe, first));
            garbage(&disk, sector(stripe, second));
            let damaged = disk.peek(&path()).unwrap();
            let file = open(&disk, written.verified);
            let unread = never_wrong(&written, &file);
            let Outcome::Lost(lost) = file.heal_stripe(stripe).unwrap() else {
                panic!("blocks {first} and {second} of stripe {stripe} cannot be healed")
            };
            assert!(disk.peek(&path()).unwrap() == damaged, "nothing may be written");
            let bad = [first, second].into_iter().filter(|part| *part < 4);
            let bad: Vec<_> = bad
                .map(|part| {
                    let start = stripe * 2048 + part * SECTOR;
                    start..start + SECTOR
                })
                .collect();
            // Without the table nobody knows which block it is: then the range is wider.
            if second < 5 {
                assert_eq!(lost, bad, "blocks {first} and {second}");
            }
            for range in &bad {
                let named = |at| lost.iter().any(|lost| lost.contains(&at));
                assert!((range.start..range.end).step_by(8).all(named), "{range:?} in {lost:?}");
            }
            // Every record that cannot be read is at a place that is said to be lost.
            let end = |index: usize| {
                let next = written.records.get(index + 1);
                next.map_or(written.verified, |(next, _)| u64::from(next.offset))
            };
            let touched = (0..written.records.len()).filter(|index| {
                let start = u64::from(written.records[*index].0.offset);
                lost.iter().any(|lost| lost.start < end(*index) && start < lost.end)
            });
            assert!(unread <= touched.count());
        }
    }
}

#[test]
fn a_document_longer_than_a_stripe_is_healed_in_all_of_its_stripes() {
    let written = finished(TINY, 30);
    let mut long = 0;
    for (index, (location, sample)) in written.records.iter().enumerate() {
        let next = written.records.get(index + 1).map_or(written.verified, |r| r.0.offset.into());
        let (first, last) = (u64::from(location.offset) / 2048, (next - 1) / 2048);
        let disk = written.disk.fork();
        for stripe in first..=last {
            // The block in which the record begins, else the first.
            let part = if stripe == first { u64::from(location.offset) % 2048 / 512 } else { 0 };
            garbage(&disk, sector(stripe, part));
        }
        let file = open(&disk, written.verified);
        file.read(*location, &sample.expected()).unwrap_err();
        let healed = file.heal(*location).unwrap();
        assert!(sample.is(&file.read(*location, &sample.expected()).unwrap()), "{healed:?}");
        assert_eq!(healed.healed() as u64, last - first + 1, "{healed:?}");
        assert_eq!(healed.lost(), []);
        long += u64::from(last - first > 1);
    }
    assert!(long > 1);
}

#[test]
fn a_sector_that_holds_what_belongs_elsewhere_is_noticed_and_healed() {
    let written = finished(TINY, 30);
    let before = written.bytes();
    let sectors = before.len() as u64 / SECTOR;
    for (from, to) in (2..sectors).flat_map(|from| (2..sectors).map(move |to| (from, to))) {
        let disk = written.disk.fork();
        if disk.rot(&Rot::Misdirect { from: (path(), from), to: (path(), to) }).is_err() {
            continue;
        }
        let file = open(&disk, written.verified);
        let stripe = (to - 2) / 6;
        assert!(matches!(file.heal_stripe(stripe).unwrap(), Outcome::Healed(_)), "{from} to {to}");
        assert!(disk.peek(&path()).unwrap() == before, "{from} to {to}");
    }
}

#[test]
fn a_write_that_the_device_dropped_long_ago_is_noticed_and_healed() {
    // A flush for every record, so that most blocks held a part of what they hold now.
    let disk = FaultDisk::new();
    let mut writer = create(&disk, TINY);
    let mut records = Vec::new();
    for sample in samples(13) {
        records.extend(append(&mut writer, &[sample]));
        writer.publish().unwrap();
    }
    let verified = writer.finish().unwrap().len;
    let written = Written { disk, records, verified };
    let before = written.bytes();
    let mut partly = 0;
    for sector in 2..before.len() as u64 / SECTOR {
        let disk = written.disk.fork();
        if disk.rot(&Rot::DropWrite { path: path(), sector }).is_err() {
            continue;
        }
        let at = usize::try_from(sector * SECTOR).unwrap();
        partly += u64::from(disk.peek(&path()).unwrap()[at] != 0);
        let file = open(&disk, written.verified);
        never_wrong(&written, &file);
        let outcome = file.heal_stripe((sector - 2) / 6).unwrap();
        assert!(matches!(outcome, Outcome::Healed(_)), "sector {sector}: {outcome:?}");
        assert!(disk.peek(&path()).unwrap() == before, "sector {sector}");
    }
    assert!(partly > 3, "{partly} sectors held a part of what they hold now");
}

#[test]
fn bytes_of_another_file_never_verify() {
    let written = finished(TINY, 12);
    // The same records at the same places, of a file with another number, then database.
    let number = FileIdentity { number: FileNumber(4), ..identity() };
    let database = FileIdentity { database: DatabaseId::from_bytes([6; 16]), ..identity() };
    for foreign in [number, database] {
        let disk = FaultDisk::new();
        let writer = DataWriter::create(&disk.shared(), DIR.as_ref(), foreign, TINY);
        let mut writer = writer.unwrap();
        assert_eq!(append(&mut writer, &samples(12)).len(), written.records.len());
        writer.finish().unwrap();
        let foreign = disk.peek(&foreign.number.path(DIR.as_ref())).unwrap();
        let sectors = written.bytes().len() as u64 / SECTOR;
        let put = |disk: &FaultDisk, sectors: std::ops::Range<u64>| {
            let range = sectors.start * SECTOR..sectors.end * SECTOR;
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            let file = disk.open(&path(), Open::Write).unwrap();
            write_all_at(&*file, &foreign[range.clone()], range.start as u64).unwrap();
            file.sync_data().unwrap();
        };
        for sector in 2..sectors {
            let disk = written.disk.fork();
            put(&disk, sector..sector + 1);
            let file = open(&disk, written.verified);
            never_wrong(&written, &file);
            file.heal_stripe((sector - 2) / 6).unwrap();
            assert!(disk.peek(&path()).unwrap() == written.bytes(), "sector {sector}");
        }
        let disk = written.disk.fork();
        put(&disk, 2..sectors);
        let file = open(&disk, written.verified);
        assert_eq!(never_wrong(&written, &file), written.records.len());
    }
}

#[test]
fn a_file_cut_short_gives_what_is_left_and_says_what_is_not() {
    for written in [finished(TINY, 20), unfinished(TINY, 20)] {
        let len = written.bytes().len() as u64;
        let (records, _) = walk(&written.file());
        for cut in (1024..len).step_by(200) {
            let disk = written.disk.fork();
            disk.rot(&Rot::Truncate { path: path(), len: cut }).unwrap();
            let file = open(&disk, written.verified);
            let unread = never_wrong(&written, &file);
            let ends = records.iter().map(|r| u64::from(r.location.offset + r.disk_bytes));
            let gone = ends.filter(|end| TINY.file_offset(end - 1) >= cut);
            assert_eq!(unread, gone.count(), "cut at {cut}");
            let shared = disk.shared();
            let reopened = DataWriter::open_at(&shared, DIR.as_ref(), identity(), written.verified);
            let error = reopened.map(|_| ()).unwrap_err();
            assert!(matches!(error, DataError::Corrupt { .. }), "{error}");
        }
    }
}

#[test]
fn the_end_of_a_file_is_healed_when_one_block_of_it_is_cut_off() {
    let written = finished(TINY, 20);
    let before = written.bytes();
    let disk = written.disk.fork();
    disk.rot(&Rot::Truncate { path: path(), len: before.len() as u64 - 900 }).unwrap();
    let file = open(&disk, written.verified);
    let last = stripes(&written) - 1;
    assert_eq!(file.heal_stripe(last).unwrap(), Outcome::Healed(Part::Parity));
    assert!(disk.peek(&path()).unwrap() == before);
}

#[test]
fn a_damaged_tail_is_found_by_its_records_and_left_to_the_log() {
    let written = unfinished(TINY, 30);
    let file = written.file();
    let (complete, verified) = (file.complete_len(), file.verified_len());
    assert!(complete < verified);
    let at = TINY.file_offset(complete);
    for offset in at..TINY.file_offset(verified) {
        let disk = written.disk.fork();
        disk.rot(&Rot::Flip { path: path(), offset, mask: 4 }).unwrap();
        let file = open(&disk, written.verified);
        assert_eq!(file.check_tail().unwrap().len(), 1, "offset {offset}");
        never_wrong(&written, &file);
        let healed = file.heal_range(0..u64::MAX).unwrap();
        assert_eq!((healed.healed(), healed.unprotected), (0, Some(complete..verified)));
        let shared = disk.shared();
        let reopened = DataWriter::open_at(&shared, DIR.as_ref(), identity(), verified);
        assert!(reopened.is_err_and(|e| e.flaw().is_some()), "offset {offset}");
    }
}

#[test]
fn without_parity_damage_stays_in_its_block_and_tables_are_mended() {
    let layout = Layout { geometry: Geometry::Tiny, parity: Parity::Off };
    let written = finished(layout, 30);
    let before = written.bytes();
    let stripes = written.verified / 2048;
    for stripe in 0..stripes {
        for part in 0..4 {
            let disk = written.disk.fork();
            garbage(&disk, layout.block_start(stripe, part) / SECTOR);
            let file = open(&disk, written.verified);
            never_wrong(&written, &file);
            let start = stripe * 2048 + part as u64 * SECTOR;
            let block = start..start + SECTOR;
            assert_eq!(file.heal_stripe(stripe).unwrap(), Outcome::Lost([block].into()));
            // Records that do not touch the block are all found.
            let (records, _) = walk(&file);
            for (index, (location, _)) in written.records.iter().enumerate() {
                let next =
                    written.records.get(index + 1).map_or(written.verified, |r| r.0.offset.into());
                let is_found = records.iter().any(|record| record.location == *location);
                let at = u64::from(location.offset);
                let touches = at < start + SECTOR && start < next;
                assert!(is_found || touches || at / SECTOR == start / SECTOR, "{location}");
            }
        }
        let disk = written.disk.fork();
        garbage(&disk, layout.table_start(stripe) / SECTOR);
        let file = open(&disk, written.verified);
        assert_eq!(file.heal_stripe(stripe).unwrap(), Outcome::Healed(Part::Parity));
        assert!(disk.peek(&path()).unwrap() == before);
    }
}

#[test]
fn a_block_that_the_device_cannot_read_is_damage_and_is_written_again() {
    let written = finished(TINY, 30);
    for nth in 1..=6 {
        let disk = written.disk.fork();
        let file = open(&disk, written.verified);
        disk.inject(Fault::once(Calls::Only(Op::Read), nth, Effect::Eio));
        let outcome = file.heal_stripe(1).unwrap();
        assert!(matches!(outcome, Outcome::Healed(_)), "read {nth}: {outcome:?}");
        assert!(disk.peek(&path()).unwrap() == written.bytes());
        let writes = disk.trace().iter().filter(|call| call.op == Op::Write).count();
        assert_eq!(writes, 1);
    }
}

#[test]
fn a_heal_that_fails_says_so_and_can_be_done_again() {
    let written = finished(TINY, 30);
    for op in [Op::Open, Op::Write, Op::SyncData, Op::Evict] {
        let disk = written.disk.fork();
        garbage(&disk, sector(2, 1));
        let file = open(&disk, written.verified);
        disk.inject(Fault::once(Calls::Only(op), 1, Effect::Enospc));
        let error = file.heal_stripe(2).unwrap_err();
        assert_eq!(error.code(), Code::DiskFull, "{op:?}");
        never_wrong(&written, &file);
        assert!(!matches!(file.heal_stripe(2).unwrap(), Outcome::Lost(_)));
        assert!(disk.peek(&path()).unwrap() == written.bytes());
    }
}

#[test]
fn a_lost_header_is_found_in_its_copy_and_written_again() {
    for layout in [TINY, Layout::default()] {
        let written = finished(layout, 3);
        let before = written.bytes();
        let copy = layout.header_bytes() / 2;
        for lost in [vec![0], vec![copy], vec![0, copy]] {
            let disk = written.disk.fork();
            for at in &lost {
                garbage(&disk, at / SECTOR);
            }
            let shared = disk.shared();
            let opened = DataFile::open(&shared, DIR.as_ref(), identity(), written.verified);
            let file = match lost.len() {
                1 => opened.unwrap(),
                _ => {
                    assert_eq!(opened.unwrap_err().code(), Code::CorruptRecord);
                    let header = FileHeader { identity: identity(), layout };
                    let verified = written.verified;
                    DataFile::open_without_header(&shared, DIR.as_ref(), header, verified).unwrap()
                }
            };
            assert_eq!(file.bad_headers().unwrap(), lost);
            assert_eq!(never_wrong(&written, &file), 0);
            assert_eq!(file.heal_header().unwrap(), lost.len());
            assert!(disk.peek(&path()).unwrap() == before);
        }
    }
}
