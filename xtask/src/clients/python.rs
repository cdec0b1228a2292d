//! A virtual environment of Python with the packages of a list, kept from one run to the next.

use std::path::{Path, PathBuf};

use crate::process::{Failure, Process, Result};

/// Seconds that installing may take.
const INSTALL_SECONDS: &str = "300";

/// Python with packages.
#[derive(Debug)]
pub(crate) struct Python {
    /// Where its programs are.
    programs: PathBuf,
}

impl Python {
    /// The environment in `home` with what the file `list` names; made unless it is there. The inner
    /// error says why there can be none here.
    pub(crate) fn ready(home: &Path, list: &Path) -> Result<std::result::Result<Self, String>> {
        let wanted = std::fs::read_to_string(list).map_err(|e| Failure::io("read", list, &e))?;
        let (place, stamp) = (home.join("venv"), home.join("installed.txt"));
        let python = Self { programs: place.join("bin") };
        let is_there = std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
        if is_there && python.program("python").args(["-c", "pass"]).succeeds_quietly() {
            return Ok(Ok(python));
        }
        let fits = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))";
        if !Process::new("python3").args(["-c", fits]).succeeds_quietly() {
            return Ok(Err("python3, 3.11 or newer with venv, is not installed".to_owned()));
        }
        std::fs::create_dir_all(home).map_err(|e| Failure::io("create", home, &e))?;
        let make = ["-m", "venv", "--clear"];
        Process::new("python3").args(make).args([place.as_os_str()]).run()?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        let installed = Process::new("timeout")
            .args([INSTALL_SECONDS])
            .args([python.programs.join("python").as_os_str()])
            .args(pip)
            .args([list.as_os_str()])
            .output();
        if let Err(failure) = installed {
            return Ok(Err(reason(&failure)));
        }
        std::fs::write(&stamp, wanted).map_err(|e| Failure::io("write", &stamp, &e))?;
        Ok(Ok(python))
    }

    /// Where a package of it is, by the name of its module; the package, `name==version`, is installed first. The
    /// error says why it is not to be had.
    pub(super) fn bring(
        &self,
        package: &str,
        module: &str,
    ) -> std::result::Result<PathBuf, String> {
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package];
        let installed = Process::new("timeout")
            .args([INSTALL_SECONDS])
            .args([self.path("python").as_os_str()])
            .args(pip)
            .output();
        installed.map_err(|failure| reason(&failure))?;
        let of = format!("import os, {module} as it; print(os.path.dirname(it.__file__))");
        let said = self.program("python").args(["-c", &of]).output();
        said.map(|said| PathBuf::from(said.trim())).map_err(|failure| reason(&failure))
    }

    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> Process {
        Process::new(&self.path(name).to_string_lossy())
    }

    /// Where one of its programs is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// Why nothing was installed, in one line: the last thing that was said.
fn reason(failure: &Failure) -> String {
    let text = failure.to_string();
    let said = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    format!("its Python packages are not to be had: {said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_cannot_be_installed_skips_with_the_last_thing_said() {
        let reason = reason(&Failure::new("`pip` failed: 1\nWARNING: slow\nERROR: no network\n"));
        assert_eq!(reason, "its Python packages are not to be had: ERROR: no network");
    }

    #[test]
    fn the_lists_name_one_version_of_everything() {
        for of in ["clients", "senders"] {
            let path = format!("crates/docdb/tests/{of}/requirements.txt");
            let list = crate::workspace::read(Path::new(&path));
            for line in list.unwrap().lines().filter(|line| !line.starts_with('#')) {
                let (name, version) = line.split_once("==").unwrap_or_default();
                assert!(!name.is_empty() && version.starts_with(char::is_numeric), "{line}");
            }
        }
    }
}
