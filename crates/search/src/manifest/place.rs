//! Where the objects of an index are: what their names are made of.

use base::words::{CollectionId, DatabaseId};

use crate::storage::{Name, StoreError, Ulid};

/// Digits of terms and numbers in names: all of a u64, so that names sort as numbers do.
const DIGITS: usize = 20;
const MANIFESTS: &str = "manifest";
const SEGMENTS: &str = "segments";
const DEAD: (&str, &str) = ("dead-", ".roar");

/// The index of a collection, as a place in a store: `<database>/<collection>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The database.
    pub database: DatabaseId,
    /// The collection.
    pub collection: CollectionId,
}

/// An object in the folder of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentObject {
    /// The segment.
    pub(super) segment: Ulid,
    /// The identifier of the object, when it has one of its own: of dead rows.
    pub(super) dead: Option<Ulid>,
}

impl SegmentObject {
    /// The latest time that something in its name was made.
    pub(super) fn made_at(self) -> base::clock::WallMs {
        self.dead.unwrap_or(self.segment).made_at()
    }
}

impl Place {
    /// The folder of everything of this index.
    ///
    /// # Errors
    /// Never for what this type can hold; names are checked wherever they are made.
    pub fn folder(&self) -> Result<Name, StoreError> {
        Name::new(&format!("{}/{}", self.database.0.hyphenated(), self.collection))
    }

    /// The folder of its manifests.
    ///
    /// # Errors
    /// As [`Place::folder`].
    pub fn manifests(&self) -> Result<Name, StoreError> {
        self.folder()?.join(MANIFESTS)
    }

    /// A manifest.
    ///
    /// # Errors
    /// As [`Place::folder`].
    pub fn manifest(&self, term: u64, number: u64) -> Result<Name, StoreError> {
        self.manifests()?.join(&format!("{term:0DIGITS$}/{number:0DIGITS$}"))
    }

    /// The folder of its segments.
    ///
    /// # Errors
    /// As [`Place::folder`].
    pub fn segments(&self) -> Result<Name, StoreError> {
        self.folder()?.join(SEGMENTS)
    }

    /// A file of a segment.
    ///
    /// # Errors
    /// When `file` is not a name.
    pub fn file(&self, segment: Ulid, file: &str) -> Result<Name, StoreError> {
        self.segments()?.join(&format!("{segment}/{file}"))
    }

    /// The dead rows of a segment, under an identifier of their own: the number of the manifest that will name them is
    /// not known to be free before it is published.
    ///
    /// # Errors
    /// As [`Place::folder`].
    pub fn dead(&self, segment: Ulid, dead: Ulid) -> Result<Name, StoreError> {
        self.file(segment, &format!("{}{dead}{}", DEAD.0, DEAD.1))
    }

    /// The term and number of a manifest of this index, when `name` is one's.
    pub(super) fn numbers_of(&self, name: &Name) -> Option<(u64, u64)> {
        let (term, number) = name.below(&self.manifests().ok()?)?.split_once('/')?;
        let parse = |text: &str| {
            let is_plain = text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit());
            is_plain.then(|| text.parse().ok()).flatten()
        };
        Some((parse(term)?, parse(number)?))
    }

    /// What an object in the folder of segments is, when `name` is one's.
    pub(super) fn segment_object(&self, name: &Name) -> Option<SegmentObject> {
        let (segment, file) = name.below(&self.segments().ok()?)?.split_once('/')?;
        let dead = file.strip_prefix(DEAD.0).and_then(|rest| rest.strip_suffix(DEAD.1));
        Some(SegmentObject { segment: Ulid::parse(segment)?, dead: dead.and_then(Ulid::parse) })
    }
}

#[cfg(test)]
mod tests {
    use base::clock::WallMs;
    use base::rng::Rng;

    use super::*;

    #[test]
    fn names_sort_as_numbers_and_are_understood_again() {
        let place =
            Place { database: DatabaseId::from_bytes([7; 16]), collection: CollectionId(3) };
        let names = [(1, 1), (1, 9), (1, 10), (2, 3), (u64::MAX, u64::MAX)]
            .map(|(term, number)| (place.manifest(term, number).unwrap(), (term, number)));
        assert!(names.is_sorted());
        for (name, numbers) in &names {
            assert_eq!(place.numbers_of(name), Some(*numbers));
        }
        assert_eq!(
            names[1].0.as_str(),
            "07070707-0707-0707-0707-070707070707/3/manifest/00000000000000000001/00000000000000000009"
        );
        for other in ["x", "1/2", "00000000000000000001/0000000000000000000x"] {
            assert_eq!(place.numbers_of(&place.manifests().unwrap().join(other).unwrap()), None);
        }
    }

    #[test]
    fn an_object_of_a_segment_is_as_old_as_the_last_part_of_its_name() {
        let place =
            Place { database: DatabaseId::from_bytes([7; 16]), collection: CollectionId(3) };
        let (old, new) =
            (Ulid::new(WallMs(5), &mut Rng::new(1)), Ulid::new(WallMs(9), &mut Rng::new(2)));
        let of = |name: Name| place.segment_object(&name);
        let file = of(place.file(old, "attrs.idx").unwrap()).unwrap();
        assert_eq!((file.segment, file.dead, file.made_at()), (old, None, WallMs(5)));
        let dead = of(place.dead(old, new).unwrap()).unwrap();
        assert_eq!((dead.segment, dead.dead, dead.made_at()), (old, Some(new), WallMs(9)));
        assert_eq!(of(place.segments().unwrap().join("x/attrs.idx").unwrap()), None);
        assert_eq!(of(place.manifest(1, 1).unwrap()), None);
    }
}
