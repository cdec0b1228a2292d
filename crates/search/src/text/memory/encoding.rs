//! A posting list as bytes that only grow.

/// For each row: its distance from the row after the last one, how many positions, and the
/// distance of each from the one before. All are LEB128.
#[derive(Debug, Clone, Default)]
pub(super) struct Postings {
    bytes: Vec<u8>,
    /// The row after the last.
    next: u32,
}

impl Postings {
    /// Appends a row with its positions, ascending; says how many bytes the list grew by.
    pub(super) fn append(&mut self, row: u32, positions: &[u32]) -> usize {
        let before = self.bytes.capacity();
        debug_assert!(row >= self.next, "rows ascend");
        put(&mut self.bytes, row.wrapping_sub(self.next));
        put(&mut self.bytes, u32::try_from(positions.len()).unwrap_or(u32::MAX));
        let mut last = 0;
        for position in positions {
            put(&mut self.bytes, position.wrapping_sub(last));
            last = *position;
        }
        self.next = row + 1;
        self.bytes.capacity() - before
    }

    /// Hands over the rows below `end`, each with its positions.
    pub(super) fn each(&self, end: u32, mut visit: impl FnMut(u32, &[u32])) {
        let mut bytes = self.bytes.iter();
        let mut positions = Vec::new();
        let mut next = 0_u32;
        while let Some(distance) = take(&mut bytes) {
            let row = next.wrapping_add(distance);
            if row >= end {
                return;
            }
            next = row + 1;
            positions.clear();
            let mut last = 0_u32;
            for _ in 0..take(&mut bytes).unwrap_or_default() {
                last = last.wrapping_add(take(&mut bytes).unwrap_or_default());
                positions.push(last);
            }
            visit(row, &positions);
        }
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u32) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn take(bytes: &mut std::slice::Iter<'_, u8>) -> Option<u32> {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let byte = *bytes.next()?;
        number |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_rows_that_it_may() {
        let mut postings = Postings::default();
        let rows = [
            (0, vec![0]),
            (1, vec![3, 4, 200]),
            (130, vec![u32::MAX]),
            (70_000, vec![0, 127, 128, 1 << 28]),
        ];
        for (row, positions) in &rows {
            postings.append(*row, positions);
        }
        for (end, count) in [(0, 0), (1, 1), (130, 2), (131, 3), (u32::MAX, 4)] {
            let mut found = Vec::new();
            postings.each(end, |row, positions| found.push((row, positions.to_vec())));
            assert_eq!(found, rows[..count], "{end}");
        }
    }
}
