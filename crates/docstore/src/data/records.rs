//! All records of a stretch of a file, in order: what rebuilding an index, compaction and looking
//! at a file are made of.
//!
//! Every byte is checked as it is read. Damage is an item of its own and never skipped in silence.
//! Behind damage reading goes on only where a valid table says that a record begins and that its
//! block is whole; a record in the making of which no table tells yet (the tail of a file that is
//! being written) is behind nothing but whole records.
//!
//! Cost: one pass, and for every damage one table and one block more. A record that runs into
//! another one, by the table, is refused before it is read.

use std::ops::Range;

use super::error::{Damage, DataError, Flaw, Result};
use super::file::{DataFile, within_usize};
use super::record::{HEADER_BYTES_MAX, StoredRecord, Unit, check_padding, parse};
use super::stripe::Table;
use crate::location::Location;

/// Bytes read at a time.
const WINDOW_BYTES: usize = 256 * 1024;

/// Whether documents come with their records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payloads {
    /// With them.
    Load,
    /// Without: they are read and checked, and not kept.
    Skip,
}

/// What comes next in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A record.
    Record(StoredRecord),
    /// What cannot be read. Heal the range, or look for its documents elsewhere.
    Damage(Damage),
}

/// The records of a stretch of a file; see [`DataFile::records`].
#[derive(Debug)]
pub struct Records<'a> {
    file: &'a DataFile,
    payloads: Payloads,
    at: u64,
    end: u64,
    /// The verified length when the iteration began.
    limit: u64,
    window: Vec<u8>,
    window_at: u64,
    /// The table read last.
    table: Option<(u64, Option<Table>)>,
    padding: Option<u32>,
    failed: bool,
}

/// What stands at one place.
enum Step {
    Record(StoredRecord),
    /// Nothing up to here.
    Skip(u64),
}

impl DataFile {
    /// The records that begin in `range`, in order, and every damage. `range` starts where a
    /// record begins: at 0, where an earlier iteration ended, or at [`Damage::range`]'s start.
    ///
    /// Only verified data is read, whatever the range says. Memory: the longest record and
    /// 256 KiB.
    #[must_use]
    pub fn records(&self, range: Range<u64>, payloads: Payloads) -> Records<'_> {
        let limit = self.verified_len();
        Records {
            file: self,
            payloads,
            at: range.start,
            end: range.end.min(limit),
            limit,
            window: Vec::new(),
            window_at: 0,
            table: None,
            padding: None,
            failed: false,
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.end && !self.failed {
            match self.step() {
                Ok(Step::Skip(to)) => self.at = to,
                Ok(Step::Record(record)) => {
                    self.at += u64::from(record.disk_bytes);
                    return Some(Ok(Found::Record(record)));
                }
                Err(DataError::Corrupt { flaw, .. }) => return Some(self.damage(flaw)),
                Err(error) => return Some(Err(self.fail(error))),
            }
        }
        None
    }
}

impl Records<'_> {
    /// Where reading goes on: the data offset behind what was found last.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.at
    }

    /// Where the padding begins that was passed last.
    pub(super) const fn padding(&self) -> Option<u32> {
        self.padding
    }

    fn fail(&mut self, error: DataError) -> DataError {
        self.failed = true;
        error
    }

    fn damage(&mut self, flaw: Flaw) -> Result<Found> {
        match self.resume() {
            Ok(to) => {
                let range = self.at..to;
                self.at = to;
                Ok(Found::Damage(Damage { range, flaw }))
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Reads what begins at the present place.
    fn step(&mut self) -> Result<Step> {
        let (file, at) = (self.file, self.at);
        let corrupt = |flaw| file.corrupt(at, flaw);
        let offset = u32::try_from(at).map_err(|_| corrupt(Flaw::Short))?;
        let there = self.limit - at;
        let header_bytes = HEADER_BYTES_MAX.min(within_usize(there));
        let unit = parse(self.bytes(header_bytes)?).map_err(corrupt)?;
        let frame = match unit {
            Unit::Record(frame) => frame,
            Unit::Padding => {
                let rest = file.layout().to_stripe_end(at);
                let bytes = self.bytes(within_usize(rest.min(there)))?;
                check_padding(bytes, file.seed(offset)).map_err(corrupt)?;
                self.padding = Some(offset);
                return Ok(Step::Skip(at + rest));
            }
        };
        let whole = frame.disk_bytes();
        if whole as u64 > there {
            return Err(corrupt(Flaw::Malformed("the record ends past the verified data")));
        }
        self.must_not_run_into_another(at + whole as u64)?;
        let payloads = self.payloads;
        let record = self.bytes(whole)?;
        frame.check(record, file.seed(offset)).map_err(corrupt)?;
        let location = Location { file: file.identity().number, offset };
        let disk_bytes = u32::try_from(whole).map_err(|_| corrupt(Flaw::Short))?;
        Ok(Step::Record(match payloads {
            Payloads::Load => file.stored(location, frame, record).map_err(corrupt)?,
            Payloads::Skip => {
                StoredRecord { location, disk_bytes, header: frame.header, document: None }
            }
        }))
    }

    /// The next `need` bytes, which lie before the limit.
    fn bytes(&mut self, need: usize) -> Result<&[u8]> {
        let there = (self.window_at + self.window.len() as u64).saturating_sub(self.at);
        if self.at < self.window_at || there < need as u64 {
            self.fill(need)?;
        }
        let from = within_usize(self.at - self.window_at);
        self.window.get(from..from + need).ok_or_else(|| self.file.corrupt(self.at, Flaw::Short))
    }

    /// Reads ahead from the present place, at least `need` bytes.
    fn fill(&mut self, need: usize) -> Result<()> {
        let ahead = WINDOW_BYTES.min(within_usize(self.limit - self.at)).max(need);
        if need > WINDOW_BYTES && !self.file.is_there(self.at, need)? {
            return Err(self.file.corrupt(self.at, Flaw::Short));
        }
        self.window_at = self.at;
        self.window.resize(ahead, 0);
        let mut read = self.file.read_data(self.at, &mut self.window);
        if matches!(&read, Err(error) if error.flaw().is_some()) {
            // What cannot be read may lie behind what is needed.
            self.window.resize(need, 0);
            read = self.file.read_data(self.at, &mut self.window);
        }
        let got = match &read {
            Ok(got) => *got,
            Err(_) => 0,
        };
        self.window.truncate(got);
        self.window.shrink_to(WINDOW_BYTES.max(need));
        read.map(|_| ())
    }

    /// The table of a complete stripe; `None` when there is none or it is damaged.
    fn table(&mut self, stripe: u64) -> Result<Option<&Table>> {
        let is_kept = matches!(&self.table, Some((kept, _)) if *kept == stripe);
        if !is_kept {
            let complete = self.file.layout().complete(self.limit);
            let is_complete = stripe < self.file.layout().stripe_of(complete);
            let table = if is_complete { self.file.table(stripe)?.ok() } else { None };
            self.table = Some((stripe, table));
        }
        Ok(self.table.as_ref().and_then(|(_, table)| table.as_ref()))
    }

    /// Refuses a record from the present place to `next` when the table knows of one that begins
    /// within. Without this, forged lengths would make every block cost as much as the longest
    /// record.
    fn must_not_run_into_another(&mut self, next: u64) -> Result<()> {
        let (file, at) = (self.file, self.at);
        let layout = file.layout();
        let block_bytes = layout.geometry.block_bytes() as u64;
        if at / block_bytes == (next - 1) / block_bytes {
            return Ok(());
        }
        let stripe = layout.stripe_of(at);
        let Some(table) = self.table(stripe)? else { return Ok(()) };
        let start = stripe * layout.geometry.stripe_bytes();
        let starts = starts(table, start, block_bytes);
        let within = starts.filter(|begin| at < *begin && *begin < next).count();
        let crosses = next > start + layout.geometry.stripe_bytes();
        let agrees =
            !crosses || (u64::from(table.last_start) == at && u64::from(table.next_start) == next);
        if within == 0 && agrees {
            Ok(())
        } else {
            Err(file.corrupt(at, Flaw::Malformed("the record runs into another one")))
        }
    }

    /// Where reading can go on behind damage at the present place.
    fn resume(&mut self) -> Result<u64> {
        let (file, at, limit) = (self.file, self.at, self.limit);
        let layout = file.layout();
        let stripe = layout.stripe_of(at);
        let end = (stripe + 1) * layout.geometry.stripe_bytes();
        if end > limit {
            return Ok(limit);
        }
        let Some(table) = self.table(stripe)?.cloned() else {
            return self.resume_behind(stripe + 1);
        };
        let start = stripe * layout.geometry.stripe_bytes();
        let block_bytes = layout.geometry.block_bytes();
        for begin in starts(&table, start, block_bytes as u64).filter(|begin| *begin > at) {
            let block = layout.block_of(begin);
            let found = file.block(stripe, block)?.map(|bytes| crc32c::crc32c(&bytes));
            if found.is_some() && found == table.blocks.get(block).map(|block| block.crc) {
                return Ok(begin);
            }
        }
        Ok(u64::from(table.next_start).min(limit))
    }

    /// The first record that the table of `stripe` or of one behind it knows of.
    fn resume_behind(&mut self, first: u64) -> Result<u64> {
        let layout = self.file.layout();
        let stripe_bytes = layout.geometry.stripe_bytes();
        let complete = layout.stripe_of(layout.complete(self.limit));
        for stripe in first..complete {
            let block_bytes = layout.geometry.block_bytes() as u64;
            if let Some(table) = self.table(stripe)? {
                let next = u64::from(table.next_start);
                let begin = starts(table, stripe * stripe_bytes, block_bytes).next();
                return Ok(begin.unwrap_or(next).min(self.limit));
            }
        }
        Ok(self.limit)
    }
}

/// Where the first record of each block begins, by the table.
fn starts(table: &Table, start: u64, block_bytes: u64) -> impl Iterator<Item = u64> + '_ {
    (start..)
        .step_by(within_usize(block_bytes))
        .zip(&table.blocks)
        .filter_map(move |(block, entry)| Some(block + u64::from(entry.first?)))
}
