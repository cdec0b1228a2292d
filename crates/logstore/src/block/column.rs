//! One column: its frame (checksum, length, zstd) and its kinds.
//!
//! | frame | bytes |
//! |---|---|
//! | CRC-32C of everything after it | 4 |
//! | length of the unpacked column | 4 |
//! | the column, as one zstd frame | rest |
//!
//! A frame is valid when its checksum fits and it unpacks to exactly the length it names.

use super::bytes::{Reader, put_varint, unzigzag, zigzag};
use super::{BadBlock, COLUMN_BYTES_MAX};

const HEADER_BYTES: usize = 8;
/// Most different values of a column that is stored as a dictionary.
const DICTIONARY_MAX: usize = 1024;
const KIND_DICTIONARY: u8 = 0;
const KIND_PLAIN: u8 = 1;

/// Packs columns; keeps the compressor's memory from one to the next.
pub(crate) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
}

impl Packer {
    pub(crate) fn new(level: i32) -> std::io::Result<Self> {
        Ok(Self { compressor: zstd::bulk::Compressor::new(level)? })
    }

    pub(crate) fn pack(&mut self, column: &[u8]) -> std::io::Result<Vec<u8>> {
        let packed = self.compressor.compress(column)?;
        let len = u32::try_from(column.len()).map_err(std::io::Error::other)?;
        let mut frame = Vec::with_capacity(HEADER_BYTES + packed.len());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&len.to_le_bytes());
        frame.extend_from_slice(&packed);
        let crc = crc32c::crc32c(&frame[4..]);
        frame[..4].copy_from_slice(&crc.to_le_bytes());
        Ok(frame)
    }
}

/// Unpacks columns.
pub(crate) struct Unpacker {
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl Unpacker {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { decompressor: zstd::bulk::Decompressor::new()? })
    }

    pub(crate) fn unpack(&mut self, frame: &[u8]) -> Result<Vec<u8>, BadBlock> {
        let (header, packed) =
            frame.split_first_chunk::<HEADER_BYTES>().ok_or(BadBlock("a column has no header"))?;
        let [a, b, c, d, e, f, g, h] = *header;
        if u32::from_le_bytes([a, b, c, d]) != crc32c::crc32c(&frame[4..]) {
            return Err(BadBlock("the checksum of a column does not fit"));
        }
        let len = usize::try_from(u32::from_le_bytes([e, f, g, h])).unwrap_or(usize::MAX);
        if len > COLUMN_BYTES_MAX {
            return Err(BadBlock("a column is too large"));
        }
        let column = self.decompressor.decompress(packed, len);
        let column = column.map_err(|_| BadBlock("a column cannot be unpacked"))?;
        if column.len() != len {
            return Err(BadBlock("a column has another length than it says"));
        }
        Ok(column)
    }
}

/// Ascending numbers, as their differences.
pub(super) fn put_ascending(values: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut column = Vec::new();
    let mut last = 0;
    for value in values {
        put_varint(&mut column, value.wrapping_sub(last));
        last = value;
    }
    column
}

pub(super) fn read_ascending(column: &[u8], rows: usize) -> Result<Vec<u64>, BadBlock> {
    let mut reader = Reader::new(column);
    let mut last = 0u64;
    let mut values = Vec::with_capacity(rows);
    for row in 0..rows {
        let step = reader.varint()?;
        if row > 0 && step == 0 {
            return Err(BadBlock("two rows have one number"));
        }
        last = last.checked_add(step).ok_or(BadBlock("numbers do not ascend"))?;
        values.push(last);
    }
    reader.end()?;
    Ok(values)
}

/// Times, as the differences to the one before.
pub(super) fn put_times(values: impl Iterator<Item = i64>) -> Vec<u8> {
    let mut column = Vec::new();
    let mut last = 0i64;
    for value in values {
        put_varint(&mut column, zigzag(value.wrapping_sub(last)));
        last = value;
    }
    column
}

pub(super) fn read_times(column: &[u8], rows: usize) -> Result<Vec<i64>, BadBlock> {
    let mut reader = Reader::new(column);
    let mut last = 0i64;
    let mut values = Vec::with_capacity(rows);
    for _ in 0..rows {
        last = last.wrapping_add(unzigzag(reader.varint()?));
        values.push(last);
    }
    reader.end()?;
    Ok(values)
}

/// A column of text.
#[derive(Debug)]
pub(crate) enum TextColumn {
    /// Few values, and which one each row has.
    Dictionary { values: Vec<Box<str>>, codes: Vec<u16> },
    /// All texts after each other, and where each ends.
    Plain { text: String, ends: Vec<u32> },
}

/// Encodes texts, as a dictionary when they repeat.
pub(super) fn put_texts(texts: &[&str]) -> Vec<u8> {
    let Some((values, codes)) = dictionary(texts) else { return put_plain(texts) };
    let mut column = vec![KIND_DICTIONARY];
    put_varint(&mut column, values.len() as u64);
    for value in &values {
        put_varint(&mut column, value.len() as u64);
        column.extend_from_slice(value.as_bytes());
    }
    for code in codes {
        let bytes = code.to_le_bytes();
        column.extend_from_slice(if values.len() <= 256 { &bytes[..1] } else { &bytes });
    }
    column
}

/// Encodes texts one after the other.
pub(super) fn put_plain(texts: &[&str]) -> Vec<u8> {
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    let mut column = Vec::with_capacity(bytes + 2 * texts.len() + 1);
    column.push(KIND_PLAIN);
    for text in texts {
        put_varint(&mut column, text.len() as u64);
    }
    for text in texts {
        column.extend_from_slice(text.as_bytes());
    }
    column
}

/// The different texts in the order of their first row, and which one each row has; none when
/// there are too many for that to be worth it.
fn dictionary<'t>(texts: &[&'t str]) -> Option<(Vec<&'t str>, Vec<u16>)> {
    let mut known: std::collections::HashMap<&str, u16> = std::collections::HashMap::new();
    let mut values = Vec::new();
    let mut codes = Vec::with_capacity(texts.len());
    let mut last: Option<(&str, u16)> = None;
    for &text in texts {
        let code = match last {
            Some((before, code)) if before == text => code,
            _ => match known.get(text) {
                Some(code) => *code,
                None => {
                    let code = u16::try_from(values.len()).ok()?;
                    if values.len() == DICTIONARY_MAX {
                        return None;
                    }
                    known.insert(text, code);
                    values.push(text);
                    code
                }
            },
        };
        last = Some((text, code));
        codes.push(code);
    }
    // With nearly as many values as rows, the codes come on top of the texts.
    (values.len() <= 1 || values.len() * 2 <= texts.len()).then_some((values, codes))
}

impl TextColumn {
    pub(super) fn read(column: Vec<u8>, rows: usize) -> Result<Self, BadBlock> {
        let mut reader = Reader::new(&column);
        match reader.byte()? {
            KIND_DICTIONARY => Self::read_dictionary(reader, rows),
            KIND_PLAIN => Self::read_plain(reader, rows),
            _ => Err(BadBlock("a column of text has an unknown kind")),
        }
    }

    fn read_dictionary(mut reader: Reader<'_>, rows: usize) -> Result<Self, BadBlock> {
        let count = reader.length(DICTIONARY_MAX)?;
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let len = reader.length(COLUMN_BYTES_MAX)?;
            values.push(text_of(reader.take(len)?)?.into());
        }
        let width = if count <= 256 { 1 } else { 2 };
        let bytes = reader.take(rows * width)?;
        reader.end()?;
        let codes: Vec<u16> = if width == 1 {
            bytes.iter().map(|byte| u16::from(*byte)).collect()
        } else {
            bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
        };
        if codes.iter().any(|code| usize::from(*code) >= count) {
            return Err(BadBlock("a row has a value that the dictionary lacks"));
        }
        Ok(Self::Dictionary { values, codes })
    }

    fn read_plain(mut reader: Reader<'_>, rows: usize) -> Result<Self, BadBlock> {
        let mut ends = Vec::with_capacity(rows);
        let mut end = 0usize;
        for _ in 0..rows {
            end += reader.length(COLUMN_BYTES_MAX)?;
            let end = u32::try_from(end).map_err(|_| BadBlock("a column of text is too long"))?;
            ends.push(end);
        }
        let text = text_of(reader.rest())?.to_owned();
        let is_sound = text.len() == end
            && ends
                .iter()
                .all(|end| usize::try_from(*end).is_ok_and(|end| text.is_char_boundary(end)));
        if !is_sound {
            return Err(BadBlock("the texts of a column do not fit their lengths"));
        }
        Ok(Self::Plain { text, ends })
    }

    /// The text of a row that the column has.
    pub(crate) fn get(&self, row: usize) -> &str {
        match self {
            Self::Dictionary { values, codes } => &values[usize::from(codes[row])],
            Self::Plain { text, ends } => {
                let from = if row == 0 { 0 } else { ends[row - 1] };
                &text[from as usize..ends[row] as usize]
            }
        }
    }

    /// Keeps the rows of `set` whose text `keeps` wants. Asks once for each value of a dictionary.
    pub(crate) fn retain(&self, set: &mut super::RowSet, keeps: impl Fn(&str) -> bool) {
        match self {
            Self::Dictionary { values, codes } => {
                let wanted: Vec<bool> = values.iter().map(|value| keeps(value)).collect();
                set.retain(|row| wanted[usize::from(codes[row])]);
            }
            Self::Plain { .. } => set.retain(|row| keeps(self.get(row))),
        }
    }
}

fn text_of(bytes: &[u8]) -> Result<&str, BadBlock> {
    std::str::from_utf8(bytes).map_err(|_| BadBlock("text is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn comes_back(texts: &[&str], kind: u8) {
        let column = put_texts(texts);
        assert_eq!(column[0], kind);
        let mut packer = Packer::new(3).unwrap();
        let frame = packer.pack(&column).unwrap();
        let unpacked = Unpacker::new().unwrap().unpack(&frame).unwrap();
        let read = TextColumn::read(unpacked, texts.len()).unwrap();
        for (row, text) in texts.iter().enumerate() {
            assert_eq!(read.get(row), *text);
        }
    }

    #[test]
    fn texts_come_back_from_either_kind() {
        comes_back(&["a", "b", "a", "a", "", "b"], KIND_DICTIONARY);
        comes_back(&[""; 5], KIND_DICTIONARY);
        comes_back(&["one"], KIND_DICTIONARY);
        comes_back(&["a", "b", "ü"], KIND_PLAIN);
        let many: Vec<String> = (0..2000).map(|n| format!("v{}", n % 700)).collect();
        comes_back(&many.iter().map(String::as_str).collect::<Vec<_>>(), KIND_DICTIONARY);
        let different: Vec<String> = (0..4000).map(|n| format!("v{n}")).collect();
        comes_back(&different.iter().map(String::as_str).collect::<Vec<_>>(), KIND_PLAIN);
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_frame_is_found() {
        let column = put_texts(&["one", "two", "three"]);
        let frame = Packer::new(3).unwrap().pack(&column).unwrap();
        let mut unpacker = Unpacker::new().unwrap();
        assert_eq!(unpacker.unpack(&frame).unwrap(), column);
        for at in 0..frame.len() {
            for bit in 0..8 {
                let mut bad = frame.clone();
                bad[at] ^= 1 << bit;
                assert!(unpacker.unpack(&bad).is_err(), "byte {at} bit {bit}");
            }
            assert!(unpacker.unpack(&frame[..at]).is_err());
        }
    }

    #[test]
    fn numbers_and_times_come_back() {
        let ids = [5, 6, 1000, u64::MAX];
        assert_eq!(read_ascending(&put_ascending(ids.into_iter()), 4).unwrap(), ids);
        assert!(read_ascending(&put_ascending([5, 5].into_iter()), 2).is_err());
        let times = [0, i64::MAX, i64::MIN, -1, 7];
        assert_eq!(read_times(&put_times(times.into_iter()), 5).unwrap(), times);
        assert!(read_times(&put_times(times.into_iter()), 4).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_a_column_panic(
            mut column in proptest::collection::vec(any::<u8>(), 0..400),
            kind in 0u8..3,
            rows in 1usize..40,
        ) {
            // Most that begin with a kind get further than others.
            if let Some(first) = column.first_mut() {
                *first = kind;
            }
            _ = read_times(&column, rows);
            _ = read_ascending(&column, rows);
            _ = Unpacker::new().unwrap().unpack(&column);
            if let Ok(read) = TextColumn::read(column, rows) {
                // What is read can be looked at, row by row.
                (0..rows).for_each(|row| _ = read.get(row));
            }
        }
    }

    #[test]
    fn columns_that_lie_are_refused() {
        for column in [
            vec![],
            vec![2],
            vec![KIND_DICTIONARY, 1, 1, b'a', 0, 1],
            vec![KIND_DICTIONARY, 1, 1, 0xff, 0, 0],
            vec![KIND_DICTIONARY, 0xff, 0xff, 0xff, 0x7f],
            vec![KIND_PLAIN, 1, 2, b'a', b'b'],
            vec![KIND_PLAIN, 1, 1, b'a', b'b', b'c'],
            // Two texts that meet within one character.
            vec![KIND_PLAIN, 1, 1, 0xc3, 0xa4],
        ] {
            assert!(TextColumn::read(column.clone(), 2).is_err(), "{column:?}");
        }
    }
}
