//! The first frame of each side.
//!
//! | bytes | field of the client's hello |
//! |---|---|
//! | 8 | magic `DOCDBIPC` |
//! | 2 | lowest version of the protocol that the client speaks |
//! | 2 | highest |
//! | 2 and so many | API key; empty for none |
//!
//! | bytes | field of the server's welcome |
//! |---|---|
//! | 8 | magic `DOCDBIPC` |
//! | 1 | status: 0, or the number of an error |
//! | 2 | with status 0: version that both will speak |
//! | 2 and so many | with status 0: what the server is, such as `docdb 1.2.3` |
//! | … | otherwise: the failure; the server closes |

use std::fmt;

use super::VERSION;
use super::bytes::{Reader, Writer, frame};
use super::error::{Problem, WireError};
use super::results::Failure;

const MAGIC: [u8; 8] = *b"DOCDBIPC";
/// Longest API key.
const KEY_BYTES_MAX: usize = 1024;

fn check_magic(reader: &mut Reader<'_>) -> Result<(), WireError> {
    let at = reader.offset();
    let found: [u8; 8] = reader.array("magic")?;
    if found == MAGIC {
        return Ok(());
    }
    Err(WireError::new("magic", Problem::Value(u64::from_le_bytes(found)), at))
}

/// What a client says first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The lowest version of the protocol that it speaks.
    pub lowest: u16,
    /// The highest.
    pub highest: u16,
    /// Its API key; empty for none.
    pub key: &'a str,
}

/// The key is a secret.
impl fmt::Debug for Hello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_empty() { "none" } else { "given" };
        write!(f, "Hello {{ lowest: {}, highest: {}, key: {key} }}", self.lowest, self.highest)
    }
}

impl<'a> Hello<'a> {
    /// Says hello as this crate does.
    #[must_use]
    pub const fn new(key: &'a str) -> Self {
        Self { lowest: VERSION, highest: VERSION, key }
    }

    /// The version that a server of this crate speaks with the client; none when there is none.
    #[must_use]
    pub fn agreed(&self) -> Option<u16> {
        (self.lowest..=self.highest).contains(&VERSION).then_some(VERSION)
    }

    /// Appends the frame, its length included.
    ///
    /// # Errors
    /// When the key is longer than 1,024 bytes: `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        frame(out, |writer| {
            writer.raw(&MAGIC);
            writer.u16(self.lowest);
            writer.u16(self.highest);
            if self.key.len() > KEY_BYTES_MAX {
                let problem = Problem::TooLong { bytes: self.key.len(), max: KEY_BYTES_MAX };
                return Err(writer.error("key", problem));
            }
            writer.bytes16("key", self.key.as_bytes())
        })
    }

    /// Reads the body of a client's first frame.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        check_magic(&mut reader)?;
        let lowest = reader.u16("lowest version")?;
        let highest = reader.u16("highest version")?;
        let at = reader.offset();
        let key = reader.text16("key")?;
        if key.len() > KEY_BYTES_MAX {
            let problem = Problem::TooLong { bytes: key.len(), max: KEY_BYTES_MAX };
            return Err(WireError::new("key", problem, at));
        }
        reader.finish()?;
        Ok(Self { lowest, highest, key })
    }
}

/// What a server says first, unasked when it has no room for another client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The version that both will speak and what the server is, or why it refuses.
    pub outcome: Result<(u16, &'a str), Failure<'a>>,
}

impl<'a> Welcome<'a> {
    /// Appends the frame, its length included.
    ///
    /// # Errors
    /// When a text is longer than 65,535 bytes: `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        frame(out, |writer: &mut Writer<'_>| {
            writer.raw(&MAGIC);
            match &self.outcome {
                Ok((version, server)) => {
                    writer.u8(0);
                    writer.u16(*version);
                    writer.bytes16("server", server.as_bytes())
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

    /// Reads the body of a server's first frame.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        check_magic(&mut reader)?;
        let outcome = match reader.u8("status")? {
            0 => Ok((reader.u16("version")?, reader.text16("server")?)),
            status => Err(Failure::read(status, &mut reader)?),
        };
        reader.finish()?;
        Ok(Self { outcome })
    }
}
