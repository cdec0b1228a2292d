//! A server process with both surfaces, and what the system says of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::Client;
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a loaded machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Killed with the test.
pub(super) struct Process {
    child: Child,
    dir: TempDir,
    pub(super) http: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// `docdb serve` on `dir`, which has not been started yet.
pub(super) fn serve(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "--http", "127.0.0.1:0", "--log.format", "json"]);
    command.arg("--data-dir").arg(dir.join("data")).arg("--socket").arg(dir.join("s"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Waits until it holds, for as long as that may take.
#[track_caller]
pub(super) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let (_never, end) = std::sync::mpsc::sync_channel::<()>(0);
    let step = Duration::from_millis(10);
    for _ in 0..2 * PATIENCE.as_millis() / step.as_millis() {
        if holds() {
            return;
        }
        assert!(end.recv_timeout(step).is_err());
    }
    panic!("{what}: it did not happen");
}

/// The program that is tested.
pub(super) fn docdb() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_docdb"))
}

/// An example of this crate, which is built with its tests.
pub(super) fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it is");
    let profile = own.parent().and_then(Path::parent).expect("tests are in deps");
    profile.join("examples").join(name)
}

impl Process {
    pub(super) fn start() -> Self {
        Self::of(docdb(), |_| {})
    }

    /// A server of `program`, after its command was changed.
    pub(super) fn of(program: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = serve(program, dir.path());
        change(&mut command);
        Self::on(dir, command)
    }

    fn on(dir: TempDir, mut command: Command) -> Self {
        let mut child = command.spawn().expect("it was built with the tests");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let note = |log: &Mutex<String>, line: &str| {
            let mut log = log.lock().unwrap();
            log.push_str(line);
            log.push('\n');
        };
        let mut http = None;
        while http.is_none() || !log.lock().unwrap().contains("docdb serves") {
            let line = lines.next().map(Result::unwrap);
            let Some(line) = line else { panic!("it does not serve: {}", log.lock().unwrap()) };
            note(&log, &line);
            let parsed: Value = serde_json::from_str(&line).unwrap_or_default();
            if parsed["message"] == "HTTP listens" {
                http = parsed["address"].as_str().and_then(|address| address.parse().ok());
            }
        }
        let said = Arc::clone(&log);
        let read = move || lines.map_while(Result::ok).for_each(|line| note(&said, &line));
        drop(base::workers::spawn("server-log", read));
        Self { child, dir, http: http.unwrap(), log }
    }

    /// Kills it and starts `docdb` on the same directory, whose socket is stale now.
    pub(super) fn killed_and_started_again(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        let command = serve(docdb(), dir.path());
        Self::on(dir, command)
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    pub(super) fn client(&self) -> Client {
        let socket = self.socket();
        client::Options::new().timeout(PATIENCE).connect(socket.to_str().unwrap()).unwrap()
    }

    /// Whether it does its work on both surfaces.
    #[track_caller]
    pub(super) fn lives(&self) {
        let http = format!("http://{}", self.http);
        let http = client::Options::new().timeout(PATIENCE).connect(&http).unwrap();
        for (client, id) in [(self.client(), "socket"), (http, "http")] {
            let all = client.database("default").collection("default");
            all.upsert(id, "{\"lives\":true}").unwrap();
            assert_eq!(all.get(id).unwrap().unwrap().bytes, b"{\"lives\":true}");
        }
    }

    /// What it has logged so far.
    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").trim().parse().unwrap()
    }

    /// Memory that it holds now, KiB.
    pub(super) fn resident(&self) -> u64 {
        self.status("VmRSS")
    }

    /// The most that it has held since [`Process::forget_peak`], KiB.
    pub(super) fn peak(&self) -> u64 {
        self.status("VmHWM")
    }

    pub(super) fn forget_peak(&self) {
        fs::write(self.proc("clear_refs"), "5").unwrap();
    }

    /// Descriptors that it has open.
    pub(super) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// How many files it may open, and how many it could be allowed.
    pub(super) fn files_limit(&self) -> (String, String) {
        let limits = fs::read_to_string(self.proc("limits")).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    }

    /// Ends it in order.
    pub(super) fn end(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
