//! Rules for the project's records: decisions are numbered without gaps and say where they stand;
//! the changelog has a place for what is not released yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Finding;

/// The changelog.
pub(super) const CHANGELOG: &str = "CHANGELOG.md";
const DECISIONS: &str = "docs/decisions";

/// Checks the names of the decisions: `0001-name.md`, `0002-…`, each number once.
pub(super) fn check_decisions(files: &[PathBuf]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by_number: BTreeMap<usize, &PathBuf> = BTreeMap::new();
    for file in files.iter().filter(|file| file.parent() == Some(Path::new(DECISIONS))) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == "README.md" {
            continue;
        }
        let Some(number) = number_of(name) else {
            findings.push(Finding::new(file, 0, "a decision is named 0000-what-it-is.md"));
            continue;
        };
        if let Some(first) = by_number.insert(number, file) {
            let what = format!("has the number of {}", first.display());
            findings.push(Finding::new(file, 0, what));
        }
    }
    for (expected, (number, file)) in (1..).zip(&by_number) {
        if *number != expected {
            findings.push(Finding::new(file, 0, format!("decision {expected:04} is missing")));
            break;
        }
    }
    findings
}

fn number_of(name: &str) -> Option<usize> {
    let (number, rest) = name.split_once('-')?;
    let words = rest.strip_suffix(".md")?;
    let is_slug = !words.is_empty()
        && words.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    (number.len() == 4 && is_slug).then(|| number.parse().ok()).flatten()
}

/// Checks the text of the changelog.
pub(super) fn check_changelog(text: &str) -> Vec<Finding> {
    if text.lines().any(|line| line == "## [Unreleased]") {
        Vec::new()
    } else {
        vec![Finding::new(Path::new(CHANGELOG), 0, "has no `## [Unreleased]` section")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], expect: &[&str]) {
        let files: Vec<PathBuf> =
            names.iter().map(|name| Path::new(DECISIONS).join(name)).collect();
        let findings = check_decisions(&files);
        let found: Vec<&str> = findings.iter().map(|f| f.what.as_str()).collect();
        assert_eq!(found, expect, "{names:?}");
    }

    #[test]
    fn decisions_are_numbered_from_one_without_gaps() {
        check(&["README.md", "0001-libraries.md", "0002-hints.md"], &[]);
        check(&["0001-a.md", "0003-c.md"], &["decision 0002 is missing"]);
        check(&["0002-b.md"], &["decision 0001 is missing"]);
        check(&["0001-a.md", "0001-b.md"], &["has the number of docs/decisions/0001-a.md"]);
    }

    #[test]
    fn a_decision_without_a_number_is_found() {
        for name in ["libraries.md", "1-libraries.md", "0001-.md", "0001-Big.md", "0001-a.txt"] {
            check(&[name], &["a decision is named 0000-what-it-is.md"]);
        }
    }

    #[test]
    fn a_changelog_has_a_place_for_the_next_version() {
        assert_eq!(check_changelog("# Changelog\n\n## [Unreleased]\n"), []);
        assert_eq!(check_changelog("# Changelog\n\n## [0.1.0]\n").len(), 1);
    }
}
