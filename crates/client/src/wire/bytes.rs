//! The primitives of frames: integers in little-endian, texts and bytes behind their length.
//! Nothing here knows what a frame means.

use super::error::{Problem, WireError};
use super::{BODY_BYTES_MAX, NAME_BYTES_MAX, PREFIX_BYTES};

/// What errors call the whole of a frame.
pub(super) const BODY: &str = "body";

type Result<T> = std::result::Result<T, WireError>;

/// Reads the parts of a body, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { rest: body, at: 0 }
    }

    /// Bytes from the start of the body.
    pub(super) const fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, bytes: usize, what: &'static str) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or_else(|| {
            let problem = Problem::Truncated { need: bytes, have: self.rest.len() };
            WireError::new(what, problem, self.at)
        })?;
        self.rest = rest;
        self.at = self.at.saturating_add(bytes);
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let at = self.at;
        let taken = self.take(N, what)?;
        let problem = Problem::Truncated { need: N, have: taken.len() };
        taken.try_into().map_err(|_| WireError::new(what, problem, at))
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8> {
        self.array(what).map(|[byte]: [u8; 1]| byte)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A length that must be within `max` and the rest of the body.
    fn within(&mut self, bytes: usize, max: usize, what: &'static str) -> Result<&'a [u8]> {
        if bytes > max {
            return Err(WireError::new(what, Problem::TooLong { bytes, max }, self.at));
        }
        self.take(bytes, what)
    }

    /// Bytes behind their length, a u32.
    pub(super) fn bytes32(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let bytes = usize::try_from(self.u32(what)?).unwrap_or(usize::MAX);
        self.within(bytes, BODY_BYTES_MAX, what)
    }

    /// Bytes behind their length, a u16.
    pub(super) fn bytes16(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let bytes = self.u16(what)?;
        self.take(usize::from(bytes), what)
    }

    /// Text behind its length, a u32.
    pub(super) fn text32(&mut self, what: &'static str) -> Result<&'a str> {
        let at = self.at;
        let bytes = self.bytes32(what)?;
        std::str::from_utf8(bytes).map_err(|_| WireError::new(what, Problem::NotUtf8, at))
    }

    /// Text behind its length, a u16.
    pub(super) fn text16(&mut self, what: &'static str) -> Result<&'a str> {
        let at = self.at;
        let bytes = self.bytes16(what)?;
        std::str::from_utf8(bytes).map_err(|_| WireError::new(what, Problem::NotUtf8, at))
    }

    /// The name of a database or collection. Whether it is one is for the server to say: here it
    /// is a short text.
    pub(super) fn name(&mut self, what: &'static str) -> Result<&'a str> {
        let at = self.at;
        let bytes = usize::from(self.u16(what)?);
        let bytes = self.within(bytes, NAME_BYTES_MAX, what)?;
        std::str::from_utf8(bytes).map_err(|_| WireError::new(what, Problem::NotUtf8, at))
    }

    /// A byte that must be one of the values that `known` knows.
    pub(super) fn choice<T>(
        &mut self,
        what: &'static str,
        known: impl FnOnce(u8) -> Option<T>,
    ) -> Result<T> {
        let at = self.at;
        let value = self.u8(what)?;
        let unknown = || WireError::new(what, Problem::Unknown(u64::from(value)), at);
        known(value).ok_or_else(unknown)
    }

    /// Flags, of which only those of `known` may be set.
    pub(super) fn flags(&mut self, what: &'static str, known: u8) -> Result<u8> {
        self.choice(what, |flags| (flags & !known == 0).then_some(flags))
    }

    /// How many entries follow, each of which needs at least `entry_bytes`.
    pub(super) fn count(
        &mut self,
        what: &'static str,
        max: usize,
        entry_bytes: usize,
    ) -> Result<usize> {
        let at = self.at;
        let count = usize::try_from(self.u32(what)?).unwrap_or(usize::MAX);
        if count > max {
            return Err(WireError::new(what, Problem::TooMany { count, max }, at));
        }
        let need = count.saturating_mul(entry_bytes);
        if need > self.rest.len() {
            let problem = Problem::Truncated { need, have: self.rest.len() };
            return Err(WireError::new(what, problem, at));
        }
        Ok(count)
    }

    /// Entries, as many as [`Reader::count`] answered.
    pub(super) fn entries<T>(
        &mut self,
        count: usize,
        mut entry: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut entries = Vec::with_capacity(count);
        for number in 0..count {
            entries.push(entry(self).map_err(|error| error.in_entry(number))?);
        }
        Ok(entries)
    }

    /// The body must end here.
    pub(super) fn finish(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(WireError::new("end", Problem::Trailing { bytes }, self.at)),
        }
    }
}

/// Appends one frame to `out`: its length, and the body that `fill` writes. On an error `out` is
/// as it was.
pub(super) fn frame(
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Writer<'_>) -> Result<()>,
) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    let body = out.len();
    let mut writer = Writer { out, body };
    let finished = fill(&mut writer).and_then(|()| writer.finish(start));
    if finished.is_err() {
        out.truncate(start);
    }
    finished
}

/// Writes the parts of a body, one after the other.
#[derive(Debug)]
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Where the body begins in `out`.
    body: usize,
}

impl Writer<'_> {
    fn at(&self) -> usize {
        self.out.len().saturating_sub(self.body)
    }

    pub(super) fn error(&self, what: &'static str, problem: Problem) -> WireError {
        WireError::new(what, problem, self.at())
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Bytes behind their length, a u32.
    pub(super) fn bytes32(&mut self, what: &'static str, bytes: &[u8]) -> Result<()> {
        let max = BODY_BYTES_MAX;
        let len = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= max);
        let too_long = Problem::TooLong { bytes: bytes.len(), max };
        self.u32(len.ok_or_else(|| self.error(what, too_long))?);
        self.raw(bytes);
        Ok(())
    }

    /// Bytes behind their length, a u16.
    pub(super) fn bytes16(&mut self, what: &'static str, bytes: &[u8]) -> Result<()> {
        let max = usize::from(u16::MAX);
        let too_long = Problem::TooLong { bytes: bytes.len(), max };
        let len = u16::try_from(bytes.len()).map_err(|_| self.error(what, too_long))?;
        self.u16(len);
        self.raw(bytes);
        Ok(())
    }

    /// The name of a database or collection, behind its length, a u16.
    pub(super) fn name(&mut self, what: &'static str, name: &str) -> Result<()> {
        if name.len() > NAME_BYTES_MAX {
            let problem = Problem::TooLong { bytes: name.len(), max: NAME_BYTES_MAX };
            return Err(self.error(what, problem));
        }
        self.bytes16(what, name.as_bytes())
    }

    /// How many entries follow.
    pub(super) fn count(&mut self, what: &'static str, count: usize, max: usize) -> Result<()> {
        let number = u32::try_from(count).ok().filter(|_| count <= max);
        self.u32(number.ok_or_else(|| self.error(what, Problem::TooMany { count, max }))?);
        Ok(())
    }

    /// Puts the length in front of the body, which begins behind `start`.
    fn finish(self, start: usize) -> Result<()> {
        let bytes = self.at();
        let too_long = WireError::new(BODY, Problem::TooLong { bytes, max: BODY_BYTES_MAX }, 0);
        let len = u32::try_from(bytes).ok().filter(|_| bytes <= BODY_BYTES_MAX);
        let len = len.ok_or(too_long)?;
        let prefix = self.out.get_mut(start..self.body).ok_or(too_long)?;
        prefix.copy_from_slice(&len.to_le_bytes());
        Ok(())
    }
}
