//! The packages of Node that a lock file lists, kept from one run to the next.

use std::path::{Path, PathBuf};

use crate::process::{Failure, Process, Result};

/// Seconds that installing may take.
const INSTALL_SECONDS: &str = "300";
/// What says which packages, and in which versions.
const LISTS: [&str; 2] = ["package.json", "package-lock.json"];

/// Node with packages.
#[derive(Debug)]
pub(super) struct Node {
    /// Where they are: scripts that use them lie beside them.
    place: PathBuf,
}

impl Node {
    /// The packages that the files in `lists` name, in `home`; installed unless they are there. The inner
    /// error says why there can be none here.
    pub(super) fn ready(home: &Path, lists: &Path) -> Result<std::result::Result<Self, String>> {
        let (place, stamp) = (home.join("node"), home.join("installed-node.txt"));
        let read = |name: &str| {
            let file = lists.join(name);
            std::fs::read_to_string(&file).map_err(|e| Failure::io("read", &file, &e))
        };
        let wanted = LISTS.into_iter().map(read).collect::<Result<String>>()?;
        let node = Self { place };
        let is_there = std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
        if is_there && node.place.join("node_modules").is_dir() {
            return Ok(Ok(node));
        }
        let fits = "process.exit(Number(process.versions.node.split('.')[0]) < 20)";
        if !Process::new("node").args(["-e", fits]).succeeds_quietly() {
            return Ok(Err("node, 20 or newer, is not installed".to_owned()));
        }
        std::fs::create_dir_all(&node.place).map_err(|e| Failure::io("create", &node.place, &e))?;
        for name in LISTS {
            let copy = node.place.join(name);
            std::fs::write(&copy, read(name)?).map_err(|e| Failure::io("write", &copy, &e))?;
        }
        let install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
        let installed = Process::new("timeout")
            .args([INSTALL_SECONDS])
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
        Process::new("node").args([copy.as_os_str()]).args([argument]).run()
    }
}
