//! The state of a shell, and commands carried out on it: one request each, and the answer printed.
//!
//! Invariants: a command that failed has changed nothing of the state; while a transaction is open
//! the shell stays with its database, because a transaction belongs to one.

mod databases;
mod documents;
mod operations;
mod search;

use std::collections::{BTreeSet, VecDeque};
use std::io;

use client::{Client, Database, Transaction};

use super::catalog::{COMMANDS, Spec};
use super::command::{Command, parse};
use super::fault::Fault;
use super::interrupt::Interrupt;
use super::output::{Form, Output};

/// The database that a shell begins with and falls back to; it always exists.
pub(super) const DEFAULT_DATABASE: &str = "default";
/// The collection that a shell uses in a database it has just turned to; it always exists.
pub(super) const DEFAULT_COLLECTION: &str = "default";

/// Statements that are remembered.
pub(super) const HISTORY_ENTRIES_MAX: usize = 1000;
/// Longest statement that is remembered: the history is for what people type.
pub(super) const HISTORY_ENTRY_BYTES_MAX: usize = 4096;

/// What comes after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Done,
    Failed,
    Exit,
}

/// Why a command was not carried out, or not to its end.
pub(super) enum Trouble {
    /// To be printed; the shell goes on.
    Fault(Fault),
    /// Nobody reads the output: the shell ends.
    Io(io::Error),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<client::Error> for Trouble {
    fn from(error: client::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) type Result<T = ()> = std::result::Result<T, Trouble>;

/// A shell between two commands.
pub(super) struct Session<'a> {
    pub(super) client: Client,
    pub(super) out: Output<'a>,
    pub(super) interrupt: Interrupt,
    pub(super) is_terminal: bool,
    pub(super) database: Database,
    pub(super) collection: String,
    /// Databases that this shell has opened.
    opened: BTreeSet<String>,
    transaction: Option<Transaction>,
    history: VecDeque<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        client: Client,
        out: Output<'a>,
        interrupt: Interrupt,
        is_terminal: bool,
    ) -> Self {
        let database = client.database(DEFAULT_DATABASE);
        Self {
            client,
            out,
            interrupt,
            is_terminal,
            database,
            collection: DEFAULT_COLLECTION.to_owned(),
            opened: BTreeSet::new(),
            transaction: None,
            history: VecDeque::new(),
        }
    }

    /// What stands before the line that is typed.
    pub(super) fn prompt(&self) -> String {
        let mark = if self.transaction.is_some() { "*" } else { "" };
        format!("{}/{}{mark}> ", self.database.name(), self.collection)
    }

    /// Remembers a statement, if it is worth it.
    pub(super) fn remember(&mut self, statement: &str) {
        let statement = statement.trim();
        let is_new = self.history.back().is_none_or(|last| last != statement);
        if !statement.is_empty() && statement.len() <= HISTORY_ENTRY_BYTES_MAX && is_new {
            if self.history.len() == HISTORY_ENTRIES_MAX {
                self.history.pop_front();
            }
            self.history.push_back(statement.to_owned());
        }
    }

    /// Carries out a statement and prints what became of it.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn run(&mut self, statement: &str) -> io::Result<Flow> {
        let done = match parse(statement) {
            Ok(None) => return Ok(Flow::Done),
            Ok(Some(Command::Exit)) => return Ok(Flow::Exit),
            Ok(Some(command)) => {
                self.remember(statement);
                self.carry_out(command)
            }
            Err(fault) => {
                self.remember(statement);
                Err(Trouble::Fault(fault))
            }
        };
        let flow = match done {
            Ok(()) => Flow::Done,
            Err(Trouble::Fault(fault)) => {
                self.out.error(&fault)?;
                Flow::Failed
            }
            Err(Trouble::Io(error)) => return Err(error),
        };
        self.out.flush()?;
        Ok(flow)
    }

    /// Prints a failure that no command had.
    pub(super) fn refuse(&mut self, fault: &Fault) -> io::Result<Flow> {
        self.out.error(fault)?;
        self.out.flush()?;
        Ok(Flow::Failed)
    }

    fn carry_out(&mut self, command: Command) -> Result {
        match command {
            Command::Help(spec) => self.help(spec),
            Command::Exit => Ok(()),
            Command::Clear if self.is_terminal => Ok(self.out.clear()?),
            Command::Clear => Ok(self.out.ok("")?),
            Command::Place => self.place(),
            Command::Pretty(form) => self.pretty(form),
            Command::History(count) => self.print_history(count),
            Command::Open { name, create } => self.open(&name, create),
            Command::Use(name) => self.use_database(&name),
            Command::Close(name) => self.close(name),
            Command::Databases => self.databases(),
            Command::Drop(name) => self.drop_database(&name),
            Command::CreateCollection(name) => self.create_collection(&name),
            Command::DropCollection(name, mode) => self.drop_collection(&name, mode),
            Command::Collections => self.collections(),
            Command::UseCollection(name) => self.use_collection(name),
            Command::Write(write) => self.write(&write),
            Command::Read(id) => self.read(&id),
            Command::Scan(range) => self.scan(range),
            Command::Query(query) => self.query(&query),
            Command::Explain(query) => self.explain(&query),
            Command::Schema(action) => self.search_schema(&action),
            Command::Begin => self.begin(),
            Command::Commit => self.commit(),
            Command::Rollback => self.rollback(),
            Command::Job(job) => self.job(job),
            Command::ServerStats => self.server_stats(),
            Command::Memory => self.memory(),
            Command::Heal(id, action) => self.heal(&id, action),
            Command::Backup(name) => self.backup(&name),
            Command::Metrics(format) => self.metrics(format),
            Command::Logs(asked) => self.logs(&asked),
            Command::Watch { after, count } => self.watch(after, count),
            Command::Ping => {
                self.client.ping()?;
                Ok(self.out.ok("")?)
            }
        }
    }

    /// Refuses what a transaction cannot have.
    fn without_transaction(&self, what: &str) -> Result {
        match self.transaction {
            None => Ok(()),
            Some(_) => Err(Trouble::Fault(Fault::argument(format!(
                "{what} while a transaction is open; .commit or .rollback ends it"
            )))),
        }
    }

    fn help(&mut self, spec: Option<&'static Spec>) -> Result {
        self.out.ok("")?;
        let Some(spec) = spec else {
            let width = COMMANDS.iter().map(|spec| spec.name.len()).max().unwrap_or_default();
            for spec in COMMANDS {
                self.out.line(&format!("{:width$}  {}", spec.name, spec.summary))?;
            }
            self.out.line(".help COMMAND says more about one of them.")?;
            return Ok(());
        };
        self.out.line(&format!("usage: {}", spec.usage()))?;
        self.out.line(&format!("{}.", upper_first(spec.summary)))?;
        if !spec.more.is_empty() {
            self.out.line(spec.more)?;
        }
        self.out.line(&format!("example: {}", spec.example))?;
        Ok(())
    }

    fn place(&mut self) -> Result {
        let transaction = if self.transaction.is_some() { "open" } else { "none" };
        let (database, collection) = (self.database.name(), &self.collection);
        let details =
            format!("database={database} collection={collection} transaction={transaction}");
        Ok(self.out.ok(&details)?)
    }

    fn pretty(&mut self, form: Option<bool>) -> Result {
        match form {
            Some(true) => self.out.form = Form::Pretty,
            Some(false) => self.out.form = Form::Compact,
            None => {}
        }
        let is_on = self.out.form == Form::Pretty;
        Ok(self.out.ok(if is_on { "pretty=on" } else { "pretty=off" })?)
    }

    fn print_history(&mut self, count: usize) -> Result {
        let skipped = self.history.len().saturating_sub(count);
        self.out.ok(&format!("statements={}", self.history.len() - skipped))?;
        let width = self.history.len().to_string().len();
        for (number, statement) in self.history.iter().enumerate().skip(skipped) {
            // Of a statement over several lines the others are indented, as it was typed.
            let mut lines = statement.lines();
            let first = lines.next().unwrap_or_default();
            self.out.line(&format!("{:>width$}  {first}", number + 1))?;
            for line in lines {
                self.out.line(&format!("{:>width$}  {line}", ""))?;
            }
        }
        Ok(())
    }
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), chars.as_str()))
}
