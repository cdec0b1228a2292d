//! Data files: where documents are once the log has handed them on.
//!
//! A data file takes records at its end and never changes them. Its data is cut into blocks and
//! stripes; behind every stripe stand the XOR of its blocks and a table of their checksums, so
//! that any one damaged block is found, and rebuilt without another copy. `docs/formats/data.md`
//! is the normative text of the format.
//!
//! What it is not: it does not know which record of a document is the newest, which files exist,
//! or how far each is verified: the manifest says so. It decides nothing by the clock.
//!
//! Where to start reading: `layout` (what is where), `record` and `stripe` (the bytes), then
//! [`DataWriter`], [`DataFile::read`], [`DataFile::records`], [`DataFile::heal_stripe`].
//!
//! # Invariants
//!
//! 1. Nothing at or past a file's verified length is ever read as data; nothing below it is
//!    written again, but by healing.
//! 2. Every byte is under a checksum that knows its place: database, file and offset.
//! 3. Wrong bytes are never answered. What cannot be proved is [`DataError::Corrupt`].
//! 4. A failed call ends its writer; a failed sync is never tried again.
//! 5. Damage is reported wherever it is met; nothing is skipped in silence.
//!
//! # Example
//!
//! ```
//! use base::{document::Document, io::MemDisk};
//! use base::words::{CollectionId, DatabaseId, DocId, Lsn};
//! use docstore::data::{Body, DataFile, DataWriter, Expected, FileIdentity, Layout, RecordRef};
//! use docstore::FileNumber;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (disk, dir) = (MemDisk::shared(), "/".as_ref());
//! let identity = FileIdentity { database: DatabaseId::random()?, number: FileNumber(1) };
//! let mut writer = DataWriter::create(&disk, dir, identity, Layout::default())?;
//! let (collection, id, lsn) = (CollectionId(1), DocId::U64(7), Lsn(3));
//! let document = Document::parse(br#"{"title":"Walden"}"#)?;
//! let body = Body::Document { document: &document, expires_at: None };
//! let location = writer.append(&RecordRef { collection, id: &id, lsn, body })?;
//! let verified = writer.publish()?;
//!
//! let file = DataFile::open(&disk, dir, identity, verified.len)?;
//! let record = file.read(location, &Expected { collection, id: &id, lsn })?;
//! assert_eq!(record.document, Some(document));
//! # Ok(())
//! # }
//! ```
#![deny(clippy::indexing_slicing)]

mod at_hand;
mod bytes;
mod error;
mod file;
mod header;
mod heal;
mod identity;
mod inspect;
mod layout;
mod record;
mod records;
mod stripe;
mod window;
mod writer;

pub use error::{Damage, DataError, Flaw, Op, Result};
pub use file::{DataFile, Expected, READ_BYTES};
pub use header::{FileHeader, HEADER_BYTES, VERSION};
pub use heal::{Condition, Healed, Outcome, Part};
pub use identity::FileIdentity;
pub use inspect::{Contents, Inspection, inspect};
pub use layout::{Geometry, Layout, Parity};
pub use record::{
    ALIGN, Body, COMPRESS_BYTES_MIN, HEADER_BYTES_MAX, Kind, RECORD_BYTES_MAX, RecordHeader,
    RecordRef, StoredRecord, decode_record, encode_record,
};
pub use records::{Found, Payloads, Records};
pub(crate) use window::Windows;
pub use writer::{DATA_BYTES_MAX, DataWriter, Verified, WRITE_BYTES};
