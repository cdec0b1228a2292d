//! Where messages begin and end on a connection (RFC 6587), decided for each message by how it
//! begins.
//!
//! | it begins with | it ends |
//! |---|---|
//! | a number from 1 to 999999999 without leading zeros, a blank and `<` | after so many bytes |
//! | anything else | with a line feed or a NUL, or with the connection |
//!
//! Of a message that is longer than [`LINE_BYTES_MAX`] the rest is read and thrown away, so that a
//! connection holds one message and one piece of what was read, whatever is sent. Messages without
//! anything in them are counted, because a blank line may be part of a text of several lines.
//!
//! Pure: bytes in, frames out, and the same frames however the bytes were cut into pieces.

use super::{Extent, LINE_BYTES_MAX};

/// Digits of the longest count that is taken for one.
const COUNT_DIGITS_MAX: usize = 9;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes without what ended it, at most [`LINE_BYTES_MAX`].
    pub bytes: Vec<u8>,
    /// Whether that is all of it.
    pub extent: Extent,
    /// Blank lines that came before it.
    pub blank_lines: usize,
    /// How it was told from the others.
    pub framing: Framing,
}

/// How the end of a message is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By a count before it.
    Counted,
    /// By what stands behind it.
    Terminated,
}

/// Takes messages out of pieces of a stream.
#[derive(Debug, Default)]
pub struct Framer {
    state: State,
    /// The message so far, or what may be a count.
    part: Vec<u8>,
    is_cut: bool,
    blank_lines: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is not known yet how the message ends; `part` has what may be a count.
    #[default]
    Begins,
    /// So many bytes of it are to come.
    Counted(usize),
    Terminated,
}

impl Framer {
    /// The next message that ends within `piece`, which begins behind it then; none when all of
    /// `piece` is taken.
    pub fn next(&mut self, piece: &mut &[u8]) -> Option<Frame> {
        while let Some((byte, rest)) = piece.split_first() {
            match self.state {
                State::Begins => {
                    *piece = rest;
                    if let Some(frame) = self.begin(*byte) {
                        return Some(frame);
                    }
                }
                State::Counted(left) => {
                    let (taken, rest) = piece.split_at(left.min(piece.len()));
                    *piece = rest;
                    self.keep(taken);
                    let left = left.saturating_sub(taken.len());
                    self.state = State::Counted(left);
                    if left == 0 {
                        return Some(self.whole(Framing::Counted));
                    }
                }
                State::Terminated => {
                    let end = piece.iter().position(|byte| matches!(byte, b'\n' | 0));
                    let (taken, rest) = piece.split_at(end.unwrap_or(piece.len()));
                    self.keep(taken);
                    *piece = rest.get(1..).unwrap_or_default();
                    if end.is_some() {
                        return Some(self.whole(Framing::Terminated));
                    }
                }
            }
        }
        None
    }

    /// What is left when the connection ends.
    pub fn last(&mut self) -> Option<Frame> {
        if self.part.is_empty() {
            return None;
        }
        let framing = match self.state {
            State::Counted(_) => {
                self.is_cut = true;
                Framing::Counted
            }
            State::Begins | State::Terminated => Framing::Terminated,
        };
        Some(self.whole(framing))
    }

    /// Bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.part.len()
    }

    /// Looks at the first bytes of a message, one by one.
    fn begin(&mut self, byte: u8) -> Option<Frame> {
        if matches!(byte, b'\n' | 0) {
            if self.part.is_empty() {
                self.blank_lines = self.blank_lines.saturating_add(usize::from(byte == b'\n'));
                return None;
            }
            return Some(self.whole(Framing::Terminated));
        }
        // Between the line feed and what ends a blank line of other systems there is no difference.
        if byte == b'\r' && self.part.is_empty() {
            return None;
        }
        if byte == b'<'
            && let Some(count) = self.count()
        {
            self.part.clear();
            self.part.push(byte);
            self.state = State::Counted(count.saturating_sub(1));
            return (count == 1).then(|| self.whole(Framing::Counted));
        }
        self.part.push(byte);
        if !self.may_be_count() {
            self.state = State::Terminated;
        }
        None
    }

    /// Whether what has come may be the beginning of a count and its blank.
    fn may_be_count(&self) -> bool {
        let digits = self.part.strip_suffix(b" ").unwrap_or(&self.part);
        digits.len() <= COUNT_DIGITS_MAX
            && digits.first().is_some_and(|first| (b'1'..=b'9').contains(first))
            && digits.iter().all(u8::is_ascii_digit)
    }

    /// The count, if all of it has come.
    fn count(&self) -> Option<usize> {
        let digits = self.part.strip_suffix(b" ")?;
        std::str::from_utf8(digits).ok()?.parse().ok().filter(|count| *count > 0)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.part.len());
        match bytes.split_at_checked(room) {
            Some((kept, rest)) => {
                self.part.extend_from_slice(kept);
                self.is_cut |= !rest.is_empty();
            }
            None => self.part.extend_from_slice(bytes),
        }
    }

    fn whole(&mut self, framing: Framing) -> Frame {
        self.state = State::Begins;
        let extent = if std::mem::take(&mut self.is_cut) { Extent::Cut } else { Extent::Whole };
        let bytes = std::mem::take(&mut self.part);
        let blank_lines = std::mem::take(&mut self.blank_lines);
        Frame { bytes, extent, blank_lines, framing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages of a stream that comes in pieces of this size.
    fn frames(stream: &[u8], size: usize) -> Vec<String> {
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for mut piece in stream.chunks(size) {
            while let Some(frame) = framer.next(&mut piece) {
                found.push(frame);
            }
            assert!(framer.held() <= LINE_BYTES_MAX);
        }
        found.extend(framer.last());
        let show = |frame: Frame| {
            let text = String::from_utf8(frame.bytes).unwrap();
            let cut = if frame.extent == Extent::Cut { "!" } else { "" };
            format!("{cut}{}{text}", "~".repeat(frame.blank_lines))
        };
        found.into_iter().map(show).collect()
    }

    #[track_caller]
    fn check(stream: &str, expected: &[&str]) {
        for size in [1, 2, 3, 7, stream.len().max(1)] {
            assert_eq!(frames(stream.as_bytes(), size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn messages_end_by_their_count_or_by_what_is_behind_them() {
        check("<1>a\n<2>b\n", &["<1>a", "<2>b"]);
        check("<1>a\0<2>b\0", &["<1>a", "<2>b"]);
        check("4 <1>a5 <2>bc", &["<1>a", "<2>bc"]);
        check("4 <1>a\n5 <2>b\n<3>c\n4 <4>d", &["<1>a", "~<2>b\n", "<3>c", "<4>d"]);
        check("<1>a\r\n<2>b\r\n", &["<1>a\r", "<2>b\r"]);
        check("1 <<1>a\n", &["<", "<1>a"]);
    }

    #[test]
    fn the_end_of_a_connection_ends_a_message() {
        check("<1>a", &["<1>a"]);
        check("9 <1>a", &["!<1>a"]);
        check("123", &["123"]);
        check("", &[]);
        check("\n\0\r\n", &[]);
    }

    #[test]
    fn what_only_looks_like_a_count_is_text() {
        check("12 monkeys\n", &["12 monkeys"]);
        check("0 <1>a\n", &["0 <1>a"]);
        check("007 <1>a\n", &["007 <1>a"]);
        check("1234567890 <1>a\n", &["1234567890 <1>a"]);
        check("12\n34 \n", &["12", "34 "]);
        check("12  <1>a\n", &["12  <1>a"]);
    }

    #[test]
    fn blank_lines_are_counted() {
        check("<1>a\n\n\nb\n", &["<1>a", "~~b"]);
    }

    #[test]
    fn a_message_of_ten_megabytes_is_cut_and_the_next_one_is_whole() {
        let long = format!("<1>{}", "x".repeat(10_000_000));
        for stream in [format!("{long}\n<2>b\n"), format!("{} {long}5 <2>bc", long.len())] {
            let found = frames(stream.as_bytes(), 64 * 1024);
            assert_eq!(found[0].len(), LINE_BYTES_MAX + 1);
            assert!(
                found[0].starts_with("!<1>xxx") && found[1].starts_with("<2>b"),
                "{}",
                found[1]
            );
            assert_eq!(found.len(), 2);
        }
        let counted = frames(b"999999999 <1>abc", 4);
        assert_eq!(counted, ["!<1>abc"]);
    }
}
