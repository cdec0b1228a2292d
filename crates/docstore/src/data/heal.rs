//! Checking the stripes of a file and mending them from their own parity.
//!
//! A stripe is judged by its table: a block is *bad* when its CRC does not fit, when the device
//! cannot read it, or when the file ends before it. One bad data block is the XOR of the others and
//! the parity block. A bad parity block or table is made again from the data, once the data is
//! proved: by the table, or without one by the checksums of every record that the stripe holds.
//! Two bad blocks are lost, and said to be.
//!
//! Invariants: bytes are written in place only when their checksum was found to fit beforehand;
//! blocks that are not bad are never written; what was written is synced, read back past the page
//! cache and compared. A crash within leaves the one bad block bad.

use std::ops::Range;

use base::io::{Open, is_unreadable, read_full_at, write_all_at};

use super::error::{Damage, DataError, Flaw, Op, Result};
use super::file::DataFile;
use super::header::{FileHeader, HEADER_BYTES};
use super::layout::Parity;
use super::record::HEADER_BYTES_MAX;
use super::records::{Found, Payloads};
use super::stripe::{Builder, Table, xor};
use crate::location::Location;

/// A part of a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A data block, by its number in the stripe.
    Block(usize),
    /// The parity block, the table, or both.
    Parity,
}

/// How a stripe is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// As it was written.
    Sound,
    /// One part is bad and can be made again.
    Repairable(Part),
    /// Data offsets that hold something else than was written, and that the file cannot heal. All
    /// else in the stripe is whole.
    Lost(Vec<Range<u64>>),
}

/// What healing did to one stripe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to do.
    Sound,
    /// This part was made again and is on the device.
    Healed(Part),
    /// Nothing was done: more is bad than the stripe can make again. As [`Condition::Lost`].
    Lost(Vec<Range<u64>>),
}

/// What healing did, stripe by stripe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Healed {
    /// The stripes that were looked at, by number.
    pub stripes: Vec<(u64, Outcome)>,
    /// Data behind the complete stripes: it has no parity, and the log still holds its records.
    pub unprotected: Option<Range<u64>>,
}

impl Healed {
    /// How many parts were made again.
    #[must_use]
    pub fn healed(&self) -> usize {
        self.stripes.iter().filter(|(_, o)| matches!(o, Outcome::Healed(_))).count()
    }

    /// What was done altogether, when this was done after `before` and to more.
    fn after(mut self, before: Self) -> Self {
        for (stripe, outcome) in before.stripes {
            let now = self.stripes.iter_mut().find(|(number, _)| *number == stripe);
            if let Some((_, now)) = now.filter(|(_, now)| *now == Outcome::Sound) {
                *now = outcome;
            }
        }
        self
    }

    /// What could not be healed, data offsets.
    #[must_use]
    pub fn lost(&self) -> Vec<Range<u64>> {
        let lost = self.stripes.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Lost(ranges) => Some(ranges),
            Outcome::Sound | Outcome::Healed(_) => None,
        });
        lost.flatten().cloned().collect()
    }
}

/// A stripe as it was read.
struct Exam {
    table: Option<Table>,
    /// Bad data blocks; without a table those that cannot be read.
    bad: Vec<usize>,
    /// XOR of the others.
    xor: Vec<u8>,
    /// The parity block, when it fits the table or there is no table to fit.
    parity: Option<Vec<u8>>,
}

/// Bytes that belong at a place of the file.
struct Patch {
    part: Part,
    at: u64,
    bytes: Vec<u8>,
}

/// What can be done for a stripe.
enum Plan {
    Nothing,
    Write(Patch),
    Lost(Vec<Range<u64>>),
}

impl DataFile {
    /// Checks a complete stripe without writing: for a scrub that goes stripe by stripe, of which
    /// there are [`DataFile::complete_len`] / [`super::Geometry::stripe_bytes`].
    ///
    /// Reads the stripe once, a block at a time.
    ///
    /// # Errors
    /// [`DataError::Io`] when the system refuses to read. Damage is no error.
    pub fn check_stripe(&self, stripe: u64) -> Result<Condition> {
        Ok(match self.plan(stripe)? {
            Plan::Nothing => Condition::Sound,
            Plan::Write(patch) => Condition::Repairable(patch.part),
            Plan::Lost(ranges) => Condition::Lost(ranges),
        })
    }

    /// Checks a complete stripe and mends it. Durable on return.
    ///
    /// # Errors
    /// [`DataError::Io`] when the system refuses a call, [`DataError::Corrupt`] when what was
    /// written is not what is read back. The part is bad still, or again; healing once more
    /// writes it once more.
    pub fn heal_stripe(&self, stripe: u64) -> Result<Outcome> {
        match self.plan(stripe)? {
            Plan::Nothing => Ok(Outcome::Sound),
            Plan::Lost(ranges) => Ok(Outcome::Lost(ranges)),
            Plan::Write(patch) => {
                self.write_in_place(patch.at, &patch.bytes)?;
                Ok(Outcome::Healed(patch.part))
            }
        }
    }

    /// Heals every stripe that a range of data touches.
    ///
    /// # Errors
    /// As [`DataFile::heal_stripe`].
    pub fn heal_range(&self, range: Range<u64>) -> Result<Healed> {
        let (layout, verified) = (self.layout(), self.verified_len());
        let complete = layout.complete(verified);
        let mut healed = Healed::default();
        let end = range.end.min(complete);
        if range.start < end {
            for stripe in layout.stripe_of(range.start)..=layout.stripe_of(end - 1) {
                healed.stripes.push((stripe, self.heal_stripe(stripe)?));
            }
        }
        let tail = range.start.max(complete)..range.end.min(verified);
        healed.unprotected = Some(tail).filter(|tail| !tail.is_empty());
        Ok(healed)
    }

    /// Heals every stripe that holds a part of the record at `location`. Read it again then.
    ///
    /// # Errors
    /// As [`DataFile::heal_stripe`].
    pub fn heal(&self, location: Location) -> Result<Healed> {
        let at = u64::from(location.offset);
        let header = at..at.saturating_add(HEADER_BYTES_MAX as u64);
        let healed = self.heal_range(header.clone())?;
        // How long the record is, its header says, now that it is whole.
        let end = self.end_of(at)?;
        if end <= header.end {
            return Ok(healed);
        }
        self.heal_range(at..end).map(|all| all.after(healed))
    }

    /// Where the record at `at` ends by its own header, which nothing proves yet; its own offset
    /// when no record can be seen there.
    fn end_of(&self, at: u64) -> Result<u64> {
        let mut bytes = [0; HEADER_BYTES_MAX];
        let got = match self.read_data(at, &mut bytes) {
            Err(error) if error.flaw().is_some() => return Ok(at),
            read => read?,
        };
        Ok(match super::record::parse(bytes.get(..got).unwrap_or_default()) {
            Ok(super::record::Unit::Record(frame)) => at + frame.disk_bytes() as u64,
            Ok(super::record::Unit::Padding) | Err(_) => at,
        })
    }

    /// Checks both copies of the header and writes those that are bad again. Answers how many.
    ///
    /// # Errors
    /// As [`DataFile::heal_stripe`].
    pub fn heal_header(&self) -> Result<usize> {
        let bad = self.bad_headers()?;
        for at in &bad {
            let mut bytes = self.header.encode().to_vec();
            bytes.resize(self.layout().geometry.table_bytes(), 0);
            self.write_in_place(*at, &bytes)?;
        }
        Ok(bad.len())
    }

    /// File offsets of the copies of the header that are not as they were written.
    ///
    /// # Errors
    /// [`DataError::Io`] when the system refuses to read.
    pub fn bad_headers(&self) -> Result<Vec<u64>> {
        let copy_bytes = self.layout().geometry.table_bytes();
        let mut bad = Vec::new();
        for at in [0, copy_bytes as u64] {
            let mut bytes = vec![0; copy_bytes];
            let is_sound = match self.read_raw(at, &mut bytes) {
                Ok(got) if got < copy_bytes => false,
                Ok(_) => self.is_header(&bytes),
                Err(e) if is_unreadable(&e) => false,
                Err(e) => return Err(DataError::io(Op::Read, &self.path, e)),
            };
            if !is_sound {
                bad.push(at);
            }
        }
        Ok(bad)
    }

    fn is_header(&self, bytes: &[u8]) -> bool {
        let Some((header, zeros)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return false };
        FileHeader::decode(header) == Ok(self.header) && zeros.iter().all(|byte| *byte == 0)
    }

    /// A data block; `None` when it cannot be read or the file ends before it.
    pub(super) fn block(&self, stripe: u64, block: usize) -> Result<Option<Vec<u8>>> {
        self.whole_block(self.layout().block_start(stripe, block))
    }

    fn whole_block(&self, at: u64) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; self.layout().geometry.block_bytes()];
        match self.read_raw(at, &mut bytes) {
            Ok(got) => Ok(Some(bytes).filter(|bytes| got == bytes.len())),
            Err(e) if is_unreadable(&e) => Ok(None),
            Err(e) => Err(DataError::io(Op::Read, &self.path, e)),
        }
    }

    fn examine(&self, stripe: u64) -> Result<Exam> {
        let layout = self.layout();
        let table = self.table(stripe)?.ok();
        let mut exam = Exam {
            bad: Vec::new(),
            xor: vec![0; layout.geometry.block_bytes()],
            parity: None,
            table,
        };
        for number in 0..layout.geometry.blocks() {
            let wanted = exam.table.as_ref().and_then(|table| table.blocks.get(number));
            let fits = |bytes: &[u8]| wanted.is_none_or(|w| w.crc == crc32c::crc32c(bytes));
            match self.block(stripe, number)?.filter(|bytes| fits(bytes)) {
                Some(bytes) => xor(&mut exam.xor, &bytes),
                None => exam.bad.push(number),
            }
        }
        if layout.parity == Parity::On {
            let wanted = exam.table.as_ref().map(|table| table.parity_crc);
            let fits = |bytes: &[u8]| wanted.is_none_or(|crc| crc == crc32c::crc32c(bytes));
            let parity = self.whole_block(layout.parity_start(stripe))?;
            exam.parity = parity.filter(|bytes| fits(bytes));
        }
        Ok(exam)
    }

    fn plan(&self, stripe: u64) -> Result<Plan> {
        let layout = self.layout();
        let mut exam = self.examine(stripe)?;
        let parity_is_bad = layout.parity == Parity::On && exam.parity.is_none();
        let Some(table) = exam.table.take() else { return self.plan_without_table(stripe, &exam) };
        match (exam.bad.as_slice(), exam.parity.take()) {
            ([], _) if !parity_is_bad => Ok(Plan::Nothing),
            ([], _) => Ok(Plan::Write(self.parity_patch(stripe, exam.xor, table))),
            ([block], Some(mut bytes)) => {
                xor(&mut bytes, &exam.xor);
                let wanted = table.blocks.get(*block).map(|block| block.crc);
                if wanted != Some(crc32c::crc32c(&bytes)) {
                    return Ok(Plan::Lost(self.blocks_lost(stripe, &exam.bad)));
                }
                let at = layout.block_start(stripe, *block);
                Ok(Plan::Write(Patch { part: Part::Block(*block), at, bytes }))
            }
            _ => Ok(Plan::Lost(self.blocks_lost(stripe, &exam.bad))),
        }
    }

    fn blocks_lost(&self, stripe: u64, bad: &[usize]) -> Vec<Range<u64>> {
        let geometry = self.layout().geometry;
        let start = |block: usize| {
            stripe * geometry.stripe_bytes() + block as u64 * geometry.block_bytes() as u64
        };
        bad.iter().map(|block| start(*block)..start(block + 1)).collect()
    }

    /// Parity and table of a stripe whose data is proved.
    fn parity_patch(&self, stripe: u64, parity: Vec<u8>, table: Table) -> Patch {
        let at = self.layout().parity_start(stripe);
        let mut bytes = match self.layout().parity {
            Parity::On => parity,
            Parity::Off => Vec::new(),
        };
        bytes.extend(table.encode(self.layout().geometry, self.identity()));
        Patch { part: Part::Parity, at, bytes }
    }

    /// Without a table, only the records prove what a stripe holds.
    fn plan_without_table(&self, stripe: u64, exam: &Exam) -> Result<Plan> {
        let layout = self.layout();
        let stripe_bytes = layout.geometry.stripe_bytes();
        let (start, end) = (stripe * stripe_bytes, (stripe + 1) * stripe_bytes);
        let (from, starts) = self.anchor(stripe)?;
        let number = u32::try_from(stripe).unwrap_or(u32::MAX);
        let mut builder = Builder::at(layout, self.identity(), number, starts);
        let mut lost = Vec::new();
        let mut records = self.records(from..end, Payloads::Skip);
        for found in &mut records {
            match found? {
                Found::Record(record) => {
                    let next = record.location.offset.saturating_add(record.disk_bytes);
                    builder.record(record.location.offset, next);
                }
                Found::Damage(damage) if damage.range.end > start => lost.push(damage.range),
                Found::Damage(_) => {}
            }
        }
        if let Some(padding) = records.padding() {
            builder.record(padding, u32::try_from(end).unwrap_or(u32::MAX));
        }
        if !lost.is_empty() || !exam.bad.is_empty() {
            lost.extend(self.blocks_lost(stripe, &exam.bad));
            return Ok(Plan::Lost(lost));
        }
        for number in 0..layout.geometry.blocks() {
            match self.block(stripe, number)? {
                Some(bytes) => builder.push(&bytes),
                None => return Ok(Plan::Lost(self.blocks_lost(stripe, &[number]))),
            }
        }
        let patch = self.parity_patch(stripe, exam.xor.clone(), builder.into_table());
        Ok(Plan::Write(patch))
    }

    /// Damage in the verified data behind the complete stripes, found by the checksums of its
    /// records: nothing but other copies can heal it.
    ///
    /// # Errors
    /// [`DataError::Io`] when the system refuses to read.
    pub fn check_tail(&self) -> Result<Vec<Damage>> {
        let (complete, verified) = (self.complete_len(), self.verified_len());
        let (from, _) = self.anchor(self.layout().stripe_of(complete))?;
        let mut damage = Vec::new();
        for found in self.records(from..verified, Payloads::Skip) {
            match found? {
                Found::Damage(found) if found.range.end > complete => damage.push(found),
                Found::Damage(_) | Found::Record(_) => {}
            }
        }
        Ok(damage)
    }

    /// Writes bytes whose checksum fits over bytes whose does not. Durable on return.
    fn write_in_place(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let error = |op| move |e| DataError::io(op, &self.path, e);
        let file = self.disk.open(&self.path, Open::Write).map_err(error(Op::Open))?;
        write_all_at(&*file, bytes, at).map_err(error(Op::Write))?;
        file.sync_data().map_err(error(Op::Sync))?;
        file.evict(at, bytes.len() as u64).map_err(error(Op::Read))?;
        let mut back = vec![0; bytes.len()];
        let got = read_full_at(&*file, &mut back, at).map_err(error(Op::Read))?;
        if got == bytes.len() && back == bytes {
            Ok(())
        } else {
            let flaw = Flaw::Malformed("what was written is not what is read back");
            Err(self.corrupt(self.layout().data_len(at), flaw))
        }
    }

    /// Where to begin to read so that every record of a stripe is passed: by the nearest table
    /// before it. Also the last record that begins before that, and the place itself.
    pub(super) fn anchor(&self, stripe: u64) -> Result<(u64, (u32, u32))> {
        let start = stripe * self.layout().geometry.stripe_bytes();
        for before in (0..stripe).rev() {
            if let Ok(table) = self.table(before)? {
                let is_behind = u64::from(table.next_start) <= start;
                let from = if is_behind { table.next_start } else { table.last_start };
                return Ok((u64::from(from), (table.last_start, table.next_start)));
            }
        }
        Ok((0, (0, 0)))
    }
}
