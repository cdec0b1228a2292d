//! A server process with a data directory of its own, for one test.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Killed with the test.
pub(crate) struct Server {
    child: Child,
    dir: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
        command.args(["serve", "--http", "off", "--log.format", "json", "--data-dir"]);
        command.arg(dir.path().join("data")).arg("--socket").arg(dir.path().join("docdb.sock"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        loop {
            let line = lines.next().expect("the server says where it listens").unwrap();
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "docdb serves" {
                break;
            }
        }
        // Nobody reads its log, but it must be read or the server would wait.
        drop(base::workers::spawn("server-log", move || lines.for_each(drop)));
        Self { child, dir }
    }

    fn socket_path(&self) -> PathBuf {
        self.dir.path().join("docdb.sock")
    }

    pub(crate) fn socket(&self) -> String {
        self.socket_path().display().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
