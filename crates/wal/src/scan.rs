//! Reading the frames of one segment in order, and looking for hints behind a bad one.
//!
//! Neither trusts a byte: memory grows past the read buffer only after a header was verified and
//! its payload is known to lie inside the segment, so it is bounded by one frame. Nor is work what
//! the bytes claim: headers found behind damage may overlap and each claim a long payload, so from
//! there on long payloads are checked by the checksums of prefixes (`sums`), each byte once.

use std::io;

use base::io::{FileRef, read_full_at};
use base::words::Lsn;

use crate::frame::{self, HEADER_BYTES, Header, Kind, Seed};
use crate::payload;
use crate::sums::{self, Sums};

/// Bytes read at once.
const CHUNK: usize = 1024 * 1024;

/// Bytes read first when looking for a header.
const CHUNK_FIRST: usize = 4 * 1024;

/// One step of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A valid frame; its payload is [`Scanner::payload`].
    Frame {
        /// Its header.
        header: Header,
        /// Where it starts, bytes.
        offset: u64,
        /// Its header's checksum, which feeds the chain.
        crc: u32,
    },
    /// What stands here is not a frame.
    Bad {
        /// What is wrong.
        what: &'static str,
    },
    /// No frame fits before the end.
    End,
}

/// Reads the frames of one segment.
#[derive(Debug)]
pub struct Scanner {
    file: FileRef,
    seed: Seed,
    /// Where the next frame starts, bytes.
    offset: u64,
    /// Where the segment ends, bytes.
    end: u64,
    buffer: Vec<u8>,
    /// File offset of the buffer's first byte.
    base: u64,
    payload: std::ops::Range<usize>,
    /// Once the scan has looked for a frame behind damage.
    sums: Option<Sums>,
    /// Bytes of payloads checksummed one by one.
    direct: u64,
}

impl Scanner {
    /// Scans from `offset` to `end`; nothing at or past `end` is read.
    #[must_use]
    pub fn new(file: FileRef, seed: Seed, offset: u64, end: u64) -> Self {
        let (buffer, payload) = (Vec::new(), 0..0);
        Self { file, seed, offset, end, buffer, base: offset, payload, sums: None, direct: 0 }
    }

    /// Where the next frame starts, bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Another scan from the same place.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::new(FileRef::clone(&self.file), self.seed, self.offset, self.end)
    }

    /// Moves the end further out, for a segment that is being written.
    pub fn extend_to(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// Payload of the frame that [`Scanner::step`] returned last.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.buffer.get(self.payload.clone()).unwrap_or_default()
    }

    /// Bytes of payloads checksummed so far. Whatever the file holds, not more than 130 for each of
    /// its bytes.
    #[must_use]
    pub fn checksummed(&self) -> u64 {
        self.direct + self.sums.as_ref().map_or(0, Sums::work)
    }

    /// Makes `want` bytes from `self.offset` available; returns how many there are.
    fn fill(&mut self, want: usize) -> io::Result<usize> {
        let skip = usize::try_from(self.offset - self.base).unwrap_or(usize::MAX);
        let have = self.buffer.len().saturating_sub(skip);
        if have >= want {
            return Ok(have);
        }
        self.buffer.drain(..skip.min(self.buffer.len()));
        self.base = self.offset;
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let target = want.max(CHUNK).min(left);
        let from = self.buffer.len();
        if target > from {
            self.buffer.resize(target, 0);
            let rest = self.buffer.get_mut(from..).unwrap_or_default();
            let got = read_full_at(&*self.file, rest, self.base + from as u64);
            // After an error the space made for the bytes must not pass for them.
            self.buffer.truncate(from + got.as_ref().copied().unwrap_or(0));
            got?;
        }
        Ok(self.buffer.len())
    }

    fn at_offset(&self, from: usize) -> Option<&[u8; HEADER_BYTES]> {
        self.buffer.get(from..from + HEADER_BYTES)?.first_chunk()
    }

    /// The next frame, or why there is none. After `Bad` or `End` the scan stays where it is.
    ///
    /// # Errors
    /// The disk's.
    pub fn step(&mut self) -> io::Result<Step> {
        if self.end.saturating_sub(self.offset) < HEADER_BYTES as u64 {
            return Ok(Step::End);
        }
        if self.fill(HEADER_BYTES)? < HEADER_BYTES {
            return Ok(Step::Bad { what: "the file ends inside a frame header" });
        }
        let at = usize::try_from(self.offset - self.base).unwrap_or(usize::MAX);
        let Some(bytes) = self.at_offset(at) else {
            return Ok(Step::Bad { what: "the file ends inside a frame header" });
        };
        let Some(header) = Header::decode(bytes, self.seed) else {
            return Ok(Step::Bad { what: "the frame header's checksum does not fit" });
        };
        let crc = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let total = header.frame_bytes();
        if self.end - self.offset < total as u64 {
            return Ok(Step::Bad { what: "the frame reaches past the end of its segment" });
        }
        if let Some(what) = self.refuse(&header)? {
            return Ok(Step::Bad { what });
        }
        if self.fill(total)? < total {
            return Ok(Step::Bad { what: "the file ends inside a frame" });
        }
        let at = usize::try_from(self.offset - self.base).unwrap_or(usize::MAX);
        let start = at + HEADER_BYTES;
        self.payload = start..start + header.len as usize;
        self.direct += u64::from(header.len);
        if crc32c::crc32c(self.payload()) != header.payload_crc {
            return Ok(Step::Bad { what: "the frame payload's checksum does not fit" });
        }
        if header.kind == Kind::Gap && !is_gap(&header, self.payload()) {
            return Ok(Step::Bad { what: "the gap ends before it begins" });
        }
        let offset = self.offset;
        self.offset += total as u64;
        Ok(Step::Frame { header, offset, crc })
    }

    /// What is wrong with a long payload behind damage, before it is read into memory.
    fn refuse(&mut self, header: &Header) -> io::Result<Option<&'static str>> {
        let Some(sums) = self.sums.as_mut().filter(|_| header.len as usize > sums::STEP) else {
            return Ok(None);
        };
        let from = self.offset + HEADER_BYTES as u64;
        Ok(match sums.crc(&*self.file, from, header.len)? {
            None => Some("the file ends inside a frame"),
            Some(crc) if crc != header.payload_crc => {
                Some("the frame payload's checksum does not fit")
            }
            Some(_) => None,
        })
    }

    /// Moves to the next offset where a valid frame stands, for salvage; `false` when there is
    /// none.
    ///
    /// # Errors
    /// The disk's.
    pub fn resync(&mut self) -> io::Result<bool> {
        self.offset = (self.offset + 1).next_multiple_of(frame::ALIGN as u64);
        self.sums.get_or_insert_with(|| Sums::new(self.offset));
        while let Some(at) = next_header(&self.file, self.seed, self.offset, self.end)? {
            self.offset = at;
            let place = (self.offset, self.base);
            if matches!(self.step()?, Step::Frame { .. }) {
                self.offset = place.0;
                return Ok(true);
            }
            self.offset = at + frame::ALIGN as u64;
        }
        Ok(false)
    }
}

/// Whether the payload of a gap is an LSN at or behind its own, and one that can be counted on
/// from.
fn is_gap(header: &Header, payload: &[u8]) -> bool {
    payload::decode_lsn(payload).is_some_and(|to| to >= header.lsn && to.0 <= frame::LSN_MAX)
}

/// What lies behind a bad frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behind {
    /// The highest hint in any valid header.
    pub hint: Lsn,
    /// How many valid headers there are.
    pub frames: u64,
}

fn each_header(
    file: &FileRef,
    seed: Seed,
    from: u64,
    end: u64,
    mut see: impl FnMut(u64, Header) -> bool,
) -> io::Result<()> {
    // It grows from read to read: who wants the next header only mostly finds it close by.
    let mut chunk = CHUNK_FIRST;
    let mut buffer = Vec::new();
    let mut at = from.next_multiple_of(frame::ALIGN as u64);
    while at + HEADER_BYTES as u64 <= end {
        let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(chunk);
        chunk = CHUNK.min(chunk * 4);
        buffer.resize(want.max(buffer.len()), 0);
        let space = buffer.get_mut(..want).unwrap_or_default();
        let got = read_full_at(&**file, space, at)?;
        let bytes = space.get(..got).unwrap_or_default();
        if got < HEADER_BYTES {
            return Ok(());
        }
        let usable = (got - HEADER_BYTES) / frame::ALIGN * frame::ALIGN;
        // A claimed tail is zeros: skip it at memory speed.
        if bytes.iter().any(|b| *b != 0) {
            for start in (0..=usable).step_by(frame::ALIGN) {
                let Some(window) = bytes.get(start..).and_then(|b| b.first_chunk()) else { break };
                if let Some(header) = Header::decode(window, seed)
                    && !see(at + start as u64, header)
                {
                    return Ok(());
                }
            }
        }
        at += (usable + frame::ALIGN) as u64;
    }
    Ok(())
}

fn next_header(file: &FileRef, seed: Seed, from: u64, end: u64) -> io::Result<Option<u64>> {
    let mut found = None;
    each_header(file, seed, from, end, |at, _| {
        found = Some(at);
        false
    })?;
    Ok(found)
}

/// Looks for valid headers anywhere from `from` to `end`. A header alone proves its hint, so
/// payloads are not read.
///
/// # Errors
/// The disk's.
pub fn look_behind(file: &FileRef, seed: Seed, from: u64, end: u64) -> io::Result<Behind> {
    let mut behind = Behind::default();
    each_header(file, seed, from, end, |_, header| {
        behind.hint = behind.hint.max(header.hint);
        behind.frames += u64::from(!header.kind.is_hint());
        true
    })?;
    Ok(behind)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base::io::{Disk, MemDisk, Open, write_all_at};
    use base::words::DatabaseId;

    use super::*;
    use crate::frame::Place;

    const SEED: DatabaseId = DatabaseId::from_bytes([3; 16]);

    /// A frame that is valid when `payload` is what follows, or claims `len` bytes of anything.
    fn header(lsn: u64, len: usize, payload_crc: u32) -> [u8; HEADER_BYTES] {
        let mut bytes = Header {
            len: u32::try_from(len).unwrap(),
            lsn: Lsn(lsn),
            hint: Lsn::ZERO,
            wall_ms: 0,
            kind: Kind::Put,
            place: Place::Last,
            tx_index: 0,
            payload_crc,
        }
        .encode();
        frame::seal(&mut bytes, Lsn::ZERO, Seed::new(SEED, 1));
        bytes
    }

    fn scanner(bytes: &[u8]) -> Scanner {
        let file = MemDisk::new().open(Path::new("/f"), Open::CreateNew).unwrap();
        write_all_at(&*file, bytes, 0).unwrap();
        Scanner::new(file, Seed::new(SEED, 1), 0, bytes.len() as u64)
    }

    /// Reads everything that can be read; returns the LSNs.
    fn salvage(scanner: &mut Scanner) -> Vec<u64> {
        let mut lsns = Vec::new();
        loop {
            match scanner.step().unwrap() {
                Step::Frame { header, .. } => lsns.push(header.lsn.0),
                Step::End => return lsns,
                Step::Bad { .. } if scanner.resync().unwrap() => {}
                Step::Bad { .. } => return lsns,
            }
        }
    }

    #[test]
    fn headers_that_each_claim_all_that_follows_cost_work_in_the_length_of_the_file() {
        const LEN: usize = 1 << 20;
        let claims = |every: usize| {
            let mut bytes = vec![0; LEN];
            for at in (0..LEN - every).step_by(every) {
                bytes[at..at + HEADER_BYTES].copy_from_slice(&header(1, LEN - at - 40, 7));
                if every > HEADER_BYTES {
                    // A whole frame between two of them ends each search.
                    bytes[at + 40..at + 80].copy_from_slice(&header(2, 0, 0));
                }
            }
            bytes
        };
        for (every, whole) in [(HEADER_BYTES, 0), (2 * HEADER_BYTES, LEN / 80)] {
            let mut scanner = scanner(&claims(every));
            assert_eq!(salvage(&mut scanner).len(), whole);
            let work = scanner.checksummed();
            assert!(work < 130 * LEN as u64, "{work} bytes checksummed of {LEN}");
        }
    }

    #[test]
    fn a_long_frame_among_headers_that_claim_too_much_is_found() {
        let payload: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut bytes = Vec::new();
        for _ in 0..50 {
            bytes.extend(header(1, 300_000, 7));
        }
        for lsn in [5, 6] {
            bytes.extend(header(lsn, payload.len(), crc32c::crc32c(&payload)));
            bytes.extend(&payload);
        }
        bytes.extend(header(7, 10_000, 7));
        assert_eq!(salvage(&mut scanner(&bytes)), [5, 6]);
        // Without the last byte of its payload a frame is none.
        bytes.truncate(50 * 40 + 2 * 40 + 2 * payload.len() - 1);
        let mut cut = scanner(&bytes);
        cut.extend_to(1 << 30);
        assert_eq!(salvage(&mut cut), [5]);
    }
}
