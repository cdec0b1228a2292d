//! A server as a process of its own.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use client::Client;

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(5);

pub(crate) struct Server {
    child: Mutex<Child>,
    socket: PathBuf,
}

/// The program that ends where it is told to.
fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it is");
    let profile = own.parent().and_then(Path::parent).expect("tests are in deps");
    profile.join("examples").join("drill")
}

impl Server {
    /// Starts one and waits until it answers; none when it ended before it did.
    pub(crate) fn start(data: &Path, drill: Option<&str>) -> Option<Self> {
        // Paths of sockets are short, so it is beside the data.
        let socket = data.with_extension("sock");
        let mut command = Command::new(program());
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(data)
            .arg("--socket")
            .arg(&socket)
            .args(["--http", "off", "--log.level", "warn"])
            .args(["--wal.segment_mb=1", "--checkpoint.interval_mb=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        match drill {
            Some(drill) => command.env("TESTS_DRILL", drill),
            None => command.env_remove("TESTS_DRILL"),
        };
        let child = command.spawn().expect("the example was built with the tests");
        let server = Self { child: Mutex::new(child), socket };
        let mut left = PATIENCE;
        loop {
            if server.client().is_ok_and(|client| client.ping().is_ok()) {
                return Some(server);
            }
            if server.has_ended() {
                // Only at the point where it was to end: anything else is a directory that does not
                // open, and no drill.
                let said = server.said();
                assert!(said.contains("drill: ended at"), "it does not start: {said}");
                return None;
            }
            left = left.checked_sub(STEP).expect("a server starts or ends");
            wait(STEP);
        }
    }

    pub(crate) fn client(&self) -> client::Result<Client> {
        let path = self.socket.to_str().expect("a plain path");
        client::Options::new().timeout(PATIENCE).connect(&format!("unix:{path}"))
    }

    fn status(&self) -> Option<ExitStatus> {
        self.child.lock().expect("no panics").try_wait().expect("it is our child")
    }

    /// What it has said, once it has ended.
    fn said(&self) -> String {
        let mut said = String::new();
        let stream = self.child.lock().expect("no panics").stderr.take();
        stream.expect("it was asked for").read_to_string(&mut said).expect("it is text");
        said
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.status().is_some()
    }

    /// Waits until it has ended at the point where it was to.
    pub(crate) fn wait_for_end(&self) {
        let mut left = PATIENCE;
        while !self.has_ended() {
            left = left.checked_sub(STEP).expect("its clients have lost it");
            wait(STEP);
        }
        let said = self.said();
        assert!(said.contains("drill: ended at"), "it ended by itself: {said}");
    }

    /// Ends it as the system would, at once.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.lock().expect("no panics");
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }

    /// Tells it to end in order, and sees that it does.
    pub(crate) fn end(&self) {
        let pid = self.child.lock().expect("no panics").id();
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.expect("a process has a number");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
        let mut left = PATIENCE;
        let status = loop {
            if let Some(status) = self.status() {
                break status;
            }
            left = left.checked_sub(STEP).expect("a server ends in order");
            wait(STEP);
        };
        assert!(status.success(), "{status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child.lock().expect("no panics");
        _ = child.kill();
        _ = child.wait();
    }
}

fn wait(time: Duration) {
    let nobody = std::sync::Condvar::new();
    let guard = Mutex::new(());
    let guard = guard.lock().expect("no panics");
    drop(nobody.wait_timeout(guard, time));
}
