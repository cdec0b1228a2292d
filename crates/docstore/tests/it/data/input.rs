//! Files that nobody of ours wrote: any bytes give records that verify, or typed errors, at a cost
//! in proportion to the file.

use std::path::Path;

use base::io::{Disk, Open, write_all_at};
use base::rng::Rng;
use docstore::Location;
use docstore::data::{
    DataError, DataFile, DataWriter, Expected, FileHeader, Flaw, Layout, Parity, inspect,
};
use sim::disk::{FaultDisk, Op};
use sim::seed::Seeds;

use super::{DIR, TINY, finished, identity, open, path, samples, unfinished, walk};

fn with(bytes: &[u8]) -> FaultDisk {
    let disk = FaultDisk::new();
    let file = disk.open(&path(), Open::CreateNew).unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
    disk
}

/// Does everything that can be done with a file of these bytes. Only typed errors may come of it.
fn use_all(bytes: &[u8], layout: Layout, verified: u64) {
    let disk = with(bytes);
    let shared = disk.shared();
    inspect(&shared, &path(), &mut |_| {}).unwrap();
    let opened = DataFile::open(&shared, Path::new(DIR), identity(), verified);
    let file = match opened {
        Ok(file) => file,
        Err(DataError::Corrupt { .. }) => {
            let header = FileHeader { identity: identity(), layout };
            DataFile::open_without_header(&shared, Path::new(DIR), header, verified).unwrap()
        }
        Err(error) => panic!("{error}"),
    };
    walk(&file);
    let sample = &samples(1)[0];
    for offset in (0..u32::try_from(verified).unwrap()).step_by(8) {
        let location = Location { file: identity().number, offset };
        let read = file.read(location, &Expected { ..sample.expected() });
        assert!(matches!(&read, Ok(_) | Err(DataError::Corrupt { .. })), "{read:?}");
        if offset % 512 == 0 {
            file.heal(location).unwrap();
        }
    }
    file.heal_range(0..u64::MAX).unwrap();
    file.check_tail().unwrap();
    match DataWriter::open_at(&shared, Path::new(DIR), identity(), verified) {
        Ok(mut writer) => {
            writer.append(&sample.as_ref()).unwrap();
            writer.publish().unwrap();
        }
        Err(DataError::Corrupt { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// The seed of a checksum, as the format's text says.
fn seed(at: u32) -> u32 {
    let crc = crc32c::crc32c(identity().database.as_bytes());
    let crc = crc32c::crc32c_append(crc, &identity().number.0.to_le_bytes());
    crc32c::crc32c_append(crc, &at.to_le_bytes())
}

/// Makes the checksum of the table of a stripe fit.
fn seal_table(bytes: &mut [u8], layout: Layout, stripe: u32) {
    let start = usize::try_from(layout.table_start(stripe.into())).unwrap();
    let Some(table) = bytes.get_mut(start..start + layout.geometry.table_bytes()) else { return };
    let (checked, crc) = table.split_last_chunk_mut::<4>().unwrap();
    *crc = crc32c::crc32c_append(seed(stripe), checked).to_le_bytes();
}

#[test]
fn any_bytes_as_a_file_give_typed_errors() {
    Seeds::from_env(1, 150).each(|seed| {
        let mut rng = Rng::new(seed);
        let parity = if rng.chance(500) { Parity::On } else { Parity::Off };
        let layout = Layout { parity, ..TINY };
        let written = if rng.chance(500) { finished(layout, 9) } else { unfinished(layout, 9) };
        let mut bytes = written.bytes();
        for _ in 0..=rng.below(6) {
            let at = rng.index(bytes.len());
            match rng.below(4) {
                0 => bytes[at] ^= 1 << rng.below(8),
                1 => bytes.truncate(at.max(1)),
                2 => {
                    let from = rng.index(bytes.len());
                    let n = rng.index(600).min(bytes.len() - at).min(bytes.len() - from);
                    bytes.copy_within(from..from + n, at);
                }
                _ => {
                    let n = rng.index(40).min(bytes.len() - at);
                    let odd = [0, 0xFF, 0x7F, 0x80][rng.index(4)];
                    bytes[at..at + n].fill(odd);
                }
            }
        }
        if rng.chance(500) {
            (0..4).for_each(|stripe| seal_table(&mut bytes, layout, stripe));
        }
        use_all(&bytes, layout, written.verified);
    });
}

#[test]
fn a_sealed_record_of_another_length_is_not_taken_for_the_end_of_the_file() {
    let written = unfinished(TINY, 4);
    // No record ends at a length that the manifest never had.
    let refused =
        DataWriter::open_at(&written.disk.shared(), Path::new(DIR), identity(), 8).unwrap_err();
    assert!(matches!(refused.flaw(), Some(Flaw::Malformed(_))), "{refused}");
}

/// A file of 64 stripes in which every block begins with a record that claims 16 MiB, and every
/// table agrees that a record begins there.
fn claims() -> (Vec<u8>, u64) {
    let header = FileHeader { identity: identity(), layout: TINY };
    let mut bytes = vec![0; usize::try_from(TINY.stripe_start(64)).unwrap()];
    for copy in [0, 512] {
        bytes[copy..copy + 64].copy_from_slice(&header.encode());
    }
    // No flags, a payload of 16 MiB, collection 1, LSN 1, a number for an id.
    let claim = [0, 0x80, 0x80, 0x80, 8, 1, 1, 9, 1, 0, 0, 0, 0, 0, 0, 0, 7];
    for stripe in 0..64_u32 {
        let start = usize::try_from(TINY.stripe_start(stripe.into())).unwrap();
        for block in 0..4 {
            let at = start + block * 512;
            bytes[at + 4..at + 4 + claim.len()].copy_from_slice(&claim);
        }
        let block_crc = crc32c::crc32c(&bytes[start..start + 512]).to_le_bytes();
        let table = usize::try_from(TINY.table_start(stripe.into())).unwrap();
        bytes[table..table + 8].copy_from_slice(b"DOCDBSTR");
        bytes[table + 8..table + 12].copy_from_slice(&stripe.to_le_bytes());
        bytes[table + 16..table + 20].copy_from_slice(&(stripe * 2048).to_le_bytes());
        bytes[table + 20..table + 24].copy_from_slice(&((stripe + 1) * 2048).to_le_bytes());
        for block in 0..4 {
            let entry = table + 24 + block * 8;
            bytes[entry..entry + 4].copy_from_slice(&block_crc);
            bytes[entry + 4..entry + 8].fill(0);
        }
        seal_table(&mut bytes, TINY, stripe);
    }
    (bytes, 64 * 2048)
}

#[test]
fn records_that_claim_to_be_long_cost_no_more_than_the_file() {
    let (bytes, verified) = claims();
    let disk = with(&bytes);
    let file = open(&disk, verified);
    let before = disk.trace().len();
    let (records, damage) = walk(&file);
    assert_eq!(records, []);
    // Every claim is a damage of its own, as far as the next place where a record may begin.
    assert_eq!(damage.len(), 256);
    let read: usize = disk.trace()[before..]
        .iter()
        .filter(|call| call.op == Op::Read)
        .map(|call| call.result.unwrap())
        .sum();
    assert!(read < 4 * bytes.len() + (1 << 20), "{read} bytes read of {}", bytes.len());
}
