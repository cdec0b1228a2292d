//! What became of operations, and failures.
//!
//! The result of an operation:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | status: 0, or the number of an error |
//! | … | with status 0: 1 byte kind (1 created, 2 replaced, 3 deleted, 4 found), then what it has |
//! | 8 | created, replaced, deleted: the revision; 0 within a transaction |
//! | … | found: revision (8), expiry (8, 0 = never), document (4 and so many) |
//! | … | otherwise: flags (1; bit 0 = may be retried), message (2 and so many) |

use std::borrow::Cow;

use super::bytes::{Reader, Writer};
use super::error::{Problem, WireError};
use super::id::Id;
use crate::code::ErrorCode;

const CREATED: u8 = 1;
const REPLACED: u8 = 2;
const DELETED: u8 = 3;
const FOUND: u8 = 4;

const RETRYABLE: u8 = 1;
/// "No operation" of a failure.
const NO_OPERATION: u32 = u32::MAX;
/// Longest message of a failure; a longer one is cut.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Fewest bytes of a result.
pub(super) const RESULT_BYTES_MIN: usize = 4;

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// There was no document before.
    Created,
    /// There was one.
    Replaced,
    /// There is none any more.
    Deleted,
}

/// Why a request or one of its operations was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The number of the error, not 0.
    pub status: u8,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The operation of an atomic batch that is at fault, counted from 0.
    pub operation: Option<u32>,
    /// What happened, for people. Cut to 4,096 bytes when it is encoded.
    pub message: Cow<'a, str>,
}

impl<'a> Failure<'a> {
    /// A failure that no operation is at fault for.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'a, str>>) -> Self {
        let message = message.into();
        Self { status: code.number(), retryable: false, operation: None, message }
    }

    /// The code; none when the server is newer than this client.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        ErrorCode::from_number(self.status)
    }

    /// As the answer to a whole request, behind its status byte.
    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u8(u8::from(self.retryable) * RETRYABLE);
        writer.u32(self.operation.unwrap_or(NO_OPERATION));
        writer.bytes16("message", cut(&self.message).as_bytes())
    }

    pub(super) fn read(status: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let retryable = reader.flags("flags of the failure", RETRYABLE)? != 0;
        let operation = Some(reader.u32("operation")?).filter(|number| *number != NO_OPERATION);
        let message = Cow::Borrowed(reader.text16("message")?);
        Ok(Self { status, retryable, operation, message })
    }
}

/// The first bytes of a message that is too long, ending with a whole character.
fn cut(message: &str) -> &str {
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    message.get(..end).unwrap_or(message)
}

/// A document as the server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// The write that made this version.
    pub revision: u64,
    /// When it stops being visible, in milliseconds since the Unix epoch; never 0.
    pub expires_at: Option<u64>,
    /// Its bytes, exactly as they were given.
    pub document: &'a [u8],
}

impl<'a> Found<'a> {
    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u64(self.revision);
        // What has expired at the epoch itself has expired a millisecond later too.
        writer.u64(self.expires_at.map_or(0, |at| at.max(1)));
        writer.bytes32("document", self.document)
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let revision = reader.u64("revision")?;
        let expires_at = Some(reader.u64("expiry")?).filter(|at| *at != 0);
        Ok(Self { revision, expires_at, document: reader.bytes32("document")? })
    }
}

/// A document with its id, as scans answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<'a> {
    /// Its id.
    pub id: Id<'a>,
    /// Its newest version, as the scan sees it.
    pub found: Found<'a>,
}

/// What became of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResult<'a> {
    /// It wrote.
    Written {
        /// What it did.
        effect: Effect,
        /// The revision of the document, or of its deletion; 0 within a transaction, where the
        /// commit tells it.
        revision: u64,
    },
    /// It read a document.
    Found(Found<'a>),
    /// It was refused. `operation` of the failure is not part of the encoding: its place in the
    /// results says which it is.
    Failed(Failure<'a>),
}

impl<'a> OpResult<'a> {
    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        match self {
            Self::Written { effect, revision } => {
                writer.u8(0);
                writer.u8(match effect {
                    Effect::Created => CREATED,
                    Effect::Replaced => REPLACED,
                    Effect::Deleted => DELETED,
                });
                writer.u64(*revision);
                Ok(())
            }
            Self::Found(found) => {
                writer.u8(0);
                writer.u8(FOUND);
                found.write(writer)
            }
            Self::Failed(failure) if failure.status == 0 => {
                Err(writer.error("status", Problem::Value(0)))
            }
            Self::Failed(failure) => {
                writer.u8(failure.status);
                writer.u8(u8::from(failure.retryable) * RETRYABLE);
                writer.bytes16("message", cut(&failure.message).as_bytes())
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let status = reader.u8("status")?;
        if status != 0 {
            let retryable = reader.flags("flags of the failure", RETRYABLE)? != 0;
            let message = Cow::Borrowed(reader.text16("message")?);
            return Ok(Self::Failed(Failure { status, retryable, operation: None, message }));
        }
        let effect = match reader.choice("kind of result", |kind| match kind {
            CREATED => Some(Some(Effect::Created)),
            REPLACED => Some(Some(Effect::Replaced)),
            DELETED => Some(Some(Effect::Deleted)),
            FOUND => Some(None),
            _ => None,
        })? {
            Some(effect) => effect,
            None => return Found::read(reader).map(Self::Found),
        };
        Ok(Self::Written { effect, revision: reader.u64("revision")? })
    }
}

/// What became of the operations of a request, or of a transaction at its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed<'a> {
    /// The newest revision that was written; 0 when nothing was, and within a transaction.
    pub lsn: u64,
    /// One for each operation, in their order.
    pub results: Vec<OpResult<'a>>,
}
