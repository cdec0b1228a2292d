//! Finds a member of a large object by its key without reading the object again.
//!
//! Keys are sorted by a fingerprint of their decoded text and then by that text, as the validator
//! does: whatever keys an attacker chooses, a look-up is a binary search. Twelve bytes a key.
#![deny(clippy::indexing_slicing)]

use std::cmp::Ordering;

use super::text::{Key, Span, key_at};

/// Where each key of an object is.
#[derive(Debug)]
pub(super) struct KeyIndex<'s> {
    object: Span<'s>,
    keys: Vec<Place>,
    /// Runs of the object that the index does not cover.
    outside: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    fingerprint: u32,
    /// Offset of the key's first byte in the text.
    key: u32,
    /// Number of the run it is in.
    run: u32,
}

impl<'s> KeyIndex<'s> {
    /// An index of the keys of `object` with the numbers of their runs; the runs `outside` hold
    /// other members of it.
    pub(super) fn new(
        object: Span<'s>,
        keys: impl Iterator<Item = (Key<'s>, u32)>,
        outside: Vec<u32>,
    ) -> Self {
        let place = |(key, run): (Key<'s>, u32)| {
            Some(Place { fingerprint: fingerprint(key.decoded()), key: key.offset()?, run })
        };
        let mut keys: Vec<Place> = keys.filter_map(place).collect();
        keys.sort_unstable_by(|a, b| {
            let by_text = || key_at(object, a.key).decoded().cmp(key_at(object, b.key).decoded());
            a.fingerprint.cmp(&b.fingerprint).then_with(by_text)
        });
        Self { object, keys, outside }
    }

    /// The number of the run that held `name` when the index was made.
    pub(super) fn run_of(&self, name: &str) -> Option<usize> {
        let wanted = fingerprint(name.bytes());
        let compare = |place: &Place| -> Ordering {
            let by_text = || key_at(self.object, place.key).decoded().cmp(name.bytes());
            place.fingerprint.cmp(&wanted).then_with(by_text)
        };
        let found = self.keys.binary_search_by(compare).ok()?;
        self.keys.get(found).map(|place| place.run as usize)
    }

    /// The runs that the index does not cover.
    pub(super) fn outside(&self) -> impl Iterator<Item = usize> {
        self.outside.iter().map(|run| *run as usize)
    }
}

/// FNV-1a: good enough to tell keys apart; nothing but speed depends on it.
fn fingerprint(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::super::text::Text;
    use super::*;

    #[test]
    fn every_key_is_found_and_no_other_even_when_fingerprints_collide() {
        // Known to collide under 32-bit FNV-1a.
        let names = ["costarring", "liquid", "declinate", "macallums", "é\n"];
        assert_eq!(fingerprint(names[0].bytes()), fingerprint(names[1].bytes()));
        assert_eq!(fingerprint(names[2].bytes()), fingerprint(names[3].bytes()));
        let text = r#"{"costarring":0,"macallums":1,"declinate":2,"\u00e9\n":3}"#;
        let text = Text::new(text.as_bytes());
        let object = text.parts().1;
        let keys = object.entries().into_iter().flatten().map(|entry| entry.key).zip(0..);
        let index = KeyIndex::new(object, keys, vec![7]);
        let found: Vec<_> = names.iter().map(|name| index.run_of(name)).collect();
        assert_eq!(found, [Some(0), None, Some(2), Some(1), Some(3)]);
        assert_eq!(index.outside().collect::<Vec<_>>(), [7]);
    }
}
