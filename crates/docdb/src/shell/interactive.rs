//! The shell at a terminal: a prompt, editing, completion by Tab, and a history that lasts.
//! Everything else is as in a script. Ctrl-C drops the line that is typed, and Ctrl-D on an empty
//! one ends the shell.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::time::Duration;

use client::Client;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{FileHistory, History, SearchDirection};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::completion::complete;
use super::line::{Shape, shape};
use super::session::{Flow, HISTORY_ENTRIES_MAX, HISTORY_ENTRY_BYTES_MAX, Session};
use super::{Ended, Options};

/// How long Tab waits for names: less than the patience of whoever pressed it.
const NAMES_TIMEOUT: Duration = Duration::from_secs(2);

/// What the editor asks about a line.
struct Typing {
    /// A connection of its own: a short wait for names must not shorten that of commands.
    names: Client,
    database: String,
}

impl Completer for Typing {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(line, cursor, &self.database, &self.names))
    }
}

impl Validator for Typing {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match shape(context.input()) {
            Shape::Open => ValidationResult::Incomplete,
            Shape::Nothing | Shape::Whole => ValidationResult::Valid(None),
        })
    }
}

impl Hinter for Typing {
    type Hint = String;
}

impl Highlighter for Typing {
    fn highlight_candidate<'c>(&self, candidate: &'c str, _: CompletionType) -> Cow<'c, str> {
        Cow::Borrowed(candidate.trim_end())
    }
}

impl Helper for Typing {}

type Line = Editor<Typing, FileHistory>;

fn failed(error: ReadlineError) -> io::Error {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are told as they are")]
    match error {
        ReadlineError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// Reads statements from the terminal until there are no more.
pub(super) fn run(options: &Options, session: &mut Session<'_>) -> io::Result<Ended> {
    let mut editor = editor(options).map_err(failed)?;
    remember_file(options.history.as_deref(), &mut editor, session)?;
    greet(options, session)?;
    loop {
        let database = session.database.name().to_owned();
        if let Some(typing) = editor.helper_mut() {
            typing.database = database;
        }
        let statement = match editor.readline(&session.prompt()) {
            Ok(statement) => statement,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(Ended::Done),
            Err(error) => return Err(failed(error)),
        };
        keep(&statement, options.history.as_deref(), &mut editor, session)?;
        if session.run(&statement)? == Flow::Exit {
            return Ok(Ended::Done);
        }
    }
}

fn editor(options: &Options) -> rustyline::Result<Line> {
    let names = client::Options::new().key(&options.key).timeout(NAMES_TIMEOUT);
    let names = names.connect(&options.address);
    let names = names.map_err(|error| io::Error::other(error.to_string()))?;
    let config = Config::builder()
        .max_history_size(HISTORY_ENTRIES_MAX)?
        .history_ignore_dups(true)?
        .completion_type(CompletionType::List)
        .auto_add_history(false)
        .build();
    let history = FileHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)?;
    editor.set_helper(Some(Typing { names, database: String::new() }));
    Ok(editor)
}

fn greet(options: &Options, session: &mut Session<'_>) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let address = &options.address;
    session.out.line(&format!("docdb {version} at {address}; .help lists the commands"))?;
    session.out.flush()
}

/// Reads the history of earlier shells. That there is none yet is no failure, and no other failure
/// of it is worth a shell: it is told, and the history is of this shell alone.
fn remember_file(
    path: Option<&Path>,
    editor: &mut Line,
    session: &mut Session<'_>,
) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    match editor.load_history(path) {
        Ok(()) => {}
        Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let path = path.display();
            session.out.line(&format!("the history cannot be read: {error} path={path}"))?;
        }
    }
    let history = editor.history();
    for at in 0..history.len() {
        if let Ok(Some(found)) = history.get(at, SearchDirection::Forward) {
            session.remember(&found.entry);
        }
    }
    Ok(())
}

/// Keeps a statement for this shell and for later ones. The file is written at once: a shell may
/// end in any way.
fn keep(
    statement: &str,
    path: Option<&Path>,
    editor: &mut Line,
    session: &mut Session<'_>,
) -> io::Result<()> {
    let statement = statement.trim();
    if statement.is_empty() || statement.len() > HISTORY_ENTRY_BYTES_MAX {
        return Ok(());
    }
    let is_new = editor.add_history_entry(statement).map_err(failed)?;
    let Some(path) = path.filter(|_| is_new) else { return Ok(()) };
    if let Err(error) = editor.append_history(path) {
        let path = path.display();
        session.out.line(&format!("the history cannot be written: {error} path={path}"))?;
    }
    Ok(())
}
