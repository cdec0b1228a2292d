//! Requests.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | request id; the answer carries it |
//! | 8 | 8 | database, as OpenDb answered it; 0 = none |
//! | 16 | 8 | transaction, as Begin answered it; 0 = none |
//! | 24 | 1 | command |
//! | 25 | 1 | flags; bit 0 with Execute: the operations are independent |
//! | 26 | … | what the command needs |

use std::ops::Deref;

use super::OPS_MAX;
use super::bytes::{Reader, Writer, frame};
use super::command::{Command, Names};
use super::error::{Problem, WireError};
use super::id::Id;
use super::op::{OP_BYTES_MIN, Op};

/// What errors call the request id.
pub(super) const REQUEST_ID: &str = "request id";

const INDEPENDENT: u8 = 1;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Chosen by the client; its answer carries it. One that is in use must not be used again, and
    /// 0 is what the server answers to when it cannot read an id.
    pub id: u64,
    /// The database, as [`Command::OpenDb`] answered it; 0 for none.
    pub database: u64,
    /// The transaction, as [`Command::Begin`] answered it; 0 for none.
    pub transaction: u64,
    /// What it asks for.
    pub call: Call<'a>,
}

/// Whether opening may make a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist.
    Existing,
    /// It is made when it does not exist.
    OrCreate,
    /// It must not exist, and is made.
    Create,
}

/// How operations belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecuteMode {
    /// All or none, in one commit.
    Atomic,
    /// Each for itself: some may be refused while others are done.
    Independent,
}

/// Whether dropping loses documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropMode {
    /// Only an empty collection.
    IfEmpty,
    /// With everything in it.
    WithDocuments,
}

/// What to do about one document that may be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealAction {
    /// Read it, and heal it if it is damaged.
    Heal,
    /// Name the versions that are left of it.
    Versions,
    /// Write this version of it anew, in the place of the one that is lost.
    Accept(u64),
}

/// The format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus text.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

/// A page of a list of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing<'a> {
    /// Names behind this one; empty for the first page.
    pub after: &'a str,
    /// Entries, at most. The server may answer fewer, and says whether there are more.
    pub limit: u32,
}

/// Where a page of a scan begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor<'a> {
    /// A new scan.
    Range {
        /// From this id, itself included; none for the first there is.
        from: Option<Id<'a>>,
        /// Whether `from` itself is left out.
        after: bool,
        /// Up to this id, itself included; none for the last there is.
        to: Option<Id<'a>>,
        /// Whether `to` itself is left out.
        before: bool,
    },
    /// The scan that answered this, at most 1,024 bytes, from where that page ended. Valid on this
    /// connection only.
    Next(&'a [u8]),
}

/// A page of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanCall<'a> {
    /// The name of the collection.
    pub collection: &'a str,
    /// Which part of it.
    pub cursor: Cursor<'a>,
    /// Documents, at most. The server may answer fewer.
    pub limit: u32,
}

/// Operations, the caller's or the request's own. (A `Cow` would tie the lifetimes of two requests
/// together that are compared.)
#[derive(Debug, Clone)]
pub enum Ops<'a> {
    /// The caller's.
    Borrowed(&'a [Op<'a>]),
    /// The request's own.
    Owned(Vec<Op<'a>>),
}

impl<'a> Deref for Ops<'a> {
    type Target = [Op<'a>];

    fn deref(&self) -> &[Op<'a>] {
        match self {
            Self::Borrowed(ops) => ops,
            Self::Owned(ops) => ops,
        }
    }
}

impl PartialEq for Ops<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Ops<'_> {}

impl<'a> From<Vec<Op<'a>>> for Ops<'a> {
    fn from(ops: Vec<Op<'a>>) -> Self {
        Self::Owned(ops)
    }
}

impl<'a> From<&'a [Op<'a>]> for Ops<'a> {
    fn from(ops: &'a [Op<'a>]) -> Self {
        Self::Borrowed(ops)
    }
}

/// What a request asks for, with what that needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call<'a> {
    /// Opens the database of this name on this connection.
    OpenDb {
        /// Its name.
        name: &'a str,
        /// Whether it may be made.
        mode: OpenMode,
    },
    /// Lets go of a database: its number means nothing afterwards.
    CloseDb,
    /// Does operations on documents. Within a transaction each is answered for itself in either
    /// mode, and one that is refused has done nothing.
    Execute {
        /// At most [`OPS_MAX`].
        ops: Ops<'a>,
        /// How they belong together.
        mode: ExecuteMode,
    },
    /// Statistics of the database, or of the server with database 0.
    Stats,
    /// Makes a collection.
    CreateCollection {
        /// Its name.
        name: &'a str,
    },
    /// Removes a collection.
    DeleteCollection {
        /// Its name.
        name: &'a str,
        /// Whether that may lose documents.
        mode: DropMode,
    },
    /// Lists collections, by name.
    ListCollections(Listing<'a>),
    /// Lists databases, by name.
    ListDbs(Listing<'a>),
    /// Heals one document.
    Heal {
        /// The name of its collection.
        collection: &'a str,
        /// Which.
        id: Id<'a>,
        /// What to do.
        action: HealAction,
    },
    /// Checks every data file and heals what can be healed.
    HealAll,
    /// Statistics of healing.
    HealStats,
    /// All metrics.
    Metrics(MetricsFormat),
    /// A query, JSON.
    Query(&'a str),
    /// Begins a transaction.
    Begin,
    /// Commits the transaction of the request.
    Commit,
    /// Ends the transaction of the request without a trace.
    Rollback,
    /// Reads documents and says which are not sound.
    Validate {
        /// Of this collection; empty for all.
        collection: &'a str,
    },
    /// Reads the change feed.
    Changes {
        /// The position of the last change that was dealt with; 0 for all.
        after: u64,
        /// Changes, at most. The server may answer fewer.
        limit: u32,
        /// How long to wait for the first one, milliseconds. The server may wait less.
        wait_ms: u32,
    },
    /// Removes a database and everything in it.
    DropDb {
        /// Its name.
        name: &'a str,
    },
    /// Takes a checkpoint.
    Checkpoint,
    /// Compacts data files.
    Compact,
    /// Reads a page of a collection.
    Scan(ScanCall<'a>),
    /// How a query would be done, JSON.
    Explain(&'a str),
    /// Reads or sets the schema of a collection, JSON.
    Schema(&'a str),
    /// Searches application logs, JSON.
    Logs(&'a str),
    /// Takes a backup.
    Backup {
        /// Its name, below the server's directory for backups.
        name: &'a str,
    },
    /// Does nothing.
    Ping,
}

impl Call<'_> {
    /// The command.
    #[must_use]
    pub const fn command(&self) -> Command {
        match self {
            Self::OpenDb { .. } => Command::OpenDb,
            Self::CloseDb => Command::CloseDb,
            Self::Execute { .. } => Command::Execute,
            Self::Stats => Command::Stats,
            Self::CreateCollection { .. } => Command::CreateCollection,
            Self::DeleteCollection { .. } => Command::DeleteCollection,
            Self::ListCollections(_) => Command::ListCollections,
            Self::ListDbs(_) => Command::ListDbs,
            Self::Heal { .. } => Command::Heal,
            Self::HealAll => Command::HealAll,
            Self::HealStats => Command::HealStats,
            Self::Metrics(_) => Command::Metrics,
            Self::Query(_) => Command::Query,
            Self::Begin => Command::Begin,
            Self::Commit => Command::Commit,
            Self::Rollback => Command::Rollback,
            Self::Validate { .. } => Command::Validate,
            Self::Changes { .. } => Command::Changes,
            Self::DropDb { .. } => Command::DropDb,
            Self::Checkpoint => Command::Checkpoint,
            Self::Compact => Command::Compact,
            Self::Scan(_) => Command::Scan,
            Self::Explain(_) => Command::Explain,
            Self::Schema(_) => Command::Schema,
            Self::Logs(_) => Command::Logs,
            Self::Backup { .. } => Command::Backup,
            Self::Ping => Command::Ping,
        }
    }

    /// Whether the call leaves documents, databases and connection as they were, so that sending
    /// it twice does no harm.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        if let Self::Execute { ops, .. } = self {
            return ops.iter().all(Op::only_reads);
        }
        if let Self::OpenDb { mode, .. } = self {
            return *mode == OpenMode::Existing;
        }
        let is_look = matches!(self, Self::Heal { action: HealAction::Versions, .. });
        is_look || self.command().only_reads()
    }

    fn write(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        match self {
            Self::OpenDb { name, mode } => {
                writer.u8(match mode {
                    OpenMode::Existing => 0,
                    OpenMode::OrCreate => 1,
                    OpenMode::Create => 2,
                });
                writer.name("name", name)
            }
            Self::Execute { ops, .. } => {
                writer.count("operations", ops.len(), OPS_MAX)?;
                for (number, op) in ops.iter().enumerate() {
                    op.write(writer).map_err(|error| error.in_entry(number))?;
                }
                Ok(())
            }
            Self::CreateCollection { name } | Self::DropDb { name } | Self::Backup { name } => {
                writer.name("name", name)
            }
            Self::DeleteCollection { name, mode } => {
                writer.u8(u8::from(*mode == DropMode::WithDocuments));
                writer.name("name", name)
            }
            Self::ListCollections(page) | Self::ListDbs(page) => {
                writer.u32(page.limit);
                writer.name("name", page.after)
            }
            Self::Heal { collection, id, action } => write_heal(writer, collection, id, *action),
            Self::Metrics(format) => {
                writer.u8(u8::from(*format == MetricsFormat::OpenMetrics));
                Ok(())
            }
            Self::Query(json) | Self::Explain(json) | Self::Schema(json) | Self::Logs(json) => {
                writer.bytes32("JSON", json.as_bytes())
            }
            Self::Validate { collection } => writer.name("collection", collection),
            Self::Changes { after, limit, wait_ms } => {
                writer.u64(*after);
                writer.u32(*limit);
                writer.u32(*wait_ms);
                Ok(())
            }
            Self::Scan(scan) => scan.write(writer),
            Self::CloseDb
            | Self::Stats
            | Self::HealAll
            | Self::HealStats
            | Self::Begin
            | Self::Commit
            | Self::Rollback
            | Self::Checkpoint
            | Self::Compact
            | Self::Ping => Ok(()),
        }
    }
}

impl<'a> Request<'a> {
    /// A request without a transaction.
    #[must_use]
    pub const fn new(id: u64, database: u64, call: Call<'a>) -> Self {
        Self { id, database, transaction: 0, call }
    }

    /// Appends the frame of the request, its length included.
    ///
    /// # Errors
    /// When a part is larger than its place, or the request names a database or transaction that
    /// its command has no use for: `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let command = self.call.command();
        let is_independent =
            matches!(self.call, Call::Execute { mode: ExecuteMode::Independent, .. });
        let flags = if is_independent { INDEPENDENT } else { 0 };
        check_names(command, self.database, self.transaction)?;
        frame(out, |writer| {
            writer.u64(self.id);
            writer.u64(self.database);
            writer.u64(self.transaction);
            writer.u8(command.number());
            writer.u8(flags);
            self.call.write(writer)
        })
    }

    /// Reads the body of a frame; what it holds is borrowed.
    ///
    /// # Errors
    /// What is wrong with it. [`Request::id_of`] has the id to answer to.
    pub fn decode(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let id = reader.u64(REQUEST_ID)?;
        let database = reader.u64("database")?;
        let transaction = reader.u64("transaction")?;
        let command = reader.choice("command", Command::from_number)?;
        check_names(command, database, transaction)?;
        let known = if command == Command::Execute { INDEPENDENT } else { 0 };
        let flags = reader.flags("flags of the request", known)?;
        let call = Call::read(command, flags, &mut reader)?;
        reader.finish()?;
        Ok(Self { id, database, transaction, call })
    }

    /// The request id at the start of a body, whatever the rest of it is; 0 when the body is too
    /// short to have one.
    #[must_use]
    pub fn id_of(body: &[u8]) -> u64 {
        Reader::new(body).u64(REQUEST_ID).unwrap_or_default()
    }
}

fn check_names(command: Command, database: u64, transaction: u64) -> Result<(), WireError> {
    let names = command.names();
    if database != 0 && names == Names::Nothing {
        return Err(WireError::new("database", Problem::Value(database), 8));
    }
    if transaction != 0 && names != Names::Transaction {
        return Err(WireError::new("transaction", Problem::Value(transaction), 16));
    }
    Ok(())
}

impl<'a> Call<'a> {
    fn read(command: Command, flags: u8, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(match command {
            Command::OpenDb => {
                let mode = reader.choice("mode of opening", |mode| match mode {
                    0 => Some(OpenMode::Existing),
                    1 => Some(OpenMode::OrCreate),
                    2 => Some(OpenMode::Create),
                    _ => None,
                })?;
                Self::OpenDb { name: reader.name("name")?, mode }
            }
            Command::CloseDb => Self::CloseDb,
            Command::Execute => {
                let mode = if flags & INDEPENDENT == 0 {
                    ExecuteMode::Atomic
                } else {
                    ExecuteMode::Independent
                };
                let count = reader.count("operations", OPS_MAX, OP_BYTES_MIN)?;
                Self::Execute { ops: reader.entries(count, Op::read_from)?.into(), mode }
            }
            Command::Stats => Self::Stats,
            Command::CreateCollection => Self::CreateCollection { name: reader.name("name")? },
            Command::DeleteCollection => {
                let mode = reader.choice("mode of dropping", |mode| match mode {
                    0 => Some(DropMode::IfEmpty),
                    1 => Some(DropMode::WithDocuments),
                    _ => None,
                })?;
                Self::DeleteCollection { name: reader.name("name")?, mode }
            }
            Command::ListCollections => Self::ListCollections(Listing::read(reader)?),
            Command::ListDbs => Self::ListDbs(Listing::read(reader)?),
            Command::Heal => read_heal(reader)?,
            Command::HealAll => Self::HealAll,
            Command::HealStats => Self::HealStats,
            Command::Metrics => Self::Metrics(reader.choice("format", |format| match format {
                0 => Some(MetricsFormat::Prometheus),
                1 => Some(MetricsFormat::OpenMetrics),
                _ => None,
            })?),
            Command::Query => Self::Query(reader.text32("JSON")?),
            Command::Begin => Self::Begin,
            Command::Commit => Self::Commit,
            Command::Rollback => Self::Rollback,
            Command::Validate => Self::Validate { collection: reader.name("collection")? },
            Command::Changes => Self::Changes {
                after: reader.u64("position")?,
                limit: reader.u32("limit")?,
                wait_ms: reader.u32("time to wait")?,
            },
            Command::DropDb => Self::DropDb { name: reader.name("name")? },
            Command::Checkpoint => Self::Checkpoint,
            Command::Compact => Self::Compact,
            Command::Scan => Self::Scan(ScanCall::read(reader)?),
            Command::Explain => Self::Explain(reader.text32("JSON")?),
            Command::Schema => Self::Schema(reader.text32("JSON")?),
            Command::Logs => Self::Logs(reader.text32("JSON")?),
            Command::Backup => Self::Backup { name: reader.name("name")? },
            Command::Ping => Self::Ping,
        })
    }
}

impl<'a> Listing<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let limit = reader.u32("limit")?;
        Ok(Self { limit, after: reader.name("name")? })
    }
}

fn write_heal(
    writer: &mut Writer<'_>,
    collection: &str,
    id: &Id<'_>,
    action: HealAction,
) -> Result<(), WireError> {
    let (kind, revision) = match action {
        HealAction::Heal => (0, 0),
        HealAction::Versions => (1, 0),
        HealAction::Accept(revision) => (2, revision),
    };
    writer.u8(kind);
    writer.u64(revision);
    writer.name("collection", collection)?;
    id.write(writer)
}

fn read_heal<'a>(reader: &mut Reader<'a>) -> Result<Call<'a>, WireError> {
    let at = reader.offset();
    let kind = reader.u8("action")?;
    let revision = reader.u64("revision")?;
    let action = match (kind, revision) {
        (0, 0) => HealAction::Heal,
        (1, 0) => HealAction::Versions,
        (2, revision) => HealAction::Accept(revision),
        (0 | 1, revision) => {
            return Err(WireError::new("revision", Problem::Value(revision), at));
        }
        (kind, _) => return Err(WireError::new("action", Problem::Unknown(u64::from(kind)), at)),
    };
    Ok(Call::Heal { collection: reader.name("collection")?, id: Id::read(reader)?, action })
}

const FROM: u8 = 1;
const AFTER: u8 = 2;
const TO: u8 = 4;
const BEFORE: u8 = 8;
const NEXT: u8 = 16;
/// Longest cursor.
const CURSOR_BYTES_MAX: usize = 1024;

impl<'a> ScanCall<'a> {
    fn write(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u32(self.limit);
        writer.name("collection", self.collection)?;
        match &self.cursor {
            Cursor::Range { from, after, to, before } => {
                let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
                let after = from.is_some() && *after;
                let before = to.is_some() && *before;
                writer.u8(flag(from.is_some(), FROM)
                    | flag(after, AFTER)
                    | flag(to.is_some(), TO)
                    | flag(before, BEFORE));
                for id in [from, to].into_iter().flatten() {
                    id.write(writer)?;
                }
                Ok(())
            }
            Cursor::Next(cursor) => {
                writer.u8(NEXT);
                if cursor.len() > CURSOR_BYTES_MAX {
                    let problem = Problem::TooLong { bytes: cursor.len(), max: CURSOR_BYTES_MAX };
                    return Err(writer.error("cursor", problem));
                }
                writer.bytes16("cursor", cursor)
            }
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let limit = reader.u32("limit")?;
        let collection = reader.name("collection")?;
        let at = reader.offset();
        let flags = reader.flags("flags of the scan", FROM | AFTER | TO | BEFORE | NEXT)?;
        let has = |flag| flags & flag != 0;
        let is_lone = (has(AFTER) && !has(FROM)) || (has(BEFORE) && !has(TO));
        if is_lone || (has(NEXT) && flags != NEXT) {
            let problem = Problem::Value(u64::from(flags));
            return Err(WireError::new("flags of the scan", problem, at));
        }
        let cursor = if has(NEXT) {
            let at = reader.offset();
            let cursor = reader.bytes16("cursor")?;
            if cursor.len() > CURSOR_BYTES_MAX {
                let problem = Problem::TooLong { bytes: cursor.len(), max: CURSOR_BYTES_MAX };
                return Err(WireError::new("cursor", problem, at));
            }
            Cursor::Next(cursor)
        } else {
            let from = if has(FROM) { Some(Id::read(reader)?) } else { None };
            let to = if has(TO) { Some(Id::read(reader)?) } else { None };
            Cursor::Range { from, after: has(AFTER), to, before: has(BEFORE) }
        };
        Ok(Self { collection, cursor, limit })
    }
}
