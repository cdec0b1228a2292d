//! The stage `aarch64` of `ci`: the product must compile for the second architecture too.
//!
//! It checks and does not link, so that a standard library for that target is all it needs. Where
//! rustup has none, [`debian`] unpacks a compiler of the same version as its standard library from
//! Debian's packages, in the target directory alone. Where that fails too, the stage is skipped.
//!
//! A dependency that compiles C in its build script needs a C compiler for the target besides:
//! `aarch64-linux-gnu-gcc`, which Debian has in `gcc-aarch64-linux-gnu`. No dependency does yet, and
//! nothing here fetches one.

mod debian;

use std::path::Path;

use crate::process::{Failure, Process, Result};
use crate::stage::Outcome;
use crate::workspace::{self, Package};

/// The second architecture that the code must compile for.
const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Crates that are no part of the product. The peers of `benches` are C++.
const LEFT_OUT: [&str; 2] = ["benches", "xtask"];

/// Checks the product for the other architecture.
pub(crate) fn check(packages: &[Package]) -> Result<Outcome> {
    let check = cargo_check(packages);
    if has_std(TARGET)? {
        check.run()?;
        return Ok(Outcome::passed());
    }
    let dir = workspace::target_dir().join("other-target");
    let compiler = match debian::compiler(&dir) {
        Ok(compiler) => compiler,
        Err(why) => return Ok(Outcome::Skipped(reason(&why))),
    };
    check
        .env("CARGO_TARGET_DIR", dir.join("build"))
        .env("LD_LIBRARY_PATH", &compiler.libraries)
        .env("RUSTC", &compiler.rustc)
        .run()?;
    Ok(Outcome::Passed(format!("by Debian's rustc {}", compiler.version)))
}

fn cargo_check(packages: &[Package]) -> Process {
    let mut process =
        Process::cargo().args(["check", "--workspace", "--locked", "--profile", "ci"]);
    for name in LEFT_OUT {
        if packages.iter().any(|package| package.name == name) {
            process = process.args(["--exclude", name]);
        }
    }
    // Dependencies that bring C code build it even when all else is only looked at. Nothing is linked,
    // so what this machine's compiler makes of it does as well, and no other one has to be installed.
    process
        .args(["--target", TARGET])
        .env("CC_aarch64_unknown_linux_gnu", "cc")
        .env("AR_aarch64_unknown_linux_gnu", "ar")
}

fn has_std(target: &str) -> Result<bool> {
    let printed =
        Process::new("rustc").args(["--print", "target-libdir", "--target", target]).output()?;
    Ok(std::fs::read_dir(Path::new(printed.trim())).is_ok_and(|mut files| files.next().is_some()))
}

/// Why the stage is skipped, in one line: of a program that failed, the last thing it said.
fn reason(debian: &Failure) -> String {
    let text = debian.to_string();
    let said = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    format!(
        "its standard library is not installed (`rustup target add {TARGET}`), \
         and Debian's is not to be had: {said}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_library_of_a_target_that_cannot_be_installed_is_absent() {
        // A target that rustc knows and for which no standard library is distributed.
        assert_eq!(has_std("avr-none"), Ok(false));
    }

    #[test]
    fn a_skipped_check_names_the_remedy_and_the_last_line_of_what_failed() {
        let reason = reason(&Failure::new("`apt-get` failed: 100\nW: slow\nE: no network\n\n"));
        assert!(reason.contains("rustup target add aarch64-unknown-linux-gnu"), "{reason}");
        assert!(reason.ends_with("not to be had: E: no network"), "{reason}");
    }
}
