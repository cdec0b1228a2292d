//! Starting other programs. Each is printed before it runs, so that a failed check can be run again
//! by hand from what the log shows.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::workspace;

/// What went wrong, in words for the person at the terminal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(String);

/// The result of anything a command of ours does.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with this text.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A failed system call on `path`.
    pub(crate) fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        Self(format!("cannot {what} {}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A program about to be started in the root of the repository.
#[derive(Debug)]
pub(crate) struct Process {
    command: Command,
    shown: String,
}

impl Process {
    /// `program`, without arguments yet.
    pub(crate) fn new(program: &str) -> Self {
        let mut command = Command::new(program);
        command.current_dir(workspace::root()).stdin(Stdio::null());
        // `cargo run` describes xtask to its children; left in place, those variables make build
        // scripts that watch them run again on every other call.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| {
                name == "CARGO_MANIFEST_DIR"
                    || name == "CARGO_MANIFEST_PATH"
                    || name.starts_with("CARGO_PKG_")
            }) {
                command.env_remove(name);
            }
        }
        Self { command, shown: program.to_owned() }
    }

    /// `cargo`.
    pub(crate) fn cargo() -> Self {
        Self::new("cargo")
    }

    /// Appends arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&quoted(&arg.as_ref().to_string_lossy()));
            self.command.arg(arg);
        }
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.shown = format!("{name}={} {}", quoted(&value.as_ref().to_string_lossy()), self.shown);
        self.command.env(name, value);
        self
    }

    /// Starts it in this directory instead of the root of the repository.
    pub(crate) fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs to the end with the terminal's output.
    pub(crate) fn run(mut self) -> Result<()> {
        println!("$ {}", self.shown);
        let status = self
            .command
            .status()
            .map_err(|e| Failure::new(format!("cannot start `{}`: {e}", self.shown)))?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!("`{}` failed: {status}", self.shown)))
        }
    }

    /// Runs to the end and returns what it printed.
    pub(crate) fn output(self) -> Result<String> {
        let shown = self.shown.clone();
        let output = self.capture()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::new(format!("`{shown}` failed: {}\n{text}", output.status)));
        }
        String::from_utf8(output.stdout)
            .map_err(|_| Failure::new(format!("`{shown}` printed something other than UTF-8")))
    }

    /// Whether the program exists and says that all is well.
    pub(crate) fn succeeds_quietly(self) -> bool {
        self.capture().is_ok_and(|output| output.status.success())
    }

    fn capture(mut self) -> Result<Output> {
        self.command
            .output()
            .map_err(|e| Failure::new(format!("cannot start `{}`: {e}", self.shown)))
    }
}

/// Whether a package of the system is installed; one that was removed may have left its settings.
pub(crate) fn has_package(name: &str) -> bool {
    let status = ["--show", "--showformat", "${db:Status-Status}", name];
    Process::new("dpkg-query").args(status).output().is_ok_and(|status| status == "installed")
}

/// `word` as a shell would have to be given it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:+,%@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_a_failure_naming_it() {
        let failure = Process::new("false").args(["--now"]).run().unwrap_err();
        assert!(failure.to_string().contains("`false --now` failed"), "{failure}");
        assert!(!Process::new("false").succeeds_quietly());
    }

    #[test]
    fn what_is_shown_can_be_given_to_a_shell() {
        assert_eq!(quoted("--bench"), "--bench");
        assert_eq!(quoted("*"), "'*'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        let shown = Process::new("cargo").env("RUSTFLAGS", "--cfg x").args(["a b"]).shown;
        assert_eq!(shown, "RUSTFLAGS='--cfg x' cargo 'a b'");
    }

    #[test]
    fn a_program_that_is_missing_is_a_failure_naming_it() {
        let failure = Process::new("no-such-program").output().unwrap_err();
        assert!(failure.to_string().contains("cannot start `no-such-program`"), "{failure}");
    }

    #[test]
    fn output_is_what_the_program_printed() {
        let printed = Process::new("printf").env("LC_ALL", "C").args(["%s", "a b"]).output();
        assert_eq!(printed, Ok("a b".to_owned()));
    }
}
