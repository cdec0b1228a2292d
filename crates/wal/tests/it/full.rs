//! A disk that is full, and has room again: writes are refused before anything of them is there,
//! reads go on, what frees space gets through on the reserve, and nothing needs a reopening.

use std::path::Path;
use std::sync::Arc;

use base::error::Code;
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Loss};
use wal::{Class, Environment, FsyncMode, Log, Options, Reserve, WalError};

use crate::world::{Content, DIR, MODES, clock, content, env, make_dir, put, small};

/// Size of the reserve: that of one small segment.
const RESERVE: u64 = 4096;

struct Full {
    disk: FaultDisk,
    env: Environment,
    log: Log,
    options: Options,
    next: u64,
}

impl Full {
    fn new(mode: FsyncMode) -> Self {
        Self::with(small(mode))
    }

    fn with(options: Options) -> Self {
        Self::with_reserve(options, RESERVE)
    }

    fn with_reserve(options: Options, bytes: u64) -> Self {
        let disk = FaultDisk::new();
        make_dir(&disk.shared());
        let reserve = Reserve::open(&disk.shared(), Path::new("/"), bytes);
        assert!(reserve.is_whole());
        let env = Environment { reserve: Some(reserve), ..env(&disk.shared(), &clock()) };
        let database = DatabaseId::from_bytes([9; 16]);
        let log = Log::create(&env, Path::new(DIR), database, options.clone()).expect("room");
        Self { disk, env, log, options, next: 0 }
    }

    fn reserve(&self) -> &Arc<Reserve> {
        self.env.reserve.as_ref().expect("it was given one")
    }

    fn append(&mut self, bytes: usize) -> Result<Lsn, WalError> {
        self.next += 1;
        let before = self.log.visible();
        let done = self.log.append(&put(self.next, bytes))?;
        assert_eq!(done.first, before.next(), "LSNs are given without a gap");
        self.holds();
        Ok(done.last)
    }

    /// Kills the process and takes the power away: what was promised is there.
    fn holds(&self) {
        let there = content(&self.log).expect("a full disk can be read");
        let durable = self.log.durable();
        let crashes = [
            (Crash::Kill, there.1),
            (Crash::PowerLoss(Loss::Everything), durable),
            (Crash::PowerLoss(Loss::Seeded(there.1.0)), durable),
        ];
        for (crash, owed) in crashes {
            let found = reopened(&self.disk.crash(&crash), &self.options);
            assert!(found.1 >= owed && found.1 <= there.1, "{crash:?}: {owed} {}", found.1);
            assert!(found.0.iter().all(|(lsn, change)| there.0.get(lsn) == Some(change)));
        }
    }

    /// Fills the disk: nothing more is claimed. Returns how many changes still found a place.
    fn fill(&mut self) -> u64 {
        let used = self.disk_used();
        self.disk.set_capacity(Some(used));
        let mut written = 0;
        loop {
            let before = content(&self.log).expect("it can be read");
            match self.append(400) {
                Ok(_) => written += 1,
                Err(error) => {
                    assert_eq!(error.code(), Code::DiskFull, "{error}");
                    let after = content(&self.log).expect("a full disk can be read");
                    assert_eq!(after, before, "a refused write is not there");
                    assert_eq!(self.log.status().poisoned, None);
                    self.holds();
                    return written;
                }
            }
            assert!(written < 100, "the disk is never full");
        }
    }

    fn delete(&self) -> Result<wal::Committed, WalError> {
        let mut tx = self.log.transaction().class(Class::Reclaim);
        tx.push(&base::words::Change::Delete {
            collection: CollectionId(1),
            id: DocId::U64(1),
            replaces: Lsn(1),
        })?;
        self.log.commit(tx)
    }
}

/// What is found on a disk that has room again.
fn reopened(disk: &FaultDisk, options: &Options) -> Content {
    disk.set_capacity(None);
    let env = env(&disk.shared(), &clock());
    let (log, _) = Log::open_dir(&env, Path::new(DIR), options.clone(), &mut |_| Ok(()))
        .expect("nothing is damaged");
    content(&log).expect("nothing is damaged")
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again_without_reopening() {
    for mode in MODES {
        let mut full = Full::new(mode);
        for _ in 0..6 {
            full.append(600).expect("there is room");
        }
        full.fill();
        let last = full.log.visible();
        for _ in 0..3 {
            let refused = full.append(3000).map_err(|e| e.code());
            assert_eq!(refused, Err(Code::DiskFull));
        }
        assert_eq!(full.log.visible(), last);
        full.disk.set_capacity(None);
        assert_eq!(full.append(400).map_err(|e| e.code()), Ok(last.next()));
        full.append(3000).expect("there is room");
        assert_eq!(full.log.sync().expect("the disk works"), full.log.visible());
        full.log.close().expect("the disk works");
    }
}

#[test]
fn the_reserve_lets_what_frees_space_through_and_is_made_again() {
    for mode in MODES {
        let mut full = Full::new(mode);
        for _ in 0..12 {
            full.append(1200).expect("there is room");
        }
        full.fill();
        // Whatever is left of the claimed space: deletes go on until the reserve is used.
        let mut deletes = 0;
        while full.reserve().is_whole() {
            full.delete().expect("the reserve is there for it");
            deletes += 1;
            assert!(deletes < 200, "the reserve is never used");
        }
        full.holds();
        let refused = full.append(1200).map_err(|e| e.code());
        assert_eq!(refused, Err(Code::DiskFull), "the reserve is not for everybody");
        let kept = full.log.sync().expect("syncing needs no room");
        full.log.checkpoint(kept).expect("the reserve is there for it");
        full.holds();
        // Trimming gives space back; a part of it is reused at once.
        let trimmed = full.log.trim().expect("trimming needs no room");
        assert!(trimmed.segments > 0, "{trimmed:?}");
        assert!(full.reserve().is_whole(), "made again when there is room");
        full.append(400).expect("the trimmed segments made room");
    }
}

#[test]
fn what_is_written_is_never_more_than_a_checkpoint_finds_room_for() {
    for mode in MODES {
        let full = Full::with_reserve(small(mode), RESERVE);
        let used = full.disk_used();
        let room = 64 * 4096;
        full.disk.set_capacity(Some(used + room));
        let mut written = 0;
        let error = loop {
            match full.log.append(&put(written, 500)) {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
            assert!(written < 2000, "the disk is never full");
        };
        assert_eq!(error.code(), Code::DiskFull, "{error}");
        let space = base::io::Disk::space(&full.disk, Path::new("/")).expect("no fault");
        let log = full.log.status().bytes;
        assert!(space.available >= log, "{}: {space:?} {log}", mode.name());
        assert!(log > room / 4, "{}: {space:?} {log}", mode.name());
        // What was moved away needs no room any more.
        full.log.checkpoint(full.log.sync().expect("no fault")).expect("there is room");
        full.log.append(&put(written, 500)).expect("there is room");
    }
}

#[test]
fn a_reserve_that_cannot_be_made_keeps_nobody_from_writing() {
    let disk = FaultDisk::new();
    make_dir(&disk.shared());
    disk.inject(Fault::forever(Calls::Any, 1, Effect::Eio).under("/reserve"));
    let reserve = Reserve::open(&disk.shared(), Path::new("/"), RESERVE);
    assert!(!reserve.is_whole());
    let env = Environment { reserve: Some(reserve), ..env(&disk.shared(), &clock()) };
    let (database, options) = (DatabaseId::from_bytes([9; 16]), small(FsyncMode::Group));
    let log = Log::create(&env, Path::new(DIR), database, options).expect("no fault of its own");
    for n in 0..20 {
        log.append(&put(n, 600)).expect("no fault of its own");
    }
}

#[test]
fn a_transaction_larger_than_the_room_is_refused_whole() {
    for mode in MODES {
        let mut full = Full::new(mode);
        full.append(600).expect("there is room");
        // Room for a part of it, whatever part: segments are claimed one after another.
        for pages in 0..12 {
            let used: u64 = 4096 * pages;
            let disk_used = full.disk_used();
            full.disk.set_capacity(Some(disk_used + used));
            let before = content(&full.log).expect("it can be read");
            let mut tx = full.log.transaction();
            for n in 0..9 {
                tx.push(&put(10_000 + pages * 10 + n, 1500)).expect("it is small");
            }
            match full.log.commit(tx) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.code(), Code::DiskFull, "{} {pages}: {error}", mode.name());
                    assert_eq!(content(&full.log).expect("it can be read"), before);
                }
            }
            full.holds();
        }
        full.disk.set_capacity(None);
        full.append(400).expect("there is room");
    }
}

/// Sizes of the changes of transactions that need several segments of at most 4 KiB: how much of
/// each stays unused differs, so that their bytes alone do not tell how many they need.
const LARGE: [&[usize]; 4] =
    [&[1500; 9], &[2500; 5], &[100, 3700, 200, 3700, 3700, 20], &[50, 6000, 50, 6000]];

#[test]
fn a_transaction_of_several_segments_meets_a_full_disk_before_its_first_byte() {
    let in_memory = Options::default().spool_bytes;
    for (mode, spool_bytes) in MODES.into_iter().flat_map(|m| [(m, in_memory), (m, 1000)]) {
        for sizes in LARGE {
            let mut refused = 0;
            while !large_on_a_disk_with(refused, Options { spool_bytes, ..small(mode) }, sizes) {
                refused += 1;
                assert!(refused < 40, "{} {sizes:?} never finds room", mode.name());
            }
            assert!(refused > 1, "{} {sizes:?} needs no room", mode.name());
        }
    }
}

/// Commits a transaction of changes of these sizes with room for so many pages more. Says whether
/// it was written; otherwise nothing of it is there, and it is written once there is room.
fn large_on_a_disk_with(pages: u64, options: Options, sizes: &[usize]) -> bool {
    let mut full = Full::with(options);
    full.append(600).expect("there is room");
    let before = content(&full.log).expect("it can be read");
    let transaction = || {
        let mut tx = full.log.transaction();
        for (n, bytes) in (100..).zip(sizes) {
            tx.push(&put(n, *bytes)).expect("it is small");
        }
        tx
    };
    let tx = transaction();
    let used = full.disk_used();
    full.disk.set_capacity(Some(used + 4096 * pages));
    let error = match full.log.commit(tx) {
        Ok(_) => {
            full.holds();
            return true;
        }
        Err(error) => error,
    };
    assert_eq!(error.code(), Code::DiskFull, "{pages} pages, {sizes:?}: {error}");
    assert_eq!(full.log.status().poisoned, None);
    assert_eq!(content(&full.log).expect("it can be read"), before);
    full.holds();
    full.disk.set_capacity(None);
    let done = full.log.commit(transaction()).expect("there is room");
    assert_eq!(done.first, before.1.next());
    let there = content(&full.log).expect("it can be read").0;
    assert_eq!(there.len(), before.0.len() + sizes.len());
    full.holds();
    false
}

impl Full {
    /// Bytes the disk needs for what it has.
    fn disk_used(&self) -> u64 {
        self.disk.set_capacity(Some(1 << 40));
        let space = base::io::Disk::space(&self.disk, Path::new("/")).expect("no fault");
        space.total - space.available
    }
}
