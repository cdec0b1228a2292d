//! The stage `stores`: the remote object store against a server that others wrote.
//!
//! moto, in pinned versions in a virtual environment below the target directory, answers as S3 does, conditional
//! creation included. The tests that need it find it by `TESTS_S3_ENDPOINT`; without that variable they say that they
//! did nothing. Where there is no Python or no registry to install from, the stage is skipped.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::clients::python::Python;
use crate::process::{Failure, Process, Result};
use crate::stage::Outcome;
use crate::workspace;

/// What moto needs, below the root of the repository.
const REQUIREMENTS: &str = "crates/search/tests/stores/requirements.txt";
/// The tests that need it, by a part of their names.
const TESTS: &str = "moto_";
/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);

/// The stage.
pub(crate) fn check() -> Result<Outcome> {
    let home = workspace::target_dir().join("stores");
    let python = match Python::ready(&home, &workspace::root().join(REQUIREMENTS))? {
        Ok(python) => python,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    // Built first: the server need not wait for it.
    // With the whole workspace, so that the dependencies have the features that the tests built them with and
    // are not built again.
    let test = ["test", "--locked", "--profile", "ci", "--workspace", "--test", "it"];
    Process::cargo().args(test).args(["--no-run"]).run()?;
    let server = Moto::start(&python, &home)?;
    Process::cargo()
        .env("TESTS_S3_ENDPOINT", &server.address)
        .args(test)
        .args(["--", TESTS])
        .run()?;
    Ok(Outcome::Passed("moto".to_owned()))
}

/// A server, killed when it is dropped.
#[derive(Debug)]
struct Moto {
    child: Child,
    address: String,
}

impl Moto {
    fn start(python: &Python, home: &Path) -> Result<Self> {
        let port = free_port()?;
        let log = home.join("moto.log");
        let said = std::fs::File::create(&log).map_err(|e| Failure::io("create", &log, &e))?;
        let program = python.path("moto_server");
        let mut command = Command::new(&program);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        println!("$ {command:?}");
        let child = command.spawn().map_err(|e| Failure::io("start", &program, &e))?;
        let mut server = Self { child, address: format!("127.0.0.1:{port}") };
        server.must_listen(&log)?;
        Ok(server)
    }

    fn must_listen(&mut self, log: &Path) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if TcpStream::connect(&self.address).is_ok() {
                return Ok(());
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(STEP);
        }
        let said = std::fs::read_to_string(log).map_err(|e| Failure::io("read", log, &e))?;
        Err(Failure::new(format!("moto does not listen:\n{said}")))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A port that nobody listens at now.
pub(crate) fn free_port() -> Result<u16> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.map(|address| address.port())
        .map_err(|e| Failure::new(format!("there is no free port: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_one_version_of_everything() {
        let list = workspace::read(Path::new(REQUIREMENTS)).unwrap();
        let mut names = Vec::new();
        for line in list.lines().filter(|line| !line.starts_with('#')) {
            let (name, version) = line.split_once("==").unwrap_or_default();
            assert!(!name.is_empty() && version.starts_with(char::is_numeric), "{line}");
            names.push(name);
        }
        assert!(names.contains(&"moto"), "{names:?}");
    }
}
