//! Bytes that somebody made: a log directory whose files verify and yet say what no log says.
//!
//! What must hold: opening and reading end, with the log or with a typed error; nothing panics
//! (arithmetic is checked in every build); the work is in proportion to the bytes there are.

use std::path::Path;

use base::error::Code;
use base::io::{DiskRef, MemDisk, Open, write_all_at};
use base::rng::Rng;
use base::words::{DatabaseId, Lsn};
use sim::seed::Seeds;
use wal::frame::{self, Header, Kind, LSN_MAX, Place, Seed};
use wal::segment::{self, FileName};
use wal::{Anchor, FileAnchor, FsyncMode, Log, LogState, Upto, WalError};

use crate::world::{DIR, clock, env, put, small};

fn database() -> DatabaseId {
    DatabaseId::from_bytes([9; 16])
}

/// A segment under construction, with whatever its maker wants it to say.
struct Forged {
    header: segment::Header,
    bytes: Vec<u8>,
}

impl Forged {
    fn new(sequence: u64, first: u64) -> Self {
        let header = segment::Header {
            database: database(),
            sequence,
            first_lsn: Lsn(first),
            previous: 0,
            previous_end: 0,
            hint: Lsn(first.saturating_sub(1)),
            created_ms: 0,
            chain: 0,
        };
        Self { header, bytes: Vec::new() }
    }

    fn after(mut self, previous: u64, previous_end: u64) -> Self {
        (self.header.previous, self.header.previous_end) = (previous, previous_end);
        self
    }

    /// A frame whose header says that its payload is `len` bytes long, whatever it is.
    fn claims(mut self, kind: Kind, lsn: u64, tx_index: u32, len: usize, payload: &[u8]) -> Self {
        let header = Header {
            len: u32::try_from(len).expect("a forged length"),
            lsn: Lsn(lsn),
            hint: Lsn::ZERO,
            wall_ms: 0,
            kind,
            place: Place::Last,
            tx_index,
            payload_crc: crc32c::crc32c(payload),
        };
        let mut bytes = header.encode();
        frame::seal(&mut bytes, Lsn::ZERO, Seed::new(database(), self.header.sequence));
        self.bytes.extend_from_slice(&bytes);
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(frame::ALIGN), 0);
        self
    }

    fn frame(self, kind: Kind, lsn: u64, payload: &[u8]) -> Self {
        self.claims(kind, lsn, 0, payload.len(), payload)
    }

    fn put(self, disk: &DiskRef) {
        let path = FileName::Segment(self.header.sequence).path(Path::new(DIR));
        let mut bytes = self.header.encode().to_vec();
        bytes.extend_from_slice(&self.bytes);
        write(disk, &path, &bytes);
    }
}

fn write(disk: &DiskRef, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, Open::CreateNew).expect("a new file");
    write_all_at(&*file, bytes, 0).expect("memory");
}

fn directory() -> (DiskRef, FileAnchor) {
    let disk = MemDisk::shared();
    disk.create_dir(Path::new(DIR)).expect("memory");
    let anchor = FileAnchor::create(&disk, Path::new(DIR), database()).expect("memory");
    (disk, anchor)
}

/// Opens what is there and reads it; the error, or the last LSN.
fn open_and_read(disk: &DiskRef) -> Result<Lsn, WalError> {
    let options = small(FsyncMode::Group);
    let opened = Log::open_dir(&env(disk, &clock()), Path::new(DIR), options, &mut |frame| {
        let _ = frame.change();
        Ok(())
    });
    let (log, _) = opened?;
    let mut reader = log.read(log.status().first, Upto::Visible);
    while let Some(frame) = reader.next()? {
        let _ = frame.change();
    }
    let before = log.visible();
    match log.append(&put(1, 10)) {
        Ok(done) => assert_eq!(done.first, before.next()),
        Err(error) => assert_eq!(error.code(), Code::PayloadTooLarge, "no LSN is left: {error}"),
    }
    Ok(before)
}

/// The error must say that the log is damaged.
fn is_damage(result: Result<Lsn, WalError>, what: &str) {
    match result {
        Err(error) => assert_eq!(error.code(), Code::WalCorrupt, "{what}: {error}"),
        Ok(last) => panic!("{what}: opened up to {last}"),
    }
}

#[test]
fn gaps_that_say_nonsense_are_not_frames() {
    let own = 5;
    for to in [0, 4, LSN_MAX + 1, u64::MAX - 1, u64::MAX] {
        let (disk, _) = directory();
        let forged = Forged::new(1, own).frame(Kind::Gap, own, &to.to_le_bytes());
        forged.put(&disk);
        // Replay starts at 1 and the first segment begins later.
        is_damage(open_and_read(&disk), "segments are missing");
        let (disk, _) = directory();
        Forged::new(1, 1).frame(Kind::Gap, 1, &to.to_le_bytes()).put(&disk);
        let last = open_and_read(&disk).map_err(|e| e.code());
        let expected = if to == 4 { Lsn(4) } else { Lsn::ZERO };
        assert_eq!(last, Ok(expected), "gap to {to}");
    }
    let (disk, _) = directory();
    Forged::new(1, 1).frame(Kind::Gap, 1, b"short").put(&disk);
    assert_eq!(open_and_read(&disk).map_err(|e| e.code()), Ok(Lsn::ZERO));
}

#[test]
fn the_last_lsns_there_are_can_be_read_and_are_the_last() {
    for (first, to) in [(1, LSN_MAX), (1, LSN_MAX - 1)] {
        let (disk, _) = directory();
        Forged::new(1, first).frame(Kind::Gap, first, &to.to_le_bytes()).put(&disk);
        assert_eq!(open_and_read(&disk).map_err(|e| e.code()), Ok(Lsn(to)));
        // What the append before may have added is there.
        assert!(open_and_read(&disk).expect("it is whole").0 >= to);
    }
}

#[test]
fn a_manifest_that_says_nonsense_is_refused() {
    let sane = LogState {
        database: database(),
        first_segment: 1,
        newest_segment: 1,
        replay_lsn: Lsn::ZERO,
        durable_lsn: Lsn::ZERO,
    };
    let states = [
        LogState { replay_lsn: Lsn(u64::MAX), ..sane },
        LogState { durable_lsn: Lsn(u64::MAX), ..sane },
        LogState { newest_segment: u64::MAX, ..sane },
        LogState { first_segment: u64::MAX, ..sane },
        // A checkpoint beyond the end of the log, and beyond what is said to be durable.
        LogState { replay_lsn: Lsn(1000), ..sane },
        LogState { replay_lsn: Lsn(LSN_MAX), ..sane },
        LogState { newest_segment: 7, ..sane },
        LogState { durable_lsn: Lsn(2), ..sane },
    ];
    for state in states {
        let (disk, anchor) = directory();
        Forged::new(1, 1).frame(Kind::Checkpoint, 1, &[0; 8]).put(&disk);
        anchor.store(&state).expect("memory");
        drop(anchor);
        is_damage(open_and_read(&disk), &format!("{state:?}"));
    }
}

#[test]
fn segments_that_link_to_nonsense_are_damage_or_left_alone() {
    let good = || Forged::new(1, 1).frame(Kind::Checkpoint, 1, &[0; 8]);
    // The frame ends at 176. An end before that hides it, though the next header proves it; one
    // behind that hides nothing, and what follows was never proved.
    for end in [0, 127, 128, 129, 168, 184, 1 << 40, u64::MAX] {
        let (disk, _) = directory();
        good().put(&disk);
        Forged::new(2, 2).after(1, end).put(&disk);
        let opened = open_and_read(&disk);
        if end < 176 {
            is_damage(opened, &format!("the one before ends at {end}"));
        } else {
            assert_eq!(opened.map_err(|e| e.code()), Ok(Lsn(1)));
        }
    }
    // Links that do not go back are no headers.
    for (sequence, previous) in [(2, 2), (2, 3), (2, u64::MAX)] {
        let (disk, _) = directory();
        good().put(&disk);
        Forged::new(sequence, 2).after(previous, 128).put(&disk);
        is_damage(open_and_read(&disk), &format!("{sequence} follows {previous}"));
    }
    let (disk, _) = directory();
    good().put(&disk);
    for name in ["ffffffffffffffff.wal", "spare-18446744073709551615", "spool-18446744073709551615"]
    {
        write(&disk, &Path::new(DIR).join(name), b"not ours");
    }
    assert_eq!(open_and_read(&disk).map_err(|e| e.code()), Ok(Lsn(1)));
}

#[test]
fn ten_thousand_tiny_segments_are_a_log() {
    let (disk, _) = directory();
    let mut chain = 0;
    for n in 1..=10_000 {
        let mut forged = Forged::new(n, n).after(n - 1, if n == 1 { 0 } else { 176 });
        forged.header.chain = chain;
        let forged = forged.frame(Kind::Checkpoint, n, &[0; 8]);
        let crc = u32::from_le_bytes(*forged.bytes.first_chunk().expect("a frame"));
        chain = frame::chain(chain, crc);
        forged.put(&disk);
    }
    assert_eq!(open_and_read(&disk).map_err(|e| e.code()), Ok(Lsn(10_000)));
}

#[test]
fn frames_that_claim_to_be_long_or_late_in_their_transaction_end_the_log() {
    let long = frame::PAYLOAD_BYTES_MAX;
    let late = base::limits::TXN_OPS_MAX - 1;
    let forged: [fn(Forged, usize, u32) -> Forged; 4] = [
        |segment, long, _| segment.claims(Kind::Put, 1, 0, long, b"short"),
        |segment, long, _| segment.claims(Kind::Put, LSN_MAX, 0, long, b""),
        |segment, _, late| segment.claims(Kind::Put, 2, late, 0, b""),
        |segment, _, late| segment.claims(Kind::Hint, 7, late, 0, b""),
    ];
    for forge in forged {
        let (disk, _) = directory();
        forge(Forged::new(1, 1), long, late).put(&disk);
        assert_eq!(open_and_read(&disk).map_err(|e| e.code()), Ok(Lsn::ZERO));
    }
}

#[test]
fn headers_everywhere_cost_no_more_than_reading_them() {
    // Each claims everything behind it, none has a payload that fits.
    let (disk, _) = directory();
    let mut forged = Forged::new(1, 1);
    for n in 0..50_000 {
        forged = forged.claims(Kind::Put, 2 + n, 0, 4096, b"");
    }
    forged.put(&disk);
    assert_eq!(open_and_read(&disk).map_err(|e| e.code()), Ok(Lsn::ZERO));
}

/// A sound log's files, mutated by chance, the checksums of headers made to fit again.
#[test]
fn any_bytes_as_files_of_a_log_give_a_log_or_a_typed_error() {
    Seeds::from_env(1, 400).each(|seed| {
        let mut rng = Rng::new(seed);
        let (disk, anchor) = directory();
        let mut lsn = 1;
        let mut chain = 0;
        let mut end = 0;
        for sequence in 1..=3 {
            let mut forged = Forged::new(sequence, lsn).after(sequence - 1, end);
            forged.header.chain = chain;
            for _ in 0..rng.below(5) {
                let kinds = [Kind::Put, Kind::Delete, Kind::Gap, Kind::Checkpoint, Kind::Hint];
                let kind = kinds[rng.index(kinds.len())];
                let odd = [lsn, 0, 1, LSN_MAX, u64::MAX, rng.next_u64()];
                let payload = odd[rng.index(odd.len())].to_le_bytes();
                let said = if rng.chance(900) { lsn } else { rng.below(LSN_MAX) };
                forged = forged.frame(kind, said, &payload);
                lsn += u64::from(!kind.is_hint());
            }
            let crcs = forged.bytes.chunks(48).filter_map(|b| b.first_chunk());
            chain = crcs.fold(chain, |chain, crc| frame::chain(chain, u32::from_le_bytes(*crc)));
            end = (segment::HEADER_BYTES + forged.bytes.len()) as u64;
            if rng.chance(200) {
                forged.header.previous_end = rng.next_u64() >> rng.below(64);
            }
            if !forged.bytes.is_empty() && rng.chance(300) {
                let at = rng.index(forged.bytes.len());
                forged.bytes[at] ^= 1 << rng.below(8);
            }
            forged.put(&disk);
        }
        if rng.chance(300) {
            let mut number = || rng.next_u64() >> rng.below(64);
            let state = LogState {
                database: database(),
                first_segment: number() % 4,
                newest_segment: number() % 5,
                replay_lsn: Lsn(number()),
                durable_lsn: Lsn(number()),
            };
            anchor.store(&state).expect("memory");
        }
        drop(anchor);
        if let Err(error) = open_and_read(&disk) {
            assert_eq!(error.code(), Code::WalCorrupt, "{error}");
        }
    });
}
