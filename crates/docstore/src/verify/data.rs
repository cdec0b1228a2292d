//! The data files of a database: stripes, records, and whether the indexes lead to them.

use std::collections::BTreeMap;
use std::io;
use std::ops::{Bound, Range};
use std::path::Path;

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
struct Checked {
    file: Option<DataFile>,
    damages: Damages,
}

impl Check<'_> {
    /// Checks every data file, then every index entry that did not lead to a record.
    pub(super) fn data_files(
        &mut self,
        manifest: &Manifest,
        loaded: &mut [Loaded<'_>],
    ) -> Result<()> {
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
        let mut newer: Option<&Loaded<'_>> = None;
        for at in loaded.iter().rev() {
            if at.readable < super::documents(&at.index) {
                self.entries(at, newer, &checked)?;
            }
            newer = newer.or(Some(at));
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
                self.report.add(Severity::Lost, &path, None, "the data file is missing");
                return Ok(Checked { file: None, damages: Damages::default() });
            }
            Err(error) => return Err(error.into()),
        };
        for at in file.bad_headers()? {
            let what = "a copy of the header is damaged; a scrub writes it again";
            self.report.add(Severity::Healable, &path, Some(at), what);
        }
        let mut damages = Damages::default();
        let has_index = !loaded.is_empty();
        self.stripes(&file, &path, has_index, &mut damages)?;
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
                Found::Damage(found) => {
                    self.stretch(&file, &path, &found, has_index, &mut damages);
                }
            }
        }
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

    fn stripes(
        &mut self,
        file: &DataFile,
        path: &Path,
        has_index: bool,
        damages: &mut Damages,
    ) -> Result<()> {
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
            self.stripe(path, layout, stripe, &condition, has_index);
        }
        Ok(())
    }

    /// Reports a stripe that is not sound.
    fn stripe(
        &mut self,
        path: &Path,
        layout: Layout,
        stripe: u64,
        condition: &Condition,
        has_index: bool,
    ) {
        match condition {
            Condition::Sound => {}
            Condition::Repairable(Part::Block(block)) => {
                let what =
                    format!("block {block} of stripe {stripe} is damaged; parity makes it again");
                let at = layout.block_start(stripe, *block);
                self.report.add(Severity::Healable, path, Some(at), what);
            }
            Condition::Repairable(Part::Parity) => {
                let what = format!(
                    "parity or table of stripe {stripe} is damaged; the data makes it again"
                );
                let at = layout.parity_start(stripe);
                self.report.add(Severity::Healable, path, Some(at), what);
            }
            Condition::Lost(ranges) => {
                for range in ranges {
                    let what = format!(
                        "data {}..{} in stripe {stripe} is damaged and parity cannot make it again{}",
                        range.start,
                        range.end,
                        consequence(has_index)
                    );
                    let at = layout.file_offset(range.start);
                    self.report.add(gone(has_index), path, Some(at), what);
                }
            }
        }
    }

    /// Notes a stretch that could not be read as records, and reports it unless its stripe was.
    fn stretch(
        &mut self,
        file: &DataFile,
        path: &Path,
        found: &data::Damage,
        has_index: bool,
        damages: &mut Damages,
    ) {
        let range = &found.range;
        damages.unread.push(range.clone());
        let known = damages.repairable.iter().chain(&damages.gone);
        if known.into_iter().any(|known| overlap(known, range)) {
            return;
        }
        damages.gone.push(range.clone());
        let what = format!(
            "data {}..{} cannot be read as records: {}{}",
            range.start,
            range.end,
            found.flaw,
            consequence(has_index)
        );
        let at = file.layout().file_offset(range.start);
        self.report.add(gone(has_index), path, Some(at), what);
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
            self.stripe(path, header.layout, *stripe, condition, false);
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

    /// Looks at every entry of a checkpoint that a `newer` one does not share.
    fn entries(
        &mut self,
        at: &Loaded<'_>,
        newer: Option<&Loaded<'_>>,
        checked: &BTreeMap<FileNumber, Checked>,
    ) -> Result<()> {
        for record in &at.checkpoint.collections {
            let collection = record.collection;
            for (id, entry) in at.index.range(collection, Bound::Unbounded, Bound::Unbounded) {
                let same = |newer: &&Loaded<'_>| {
                    newer.index.get(collection, &id) == Some(Indexed::Live(entry))
                };
                if newer.as_ref().is_some_and(same) {
                    continue;
                }
                let expected = Expected { collection, id: &id, lsn: entry.lsn };
                let Some(unread) = self.entry(&entry, &expected, checked)? else { continue };
                if newer.is_none() {
                    self.unread.insert((collection, id), unread);
                } else {
                    let lsn = at.checkpoint.lsn;
                    let what = format!(
                        "document {id} of collection {collection} at the older checkpoint {lsn}: {}",
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

/// Data that is gone is needed or not: the index knows, if there is one.
const fn gone(has_index: bool) -> Severity {
    if has_index { Severity::Healable } else { Severity::Lost }
}

const fn consequence(has_index: bool) -> &'static str {
    if has_index {
        "; documents that it hits are named apart"
    } else {
        "; without an index nobody knows what it was"
    }
}
