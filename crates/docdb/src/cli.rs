//! The command line: what can be said, and which file carries it out. One file per command.
//!
//! A command writes to the `out` it is given and never to the terminal itself, so that a test reads
//! exactly what a user would see. Progress bars alone are drawn there, when there is one.

mod arguments;
mod at;
mod backup;
mod config;
mod errors;
mod export;
mod import;
mod inspect;
mod key;
mod logs;
mod metrics;
mod place;
mod progress;
mod repair;
mod restore;
mod serve;
mod shell;
mod verify;
mod version;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use base::error::Coded;
use clap::{CommandFactory, Parser, Subcommand};

/// Exit code of a command that could not do what was asked. Clap ends with 2 by itself when the
/// command line is wrong.
const FAILED: u8 = 1;

/// Exit code when the configuration is wrong, like a wrong command line.
const WRONG: u8 = 2;

/// Exit code of a command that did nothing because nobody agreed.
const DECLINED: u8 = 3;

/// Under this name the program is `docdb shell`.
const SHELL_NAME: &str = "docdbsh";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the command failed; the reason is on standard error
  2  the command line or the configuration is wrong
  3  nothing was changed, because nobody agreed (`repair`)
  4  something is damaged and nothing is lost (`verify`, `backup --check`)
  5  something is lost (`verify`, `backup`, `restore`)
  6  lines were refused (`import`) or not stored (`logs pipe`)
  `docdb serve --help` has those of the server

A failure ends with code=NAME; `docdb errors NAME` says what the code means.";

const EXAMPLES: &str = "\
Examples:
  docdb config
  docdb errors
  docdb errors WalCorrupt
  docdb errors 25 --json
  docdb version --json
  docdb import --help
  docdb export --help
  docdb backup --help
  docdb restore --help
  docdb shell --help
  docdb inspect wal --help
  docdb key --help
  docdb logs --help
  docdb verify --help
  docdb repair --help
  docdb serve --help";

/// One binary instead of a document database, a search engine and a log collector
#[derive(Debug, Parser)]
#[command(
    name = "docdb",
    version,
    disable_help_subcommand = true,
    after_help = "`docdb --help` says more, `docdb <command> --help` everything.",
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}")
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy a database into a directory, or check such a copy
    Backup(backup::Arguments),
    /// Print the settings in effect, each with where it came from
    #[command(after_help = config::HELP)]
    Config(config::Arguments),
    /// List the error codes, or print the page of one
    Errors(errors::Arguments),
    /// Write the documents of a collection as lines of JSON
    Export(export::Arguments),
    /// Read lines of JSON into a collection
    Import(import::Arguments),
    /// Look at files without changing them
    Inspect(inspect::Arguments),
    /// Make, list and remove API keys
    #[command(after_help = key::HELP)]
    Key(key::Arguments),
    /// Search, follow, send and write out application logs
    #[command(after_help = logs::HELP)]
    Logs(logs::Arguments),
    /// List the metrics of a server
    Metrics(metrics::Arguments),
    /// Make what is damaged usable again
    Repair(repair::Arguments),
    /// Make a database out of a backup
    Restore(restore::Arguments),
    /// Run the server
    #[command(after_help = serve::HELP)]
    Serve(serve::Arguments),
    /// Send commands to a server, typed or from a script
    #[command(after_help = shell::HELP)]
    Shell(shell::Arguments),
    /// Check a database without changing anything
    Verify(verify::Arguments),
    /// Print the version
    Version(version::Arguments),
}

/// The variables of the environment, as the process has them.
pub type Environment = Vec<(OsString, OsString)>;

/// Carries out the command line `args`, whose first word is the program's name.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    environment: Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    run_on(base::io::RealDisk::shared(), args, environment, out, err)
}

/// The same with a server on another disk: for drills, whose disk ends the process.
pub fn run_on(
    disk: base::io::DiskRef,
    args: impl IntoIterator<Item = OsString>,
    environment: Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let cli = match Cli::try_parse_from(by_name(args)) {
        Ok(cli) => cli,
        Err(said) => return refuse(&said, out, err),
    };
    let done = match &cli.command {
        None => write!(out, "{}", Cli::command().render_help()),
        Some(Command::Backup(arguments)) => {
            return ended(backup::run(arguments, &environment, out, err), out, err);
        }
        Some(Command::Config(arguments)) => match config::run(arguments, environment, out) {
            Ok(done) => done,
            Err(wrong) => return misconfigured(&wrong, err),
        },
        Some(Command::Errors(arguments)) => errors::run(arguments, out),
        Some(Command::Export(arguments)) => {
            return ended(export::run(arguments, &environment, out, err), out, err);
        }
        Some(Command::Import(arguments)) => {
            return ended(import::run(arguments, &environment, out, err), out, err);
        }
        Some(Command::Inspect(arguments)) => inspect::run(arguments, &environment, out),
        Some(Command::Key(arguments)) => match key::run(arguments, environment, out, err) {
            Ok(done) => done,
            Err(wrong) => return misconfigured(&wrong, err),
        },
        Some(Command::Logs(arguments)) => {
            return ended(logs::run(arguments, &environment, out, err), out, err);
        }
        Some(Command::Metrics(arguments)) => metrics::run(arguments, out),
        Some(Command::Repair(arguments)) => match repair::run(arguments, &environment, out, err) {
            Ok(repair::Done::Declined) => return ExitCode::from(DECLINED),
            Ok(repair::Done::Yes) => Ok(()),
            Err(e) => Err(e),
        },
        Some(Command::Restore(arguments)) => {
            return ended(restore::run(arguments, &environment, out, err), out, err);
        }
        Some(Command::Serve(arguments)) => match serve::run(arguments, environment, disk) {
            Ok(Ok(code)) => return code,
            Ok(Err(error)) => Err(error),
            Err(wrong) => return misconfigured(&wrong, err),
        },
        Some(Command::Shell(arguments)) => shell::run(arguments, &environment, out),
        Some(Command::Verify(arguments)) => match verify::run(arguments, &environment, out) {
            Ok(docstore::Verdict::Clean) => Ok(()),
            Ok(docstore::Verdict::Healable) => return ExitCode::from(verify::HEALABLE),
            Ok(docstore::Verdict::Lost) => return ExitCode::from(verify::LOST),
            Err(e) => Err(e),
        },
        Some(Command::Version(arguments)) => version::run(arguments, out),
    };
    finish(done.and_then(|()| out.flush()), err)
}

/// The command line, with `shell` in its place when the program is called [`SHELL_NAME`].
fn by_name(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let name = args.first().map(Path::new).and_then(Path::file_name);
    if name.is_some_and(|name| name == SHELL_NAME) {
        drop(args.splice(..1, ["docdb", "shell"].map(OsString::from)));
    }
    args
}

/// Answers `--help` and `--version`, which clap hands over as errors, and wrong command lines.
fn refuse(said: &clap::Error, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let to: &mut dyn Write = if said.use_stderr() { err } else { out };
    // Where the message cannot be written, there is no place left to say so.
    let _ = write!(to, "{}", said.render());
    ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(FAILED))
}

/// Says everything that is wrong with the configuration.
fn misconfigured(wrong: &crate::config::ConfigErrors, err: &mut dyn Write) -> ExitCode {
    for error in &wrong.0 {
        let _ = writeln!(err, "docdb: {error}");
    }
    ExitCode::from(WRONG)
}

/// A failure of the log as the commands hand it on, with the code that `docdb errors` explains.
fn failed(error: wal::WalError) -> io::Error {
    coded(&error)
}

/// The same for any failure that has such a code.
fn coded(error: &(impl Coded + std::fmt::Display)) -> io::Error {
    let code = error.code().name();
    io::Error::other(format!("{error} code={code}"))
}

/// The end of a command that has an exit code of its own.
fn ended(done: io::Result<u8>, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    match done.and_then(|code| out.flush().map(|()| code)) {
        Ok(code) => ExitCode::from(code),
        Err(e) => finish(Err(e), err),
    }
}

/// A reader that closed its end early, as `head` does, has what it wanted.
fn finish(done: io::Result<()>, err: &mut dyn Write) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            if let Some(wrong) = e.get_ref().and_then(|inner| inner.downcast_ref()) {
                return misconfigured(wrong, err);
            }
            let _ = writeln!(err, "docdb: {e}");
            ExitCode::from(FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a command line; returns whether it succeeded, standard output and standard error.
    fn docdb(line: &str) -> (bool, String, String) {
        let args = std::iter::once("docdb").chain(line.split_whitespace()).map(OsString::from);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(args, Environment::new(), &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).expect("we write UTF-8");
        (code == ExitCode::SUCCESS, text(out), text(err))
    }

    #[test]
    fn the_definition_of_the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_arguments_it_prints_a_short_help() {
        let (succeeded, out, err) = docdb("");
        assert!(succeeded && err.is_empty());
        assert!(out.contains("Usage: docdb") && out.contains("errors"), "{out}");
        assert!(!out.contains("Exit codes"), "{out}");
    }

    #[test]
    fn long_help_documents_examples_and_exit_codes() {
        let (succeeded, out, _) = docdb("--help");
        assert!(succeeded);
        assert!(out.contains(EXIT_CODES) && out.contains("Examples:"), "{out}");
    }

    #[test]
    fn every_example_of_the_help_works() {
        for line in EXAMPLES.lines().filter_map(|line| line.trim().strip_prefix("docdb ")) {
            let (succeeded, out, err) = docdb(line);
            assert!(succeeded && !out.is_empty(), "{line}: {err}");
        }
    }

    #[test]
    fn an_unknown_command_is_refused_on_standard_error() {
        let (succeeded, out, err) = docdb("sevre");
        assert!(!succeeded && out.is_empty());
        assert!(err.contains("unrecognized subcommand 'sevre'"), "{err}");
    }

    #[test]
    fn called_docdbsh_it_is_the_shell() {
        for name in ["docdbsh", "/usr/local/bin/docdbsh"] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let args = [name, "--help"].map(OsString::from);
            assert_eq!(run(args, Environment::new(), &mut out, &mut err), ExitCode::SUCCESS);
            assert!(String::from_utf8(out).unwrap().contains("Usage: docdb shell"));
        }
    }

    /// A writer whose other end is gone, or whose disk is full.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
        let version = || ["docdb", "version"].map(OsString::from);
        let mut err = Vec::new();
        let code = run(version(), vec![], &mut Broken(io::ErrorKind::BrokenPipe), &mut err);
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(err.is_empty());
        let code = run(version(), vec![], &mut Broken(io::ErrorKind::StorageFull), &mut err);
        assert_eq!(code, ExitCode::from(FAILED));
        assert!(err.starts_with(b"docdb: "));
    }
}
