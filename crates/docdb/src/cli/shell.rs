//! `docdb shell`, also as `docdbsh`: where the server is, where statements come from and what an
//! error does. What the statements mean is in [`crate::shell`].

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::io::{Open, RealDisk};
use client::KEY_VARIABLE;

use super::Environment;
use super::at::At;
use crate::shell::{Ended, Input, OnError, Options, run as run_shell};

pub(super) const HELP: &str = "\
Without --command, statements are read from standard input: with editing, completion and
history if it is a terminal, and as a script if it is not. `.help` lists the commands.

The API key comes from --key-file or the variable DOCDBSH_KEY, never from the command line,
where others on the machine could read it.

Exit codes:
  0  the input ended, or `.exit`; commands may have failed unless --strict
  1  no server answers, the output cannot be written, or with --strict: a command failed
  2  the command line is wrong

Examples:
  docdb shell
  docdb shell -c '.create 1 {\"title\": \"Walden\"}' -c '.read 1'
  docdb shell --strict < script.docdb
  docdb shell --data-dir /var/lib/docdb -c .ls
  docdb shell --connect 127.0.0.1:7717 --key-file key.txt -c .ls
  docdb shell --connect https://db.example:7717 --ca-file ca.pem --key-file key.txt";

/// Longest key file: a key is far shorter.
const KEY_BYTES_MAX: u64 = 4096;

/// Where a shell keeps its history, in the home directory.
const HISTORY_FILE: &str = ".docdb_history";

/// What to run, and where.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    at: At,
    /// Carry out this statement and end; may be given several times
    #[arg(long, short, value_name = "STATEMENT")]
    command: Vec<String>,
    /// End at the first command that fails, with exit code 1
    #[arg(long)]
    strict: bool,
    /// The file that holds the API key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Certificates (PEM) to trust for https:// instead of those that the world trusts
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How long a command waits for its answer: a number and ms, s, m or h
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_timeout)]
    timeout: Duration,
    /// Where what was typed is kept [default: ~/.docdb_history]
    #[arg(long, value_name = "FILE", conflicts_with = "no_history")]
    history: Option<PathBuf>,
    /// Keep nothing of what was typed
    #[arg(long)]
    no_history: bool,
}

pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    let wrong = || "a number and ms, s, m or h, and not 0, such as 30s".to_owned();
    crate::shell::duration(text).ok_or_else(wrong)
}

/// Runs the command. Answers whether all went well.
pub(super) fn run(
    arguments: &Arguments,
    environment: &Environment,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let is_terminal = stdin.is_terminal() && stdout.is_terminal();
    let options = Options {
        address: arguments.at.address(environment)?,
        key: key(arguments.key_file.as_deref(), environment)?,
        ca_file: arguments.ca_file.clone(),
        timeout: arguments.timeout,
        on_error: if arguments.strict { OnError::Stop } else { OnError::Continue },
        history: history(arguments, environment),
        colours: stdout.is_terminal()
            && variable(environment, "NO_COLOR").is_none_or(OsStr::is_empty),
    };
    let connect = options.address.clone();
    let ended = if !arguments.command.is_empty() {
        run_shell(options, Input::Given(&arguments.command), out)?
    } else if is_terminal {
        run_shell(options, Input::Terminal, out)?
    } else {
        run_shell(options, Input::Script(&mut stdin.lock()), out)?
    };
    match ended {
        Ended::Done => Ok(()),
        Ended::Failed { line } if arguments.command.is_empty() => {
            Err(io::Error::other(format!("the script failed and was stopped line={line}")))
        }
        Ended::Failed { line } => {
            Err(io::Error::other(format!("a command failed, the rest was not run command={line}")))
        }
        Ended::NoServer(error) if error.is(client::ErrorCode::Unauthenticated) => {
            Err(io::Error::other(format!(
                "the server at {connect} lets nobody in without a key that works: {} code={}; \
                 --key-file names the file of one",
                error.message(),
                error.name()
            )))
        }
        Ended::NoServer(error) => Err(io::Error::other(format!(
            "no server answers at {connect}: {} code={}; `docdb serve` starts one, and --connect \
             says where it is",
            error.message(),
            error.name()
        ))),
    }
}

/// A variable of the environment.
fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a OsStr> {
    let found = environment.iter().find(|(variable, _)| variable == name);
    found.map(|(_, value)| value.as_os_str())
}

fn history(arguments: &Arguments, environment: &Environment) -> Option<PathBuf> {
    if arguments.no_history {
        return None;
    }
    let of_home = || variable(environment, "HOME").map(|home| Path::new(home).join(HISTORY_FILE));
    arguments.history.clone().or_else(of_home)
}

/// The key, from a file or from the environment; empty for none.
pub(super) fn key(file: Option<&Path>, environment: &Environment) -> io::Result<String> {
    let Some(path) = file else {
        let key = variable(environment, KEY_VARIABLE).map_or(Some(""), OsStr::to_str);
        // The value is not shown: it is a secret.
        let unreadable = || format!("the key is not UTF-8 variable={KEY_VARIABLE}");
        return Ok(key.ok_or_else(|| io::Error::other(unreadable()))?.trim().to_owned());
    };
    let failed = |what: &dyn std::fmt::Display| {
        io::Error::other(format!("the key cannot be read: {what} file={}", path.display()))
    };
    let file = RealDisk::shared().open(path, Open::Read).map_err(|error| failed(&error))?;
    let len = file.len().map_err(|error| failed(&error))?;
    if len > KEY_BYTES_MAX {
        return Err(failed(&format!("a key has at most {KEY_BYTES_MAX} bytes")));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    base::io::read_exact_at(&*file, &mut bytes, 0).map_err(|error| failed(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| failed(&"it is not UTF-8"))?;
    let key = text.trim();
    if key.is_empty() {
        return Err(failed(&"the file is empty"));
    }
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_from_a_file_or_the_environment_and_is_trimmed() {
        let with = |value: &str| vec![(KEY_VARIABLE.into(), value.into())];
        assert_eq!(key(None, &vec![]).unwrap(), "");
        assert_eq!(key(None, &with(" secret\n")).unwrap(), "secret");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.txt");
        assert!(key(Some(&path), &with("secret")).is_err(), "a file that is asked for is read");
        let write = |bytes: &[u8]| {
            let disk = RealDisk::shared();
            if disk.stat(&path).unwrap().is_some() {
                disk.remove_file(&path).unwrap();
            }
            let file = disk.open(&path, Open::CreateNew).unwrap();
            base::io::write_all_at(&*file, bytes, 0).unwrap();
        };
        write(b"from-file\n");
        assert_eq!(key(Some(&path), &with("secret")).unwrap(), "from-file");
        for bad in [&b"\n"[..], b"\xff", &[b'x'; 5000]] {
            write(bad);
            let said = key(Some(&path), &vec![]).unwrap_err().to_string();
            assert!(
                said.starts_with("the key cannot be read: ") && !said.contains("xxx"),
                "{said}"
            );
        }
    }
}
