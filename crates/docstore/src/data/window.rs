//! Records that stand near each other, read at once: for a scan, which knows the places of many.
//!
//! A window saves reads and decides nothing. What is taken from it is checked as every record is;
//! what is not whole in it, or wrong, or could not be read, is left to [`DataFile::read`], which
//! alone says what is wrong with a place.
//!
//! Invariant: a window holds verified data only.

use super::file::{DataFile, Expected, READ_BYTES, within_usize};
use super::record::{StoredRecord, Unit, parse};
use crate::location::{FileNumber, Location};

/// From the first record of a window to the last, at most, bytes.
pub(crate) const WINDOW_BYTES: u32 = 128 * 1024;
/// A record that begins further behind the one before it is not worth what is read in between.
const GAP_BYTES: u32 = 4 * 1024;

/// Files that have a window at the same time, at most.
const WINDOWS_MAX: usize = 8;

/// Data of one file. Kept by its user from one filling to the next, with its memory.
#[derive(Debug, Default)]
pub(crate) struct Window {
    file: Option<FileNumber>,
    at: u32,
    /// Not shorter than what was read; the rest of it means nothing.
    bytes: Vec<u8>,
    len: usize,
}

impl Window {
    /// The data from `location` on.
    fn rest(&self, location: Location) -> Option<&[u8]> {
        let from = location.offset.checked_sub(self.at)?;
        if self.file != Some(location.file) {
            return None;
        }
        self.bytes.get(within_usize(from.into())..self.len)
    }
}

/// Windows of the files that a page meets. Ids that follow each other stand in several files when
/// they were written in another order: each flush has some of them, in order.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// The one that was filled last is first, and the last one goes when there are too many.
    all: Vec<Window>,
}

impl Windows {
    /// Whether a record that begins at `location` begins in one.
    pub(crate) fn cover(&self, location: Location) -> bool {
        self.rest(location).is_some_and(|rest| !rest.is_empty())
    }

    fn rest(&self, location: Location) -> Option<&[u8]> {
        self.all.iter().find_map(|window| window.rest(location))
    }

    /// The window of a file; another one's if it has none and there are many.
    pub(crate) fn of(&mut self, file: FileNumber) -> &mut Window {
        let found = self.all.iter().position(|window| window.file == Some(file));
        let window = match found {
            Some(at) => self.all.remove(at),
            None if self.all.len() < WINDOWS_MAX => Window::default(),
            None => self.all.pop().unwrap_or_default(),
        };
        self.all.insert(0, window);
        self.all.first_mut().expect("it was put there just now")
    }
}

/// How far behind `first` the last record begins that is worth reading with it, of those that are
/// wanted `next`.
fn span(first: Location, next: impl Iterator<Item = Location>) -> u32 {
    let mut last = first.offset;
    for place in next.filter(|place| place.file == first.file) {
        let is_near = place.offset.checked_sub(last).is_some_and(|gap| gap > 0 && gap <= GAP_BYTES)
            && place.offset.checked_sub(first.offset).is_some_and(|span| span <= WINDOW_BYTES);
        if !is_near {
            break;
        }
        last = place.offset;
    }
    last.saturating_sub(first.offset)
}

impl DataFile {
    /// Fills `window` from the record at `first` on, as far as the records that are wanted `next`
    /// follow it closely. It stays empty when none does.
    pub(crate) fn fill(
        &self,
        window: &mut Window,
        first: Location,
        next: impl Iterator<Item = Location>,
    ) {
        window.len = 0;
        let span = span(first, next);
        if span == 0 || first.file != self.identity().number {
            return;
        }
        let at = u64::from(first.offset);
        let wanted = u64::from(span).saturating_add(self.usual_bytes() as u64);
        let there = self.verified_len().saturating_sub(at).min(wanted);
        (window.file, window.at) = (Some(first.file), first.offset);
        let there = within_usize(there);
        if window.bytes.len() < there {
            window.bytes.resize(there, 0);
        }
        // Whatever is wrong, the reads of single records meet it again and say it.
        let into = window.bytes.get_mut(..there).unwrap_or_default();
        window.len = self.read_data(at, into).unwrap_or(0);
    }

    /// The record at `location` if a window has it, whole and as `expected`.
    pub(crate) fn take(
        &self,
        windows: &Windows,
        location: Location,
        expected: &Expected<'_>,
    ) -> Option<StoredRecord> {
        let rest = windows.rest(location)?;
        let Ok(Unit::Record(frame)) = parse(rest) else { return None };
        let record = rest.get(..frame.disk_bytes())?;
        frame.check(record, self.seed(location.offset)).ok()?;
        if !expected.fits(&frame.header) {
            return None;
        }
        self.stored(location, frame, record).ok()
    }

    /// What the last record of a window takes, about, and some more.
    fn usual_bytes(&self) -> usize {
        let usual = self.usual();
        (usual + usual / 4).min(READ_BYTES)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "a test may panic")]
    use base::document::Document;
    use base::io::{DiskRef, MemDisk};
    use base::words::{CollectionId, DatabaseId, DocId, Lsn};

    use super::*;
    use crate::data::{Body, DataWriter, FileIdentity, Layout, RecordRef};

    const BOOKS: CollectionId = CollectionId(1);

    /// A file with `count` documents of `bytes` bytes, and where they are.
    fn file(count: u64, bytes: usize) -> (DiskRef, DataFile, Vec<Location>) {
        let (disk, dir) = (MemDisk::shared(), "/".as_ref());
        let identity =
            FileIdentity { database: DatabaseId::from_bytes([7; 16]), number: FileNumber(1) };
        let mut writer = DataWriter::create(&disk, dir, identity, Layout::default()).unwrap();
        let mut places = Vec::new();
        for n in 0..count {
            let text = format!("\"{n}{}\"", "x".repeat(bytes));
            let document = Document::parse(text.as_bytes()).unwrap();
            let body = Body::Document { document: &document, expires_at: None };
            let (id, lsn) = (DocId::U64(n), Lsn(n + 1));
            places
                .push(writer.append(&RecordRef { collection: BOOKS, id: &id, lsn, body }).unwrap());
        }
        let verified = writer.publish().unwrap();
        let file = DataFile::open(&disk, dir, identity, verified.len).unwrap();
        (disk, file, places)
    }

    fn take(file: &DataFile, windows: &Windows, place: Location, n: u64) -> Option<StoredRecord> {
        file.take(
            windows,
            place,
            &Expected { collection: BOOKS, id: &DocId::U64(n), lsn: Lsn(n + 1) },
        )
    }

    #[test]
    fn a_window_gives_what_single_reads_give_over_the_end_of_a_stripe_too() {
        // More than a stripe of a mebibyte.
        let (_disk, file, places) = file(10_000, 100);
        let mut windows = Windows::default();
        let mut fillings = 0;
        for (n, place) in (0..).zip(&places) {
            if !windows.cover(*place) {
                let next = places.iter().copied().skip_while(|next| next <= place);
                file.fill(windows.of(FileNumber(1)), *place, next);
                fillings += 1;
            }
            let id = DocId::U64(n);
            let expected = Expected { collection: BOOKS, id: &id, lsn: Lsn(n + 1) };
            let single = file.read(*place, &expected).unwrap();
            if let Some(record) = take(&file, &windows, *place, n) {
                assert_eq!(record, single);
            }
        }
        assert!(fillings < 20, "{fillings} reads");
        let last = Location { offset: places[0].offset, ..places[0] };
        file.fill(windows.of(FileNumber(1)), last, places[1..].iter().copied());
        assert!(take(&file, &windows, places[1], 1).is_some());
        assert!(take(&file, &windows, places[1], 2).is_none(), "another document");
        let elsewhere = Location { file: FileNumber(2), ..places[1] };
        assert!(take(&file, &windows, elsewhere, 1).is_none(), "another file");
    }

    #[test]
    fn records_that_are_alone_far_away_or_in_front_are_not_read_together() {
        let at = |file, offset| Location { file: FileNumber(file), offset };
        let span = |next: &[Location]| span(at(1, 1000), next.iter().copied());
        assert_eq!(span(&[]), 0);
        assert_eq!(span(&[at(1, 1100), at(1, 1200), at(2, 1300)]), 200);
        assert_eq!(span(&[at(1, 1100), at(1, 900)]), 100);
        assert_eq!(span(&[at(2, 7), at(1, 1100), at(3, 9), at(1, 1200)]), 200);
        assert_eq!(span(&[at(1, 1000 + GAP_BYTES), at(1, 1001 + 2 * GAP_BYTES)]), GAP_BYTES);
        let many: Vec<Location> = (1..1000).map(|n| at(1, 1000 + n * GAP_BYTES)).collect();
        assert_eq!(span(&many), WINDOW_BYTES);
    }

    #[test]
    fn nothing_is_taken_of_what_was_damaged_or_not_verified() {
        let (disk, file, places) = file(100, 100);
        let raw = disk.open(&file.path, base::io::Open::Write).unwrap();
        let inside = file.layout().file_offset(u64::from(places[5].offset)) + 60;
        base::io::write_all_at(&*raw, b"!", inside).unwrap();
        let mut windows = Windows::default();
        file.fill(windows.of(FileNumber(1)), places[0], places[1..].iter().copied());
        assert!(take(&file, &windows, places[4], 4).is_some());
        assert!(take(&file, &windows, places[5], 5).is_none());
        let short =
            DataFile::open(&disk, "/".as_ref(), file.identity(), places[7].offset.into()).unwrap();
        short.fill(windows.of(FileNumber(1)), places[0], places[1..].iter().copied());
        assert!(take(&short, &windows, places[6], 6).is_some());
        assert!(take(&short, &windows, places[7], 7).is_none());
    }

    #[test]
    fn every_file_has_a_window_until_there_are_too_many() {
        let mut windows = Windows::default();
        for number in 1..=2 * u32::try_from(WINDOWS_MAX).unwrap() {
            windows.of(FileNumber(number)).file = Some(FileNumber(number));
            windows.of(FileNumber(number)).len = 1;
            windows.of(FileNumber(number)).bytes = vec![1];
            let files = windows.all.iter().filter_map(|window| window.file);
            let files: std::collections::BTreeSet<_> = files.collect();
            assert_eq!(files.len(), WINDOWS_MAX.min(number as usize));
            assert!(windows.cover(Location { file: FileNumber(number), offset: 0 }));
            assert!(!windows.cover(Location { file: FileNumber(number), offset: 1 }));
        }
    }
}
