//! The shell: commands typed by people or read from scripts, one request to a server each. It is
//! thin (the server decides, and the answer is printed) and deterministic (the same commands on the
//! same data print the same text: no times, and no colours unless it is a terminal that reads).
//!
//! - [`mod@line`] splits a statement into words, and knows whether one is whole.
//! - [`catalog`] is the table of all commands: help, completion and the parser read it.
//! - [`command`] makes a typed [`command::Command`] of a statement. Nothing is sent before all of
//!   it is understood.
//! - `session` carries commands out; what it prints goes through `output`.
//! - `script` feeds it from a file, `interactive` from a terminal with editing, completion and
//!   history.
//!
//! `docs/guides/shell.md` is for those who use it. Not here: what a command line of `docdb shell`
//! may say (`crate::cli`).

pub mod catalog;
pub mod command;
mod completion;
pub mod fault;
mod id;
mod interactive;
mod interrupt;
mod json;
pub mod line;
mod options;
mod output;
mod report;
mod script;
mod session;
mod watch;

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use client::Client;

pub use id::{id_text, parse_id};
pub use json::{compact, pretty};
pub(crate) use options::duration;

use interrupt::Interrupt;
use output::Output;
use session::Session;

/// How a shell reaches its server and what it does about errors.
pub struct Options {
    /// The path of a socket, `http://host:port` or `https://host:port`.
    pub address: String,
    /// Certificates to trust for `https://`; none for those that the world trusts.
    pub ca_file: Option<PathBuf>,
    /// The API key; empty for none. Never printed.
    pub key: String,
    /// How long a command waits for its answer.
    pub timeout: Duration,
    /// What happens after a command that failed.
    pub on_error: OnError,
    /// Where an interactive shell keeps what was typed; none for nowhere.
    pub history: Option<PathBuf>,
    /// Whether `OK` and `ERROR` have colours.
    pub colours: bool,
}

/// The key is a secret.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What happens after a command that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The next one is carried out.
    Continue,
    /// Nothing more is carried out, and [`Ended::Failed`] is answered.
    Stop,
}

/// Where the statements come from.
pub enum Input<'a> {
    /// A person at a terminal.
    Terminal,
    /// Statements, and a name for them in errors.
    Script(&'a mut dyn BufRead),
    /// Statements, one in each text.
    Given(&'a [String]),
}

/// How a shell ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By `.exit`, or with its input.
    Done,
    /// At a command that failed, because nothing may come after one.
    Failed {
        /// The line of a script, or the number of a statement that was given; from 1.
        line: u64,
    },
    /// Nobody answers at the address.
    NoServer(client::Error),
}

/// Runs a shell until its input ends, `.exit`, or an error that ends it.
///
/// # Errors
/// When the input cannot be read or the output not written.
pub fn run(options: Options, input: Input<'_>, out: &mut dyn Write) -> io::Result<Ended> {
    let connect = || {
        let mut connecting = client::Options::new().key(&options.key).timeout(options.timeout);
        if let Some(file) = &options.ca_file {
            connecting = connecting.ca_file(file)?;
        }
        let client: Client = connecting.connect(&options.address)?;
        client.ping()?;
        Ok(client)
    };
    let client = match connect() {
        Ok(client) => client,
        Err(error) => return Ok(Ended::NoServer(error)),
    };
    let interrupt = Interrupt::install()?;
    let output = Output::new(out, options.colours);
    let is_terminal = matches!(input, Input::Terminal);
    let mut session = Session::new(client, output, interrupt, is_terminal);
    match input {
        Input::Terminal => interactive::run(&options, &mut session),
        Input::Script(from) => script::read(from, &mut session, options.on_error),
        Input::Given(statements) => script::given(statements, &mut session, options.on_error),
    }
}
