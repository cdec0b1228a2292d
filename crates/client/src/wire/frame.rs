//! Cuts a stream of bytes into frames.
//!
//! The buffer grows only as bytes come, by doubling, whatever length a frame announces: a peer
//! that announces 16 MiB and sends nothing costs a few kilobytes. A frame that is too large is
//! told once its request id is there, and its bytes are thrown away as they come, so that the
//! connection can go on behind it.

use std::io::{self, Read};

use super::{BODY_BYTES_MAX, PREFIX_BYTES};

/// Bytes of a buffer that has nothing to hold, and least room for a read.
const ROOM_BYTES_MIN: usize = 16 * 1024;
/// A buffer that grew larger than this is given back once it is empty.
const KEEP_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a request id, which an answer to a frame that is too large needs.
const ID_BYTES: usize = 8;

/// What a [`FrameBuffer`] has.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// No whole frame: more bytes are needed.
    More,
    /// The body of a frame.
    Frame(&'a [u8]),
    /// A frame that is too large. Its bytes are thrown away as they come; frames behind it are
    /// answered as ever.
    TooLarge {
        /// The length of its body.
        body_bytes: u32,
        /// The first eight bytes of its body: the id of the request.
        request: u64,
    },
}

/// Takes bytes as they come and answers frames.
///
/// ```
/// use client::wire::{FrameBuffer, Next};
///
/// let mut buffer = FrameBuffer::new();
/// let room = buffer.room();
/// room[..6].copy_from_slice(&[2, 0, 0, 0, b'h', b'i']);
/// buffer.filled(6);
/// assert_eq!(buffer.next(), Next::Frame(b"hi"));
/// assert_eq!(buffer.next(), Next::More);
/// ```
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of a frame that was too large, still to be thrown away.
    skip: usize,
}

impl FrameBuffer {
    /// An empty buffer, which has allocated nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, skip: 0 }
    }

    /// Bytes that it holds and has not answered.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds nothing: the stream may end here without cutting a frame.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0 && self.skip == 0
    }

    /// Memory that it has, bytes.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Where to put bytes that come; [`FrameBuffer::filled`] says how many. Never empty after
    /// [`FrameBuffer::next`] has answered [`Next::More`].
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.capacity() > KEEP_BYTES_MAX {
                self.bytes = Vec::new();
            }
        }
        let wanted = self.wanted();
        if self.bytes.len().saturating_sub(self.start) < wanted && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
        if self.end == self.bytes.len() || self.bytes.len() < ROOM_BYTES_MIN {
            let doubled = self.bytes.len().saturating_mul(2).max(ROOM_BYTES_MIN);
            let grown = doubled.min(wanted.max(ROOM_BYTES_MIN)).max(self.bytes.len());
            self.bytes.resize(grown, 0);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// So many bytes were put at the start of [`FrameBuffer::room`].
    ///
    /// # Panics
    /// When there was no room for them.
    pub fn filled(&mut self, bytes: usize) {
        let room = self.bytes.len().saturating_sub(self.end);
        assert!(bytes <= room, "{bytes} bytes were put into room for {room}");
        self.end = self.end.saturating_add(bytes);
    }

    /// Reads once; 0 when the stream has ended. Call it after [`Next::More`].
    ///
    /// # Errors
    /// The reader's.
    pub fn read_from(&mut self, reader: &mut impl Read) -> io::Result<usize> {
        let read = reader.read(self.room())?;
        self.filled(read);
        Ok(read)
    }

    /// The next frame, if it is there. It is gone with the next call.
    #[expect(clippy::should_implement_trait, reason = "what it answers borrows the buffer")]
    pub fn next(&mut self) -> Next<'_> {
        if !self.is_ready() {
            return Next::More;
        }
        let Some(len) = self.announced() else { return Next::More };
        let body = self.start.saturating_add(PREFIX_BYTES);
        let body_bytes = usize::try_from(len).unwrap_or(usize::MAX);
        if body_bytes > BODY_BYTES_MAX {
            let id = self.held(body, ID_BYTES).and_then(|id| id.try_into().ok());
            let Some(id) = id else { return Next::More };
            (self.start, self.skip) = (body, body_bytes);
            return Next::TooLarge { body_bytes: len, request: u64::from_le_bytes(id) };
        }
        self.start = body.saturating_add(body_bytes);
        self.bytes.get(body..self.start).map_or(Next::More, Next::Frame)
    }

    /// Whether [`FrameBuffer::next`] has something to answer.
    pub fn is_ready(&mut self) -> bool {
        if self.skip > 0 {
            let skipped = self.skip.min(self.len());
            self.start = self.start.saturating_add(skipped);
            self.skip = self.skip.saturating_sub(skipped);
        }
        let Some(len) = self.announced() else { return false };
        let body_bytes = usize::try_from(len).unwrap_or(usize::MAX);
        let needed = if body_bytes > BODY_BYTES_MAX { ID_BYTES } else { body_bytes };
        self.held(self.start.saturating_add(PREFIX_BYTES), needed).is_some()
    }

    /// Bytes from `from` on that have come.
    fn held(&self, from: usize, bytes: usize) -> Option<&[u8]> {
        let end = from.checked_add(bytes).filter(|end| *end <= self.end)?;
        self.bytes.get(from..end)
    }

    /// The length that the frame at the start announces.
    fn announced(&self) -> Option<u32> {
        let prefix = self.held(self.start, PREFIX_BYTES)?;
        prefix.try_into().ok().map(u32::from_le_bytes)
    }

    /// Bytes that the frame at the start needs in the buffer.
    fn wanted(&self) -> usize {
        let body = self.announced().map_or(0, |len| usize::try_from(len).unwrap_or(usize::MAX));
        if self.skip > 0 || body > BODY_BYTES_MAX {
            return ROOM_BYTES_MIN;
        }
        body.saturating_add(PREFIX_BYTES).max(PREFIX_BYTES.saturating_add(ID_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in pieces of `piece` bytes and lists what came out.
    fn cut(stream: &[u8], piece: usize) -> Vec<String> {
        let mut buffer = FrameBuffer::new();
        let mut found = Vec::new();
        let mut rest = stream;
        loop {
            match buffer.next() {
                Next::Frame(body) => found.push(format!("{} bytes", body.len())),
                Next::TooLarge { body_bytes, request } => {
                    found.push(format!("too large {body_bytes} {request}"));
                }
                Next::More if rest.is_empty() => break,
                Next::More => {
                    let room = buffer.room();
                    let take = piece.min(room.len()).min(rest.len());
                    assert!(take > 0, "no room for more");
                    room[..take].copy_from_slice(&rest[..take]);
                    buffer.filled(take);
                    rest = &rest[take..];
                }
            }
        }
        found.push(if buffer.is_empty() { "end".to_owned() } else { "cut".to_owned() });
        found
    }

    fn frame_of(body: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(body).unwrap().to_le_bytes().to_vec();
        bytes.resize(PREFIX_BYTES + body, 7);
        bytes
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_come() {
        let sizes = [0, 1, 5, 100, 20_000, 3];
        let stream: Vec<u8> = sizes.iter().flat_map(|size| frame_of(*size)).collect();
        let mut expect: Vec<String> = sizes.iter().map(|size| format!("{size} bytes")).collect();
        expect.push("end".to_owned());
        for piece in [1, 2, 3, 7, 4096, stream.len()] {
            assert_eq!(cut(&stream, piece), expect, "in pieces of {piece}");
        }
    }

    #[test]
    fn the_largest_frame_fits_and_a_larger_one_is_skipped() {
        let mut stream = frame_of(BODY_BYTES_MAX);
        let mut large = frame_of(BODY_BYTES_MAX + 1);
        large[PREFIX_BYTES..PREFIX_BYTES + 8].copy_from_slice(&42_u64.to_le_bytes());
        stream.extend_from_slice(&large);
        stream.extend_from_slice(&frame_of(9));
        let max = BODY_BYTES_MAX;
        let expect = [
            format!("{max} bytes"),
            format!("too large {} 42", max + 1),
            "9 bytes".to_owned(),
            "end".to_owned(),
        ];
        assert_eq!(cut(&stream, 100_000), expect);
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_is_cut() {
        assert_eq!(cut(&frame_of(10)[..9], 9), ["cut"]);
        assert_eq!(cut(&[1], 1), ["cut"]);
        assert_eq!(cut(&u32::MAX.to_le_bytes(), 4), ["cut"]);
        let mut skipped = u32::MAX.to_le_bytes().to_vec();
        skipped.extend_from_slice(&[0; 100]);
        assert_eq!(cut(&skipped, 50), ["too large 4294967295 0", "cut"]);
    }

    #[test]
    fn an_announced_length_alone_costs_no_memory() {
        let mut buffer = FrameBuffer::new();
        let announced = u32::try_from(BODY_BYTES_MAX).unwrap().to_le_bytes();
        buffer.room()[..4].copy_from_slice(&announced);
        buffer.filled(4);
        assert_eq!(buffer.next(), Next::More);
        assert!(!buffer.room().is_empty());
        assert_eq!(buffer.capacity(), ROOM_BYTES_MIN);
    }

    #[test]
    fn memory_of_a_large_frame_is_given_back() {
        let mut buffer = FrameBuffer::new();
        let large = frame_of(8 * 1024 * 1024);
        let mut rest = &large[..];
        while !rest.is_empty() {
            assert_eq!(buffer.next(), Next::More);
            buffer.read_from(&mut rest).unwrap();
        }
        assert!(matches!(buffer.next(), Next::Frame(_)));
        assert!(buffer.capacity() <= 2 * large.len());
        assert!(!buffer.room().is_empty());
        assert_eq!(buffer.capacity(), ROOM_BYTES_MIN);
    }
}
