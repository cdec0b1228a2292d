//! `cargo xtask tidy`: rules that no compiler checks. A rule is a function from text to findings,
//! and each has a test that shows it failing; this file only reads the repository and asks them.

mod arrows;
mod links;
mod records;
mod source;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::process::{Failure, Result};
use crate::workspace;

/// Endings of files that are text and held to the rules for text.
const TEXT_ENDINGS: &[&str] =
    &["rs", "md", "toml", "json", "yml", "yaml", "sh", "txt", "transcript", "snap"];

/// A rule that a file breaks.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: PathBuf,
    /// Counted from 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl Finding {
    fn new(file: &Path, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.what),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.what),
        }
    }
}

/// Runs the command.
pub(crate) fn run() -> Result<()> {
    let files = workspace::files()?;
    let codes = source::code_names(&workspace::read(Path::new(source::CODE_LIST))?);
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_text(file)) {
        let text = workspace::read(file)?;
        findings.extend(text::check(file, &text));
        match file.extension().and_then(|e| e.to_str()) {
            Some("rs") => findings.extend(source::check(file, &text, &codes)),
            Some("md") => {
                let exists = |path: &Path| workspace::root().join(path).exists();
                let read = |path: &Path| workspace::read(path).ok();
                findings.extend(links::check(file, &text, exists, read));
            }
            _ => {}
        }
    }
    findings.extend(records::check_decisions(&files));
    findings.extend(records::check_changelog(&workspace::read(Path::new(records::CHANGELOG))?));
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        findings.extend(arrows::check(Path::new(manifest), &workspace::packages(manifest)?));
    }
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("{} files follow the rules", files.len());
            Ok(())
        }
        count => Err(Failure::new(format!("tidy: {count} findings"))),
    }
}

fn is_text(file: &Path) -> bool {
    let ending = file.extension().and_then(|e| e.to_str());
    ending.is_none_or(|ending| TEXT_ENDINGS.contains(&ending)) || file.ends_with(".ci/run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_an_ending_are_text_and_binary_ones_are_not() {
        assert!(is_text(Path::new(".ci/run")));
        assert!(is_text(Path::new("LICENSE")));
        assert!(is_text(Path::new("crates/base/src/lib.rs")));
        assert!(!is_text(Path::new("crates/wal/tests/fixtures/v1/0001.wal")));
        assert!(!is_text(Path::new("Cargo.lock")));
    }

    #[test]
    fn a_finding_names_its_place() {
        let file = Path::new("a.rs");
        assert_eq!(Finding::new(file, 3, "wrong").to_string(), "a.rs:3: wrong");
        assert_eq!(Finding::new(file, 0, "wrong").to_string(), "a.rs: wrong");
    }
}
