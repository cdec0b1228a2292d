//! Reading a record only if that needs no device: for threads that must not wait.

use crate::location::Location;

use super::file::{DataFile, Expected};
use super::record::{ALIGN, HEADER_BYTES_MAX, StoredRecord, Unit, parse};

/// Most bytes that are read here; a longer record is worth a turn on a thread that may wait.
const AT_HAND_MAX: usize = 64 * 1024;

impl DataFile {
    /// The record at `location` if it is the one `expected`, whole, and in the system's memory.
    /// None for everything else, damage included: [`DataFile::read`] says what it is.
    #[must_use]
    pub fn read_at_hand(
        &self,
        location: Location,
        expected: &Expected<'_>,
    ) -> Option<StoredRecord> {
        let at = u64::from(location.offset);
        let there = self.verified_len().saturating_sub(at);
        let is_record = location.file == self.identity().number && at.is_multiple_of(ALIGN as u64);
        if !is_record || there == 0 {
            return None;
        }
        let most = there.min(self.layout().to_stripe_end(at)).min(AT_HAND_MAX as u64);
        let usual = self.usual();
        let first = (usual + usual / 4).max(HEADER_BYTES_MAX) as u64;
        let mut bytes = vec![0; usize::try_from(first.min(most)).ok()?];
        let place = self.layout().file_offset(at);
        let got = self.raw().read_at_hand(&mut bytes, place).ok()??;
        bytes.truncate(got);
        let Ok(Unit::Record(frame)) = parse(&bytes) else { return None };
        let whole = frame.disk_bytes();
        if whole as u64 > most {
            return None;
        }
        if whole > got {
            bytes.resize(whole, 0);
            let rest = bytes.get_mut(got..)?;
            let more = self.raw().read_at_hand(rest, place + got as u64).ok()??;
            if more < rest.len() {
                return None;
            }
        }
        bytes.truncate(whole);
        frame.check(&bytes, self.seed(location.offset)).ok()?;
        if !expected.fits(&frame.header) {
            return None;
        }
        self.stored(location, frame, &bytes).ok()
    }
}
