//! Answers.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | request id |
//! | 8 | 1 | command; 0 when the request's could not be read |
//! | 9 | 1 | status: 0, or the number of an error |
//! | 10 | … | with status 0 what the command answers, otherwise the failure |

use std::borrow::Cow;

use uuid::Uuid;

use super::BODY_BYTES_MAX;
use super::bytes::{Reader, Writer, frame};
use super::change::{CHANGE_BYTES_MIN, Change};
use super::command::{Command, Shape};
use super::error::{Problem, WireError};
use super::id::Id;
use super::request::REQUEST_ID;
use super::results::{Document, Executed, Failure, Found, OpResult, RESULT_BYTES_MIN};

/// Most results of an answer: a transaction's commit may answer as many as it had operations.
const RESULTS_MAX: usize = 1_000_000;
/// No other list is limited but by the frame.
const ENTRIES_MAX: usize = BODY_BYTES_MAX;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// The id of the request; 0 when that could not be read.
    pub id: u64,
    /// Its command; none when that could not be read.
    pub command: Option<Command>,
    /// What it was answered.
    pub outcome: Result<Answer<'a>, Failure<'a>>,
}

/// What a request was answered that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'a> {
    /// It was done, and there is nothing to say.
    Done,
    /// The database is open.
    Opened {
        /// Its number on this connection.
        database: u64,
        /// Its identity.
        uuid: Uuid,
    },
    /// What became of operations.
    Executed(Executed<'a>),
    /// The number of a collection.
    Collection(u32),
    /// Collections, by name.
    Collections {
        /// The page.
        entries: Vec<CollectionEntry<'a>>,
        /// Whether there are more behind it.
        more: bool,
    },
    /// Databases, by name.
    Databases {
        /// The page.
        entries: Vec<DatabaseEntry<'a>>,
        /// Whether there are more behind it.
        more: bool,
    },
    /// The number of a transaction on this connection.
    Begun(u64),
    /// Changes.
    Changes {
        /// Where to go on: the position of the last change, or a later one behind which there was
        /// nothing.
        position: u64,
        /// In their order.
        changes: Vec<Change<'a>>,
    },
    /// Documents.
    Page(Page<'a>),
    /// JSON, or metrics.
    Text(Cow<'a, str>),
}

/// A collection in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectionEntry<'a> {
    /// Its number, never used for another one.
    pub number: u32,
    /// Its visible documents.
    pub documents: u64,
    /// The position of the newest change in it.
    pub last_change: u64,
    /// Its name.
    pub name: &'a str,
}

/// How a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseState {
    /// Closed; it is opened when it is asked for.
    Closed,
    /// Open.
    Open,
    /// It could not be opened, and waits for a repair.
    Damaged,
}

/// A database in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseEntry<'a> {
    /// Its identity.
    pub uuid: Uuid,
    /// How it is.
    pub state: DatabaseState,
    /// Its name.
    pub name: &'a str,
}

/// A page of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<'a> {
    /// The position that the scan shows; all its pages show the same. 0 within a transaction.
    pub position: u64,
    /// Asks for the next page; empty when this was the last one.
    pub next: &'a [u8],
    /// In the order of their ids.
    pub documents: Vec<Document<'a>>,
}

impl<'a> Response<'a> {
    /// An answer of success.
    #[must_use]
    pub const fn new(id: u64, command: Command, answer: Answer<'a>) -> Self {
        Self { id, command: Some(command), outcome: Ok(answer) }
    }

    /// An answer of failure.
    #[must_use]
    pub const fn failed(id: u64, command: Option<Command>, failure: Failure<'a>) -> Self {
        Self { id, command, outcome: Err(failure) }
    }

    /// Appends the frame of the answer, its length included.
    ///
    /// # Errors
    /// When it is larger than a frame, or not an answer of its command: `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        frame(out, |writer| {
            writer.u64(self.id);
            writer.u8(self.command.map_or(0, Command::number));
            match &self.outcome {
                Ok(answer) => {
                    if self.command.map(Command::shape) != Some(answer.shape()) {
                        let command = self.command.map_or(0, Command::number);
                        return Err(writer.error("command", Problem::Value(u64::from(command))));
                    }
                    writer.u8(0);
                    answer.write(writer)
                }
                Err(failure) if failure.status == 0 => {
                    Err(writer.error("status", Problem::Value(0)))
                }
                Err(failure) => {
                    writer.u8(failure.status);
                    failure.write(writer)
                }
            }
        })
    }

    /// Reads the body of a frame; what it holds is borrowed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let id = reader.u64(REQUEST_ID)?;
        let command = reader.choice("command", |number| match number {
            0 => Some(None),
            number => Command::from_number(number).map(Some),
        })?;
        let at = reader.offset();
        let outcome = match (reader.u8("status")?, command) {
            (0, Some(command)) => Ok(Answer::read(command.shape(), &mut reader)?),
            (0, None) => return Err(WireError::new("status", Problem::Value(0), at)),
            (status, _) => Err(Failure::read(status, &mut reader)?),
        };
        reader.finish()?;
        Ok(Self { id, command, outcome })
    }

    /// The request id at the start of a body, whatever the rest of it is.
    #[must_use]
    pub fn id_of(body: &[u8]) -> Option<u64> {
        Reader::new(body).u64(REQUEST_ID).ok()
    }
}

impl<'a> Answer<'a> {
    const fn shape(&self) -> Shape {
        match self {
            Self::Done => Shape::Nothing,
            Self::Opened { .. } => Shape::Opened,
            Self::Executed(_) => Shape::Results,
            Self::Collection(_) => Shape::Collection,
            Self::Collections { .. } => Shape::Collections,
            Self::Databases { .. } => Shape::Databases,
            Self::Begun(_) => Shape::Begun,
            Self::Changes { .. } => Shape::Changes,
            Self::Page(_) => Shape::Page,
            Self::Text(_) => Shape::Text,
        }
    }

    fn write(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        match self {
            Self::Done => {}
            Self::Opened { database, uuid } => {
                writer.u64(*database);
                writer.raw(uuid.as_bytes());
            }
            Self::Executed(executed) => {
                writer.u64(executed.lsn);
                writer.count("results", executed.results.len(), RESULTS_MAX)?;
                for (number, result) in executed.results.iter().enumerate() {
                    result.write(writer).map_err(|error| error.in_entry(number))?;
                }
            }
            Self::Collection(number) => writer.u32(*number),
            Self::Collections { entries, more } => {
                writer.u8(u8::from(*more));
                writer.count("collections", entries.len(), ENTRIES_MAX)?;
                for entry in entries {
                    writer.u32(entry.number);
                    writer.u64(entry.documents);
                    writer.u64(entry.last_change);
                    writer.name("collection", entry.name)?;
                }
            }
            Self::Databases { entries, more } => {
                writer.u8(u8::from(*more));
                writer.count("databases", entries.len(), ENTRIES_MAX)?;
                for entry in entries {
                    entry.write(writer)?;
                }
            }
            Self::Begun(transaction) => writer.u64(*transaction),
            Self::Changes { position, changes } => {
                writer.u64(*position);
                writer.count("changes", changes.len(), ENTRIES_MAX)?;
                for (number, change) in changes.iter().enumerate() {
                    change.write(writer).map_err(|error| error.in_entry(number))?;
                }
            }
            Self::Page(page) => page.write(writer)?,
            Self::Text(text) => writer.bytes32("text", text.as_bytes())?,
        }
        Ok(())
    }

    fn read(shape: Shape, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(match shape {
            Shape::Nothing => Self::Done,
            Shape::Opened => {
                let database = reader.u64("database")?;
                Self::Opened { database, uuid: Uuid::from_bytes(reader.array("uuid")?) }
            }
            Shape::Results => {
                let lsn = reader.u64("position")?;
                let count = reader.count("results", RESULTS_MAX, RESULT_BYTES_MIN)?;
                let results = reader.entries(count, OpResult::read)?;
                Self::Executed(Executed { lsn, results })
            }
            Shape::Collection => Self::Collection(reader.u32("collection")?),
            Shape::Collections => {
                let more = reader.flags("flag of more", 1)? != 0;
                let count = reader.count("collections", ENTRIES_MAX, 22)?;
                Self::Collections { entries: reader.entries(count, CollectionEntry::read)?, more }
            }
            Shape::Databases => {
                let more = reader.flags("flag of more", 1)? != 0;
                let count = reader.count("databases", ENTRIES_MAX, 19)?;
                Self::Databases { entries: reader.entries(count, DatabaseEntry::read)?, more }
            }
            Shape::Begun => Self::Begun(reader.u64("transaction")?),
            Shape::Changes => {
                let position = reader.u64("position")?;
                let count = reader.count("changes", ENTRIES_MAX, CHANGE_BYTES_MIN)?;
                Self::Changes { position, changes: reader.entries(count, Change::read)? }
            }
            Shape::Page => Self::Page(Page::read(reader)?),
            Shape::Text => Self::Text(Cow::Borrowed(reader.text32("text")?)),
        })
    }
}

impl<'a> CollectionEntry<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self {
            number: reader.u32("number of the collection")?,
            documents: reader.u64("documents")?,
            last_change: reader.u64("position")?,
            name: reader.name("collection")?,
        })
    }
}

impl<'a> DatabaseEntry<'a> {
    fn write(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.raw(self.uuid.as_bytes());
        writer.u8(match self.state {
            DatabaseState::Closed => 0,
            DatabaseState::Open => 1,
            DatabaseState::Damaged => 2,
        });
        writer.name("name", self.name)
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let uuid = Uuid::from_bytes(reader.array("uuid")?);
        let state = reader.choice("state of the database", |state| match state {
            0 => Some(DatabaseState::Closed),
            1 => Some(DatabaseState::Open),
            2 => Some(DatabaseState::Damaged),
            _ => None,
        })?;
        Ok(Self { uuid, state, name: reader.name("name")? })
    }
}

impl<'a> Page<'a> {
    /// Fewest bytes of a document of a page.
    const DOCUMENT_BYTES_MIN: usize = 22;

    fn write(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u64(self.position);
        writer.bytes16("cursor", self.next)?;
        writer.count("documents", self.documents.len(), ENTRIES_MAX)?;
        for (number, document) in self.documents.iter().enumerate() {
            document.id.write(writer).map_err(|error| error.in_entry(number))?;
            document.found.write(writer).map_err(|error| error.in_entry(number))?;
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let position = reader.u64("position")?;
        let next = reader.bytes16("cursor")?;
        let count = reader.count("documents", ENTRIES_MAX, Self::DOCUMENT_BYTES_MIN)?;
        let documents = reader.entries(count, |reader| {
            let id = Id::read(reader)?;
            Ok(Document { id, found: Found::read(reader)? })
        })?;
        Ok(Self { position, next, documents })
    }
}
