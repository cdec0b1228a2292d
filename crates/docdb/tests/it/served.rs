//! `docdb serve` as a process, with everything that it says of where it listens.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};

/// Longer than anything here takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is killed when the test fails.
pub(crate) struct Server {
    child: Child,
    /// Where HTTP is taken.
    pub(crate) address: SocketAddr,
    /// Where syslog is taken over TCP; nowhere unless that was asked for.
    pub(crate) syslog: Option<SocketAddr>,
}

/// A server on HTTP alone.
pub(crate) fn command(dir: &Path) -> Command {
    command_at(dir, "127.0.0.1:0")
}

/// The same at an address.
pub(crate) fn command_at(dir: &Path, address: &str) -> Command {
    command_of(dir, address, Path::new("off"))
}

/// A server on HTTP at an address and on a socket.
pub(crate) fn command_of(dir: &Path, address: &str, socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.args(["serve", "--http", address, "--log.format", "json", "--socket"]).arg(socket);
    command.arg("--data-dir").arg(dir).stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Server {
    pub(crate) fn start(dir: &Path) -> Self {
        Self::run(&mut command(dir))
    }

    /// Runs a command and waits until it serves.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the binary was built");
        let stderr = child.stderr.take().expect("it was asked for");
        let mut lines = BufReader::new(stderr).lines();
        let (mut address, mut syslog) = (None, None);
        loop {
            let line = lines.next().expect("the server says where it listens").expect("it is text");
            let line: serde_json::Value = serde_json::from_str(&line).expect("lines are JSON");
            let at = || line["address"].as_str().and_then(|text| text.parse().ok());
            match line["message"].as_str() {
                Some("HTTP listens") => address = at(),
                Some("syslog is taken") if line["protocol"] == "tcp" => syslog = at(),
                Some("docdb serves") => break,
                _ => {}
            }
        }
        // Its log goes nowhere, but must be read or it would block.
        drop(base::workers::spawn("log", move || lines.for_each(drop)));
        Self { child, address: address.expect("it listens for HTTP"), syslog }
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{name} was not sent");
    }

    /// Waits for its end.
    pub(crate) fn code(mut self) -> Option<i32> {
        self.child.wait().expect("it is our child").code()
    }

    /// Tells it to end, and sees that it does so in order.
    pub(crate) fn end(self) {
        self.signal("-TERM");
        assert_eq!(self.code(), Some(0));
    }

    /// Ends it as the system would, at once.
    pub(crate) fn kill(self) {
        self.signal("-KILL");
        assert_eq!(self.code(), None);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Looks again and again until something holds.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let clock = SystemClock::new();
    let begun = clock.now();
    while !holds() {
        assert!(clock.now().since(begun) < PATIENCE, "{what}: it did not happen");
        std::thread::yield_now();
    }
}

/// The directory of the logs below a data directory.
pub(crate) fn logs_in(data: &Path) -> PathBuf {
    data.join("logs")
}

/// The files of the log store of a data directory, the oldest first.
pub(crate) fn partitions(data: &Path) -> Vec<PathBuf> {
    use base::io::Disk as _;
    let logs = logs_in(data);
    let listed = base::io::RealDisk.list(&logs).expect("there are logs");
    let names = listed.into_iter().map(|entry| entry.name);
    let mut found: Vec<_> =
        names.filter(|name| name.ends_with(".logs")).map(|name| logs.join(name)).collect();
    found.sort();
    found
}
