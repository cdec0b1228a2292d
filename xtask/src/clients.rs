//! The stage `clients`: what programs of others make of `/openapi.json`.
//!
//! A real server is started. A Python client is generated from its description and put to use, and
//! schemathesis sends requests that fit the description and requests that do not, and compares every
//! answer with it. The tools are Python's, in pinned versions, in a virtual environment that is kept
//! in the target directory until the list of versions changes. Where there is no Python or no
//! registry to install from, the stage is skipped. Namespaces are used by the clients of turbopuffer, as
//! they are: that of PyPI, and where there is Node that of npm.
//!
//! What is run is in [`SCRIPTS`]; [`python`] and [`node`] have the environments, [`server`] the server.

mod node;
pub(crate) mod python;
pub(crate) mod server;

use std::path::{Path, PathBuf};

use crate::process::{Failure, Result};
use crate::stage::Outcome;
use crate::workspace;

use node::Node;
use python::Python;
use server::Server;

/// The scripts and what they need, below the root of the repository.
const SCRIPTS: &str = "crates/docdb/tests/clients";

/// How much schemathesis does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Requests that it makes up for each operation, in each way of making them up.
    pub(crate) examples: u32,
    /// The seed that they are drawn from.
    pub(crate) seed: u32,
    /// Its phases; `stateful` calls operations one after another, with what the first answered.
    pub(crate) phases: &'static str,
}

/// What `ci` does: the same requests every time.
pub(crate) const SHORT: Effort =
    Effort { examples: 12, seed: 1, phases: "examples,coverage,fuzzing" };
/// What `nightly` does.
pub(crate) const LONG: Effort =
    Effort { examples: 400, seed: 2, phases: "examples,coverage,fuzzing,stateful" };

/// The stage.
pub(crate) fn check(effort: Effort) -> Result<Outcome> {
    let home = workspace::target_dir().join("clients");
    let scripts = workspace::root().join(SCRIPTS);
    let python = match Python::ready(&home, &scripts.join("requirements.txt"))? {
        Ok(python) => python,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    let server = Server::start(&home, &[])?;
    let work = Work { home: &home, scripts: &scripts, python: &python, server: &server };
    let done = work
        .generate()
        .and_then(|()| work.exercise())
        .and_then(|()| work.namespaces())
        .and_then(|of_node| work.probe(effort).map(|()| of_node));
    // Also when something failed: its log is what says why.
    let ended = server.end();
    let of_node = ended.and(done)?;
    let Effort { examples, seed, .. } = effort;
    Ok(Outcome::Passed(format!(
        "generated client; clients of namespaces in Python{of_node}; schemathesis, {examples} \
         examples, seed {seed}"
    )))
}

/// A server, and what is done to it.
struct Work<'a> {
    home: &'a Path,
    scripts: &'a Path,
    python: &'a Python,
    server: &'a Server,
}

impl Work<'_> {
    fn generated(&self) -> PathBuf {
        self.home.join("generated")
    }

    /// Makes the client. What the generator warns of would be missing from it, so that is a failure.
    fn generate(&self) -> Result<()> {
        let generated = self.generated();
        match std::fs::remove_dir_all(&generated) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", &generated, &error));
            }
            _ => {}
        }
        self.python
            .program("openapi-python-client")
            .args(["generate", "--fail-on-warning", "--overwrite", "--meta", "none", "--url"])
            .args([self.server.url("/openapi.json")])
            .args(["--config".as_ref(), self.scripts.join("generator.json").as_os_str()])
            .args(["--output-path".as_ref(), generated.join("docdb_client").as_os_str()])
            .run()
    }

    /// Uses it.
    fn exercise(&self) -> Result<()> {
        self.python
            .program("python")
            .env("PYTHONPATH", self.generated())
            .args([self.scripts.join("exercise.py").as_os_str()])
            .args([self.server.url("")])
            .run()
    }

    /// Uses namespaces by clients that nobody here wrote. Answers what the one of Node came to.
    fn namespaces(&self) -> Result<String> {
        self.python
            .program("python")
            .args([self.scripts.join("namespaces.py").as_os_str()])
            .args([self.server.url("")])
            .run()?;
        match Node::ready(self.home, &self.scripts.join("npm"), self.python)? {
            Ok(node) => {
                node.run(&self.scripts.join("namespaces.mjs"), &self.server.url(""))?;
                Ok(" and JavaScript".to_owned())
            }
            Err(why) => Ok(format!(" (not JavaScript: {why})")),
        }
    }

    /// Lets schemathesis loose.
    fn probe(&self, effort: Effort) -> Result<()> {
        self.python
            .program("schemathesis")
            .env("PYTHONPATH", self.scripts)
            .env("SCHEMATHESIS_HOOKS", "hooks")
            .args(["--config-file".as_ref(), self.scripts.join("schemathesis.toml").as_os_str()])
            .args(["--no-color", "run", "--phases", effort.phases])
            .args(["--max-examples", &effort.examples.to_string()])
            .args(["--seed", &effort.seed.to_string(), "--generation-database", "none"])
            .args(["--continue-on-failure", "--request-timeout", "30"])
            // Nobody needs a key before there is one, so that one that is missing is no fault.
            .args(["--generation-with-security-parameters", "false"])
            .args([self.server.url("/openapi.json")])
            .current_dir(self.home)
            .run()
    }
}
