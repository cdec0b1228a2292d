//! Compaction: one data file is rewritten without what nobody needs any more.
//!
//! It is a checkpoint that flushes nothing: the copies are in new, finished files, the index takes
//! their places, and the MANIFEST names the new files in the place of the old one. What is kept: documents that
//! the index has at this very place, old versions that snapshots need, and tombstones while an
//! older record of their document may exist. A file of which a part cannot be read is healed
//! first, and left alone when that fails: nothing unreadable is left behind. Only the end of a file
//! that was given up before it was complete is dealt with all the same, by [`retire`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use base::words::{CollectionId, DocId, Lsn};

use crate::checkpoint::{Compact, Making};
use crate::data::{
    DataFile, DataWriter, FileIdentity, Found as Next, Kind, Payloads, StoredRecord,
};
use crate::error::{Result, StoreError};
use crate::history::Kept;
use crate::index::{Entry, Found};
use crate::location::{FileNumber, Location};
use crate::manifest::FileRecord;
use crate::retire::{Retired, retire};

/// The file to compact, if one is worth it. What compaction itself writes may be small for ever:
/// small files count by what they are together, and one that is all garbage costs nothing to drop.
pub(crate) fn choose(making: &Making<'_>, compact: Compact) -> Option<FileNumber> {
    let options = &making.inner.options;
    let current = making.job.writer.as_ref().map(|writer| writer.identity().number);
    let readable = |file: &&FileRecord| !making.job.unreadable.contains(&file.number);
    let oldest = making.files.values().map(|file| file.lowest).min();
    let share = |file: &FileRecord| {
        // What the last compaction had to keep is kept again as long as the reason lasts.
        let kept = making.job.kept.get(&file.number);
        let kept = kept.filter(|kept| kept.because == Because::of(making, file.number));
        let (tombstones, old) = kept.map_or((0, 0), |kept| (kept.tombstones, kept.old));
        // Below the oldest record there is nothing that a tombstone could hide.
        let idle = if Some(file.lowest) == oldest { file.tombstones } else { 0 };
        ratio(file.dead.saturating_sub(old) + idle.saturating_sub(tombstones), file.records)
    };
    // One that was given up in the middle holds the log back.
    let given_up = |file: &FileRecord| !file.finished && Some(file.number) != current;
    let is_large = |bytes: u64| bytes > options.compaction_min_file_bytes;
    let small = making.files.values().map(|file| file.verified_len).filter(|len| !is_large(*len));
    let are_many = is_large(small.sum());
    let worth = |file: &FileRecord| match compact {
        Compact::Nothing => false,
        Compact::Anything => share(file) > 0.0 || given_up(file),
        Compact::IfWorthIt => {
            let is_current = Some(file.number) == current;
            let (share, is_large) = (share(file), are_many || is_large(file.verified_len));
            let is_garbage = share >= 1.0 || (is_large && share > options.compaction_garbage_ratio);
            given_up(file) || (is_garbage && !is_current)
        }
    };
    let candidates = making.files.values().filter(readable).filter(|file| worth(file));
    candidates.max_by(|a, b| share(a).total_cmp(&share(b))).map(|file| file.number)
}

/// Garbage that a compaction had to copy. Without this note a file that has nothing else would be
/// rewritten again and again.
#[derive(Debug)]
pub(crate) struct KeptGarbage {
    because: Because,
    tombstones: u64,
    /// Old versions that snapshots need.
    old: u64,
}

/// What makes a compaction keep garbage.
#[derive(Debug, PartialEq, Eq)]
struct Because {
    /// The oldest record of all other files: tombstones above it may hide one.
    others: Option<Lsn>,
    snapshots: Vec<Lsn>,
}

impl Because {
    fn of(making: &Making<'_>, number: FileNumber) -> Self {
        let others = making.files.values().filter(|file| file.number != number);
        Self { others: others.map(|file| file.lowest).min(), snapshots: making.snapshots.clone() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of a count, for comparing")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Rewrites a file into the checkpoint, and when that is done because it is worth it others, too,
/// while they are no more to read than one file that is full.
pub(crate) fn compact_some(
    making: &mut Making<'_>,
    first: FileNumber,
    wanted: Compact,
) -> Result<()> {
    let (mut next, mut bytes) = (Some(first), 0);
    let len = |making: &Making<'_>, number| {
        making.files.get(&number).map_or(0, |file: &FileRecord| file.verified_len)
    };
    while let Some(victim) = next {
        bytes += len(making, victim);
        compact(making, victim)?;
        next = if wanted == Compact::IfWorthIt { choose(making, wanted) } else { None };
        // One that has to wait is as much worth it as before.
        next = next.filter(|next| *next != victim);
        next = next
            .filter(|next| bytes + len(making, *next) <= making.inner.options.data_file_bytes_max);
    }
    Ok(())
}

/// Rewrites a file into the checkpoint.
fn compact(making: &mut Making<'_>, victim: FileNumber) -> Result<()> {
    if making.job.writer.as_ref().is_some_and(|writer| writer.identity().number == victim) {
        making.end_file()?;
    }
    let Some(record) = making.files.get(&victim).copied() else { return Ok(()) };
    let inner = making.inner;
    let identity = FileIdentity { database: inner.id, number: victim };
    let opened = DataFile::open(&inner.env.disk, &inner.dir, identity, record.verified_len);
    let (is_sound, retired) = match &opened {
        Ok(file) if is_sound(making, file)? => (true, Retired::Done),
        // Its end holds the log back, which has what cannot be read there.
        Ok(file) if !record.finished && inner.options.healing => (false, retire(making, file)?),
        Ok(_) | Err(_) => (false, Retired::Unknown),
    };
    let (true, Ok(file)) = (is_sound, opened) else {
        match retired {
            Retired::Done => making.report.compacted.push(victim),
            Retired::Later => {}
            Retired::Unknown => {
                tracing::error!(file = %victim, "a damaged data file is not compacted");
                making.job.unreadable.push(victim);
            }
        }
        return Ok(());
    };
    let (copied, old) = Copy::new(making, victim).run(&file)?;
    making.report.copied += copied;
    follow(making);
    leave(making, victim)?;
    note_kept(making, old);
    Ok(())
}

/// Notes what garbage the files have that a compaction has just written.
fn note_kept(making: &mut Making<'_>, old: BTreeMap<FileNumber, u64>) {
    let files = &making.files;
    making.job.kept.retain(|number, _| files.contains_key(number));
    for (number, old) in old {
        let because = Because::of(making, number);
        let Some(file) = making.files.get_mut(&number) else { continue };
        // Nobody needs them once the snapshots are gone.
        file.dead += old;
        let tombstones = file.tombstones;
        making.job.kept.insert(number, KeptGarbage { because, tombstones, old });
    }
}

/// Whether all of a file can be read, after healing what can be healed.
fn is_sound(making: &Making<'_>, file: &DataFile) -> Result<bool> {
    #[cfg(feature = "planted-bugs")]
    if making.inner.options.planted == Some(crate::planted::Bug::CompactionDropsUnreadable) {
        return Ok(true);
    }
    let first_damage = |file: &DataFile| -> Result<Option<std::ops::Range<u64>>> {
        for next in file.records(0..file.verified_len(), Payloads::Skip) {
            if let Next::Damage(damage) = next? {
                return Ok(Some(damage.range));
            }
        }
        Ok(None)
    };
    let Some(range) = first_damage(file)? else { return Ok(true) };
    if !making.inner.options.healing {
        return Ok(false);
    }
    file.heal_range(range.start..file.verified_len())?;
    Ok(first_damage(file)?.is_none())
}

/// Old versions that this very checkpoint has found and compaction has moved.
fn follow(making: &mut Making<'_>) {
    let moved: BTreeMap<Location, Location> =
        making.moved.iter().map(|(_, _, from, to)| (*from, *to)).collect();
    for (_, _, old) in &mut making.history {
        if let Kept::File(location) = &mut old.kept
            && let Some(to) = moved.get(location)
        {
            *location = *to;
        }
    }
}

/// Removes a file from the checkpoint after making sure that nothing refers to it.
fn leave(making: &mut Making<'_>, victim: FileNumber) -> Result<()> {
    #[cfg(feature = "planted-bugs")]
    let checks =
        making.inner.options.planted != Some(crate::planted::Bug::CompactionDropsUnreadable);
    #[cfg(not(feature = "planted-bugs"))]
    let checks = true;
    let collections = if checks { making.index.collections() } else { Vec::new() };
    for collection in collections {
        let mut all = making.index.range(collection, Bound::Unbounded, Bound::Unbounded);
        if let Some((id, entry)) = all.find(|(_, entry)| entry.location.file == victim) {
            making.job.unreadable.push(victim);
            return Err(StoreError::DocCorrupt { id, lsn: entry.lsn });
        }
    }
    making.files.remove(&victim);
    making.opened.remove(&victim);
    making.report.compacted.push(victim);
    Ok(())
}

/// Copying what is needed of one file.
struct Copy<'m, 'a> {
    making: &'m mut Making<'a>,
    /// Old versions in the file that snapshots need.
    history: BTreeSet<(CollectionId, DocId, Lsn, Location)>,
    /// Tombstones above this LSN hide something, perhaps.
    hides_above: Option<Lsn>,
    writer: Option<DataWriter>,
    copied: u64,
    /// The files it has written, and how many old versions are in each.
    old: BTreeMap<FileNumber, u64>,
}

impl<'m, 'a> Copy<'m, 'a> {
    fn new(making: &'m mut Making<'a>, victim: FileNumber) -> Self {
        let mut history = making.inner.read().history.in_file(victim);
        let found = making.history.iter().filter_map(|(collection, id, old)| match old.kept {
            Kept::File(location) if location.file == victim => {
                Some((*collection, id.clone(), old.lsn, location))
            }
            Kept::File(_) | Kept::Memory(_) => None,
        });
        history.extend(found);
        let others = making.files.values().filter(|file| file.number != victim);
        let hides_above = others.map(|file| file.lowest).min();
        let history: BTreeSet<_> = history.into_iter().collect();
        // The copy of an old version would come back without its tombstone.
        let hides_above = if history.is_empty() { hides_above } else { Some(Lsn::ZERO) };
        #[cfg(feature = "planted-bugs")]
        let hides_above = match making.inner.options.planted {
            Some(crate::planted::Bug::TombstoneDroppedEarly) => None,
            Some(_) | None => hides_above,
        };
        Self { making, history, hides_above, writer: None, copied: 0, old: BTreeMap::new() }
    }

    fn run(mut self, file: &DataFile) -> Result<(u64, BTreeMap<FileNumber, u64>)> {
        for next in file.records(0..file.verified_len(), Payloads::Load) {
            match next? {
                Next::Record(record) => self.record(&record)?,
                Next::Damage(damage) => {
                    #[cfg(feature = "planted-bugs")]
                    if self.making.inner.options.planted
                        == Some(crate::planted::Bug::CompactionDropsUnreadable)
                    {
                        continue;
                    }
                    let (file, offset) = (file.identity().number, damage.range.start);
                    self.making.job.unreadable.push(file);
                    let flaw = damage.flaw;
                    return Err(crate::data::DataError::Corrupt { file, offset, flaw }.into());
                }
            }
        }
        self.end()?;
        Ok((self.copied, self.old))
    }

    fn record(&mut self, record: &StoredRecord) -> Result<()> {
        let header = &record.header;
        let (collection, id, lsn) = (header.collection, &header.id, header.lsn);
        if header.kind == Kind::Tombstone {
            if self.hides_above.is_some_and(|lowest| lowest < lsn) {
                self.copy(record)?;
            }
            return Ok(());
        }
        let is_current = matches!(
            self.making.index.get(collection, id),
            Some(Found::Live(entry)) if entry.location == record.location && entry.lsn == lsn
        );
        let is_old = self.history.contains(&(collection, id.clone(), lsn, record.location));
        if !is_current && !is_old {
            return Ok(());
        }
        let Some(location) = self.copy(record)? else { return Ok(()) };
        if is_current {
            let entry = Entry { lsn, location, expires_at: header.expires_at };
            self.making.index.put(collection, id, entry);
        }
        if !is_current {
            *self.old.entry(location.file).or_default() += 1;
        }
        if is_old {
            self.making.moved.push((collection, id.clone(), record.location, location));
        }
        Ok(())
    }

    fn copy(&mut self, record: &StoredRecord) -> Result<Option<Location>> {
        let Some(record) = record.as_ref() else { return Ok(None) };
        let limit = self.making.inner.options.data_file_bytes_max;
        if self.writer.as_ref().is_some_and(|writer| writer.len() >= limit) {
            self.end()?;
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.making.begin_file()?,
        };
        let location = writer.append(&record)?;
        self.writer = Some(writer);
        self.making.count(&record, location.file);
        self.old.entry(location.file).or_default();
        self.copied += 1;
        Ok(Some(location))
    }

    fn end(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let number = writer.identity().number;
        let verified = writer.finish()?;
        self.making.finished(number, verified);
        Ok(())
    }
}
