//! A server of this build, as a process with a data directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Failure, Process, Result};
use crate::workspace;

/// How long it may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

/// A server, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Server {
    /// Builds it and starts it with an empty directory in `home`, and with these options.
    pub(crate) fn start(home: &Path, options: &[&str]) -> Result<Self> {
        let program = workspace::program()?;
        let (data, log) = (home.join("data"), home.join("server.log"));
        // Of an earlier run.
        _ = std::fs::remove_dir_all(&data);
        let said = std::fs::File::create(&log).map_err(|e| Failure::io("create", &log, &e))?;
        let mut command = Command::new(&program);
        command.args(["serve", "--http", "127.0.0.1:0", "--socket", "off"]);
        // Hundreds of databases are made, and each has a segment.
        command.args(["--log.format", "json", "--wal.segment_mb=1", "--data-dir"]).arg(&data);
        command.args(options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        println!("$ {command:?}");
        let child = command.spawn().map_err(|e| Failure::io("start", &program, &e))?;
        let mut server = Self { child, address: String::new(), log };
        server.address = server.listens()?;
        Ok(server)
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until it says where it listens.
    fn listens(&mut self) -> Result<String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && self.has_ended()?.is_none() {
            if let Some(address) = address(&self.said()?) {
                return Ok(address);
            }
            std::thread::sleep(STEP);
        }
        Err(Failure::new(format!("the server does not listen:\n{}", self.said()?)))
    }

    /// Ends it in order, and looks through what it logged: no panic, and no error of its own.
    pub(crate) fn end(mut self) -> Result<()> {
        Process::new("kill").args(["-TERM", &self.child.id().to_string()]).run()?;
        let begun = Instant::now();
        let status = loop {
            match self.has_ended()? {
                Some(status) => break status,
                None if begun.elapsed() > PATIENCE => {
                    return Err(Failure::new("the server does not end"));
                }
                None => std::thread::sleep(STEP),
            }
        };
        if !status.success() {
            return Err(Failure::new(format!("the server ended with {status}")));
        }
        match complaint(&self.said()?) {
            Some(line) => Err(Failure::new(format!("the server logged: {line}"))),
            None => Ok(()),
        }
    }

    fn has_ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        self.child.try_wait().map_err(|e| Failure::new(format!("cannot wait for the server: {e}")))
    }

    fn said(&self) -> Result<String> {
        std::fs::read_to_string(&self.log).map_err(|e| Failure::io("read", &self.log, &e))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Where the server says that HTTP listens.
fn address(log: &str) -> Option<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut listens = lines.filter(|line| line["message"] == "HTTP listens");
    listens.next()?["address"].as_str().map(str::to_owned)
}

/// The first line that must not be there: of a panic, or an error.
fn complaint(log: &str) -> Option<&str> {
    log.lines().find(|line| {
        let parsed = serde_json::from_str::<Value>(line);
        parsed.map_or(true, |line| line["level"] == "ERROR")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVES: &str = r#"{"level":"INFO","message":"HTTP listens","address":"127.0.0.1:7"}"#;

    #[test]
    fn the_address_is_read_from_the_log() {
        assert_eq!(address(""), None);
        let log = format!("{{\"message\":\"docdb starts\"}}\n{SERVES}\n{{\"mess");
        assert_eq!(address(&log).as_deref(), Some("127.0.0.1:7"));
    }

    #[test]
    fn panics_and_errors_are_found_in_the_log() {
        assert_eq!(complaint(SERVES), None);
        let panic = format!("{SERVES}\nthread 'worker-1' panicked at x.rs:1:1:");
        assert_eq!(complaint(&panic), Some("thread 'worker-1' panicked at x.rs:1:1:"));
        let error = "{\"level\":\"ERROR\",\"message\":\"a task panicked\"}";
        assert_eq!(complaint(&format!("{SERVES}\n{error}\n")), Some(error));
    }
}
