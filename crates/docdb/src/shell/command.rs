//! A statement as a value: everything that was typed is understood, or refused, before anything is
//! sent.

use std::ops::Bound;
use std::time::Duration;

use client::{DropMode, ErrorCode, HealAction, Id, MetricsFormat};

use super::catalog::{self, Spec};
use super::fault::Fault;
use super::line::{Shape, shape, words};
use super::options::{Arguments, number};

/// Documents of a scan unless it says otherwise.
const SCAN_LIMIT: usize = 100;
/// Most documents of a scan.
const SCAN_LIMIT_MAX: u64 = 10_000;
/// Statements that `.history` shows unless it is told otherwise.
const HISTORY_SHOWN: usize = 20;

/// Which write, and its document or patch as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Of a document that does not exist.
    Create(String),
    /// Of one that does.
    Update(String),
    /// Of either.
    Upsert(String),
    /// Parts of one that exists.
    Patch(String),
    /// None at all: the document goes.
    Delete,
}

/// A write of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Which.
    pub id: Id,
    /// What.
    pub payload: Payload,
    /// The revision that the document must be at.
    pub if_revision: Option<u64>,
    /// How long it lives.
    pub ttl: Option<Duration>,
}

/// The range of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRange {
    /// Its lower end.
    pub from: Bound<Id>,
    /// Its upper end.
    pub to: Bound<Id>,
    /// Most documents of it.
    pub limit: usize,
}

/// What is asked of the whole database, and answered with a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Statistics.
    Stats,
    /// Of the log alone.
    Log,
    /// Heals everything.
    HealAll,
    /// What was healed.
    HealStats,
    /// Reads everything.
    Validate,
    /// Moves memory to data files.
    Checkpoint,
    /// Rewrites data files.
    Compact,
}

/// What is done with a search schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaAction {
    /// It is printed.
    Read,
    /// The documents are described.
    Infer,
    /// It is changed, as was typed.
    Set(String),
    /// It is taken away.
    Remove,
}

/// A command that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The list of commands, or one of them.
    Help(Option<&'static Spec>),
    /// Leaves.
    Exit,
    /// Clears the screen.
    Clear,
    /// Opens a database; `create` makes it.
    Open {
        /// Its name.
        name: String,
        /// Whether it is made.
        create: bool,
    },
    /// Goes on with a database.
    Use(String),
    /// Lets go of a database.
    Close(Option<String>),
    /// Lists databases.
    Databases,
    /// Prints where the shell is.
    Place,
    /// Sets or prints whether documents take several lines.
    Pretty(Option<bool>),
    /// Prints the last statements.
    History(usize),
    /// Writes a document.
    Write(Write),
    /// Reads a document.
    Read(Id),
    /// Reads a range.
    Scan(ScanRange),
    /// Answers a query.
    Query(String),
    /// Says how a query would be answered.
    Explain(String),
    /// Reads or sets the search schema.
    Schema(SchemaAction),
    /// Makes a collection.
    CreateCollection(String),
    /// Removes a collection.
    DropCollection(String, DropMode),
    /// Lists collections.
    Collections,
    /// Goes on with a collection.
    UseCollection(String),
    /// Something with the whole database.
    Job(Job),
    /// Statistics of the server.
    ServerStats,
    /// Memory of the server.
    Memory,
    /// Heals a document.
    Heal(Id, HealAction),
    /// Takes a backup.
    Backup(String),
    /// Removes a database.
    Drop(String),
    /// Prints metrics.
    Metrics(MetricsFormat),
    /// Begins a transaction.
    Begin,
    /// Commits it.
    Commit,
    /// Ends it.
    Rollback,
    /// Follows the change feed.
    Watch {
        /// Behind which position; none for the newest one.
        after: Option<u64>,
        /// How many changes; none for ever.
        count: Option<u64>,
    },
    /// Finds log entries: names and values of a search.
    Logs(Vec<(&'static str, String)>),
    /// Asks for an answer.
    Ping,
}

/// The command of a statement; none for an empty one and for a comment.
///
/// # Errors
/// `InvalidQuery`, `InvalidId` and `Unsupported`, with what is wrong.
pub fn parse(statement: &str) -> Result<Option<Command>, Fault> {
    if shape(statement) == Shape::Nothing {
        return Ok(None);
    }
    let mut words = words(statement)?.into_iter();
    let Some(first) = words.next() else { return Ok(None) };
    let Some(spec) = catalog::find(first.raw) else { return Err(unknown(first.raw)) };
    let mut arguments = Arguments::new(spec, words)?;
    let command = command(spec, &mut arguments)?;
    arguments.end()?;
    Ok(Some(command))
}

fn unknown(name: &str) -> Fault {
    let shown = super::output::shortened(name);
    if !name.starts_with('.') {
        let message = format!("commands begin with a dot: `{shown}`; .help lists them");
        return Fault::argument(message);
    }
    Fault::argument(match catalog::nearest(name) {
        Some(nearest) => format!("there is no command `{shown}`; did you mean {nearest}?"),
        None => format!("there is no command `{shown}`; .help lists them"),
    })
}

fn command(spec: &Spec, arguments: &mut Arguments<'_>) -> Result<Command, Fault> {
    Ok(match spec.name {
        ".create" | ".update" | ".upsert" | ".patch" | ".delete" => {
            Command::Write(write(spec.name, arguments)?)
        }
        ".read" => Command::Read(arguments.id()?),
        ".scan" => Command::Scan(scan(arguments)?),
        ".query" => Command::Query(arguments.json("the query")?),
        ".explain" => Command::Explain(arguments.json("the query")?),
        ".schema" => Command::Schema(schema(arguments)?),
        ".list-collections" | ".collections" => Command::Collections,
        ".create-collection" => Command::CreateCollection(arguments.name("the collection")?),
        ".drop-collection" => {
            let force = arguments.flag("--force");
            let mode = if force { DropMode::WithDocuments } else { DropMode::IfEmpty };
            Command::DropCollection(arguments.name("the collection")?, mode)
        }
        ".use-collection" => Command::UseCollection(arguments.name("the collection")?),
        ".ls" => Command::Databases,
        ".open" => {
            let create = arguments.flag("--create");
            Command::Open { name: arguments.name("the database")?, create }
        }
        ".use" => Command::Use(arguments.name("the database")?),
        ".close" => Command::Close(arguments.optional().map(|word| word.text().to_owned())),
        ".drop" => Command::Drop(arguments.name("the database")?),
        ".pwd" => Command::Place,
        ".begin" => Command::Begin,
        ".commit" => Command::Commit,
        ".rollback" => Command::Rollback,
        ".watch" => {
            let (after, count) = (arguments.number("--after")?, arguments.number("--count")?);
            Command::Watch { after, count }
        }
        ".stats" if arguments.flag("--server") => Command::ServerStats,
        ".mem" => Command::Memory,
        ".heal" => Command::Heal(arguments.id()?, heal(arguments)?),
        ".backup" => Command::Backup(arguments.name("the name of the backup")?),
        ".metrics" if arguments.flag("--openmetrics") => {
            Command::Metrics(MetricsFormat::OpenMetrics)
        }
        ".metrics" => Command::Metrics(MetricsFormat::Prometheus),
        ".logs" => Command::Logs(logs(arguments)?),
        ".ping" => Command::Ping,
        name => match job(name) {
            Some(job) => Command::Job(job),
            None => of_the_shell(name, arguments)?,
        },
    })
}

/// What a search for log entries asks for; the server says whether the values make sense.
fn logs(arguments: &mut Arguments<'_>) -> Result<Vec<(&'static str, String)>, Fault> {
    let mut asked = Vec::new();
    for (option, name) in
        [("--severity", "severity_max"), ("--app", "app_name"), ("--host", "hostname")]
    {
        if let Some(word) = arguments.value(option) {
            asked.push((name, word.text().to_owned()));
        }
    }
    if let Some(limit) = arguments.number("--limit")? {
        asked.push(("limit", limit.to_string()));
    }
    if let Some(word) = arguments.optional() {
        asked.push(("text", word.text().to_owned()));
    }
    Ok(asked)
}

fn job(name: &str) -> Option<Job> {
    Some(match name {
        ".stats" => Job::Stats,
        ".wal" => Job::Log,
        ".heal-all" => Job::HealAll,
        ".heal-stats" => Job::HealStats,
        ".validate" => Job::Validate,
        ".checkpoint" => Job::Checkpoint,
        ".compact" => Job::Compact,
        _ => return None,
    })
}

/// Commands that concern the shell alone.
fn of_the_shell(name: &str, arguments: &mut Arguments<'_>) -> Result<Command, Fault> {
    match name {
        ".pretty" => {
            let Some(word) = arguments.optional() else { return Ok(Command::Pretty(None)) };
            match word.raw {
                "on" => Ok(Command::Pretty(Some(true))),
                "off" => Ok(Command::Pretty(Some(false))),
                _ => Err(Fault::argument("usage: .pretty [on|off]")),
            }
        }
        ".history" => {
            let Some(word) = arguments.optional() else {
                return Ok(Command::History(HISTORY_SHOWN));
            };
            let count = number(&word, "N")?;
            Ok(Command::History(usize::try_from(count).unwrap_or(usize::MAX)))
        }
        ".help" => {
            let Some(word) = arguments.optional() else { return Ok(Command::Help(None)) };
            let dotted = match word.text() {
                text if text.starts_with('.') => text.to_owned(),
                text => format!(".{text}"),
            };
            let spec = catalog::find(&dotted).ok_or_else(|| unknown(&dotted))?;
            Ok(Command::Help(Some(spec)))
        }
        ".clear" => Ok(Command::Clear),
        ".exit" => Ok(Command::Exit),
        _ => Err(Fault::coded(ErrorCode::Internal, format!("{name} is listed and not known"))),
    }
}

fn write(name: &str, arguments: &mut Arguments<'_>) -> Result<Write, Fault> {
    let if_revision = arguments.number("--if-revision")?;
    let ttl = arguments.duration("--ttl")?;
    let id = arguments.id()?;
    let payload = match name {
        ".create" => Payload::Create(arguments.json("the document")?),
        ".update" => Payload::Update(arguments.json("the document")?),
        ".upsert" => Payload::Upsert(arguments.json("the document")?),
        ".patch" => Payload::Patch(arguments.json("the list of operations")?),
        _ => Payload::Delete,
    };
    Ok(Write { id, payload, if_revision, ttl })
}

fn scan(arguments: &mut Arguments<'_>) -> Result<ScanRange, Fault> {
    let mut bound = |inside: &str, outside: &str| match (
        arguments.id_option(inside)?,
        arguments.id_option(outside)?,
    ) {
        (None, None) => Ok(Bound::Unbounded),
        (Some(id), None) => Ok(Bound::Included(id)),
        (None, Some(id)) => Ok(Bound::Excluded(id)),
        (Some(_), Some(_)) => {
            Err(Fault::argument(format!("{inside} and {outside} exclude each other")))
        }
    };
    let (from, to) = (bound("--from", "--after")?, bound("--to", "--before")?);
    let limit = match arguments.number("--limit")? {
        None => SCAN_LIMIT,
        Some(limit @ 1..=SCAN_LIMIT_MAX) => usize::try_from(limit).unwrap_or(SCAN_LIMIT),
        Some(_) => {
            return Err(Fault::argument(format!("--limit is from 1 to {SCAN_LIMIT_MAX}")));
        }
    };
    Ok(ScanRange { from, to, limit })
}

fn schema(arguments: &mut Arguments<'_>) -> Result<SchemaAction, Fault> {
    match (arguments.flag("--infer"), arguments.flag("--remove")) {
        (true, true) => Err(Fault::argument("--infer and --remove exclude each other")),
        (true, false) => Ok(SchemaAction::Infer),
        (false, true) => Ok(SchemaAction::Remove),
        (false, false) => Ok(match arguments.optional() {
            Some(word) => SchemaAction::Set(word.raw.to_owned()),
            None => SchemaAction::Read,
        }),
    }
}

fn heal(arguments: &mut Arguments<'_>) -> Result<HealAction, Fault> {
    match (arguments.flag("--versions"), arguments.number("--accept")?) {
        (false, None) => Ok(HealAction::Heal),
        (true, None) => Ok(HealAction::Versions),
        (false, Some(revision)) => Ok(HealAction::Accept(revision)),
        (true, Some(_)) => Err(Fault::argument("--versions and --accept exclude each other")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(text: &str) -> Command {
        parse(text).unwrap().unwrap()
    }

    fn refused(text: &str) -> String {
        let fault = parse(text).unwrap_err();
        format!("{}: {}", fault.code, fault.message)
    }

    #[test]
    fn every_command_that_is_listed_is_known() {
        for spec in catalog::COMMANDS {
            assert!(!matches!(parse(spec.name), Err(fault) if fault.code == "Internal"));
        }
    }

    #[test]
    fn a_document_is_kept_as_it_was_typed_and_options_stand_anywhere() {
        let write = |payload, if_revision, ttl| {
            let ttl = Option::map(ttl, Duration::from_secs);
            Command::Write(Write { id: Id::U64(1), payload, if_revision, ttl })
        };
        let document = "{\"a\" :  9.90}".to_owned();
        assert_eq!(
            understood(".update 1 {\"a\" :  9.90} --if-revision 7 --ttl=1m"),
            write(Payload::Update(document.clone()), Some(7), Some(60))
        );
        assert_eq!(
            understood(".create --ttl 2s 1 {\"a\" :  9.90}"),
            write(Payload::Create(document), None, Some(2))
        );
        assert_eq!(
            understood(".upsert 1 \"a \\u00e9\""),
            write(Payload::Upsert("\"a \\u00e9\"".to_owned()), None, None)
        );
        assert_eq!(understood(".delete 1 --if-revision 0"), write(Payload::Delete, Some(0), None));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        let check = |text: &str, expect: &str| {
            let refused = refused(text);
            assert!(refused.contains(expect), "{text}: {refused}");
        };
        check(".craete 1 {}", "InvalidQuery: there is no command `.craete`; did you mean .create?");
        check("create 1 {}", "commands begin with a dot");
        check("\".ping\"", "commands begin with a dot");
        check(".read", "the id is missing; usage: .read ID");
        check(".create 1", "the document is missing; usage: .create ID DOCUMENT [--ttl DURATION]");
        check(".create 1 {} {}", "`{}` is one too many");
        check(".create 1 {} --if-revision 3", ".create has no option `--if-revision`");
        check(".read --x", ".read has no options: `--x`; quotes make an id of it");
        check(".patch 1 [] --ttl 1s", ".patch has no option `--ttl`");
        check(".update 1 {} --ttl", "--ttl DURATION: the value is missing");
        check(".update 1 {} --ttl 5", "--ttl is a number and ms, s, m, h or d");
        check(".update 1 {} --if-revision x", "--if-revision is a number");
        check(".delete 1 --if-revision 1 --if-revision 1", "stands there twice");
        check(".drop-collection a --force=1", "--force has no value");
        check(".create 1 raw:abc", "Unsupported: documents are JSON; there are no `raw:` payloads");
        check(".create 1 hex:00 ff", "no `hex:` payloads");
        check(".create 99999999999999999999 {}", "InvalidId");
        check(".scan --from 1 --after 2", "exclude each other");
        check(".scan --limit 0", "--limit is from 1 to 10000");
        check(".heal 1 --versions --accept 3", "exclude each other");
        check(".pretty maybe", "usage: .pretty [on|off]");
        check(".history x", "N is a number");
    }

    #[test]
    fn comments_and_empty_lines_are_nothing() {
        for text in ["", "  ", "# .drop default", "  # x"] {
            assert_eq!(parse(text), Ok(None), "{text}");
        }
    }
}
