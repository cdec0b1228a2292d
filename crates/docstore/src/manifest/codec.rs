//! Bytes of a MANIFEST's value: integers, texts and lists, and what is made of them. The table at the
//! top of the parent says what stands where.
//!
//! Invariant: nothing here panics on any bytes, and no count makes it reserve memory that the
//! length of the value does not justify.

use base::clock::WallMs;
use base::document::Document;
use base::words::{CollectionId, DatabaseId, DocId, Lsn, Name};

use super::{Checkpoint, CollectionRecord, FileRecord, Manifest, Quarantined};
use crate::index;
use crate::index::file::FileInfo;
use crate::location::FileNumber;

/// Writes the parts of a value.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u32(&mut self, n: u32) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    pub(super) fn u64(&mut self, n: u64) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).expect("names, ids and documents are short"));
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn id(&mut self, id: &DocId) {
        let mut encoded = Vec::with_capacity(id.encoded_len());
        id.encode(&mut encoded);
        self.bytes(&encoded);
    }

    pub(super) fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.u32(u32::try_from(items.len()).expect("lists are shorter than 2^32"));
        for item in items {
            each(self, item);
        }
    }

    pub(super) fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.u64(checkpoint.lsn.0);
        self.u64(checkpoint.wall.0);
        self.list(&checkpoint.collections, |out, record| {
            out.u32(record.collection.0);
            out.u64(record.created.0);
            out.u64(record.last_change.0);
            out.text(record.name.as_str());
            out.list(&record.properties, |out, (name, value)| {
                out.text(name.as_str());
                out.bytes(value.as_bytes());
            });
        });
        self.list(&checkpoint.files, |out, file| {
            out.u32(file.number.0);
            out.u64(file.verified_len);
            out.0.push(u8::from(file.finished));
            out.u64(file.records);
            out.u64(file.tombstones);
            out.u64(file.dead);
            out.u64(file.lowest.0);
        });
        self.list(&checkpoint.index, |out, file| {
            out.u64(file.header.number);
            out.0.push(u8::from(file.header.kind == index::file::Kind::Base));
            out.u64(file.header.checkpoint.0);
            out.u64(file.bytes);
            out.u64(file.entries);
            out.u32(file.checksum);
        });
    }
}

/// Reads the parts of a value; none where it ends too early or breaks a rule.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        self.take(len)
    }

    fn name(&mut self) -> Option<Name> {
        Name::new(std::str::from_utf8(self.bytes()?).ok()?).ok()
    }

    /// No entry takes no bytes, so a count never makes this reserve more than the value is long.
    pub(super) fn list<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(each(self)?);
        }
        Some(items)
    }

    pub(super) fn manifest(&mut self) -> Option<Manifest> {
        let database = DatabaseId::from_bytes(self.take(16)?.try_into().ok()?);
        Some(Manifest {
            database,
            name: self.name()?,
            created: WallMs(self.u64()?),
            next_collection: self.u32()?,
            next_file: self.u32()?,
            next_index: self.u64()?,
            hold: Lsn(self.u64()?),
            compacted: WallMs(self.u64()?),
            checkpoints: self.list(|cursor| cursor.checkpoint(database))?,
            quarantine: self.list(|cursor| {
                let (collection, lsn) = (CollectionId(cursor.u32()?), Lsn(cursor.u64()?));
                let id = DocId::decode(cursor.bytes()?).ok()?;
                Some(Quarantined { collection, id, lsn })
            })?,
        })
    }

    fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn checkpoint(&mut self, database: DatabaseId) -> Option<Checkpoint> {
        Some(Checkpoint {
            lsn: Lsn(self.u64()?),
            wall: WallMs(self.u64()?),
            collections: self.list(Self::collection)?,
            files: self.list(|cursor| {
                Some(FileRecord {
                    number: FileNumber(cursor.u32()?),
                    verified_len: cursor.u64()?,
                    finished: cursor.flag()?,
                    records: cursor.u64()?,
                    tombstones: cursor.u64()?,
                    dead: cursor.u64()?,
                    lowest: Lsn(cursor.u64()?),
                })
            })?,
            index: self.list(|cursor| {
                let number = cursor.u64()?;
                let kind =
                    if cursor.flag()? { index::file::Kind::Base } else { index::file::Kind::Run };
                let checkpoint = Lsn(cursor.u64()?);
                let header = index::file::Header { database, number, kind, checkpoint };
                let (bytes, entries, checksum) = (cursor.u64()?, cursor.u64()?, cursor.u32()?);
                Some(FileInfo { header, bytes, entries, checksum })
            })?,
        })
    }

    fn collection(&mut self) -> Option<CollectionRecord> {
        let collection = CollectionId(self.u32()?);
        let (created, last_change) = (Lsn(self.u64()?), Lsn(self.u64()?));
        let name = self.name()?;
        let properties = self.list(|cursor| {
            let name = cursor.name()?;
            Some((name, Document::from_checksummed(cursor.bytes()?)))
        })?;
        Some(CollectionRecord { collection, name, created, last_change, properties })
    }
}
