//! Lines out of pieces of a stream, each of bounded length: of a longer one the beginning is kept,
//! and whoever gets it is told.

use super::json::LINE_BYTES_MAX;
use super::syslog::Extent;

/// Takes lines out of pieces.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come.
    part: Vec<u8>,
    is_cut: bool,
}

impl Lines {
    /// The next line that ends within `piece`, which begins behind it then; none when all of `piece`
    /// is taken. The line feed is no part of it.
    pub fn next(&mut self, piece: &mut &[u8]) -> Option<(Vec<u8>, Extent)> {
        let end = piece.iter().position(|byte| *byte == b'\n');
        let (line, rest) = piece.split_at(end.unwrap_or(piece.len()));
        *piece = rest.get(1..).unwrap_or_default();
        let room = LINE_BYTES_MAX.saturating_sub(self.part.len());
        let (kept, more) = line.split_at(room.min(line.len()));
        self.part.extend_from_slice(kept);
        self.is_cut |= !more.is_empty();
        end.map(|_| self.whole())
    }

    /// The last line, when nothing ends it.
    pub fn last(&mut self) -> Option<(Vec<u8>, Extent)> {
        (!self.part.is_empty()).then(|| self.whole())
    }

    /// Bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.part.len()
    }

    fn whole(&mut self) -> (Vec<u8>, Extent) {
        let extent = if std::mem::take(&mut self.is_cut) { Extent::Cut } else { Extent::Whole };
        (std::mem::take(&mut self.part), extent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(stream: &[u8], size: usize) -> Vec<(usize, Extent)> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for mut piece in stream.chunks(size) {
            while let Some((line, extent)) = lines.next(&mut piece) {
                found.push((line.len(), extent));
            }
            assert!(lines.held() <= LINE_BYTES_MAX);
        }
        found.extend(lines.last().map(|(line, extent)| (line.len(), extent)));
        found
    }

    #[test]
    fn lines_are_the_same_however_the_stream_is_cut() {
        use Extent::Whole;
        let expected = [(1, Whole), (0, Whole), (3, Whole), (2, Whole)];
        for size in 1..10 {
            assert_eq!(lines(b"a\n\nbcd\nef", size), expected, "{size}");
        }
        assert_eq!(lines(b"", 1), []);
    }

    #[test]
    fn a_line_of_ten_megabytes_is_cut_and_the_next_is_whole() {
        let stream = [vec![b'x'; 10_000_000], b"\nab".to_vec()].concat();
        let expected = [(LINE_BYTES_MAX, Extent::Cut), (2, Extent::Whole)];
        assert_eq!(lines(&stream, 64 * 1024), expected);
    }
}
