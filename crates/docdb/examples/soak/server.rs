//! The server as a process, at the same addresses in all of its lives.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use client::Client;

/// How long it may take to start, and to end in order.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In order, by SIGTERM.
    Term,
    /// At once, by SIGKILL.
    Kill,
}

/// Where it is found.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) socket: String,
    pub(crate) http: String,
}

pub(crate) struct Server {
    child: Child,
    addresses: Addresses,
}

impl Server {
    /// Starts it, and returns when both surfaces answer.
    pub(crate) fn start(data: &Path) -> Self {
        static PORT: OnceLock<u16> = OnceLock::new();
        let port = *PORT.get_or_init(free_port);
        let socket: PathBuf = data.with_extension("sock");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["serve", "--log.level", "warn", "--http", &format!("127.0.0.1:{port}")])
            // Small, so that in minutes everything has come round many times.
            .args(["--wal.segment_mb=4", "--wal.retain_mb=32", "--checkpoint.interval_mb=8"])
            .args(["--compaction.min_file_mb=4", "--healing.interval=1m", "--memory.total_mb=256"])
            .arg("--socket")
            .arg(&socket)
            .arg("--data-dir")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("this program starts");
        let addresses = Addresses {
            socket: format!("unix:{}", socket.display()),
            http: format!("http://127.0.0.1:{port}"),
        };
        let mut server = Self { child, addresses };
        let begun = Instant::now();
        while !server.answers() {
            assert!(server.child.try_wait().unwrap().is_none(), "the server does not start");
            assert!(begun.elapsed() < PATIENCE, "the server does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
        server
    }

    fn answers(&self) -> bool {
        let addresses = [&self.addresses.socket, &self.addresses.http];
        addresses.iter().all(|address| Client::connect(address).is_ok_and(|c| c.ping().is_ok()))
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn end(&mut self, ending: Ending) {
        match ending {
            Ending::Kill => self.child.kill().unwrap(),
            Ending::Term => {
                let pid = self.id().to_string();
                assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
            }
        }
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not end");
        };
        assert!(ending == Ending::Kill || status.success(), "it ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|at| at.local_addr()).unwrap().port()
}

/// Whether every file of every database is as it should be.
pub(crate) fn verify(data: &Path) -> bool {
    let entries = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap());
    let databases = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("db-"));
    databases.fold(true, |all, database| {
        let mut verify = Command::new(std::env::current_exe().unwrap());
        verify.arg("verify").arg(database.path()).stdout(Stdio::null());
        verify.status().unwrap().success() && all
    })
}
