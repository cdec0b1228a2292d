//! A toy store, right and with the bugs that every store has had once. It keeps one number in
//! `/value` (written to `/new`, synced, renamed over) and a list of numbers in `/log`.
//!
//! The log's records are 16 bytes: a number and its complement.

use base::io::{Disk, FileRef, Open, read_full_at, write_all_at};
use sim::FaultDisk;

use crate::p;

/// A mistake to plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// The record is acknowledged before its sync.
    AckBeforeSync,
    /// A failed sync is answered with a second one, whose success is believed.
    ResyncAfterFailedSync,
    /// The new value is renamed into place before its bytes are synced.
    RenameBeforeSync,
    /// The name is never made durable.
    NoDirSync,
    /// Records are believed without looking at the complement.
    NoChecksum,
    /// Recovery leaves bytes of a torn record behind the end and appends after them.
    AppendAfterTornTail,
}

fn record_of(number: u64) -> [u8; 16] {
    let mut record = [0; 16];
    record[..8].copy_from_slice(&number.to_le_bytes());
    record[8..].copy_from_slice(&(!number).to_le_bytes());
    record
}

pub(crate) struct Toy {
    disk: FaultDisk,
    log: FileRef,
    end: u64,
    pub(crate) numbers: Vec<u64>,
    bug: Bug,
}

impl Toy {
    /// Opens or creates, and recovers.
    pub(crate) fn open(disk: &FaultDisk, bug: Bug) -> std::io::Result<Self> {
        let log = match disk.stat(p("/log"))? {
            Some(_) => disk.open(p("/log"), Open::Write)?,
            None => disk.open(p("/log"), Open::CreateNew)?,
        };
        if bug != Bug::NoDirSync {
            disk.sync_dir(p("/"))?;
        }
        let mut toy = Self { disk: disk.clone(), log, end: 0, numbers: Vec::new(), bug };
        toy.recover()?;
        Ok(toy)
    }

    fn recover(&mut self) -> std::io::Result<()> {
        let len = self.log.len()?;
        while self.end < len {
            let mut record = [0; 16];
            let got = read_full_at(&*self.log, &mut record, self.end)?;
            let number = u64::from_le_bytes(record[..8].try_into().unwrap());
            let whole = got == 16 && record == record_of(number);
            if !whole && (self.bug != Bug::NoChecksum || got < 16) {
                break;
            }
            self.numbers.push(number);
            self.end += 16;
        }
        if self.bug == Bug::AppendAfterTornTail {
            self.end = len;
        } else if self.end < len {
            self.log.set_len(self.end)?;
        }
        self.log.sync_data()
    }

    /// Appends; when it answers `Ok`, the number is promised.
    pub(crate) fn append(&mut self, number: u64, acknowledge: impl Fn(u64)) -> bool {
        if write_all_at(&*self.log, &record_of(number), self.end).is_err() {
            return false;
        }
        if self.bug == Bug::AckBeforeSync {
            acknowledge(number);
        }
        let synced = match self.log.sync_data() {
            Err(_) if self.bug == Bug::ResyncAfterFailedSync => self.log.sync_data(),
            result => result,
        };
        if synced.is_err() {
            return false;
        }
        self.end += 16;
        self.numbers.push(number);
        acknowledge(number);
        true
    }

    /// Replaces the value; when it answers, the value is promised.
    pub(crate) fn set_value(&self, number: u64) -> std::io::Result<()> {
        if self.disk.stat(p("/new"))?.is_some() {
            self.disk.remove_file(p("/new"))?;
        }
        let file = self.disk.open(p("/new"), Open::CreateNew)?;
        write_all_at(&*file, &record_of(number), 0)?;
        if self.bug != Bug::RenameBeforeSync {
            file.sync_data()?;
        }
        self.disk.rename(p("/new"), p("/value"))?;
        if self.bug == Bug::RenameBeforeSync {
            file.sync_data()?;
        }
        if self.bug != Bug::NoDirSync {
            self.disk.sync_dir(p("/"))?;
        }
        Ok(())
    }

    /// The value; `Err` when there is one and it is damaged.
    pub(crate) fn value(disk: &FaultDisk) -> Result<Option<u64>, String> {
        let Some(bytes) = disk.peek(p("/value")) else { return Ok(None) };
        let number = bytes.get(..8).map(|b| u64::from_le_bytes(b.try_into().unwrap()));
        match number {
            Some(number) if bytes == record_of(number) => Ok(Some(number)),
            _ => Err(format!("the value is torn: {bytes:?}")),
        }
    }
}
