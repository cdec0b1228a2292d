//! The data files of a database: stripes, records, and whether the indexes lead to them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::{Bound, Range};
use std::path::Path;

use super::basis::Basis;
use super::report::{FileCheck, Severity};
use super::{Check, Loaded, Unread};
use crate::data::{
    self, Condition, DataError, DataFile, Expected, Found, Layout, Part, Payloads, StoredRecord,
};
use crate::error::Result;
use crate::index::{Entry, Found as Indexed};
use crate::location::FileNumber;
use crate::manifest::{FileRecord, Manifest};
use crate::open::open_file;

/// What is damaged in one file.
#[derive(Default)]
struct Damages {
    /// Data offsets that parity makes again.
    repairable: Vec<Range<u64>>,
    /// Data offsets that are gone.
    gone: Vec<Range<u64>>,
    /// Stretches that could not be read as records, whatever the reason.
    unread: Vec<Range<u64>>,
    /// What is to be said of what is gone, and where in the file, once it is known whom it hits.
    told: Vec<(u64, String)>,
    /// Deletions that were not found.
    deletions: u64,
}

impl Damages {
    /// Whether parity makes the record again that begins at `at` and cannot be read.
    fn is_repairable(&self, at: u64) -> bool {
        let stretch = self.unread.iter().find(|range| range.contains(&at));
        stretch.is_some_and(|stretch| {
            let stretch = at..stretch.end;
            !self.gone.iter().any(|gone| overlap(gone, &stretch))
                && self.repairable.iter().any(|range| overlap(range, &stretch))
        })
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// A file that was checked; no file when it is missing.
pub(super) struct Checked {
    file: Option<DataFile>,
    damages: Damages,
}

impl Checked {
    /// Whether the file exists.
    pub(super) const fn is_there(&self) -> bool {
        self.file.is_some()
    }

    /// Whether every record below `len` can be read, after what parity makes again.
    pub(super) fn is_whole(&self, len: u64) -> bool {
        let Damages { gone, unread, .. } = &self.damages;
        let is_below = |range: &&Range<u64>| range.start < len;
        self.is_there()
            && !gone.iter().any(|range| is_below(&range))
            && unread.iter().filter(is_below).all(|range| self.damages.is_repairable(range.start))
    }
}

impl Check<'_> {
    /// Checks every data file.
    pub(super) fn data_files(
        &mut self,
        manifest: &Manifest,
        loaded: &mut [Loaded<'_>],
    ) -> Result<BTreeMap<FileNumber, Checked>> {
        let mut records: BTreeMap<FileNumber, FileRecord> = BTreeMap::new();
        for file in manifest.checkpoints.iter().flat_map(|checkpoint| &checkpoint.files) {
            let known = records.entry(file.number).or_insert(*file);
            if known.verified_len <= file.verified_len {
                *known = *file;
            }
        }
        let mut checked = BTreeMap::new();
        for (number, record) in records {
            checked.insert(number, self.data_file(manifest, &record, loaded)?);
        }
        Ok(checked)
    }

    /// Checks every index entry that did not lead to a record, and says what damage comes to.
    pub(super) fn documents(
        &mut self,
        manifest: &Manifest,
        loaded: &[Loaded<'_>],
        basis: &Basis,
        checked: BTreeMap<FileNumber, Checked>,
    ) -> Result<()> {
        let judge = basis.judge(loaded);
        let mut hit = BTreeSet::new();
        for at in loaded.iter().rev() {
            if at.readable < super::documents(&at.index) {
                self.entries(at, judge, &checked, &mut hit)?;
            }
        }
        for (number, file) in checked {
            let path = number.path(self.dir);
            if !file.is_there() {
                let (severity, what) = if basis.needs(manifest, number) {
                    (Severity::Lost, "the data file is missing")
                } else {
                    (
                        Severity::Healable,
                        "the data file is missing; the checkpoint that opening goes on from does not need it",
                    )
                };
                self.report.add(severity, &path, None, what);
            }
            let is_needed = hit.contains(&number) || file.damages.deletions > 0;
            let (severity, end) = consequence(!loaded.is_empty(), is_needed);
            for (at, what) in file.damages.told {
                self.report.add(severity, &path, Some(at), what + end);
            }
        }
        Ok(())
    }

    fn data_file(
        &mut self,
        manifest: &Manifest,
        record: &FileRecord,
        loaded: &mut [Loaded<'_>],
    ) -> Result<Checked> {
        let path = record.number.path(self.dir);
        let preferred = Layout::default();
        let (disk, database) = (&self.env.disk, manifest.database);
        let file = match open_file(disk, self.dir, database, record, preferred) {
            Ok(file) => file,
            Err(DataError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                // How bad that is depends on who needs it.
                return Ok(Checked { file: None, damages: Damages::default() });
            }
            Err(error) => return Err(error.into()),
        };
        for at in file.bad_headers()? {
            let what = "a copy of the header is damaged; a scrub writes it again";
            self.report.add(Severity::Healable, &path, Some(at), what);
        }
        let mut damages = Damages::default();
        self.stripes(&file, &path, &mut damages)?;
        let mut check = FileCheck {
            number: record.number,
            data_bytes: record.verified_len,
            stripes: file.complete_len() / file.layout().geometry.stripe_bytes(),
            records: 0,
            tombstones: 0,
        };
        for next in file.records(0..record.verified_len, Payloads::Load) {
            match next? {
                Found::Record(found) => {
                    check.records += 1;
                    check.tombstones += u64::from(found.header.kind == data::Kind::Tombstone);
                    for at in loaded.iter_mut() {
                        at.readable += u64::from(is_meant(at, &found));
                    }
                }
                Found::Damage(found) => stretch(&file, &found, &mut damages),
            }
        }
        damages.deletions = record.tombstones.saturating_sub(check.tombstones);
        let expected = (record.records, record.tombstones);
        if damages.unread.is_empty() && expected != (check.records, check.tombstones) {
            let what = format!(
                "the manifest counts {} records and {} deletions, there are {} and {}",
                record.records, record.tombstones, check.records, check.tombstones
            );
            self.report.add(Severity::Healable, &path, None, what);
        }
        self.report.files.push(check);
        Ok(Checked { file: Some(file), damages })
    }

    fn stripes(&mut self, file: &DataFile, path: &Path, damages: &mut Damages) -> Result<()> {
        let layout = file.layout();
        let bytes = layout.geometry.stripe_bytes();
        for stripe in 0..file.complete_len() / bytes {
            let begin = stripe * bytes;
            let condition = file.check_stripe(stripe)?;
            match &condition {
                Condition::Sound => {}
                Condition::Repairable(_) => damages.repairable.push(begin..begin + bytes),
                Condition::Lost(ranges) => damages.gone.extend(ranges.iter().cloned()),
            }
            damages.told.extend(self.stripe(path, layout, stripe, &condition));
        }
        Ok(())
    }

    /// Reports what parity makes again of a stripe that is not sound; answers what is gone.
    fn stripe(
        &mut self,
        path: &Path,
        layout: Layout,
        stripe: u64,
        condition: &Condition,
    ) -> Vec<(u64, String)> {
        match condition {
            Condition::Sound => Vec::new(),
            Condition::Repairable(Part::Block(block)) => {
                let what =
                    format!("block {block} of stripe {stripe} is damaged; parity makes it again");
                let at = layout.block_start(stripe, *block);
                self.report.add(Severity::Healable, path, Some(at), what);
                Vec::new()
            }
            Condition::Repairable(Part::Parity) => {
                let what = format!(
                    "parity or table of stripe {stripe} is damaged; the data makes it again"
                );
                let at = layout.parity_start(stripe);
                self.report.add(Severity::Healable, path, Some(at), what);
                Vec::new()
            }
            Condition::Lost(ranges) => {
                let told = ranges.iter().map(|range| {
                    let what = format!(
                        "data {}..{} in stripe {stripe} is damaged and parity cannot make it again",
                        range.start, range.end,
                    );
                    (layout.file_offset(range.start), what)
                });
                told.collect()
            }
        }
    }

    /// A data file of a database without a MANIFEST: by what it says of itself.
    pub(super) fn lone_data_file(&mut self, path: &Path) -> Result<()> {
        let found = data::inspect(&self.env.disk, path, &mut |_| ())?;
        let header = match &found.header {
            Ok(header) => header,
            Err(flaw) => {
                let what = format!("the header is damaged: {flaw}");
                self.report.add(Severity::Lost, path, Some(0), what);
                return Ok(());
            }
        };
        for at in &found.bad_headers {
            let what = "a copy of the header is damaged";
            self.report.add(Severity::Healable, path, Some(*at), what);
        }
        for (stripe, condition) in &found.bad_stripes {
            for (at, what) in self.stripe(path, header.layout, *stripe, condition) {
                self.report.add(Severity::Lost, path, Some(at), what + WITHOUT_INDEX);
            }
        }
        self.report.files.push(FileCheck {
            number: header.identity.number,
            data_bytes: found.data_len,
            stripes: found.stripes,
            records: found.contents.documents + found.contents.tombstones,
            tombstones: found.contents.tombstones,
        });
        Ok(())
    }

    /// Looks at every entry of a checkpoint that the one which opening goes on from, `judge`, does not share. Notes
    /// which files those are in that cannot be read.
    fn entries(
        &mut self,
        at: &Loaded<'_>,
        judge: Option<&Loaded<'_>>,
        checked: &BTreeMap<FileNumber, Checked>,
        hit: &mut BTreeSet<FileNumber>,
    ) -> Result<()> {
        let other = judge.filter(|judge| judge.at != at.at);
        for record in &at.checkpoint.collections {
            let collection = record.collection;
            for (id, entry) in at.index.range(collection, Bound::Unbounded, Bound::Unbounded) {
                let same = |other: &&Loaded<'_>| {
                    other.index.get(collection, &id) == Some(Indexed::Live(entry))
                };
                if other.as_ref().is_some_and(same) {
                    continue;
                }
                let expected = Expected { collection, id: &id, lsn: entry.lsn };
                let Some(unread) = self.entry(&entry, &expected, checked)? else { continue };
                hit.insert(entry.location.file);
                if judge.is_some() && other.is_none() {
                    self.unread.insert((collection, id), unread);
                } else {
                    let lsn = at.checkpoint.lsn;
                    let what = format!(
                        "document {id} of collection {collection} at the checkpoint {lsn}, which is there to fall \
                         back upon: {}",
                        unread.why
                    );
                    self.report.add(Severity::Healable, &unread.path, unread.offset, what);
                }
            }
        }
        Ok(())
    }

    /// What keeps an entry's record from being read, unless parity helps.
    fn entry(
        &self,
        entry: &Entry,
        expected: &Expected<'_>,
        checked: &BTreeMap<FileNumber, Checked>,
    ) -> Result<Option<Unread>> {
        let at = u64::from(entry.location.offset);
        let unread = |offset, why: String| Unread {
            lsn: entry.lsn,
            path: entry.location.file.path(self.dir),
            offset,
            why,
            is_quarantined: false,
            in_log: false,
            is_superseded: false,
        };
        let known = checked.get(&entry.location.file);
        let Some((file, damages)) =
            known.and_then(|known| Some((known.file.as_ref()?, &known.damages)))
        else {
            return Ok(Some(unread(None, "its data file is not there".to_owned())));
        };
        match file.read(entry.location, expected) {
            Ok(_) => Ok(None),
            Err(DataError::Corrupt { .. }) if damages.is_repairable(at) => Ok(None),
            Err(DataError::Corrupt { flaw, .. }) => {
                let offset = file.layout().file_offset(at);
                Ok(Some(unread(Some(offset), format!("its record cannot be read: {flaw}"))))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the index of a checkpoint means this very record.
fn is_meant(at: &Loaded<'_>, found: &StoredRecord) -> bool {
    let header = &found.header;
    match at.index.get(header.collection, &header.id) {
        Some(Indexed::Live(entry)) => {
            entry.location == found.location
                && entry.lsn == header.lsn
                && entry.expires_at == header.expires_at
                && header.kind != data::Kind::Tombstone
        }
        Some(Indexed::Deleted(_)) | None => false,
    }
}

/// Notes a stretch that could not be read as records, and what is to be said of it unless its stripe says it.
fn stretch(file: &DataFile, found: &data::Damage, damages: &mut Damages) {
    let range = &found.range;
    damages.unread.push(range.clone());
    let mut known = damages.repairable.iter().chain(&damages.gone);
    if known.any(|known| overlap(known, range)) {
        return;
    }
    damages.gone.push(range.clone());
    let what =
        format!("data {}..{} cannot be read as records: {}", range.start, range.end, found.flaw);
    damages.told.push((file.layout().file_offset(range.start), what));
}

const WITHOUT_INDEX: &str = "; without an index nobody knows what it was";

/// What it comes to that data is gone: the index knows who needs it, if there is one.
const fn consequence(has_index: bool, is_needed: bool) -> (Severity, &'static str) {
    match (has_index, is_needed) {
        (false, _) => (Severity::Lost, WITHOUT_INDEX),
        (true, true) => (Severity::Healable, "; documents that it hits are named apart"),
        (true, false) => {
            (Severity::Harmless, "; nothing needs what stood there, and compaction takes it away")
        }
    }
}
