//! A compiler and its standard libraries from Debian's packages, unpacked and never installed.
//!
//! `apt-get` runs on a state of its own, in which no package is installed and both architectures
//! are wanted; sources, keys and proxies are the machine's. Its hooks are left out, because they
//! would touch what is the machine's. Packages are unpacked by `dpkg -x`, which runs none of their
//! scripts. What was unpacked stays, and the next run uses it without asking the network.
//!
//! For hosts that are amd64: on arm64 the other architecture is the compiler's own.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::process::{Failure, Process, Result};

/// The compiler. Debian keeps it recent, for browsers to be built with, beside an older `rustc`.
const COMPILER: &str = "rustc-web";
/// Its standard library, in one package for each architecture.
const STD: &str = "libstd-rust-web-dev";
/// Where packages keep the host's shared libraries.
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
/// The C library and what comes with it. A program's loader is the machine's, and works with the
/// machine's C library alone.
const LEFT_OUT: [&str; 1] = ["libc6"];
/// What every crate of the workspace asks of a compiler.
const VERSION_MIN: &str = env!("CARGO_PKG_RUST_VERSION");
/// Seconds that one call of `apt-get` may take.
const SECONDS_MAX: &str = "300";

/// A compiler that is ready to be used.
#[derive(Debug)]
pub(super) struct Compiler {
    /// The program.
    pub(super) rustc: PathBuf,
    /// Its `LD_LIBRARY_PATH`.
    pub(super) libraries: OsString,
    /// As it states it.
    pub(super) version: String,
}

/// The compiler in `dir`, fetched when it is not there or older than the workspace asks for.
///
/// # Errors
/// When it cannot be fetched, or the one that Debian has is too old.
pub(super) fn compiler(dir: &Path) -> Result<Compiler> {
    fs::create_dir_all(dir).map_err(|e| Failure::io("create", dir, &e))?;
    // Clones that share a target directory may get here at once.
    let path = dir.join("lock");
    let lock = File::create(&path).map_err(|e| Failure::io("create", &path, &e))?;
    lock.lock().map_err(|e| Failure::io("lock", &path, &e))?;

    let unpacked = dir.join("debian");
    if let Ok(compiler) = examine(&unpacked, VERSION_MIN) {
        return Ok(compiler);
    }
    println!("fetching {COMPILER} and {STD} from Debian's archive");
    let fetching = dir.join("fetching");
    remove(&fetching)?;
    let fetched = fetch(&fetching.join("apt"), &fetching.join("root"));
    if fetched.is_ok() {
        remove(&unpacked)?;
        let root = fetching.join("root");
        fs::rename(&root, &unpacked).map_err(|e| Failure::io("rename", &root, &e))?;
    }
    remove(&fetching)?;
    fetched.and_then(|()| examine(&unpacked, VERSION_MIN))
}

/// The compiler below `root`, if it runs and is as recent as `minimum`.
fn examine(root: &Path, minimum: &str) -> Result<Compiler> {
    let rustc = root.join("usr/bin/rustc");
    let libraries = std::env::join_paths(LIBRARIES.map(|path| root.join(path)))
        .map_err(|e| Failure::new(format!("{}: {e}", root.display())))?;
    let printed = Process::new(&rustc.to_string_lossy())
        .env("LD_LIBRARY_PATH", &libraries)
        .args(["--version"])
        .output()?;
    let version = printed.split_whitespace().nth(1).unwrap_or_default().to_owned();
    if numbers(&version) < numbers(minimum) {
        return Err(Failure::new(format!("it is for Rust {version}, older than {minimum}")));
    }
    Ok(Compiler { rustc, libraries, version })
}

/// `1.95` as numbers that can be compared; what follows the numbers does not count.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

/// Unpacks the compiler and what it needs into `root`; `apt` is for files of `apt-get`.
fn fetch(apt: &Path, root: &Path) -> Result<()> {
    let packages = apt.join("packages");
    for dir in ["state/lists/partial", "cache/archives/partial", "packages"].map(|d| apt.join(d)) {
        fs::create_dir_all(&dir).map_err(|e| Failure::io("create", &dir, &e))?;
    }
    let write =
        |path: &Path, text: &str| fs::write(path, text).map_err(|e| Failure::io("write", path, &e));
    write(&apt.join("status"), "")?;
    let machine = Process::new("apt-config").args(["dump"]).output()?;
    let config = apt.join("apt.conf");
    write(&config, &private_config(&machine, apt))?;
    let with_config = |program| Process::new(program).env("APT_CONFIG", &config);
    let apt_get = || with_config("timeout").args([SECONDS_MAX, "apt-get", "--quiet"]);

    apt_get().args(["update"]).output()?;
    let needs = with_config("apt-cache").args(["depends", "--recurse", "--important", STD]);
    // `update` succeeds without a network too.
    let needs = needs.output().map_err(|_| {
        Failure::new(format!("the archive cannot be reached, or has no package {STD}"))
    })?;
    let other = format!("{STD}:arm64");
    let mut names = vec![COMPILER, &other];
    names.extend(needed(&needs));
    apt_get().current_dir(&packages).args(["download"]).args(names).output()?;

    let listed = fs::read_dir(&packages).map_err(|e| Failure::io("list", &packages, &e))?;
    for entry in listed {
        let path = entry.map_err(|e| Failure::io("list", &packages, &e))?.path();
        Process::new("dpkg").args(["-x".as_ref(), path.as_os_str(), root.as_os_str()]).output()?;
    }
    Ok(())
}

/// The machine's configuration of apt without its hooks, with all state below `apt`.
fn private_config(machine: &str, apt: &Path) -> String {
    let mut config = String::new();
    for line in machine.lines().filter(|line| !line.contains("Invoke")) {
        config.push_str(line);
        config.push('\n');
    }
    let apt = apt.display();
    // Read once more after this file, the machine's own would bring the hooks back.
    config.push_str("Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\n");
    config.push_str("#clear APT::Architectures;\nAPT::Architectures { \"amd64\"; \"arm64\"; };\n");
    config.push_str("Acquire::Languages \"none\";\n");
    for (name, path) in [("State", "state"), ("State::status", "status"), ("Cache", "cache")] {
        let _ = writeln!(config, "Dir::{name} \"{apt}/{path}\";");
    }
    config
}

/// Names of packages in the output of `apt-cache depends --recurse`, in which what is indented says
/// why a package is there.
fn needed(listed: &str) -> Vec<&str> {
    listed
        .lines()
        .filter(|line| !line.starts_with([' ', '<']) && !LEFT_OUT.contains(line))
        .collect()
}

fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(|e| Failure::io("remove", dir, &e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(numbers("1.96.0") > numbers("1.95"));
        assert!(numbers("1.100.0") > numbers("1.95.2"));
        assert!(numbers("1.85.0") < numbers("1.95"));
        assert!(numbers("1.95.0-nightly") >= numbers("1.95"));
        assert!(numbers("") < numbers("1.95"));
    }

    #[test]
    fn the_machines_c_library_is_not_replaced() {
        let listed = "libstd-rust-web-dev\n  Depends: libstd-rust-web-1.96\nlibstd-rust-web-1.96\n\
                      \x20 Depends: libc6\n    libc6\n<libc-dev>\nlibc6\nlibllvm22\n";
        assert_eq!(needed(listed), ["libstd-rust-web-dev", "libstd-rust-web-1.96", "libllvm22"]);
    }

    #[test]
    fn the_machines_proxy_is_kept_and_its_hooks_and_state_are_not() {
        let machine = "Acquire::http::Proxy \"http://proxy\";\n\
                       APT::Update::Post-Invoke:: \"rm -f /var/cache/apt/*.bin\";\n\
                       Dir::State \"var/lib/apt\";\n";
        let config = private_config(machine, Path::new("/t/apt"));
        assert!(config.contains("Acquire::http::Proxy \"http://proxy\";"), "{config}");
        assert!(!config.contains("rm -f"), "{config}");
        // The last setting of a name holds.
        let (_, last) = config.rsplit_once("Dir::State \"").unwrap();
        assert!(last.starts_with("/t/apt/state\";"), "{config}");
    }

    #[test]
    fn a_compiler_that_is_not_there_is_a_failure() {
        assert!(examine(Path::new("/nowhere"), "1.95").is_err());
    }
}
