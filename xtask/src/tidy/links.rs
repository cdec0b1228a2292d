//! Every relative link of a Markdown file leads to a file that exists, and its `#anchor` to a
//! heading. Links to other sites are not followed.

use std::path::{Component, Path, PathBuf};

use super::Finding;

/// Checks one file. `exists` and `read` take paths relative to the root.
pub(super) fn check(
    file: &Path,
    text: &str,
    exists: impl Fn(&Path) -> bool,
    read: impl Fn(&Path) -> Option<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, link) in links(text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = if path.is_empty() {
            Some(file.to_owned())
        } else {
            normal(&file.parent().unwrap_or(Path::new("")).join(path))
        };
        let Some(target) = target.filter(|target| exists(target)) else {
            findings.push(Finding::new(file, line, format!("the link {link} leads nowhere")));
            continue;
        };
        let is_heading = anchor.is_empty()
            || if path.is_empty() {
                has_anchor(text, anchor)
            } else {
                read(&target).is_some_and(|text| has_anchor(&text, anchor))
            };
        if !is_heading {
            findings.push(Finding::new(file, line, format!("the link {link} names no heading")));
        }
    }
    findings
}

/// Targets of inline links, with their line. Code, fenced or in backticks, is not prose.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let in_code = line[..at].matches('`').count() % 2 == 1;
            let rest = &line[at + 2..];
            if let (false, Some(end)) = (in_code, rest.find(')')) {
                found.push((index + 1, rest[..end].trim()));
            }
        }
    }
    found
}

/// `path` without `.` and `..`; nothing when it leaves the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !parts.pop() {
                    return None;
                }
            }
            Component::Normal(name) => parts.push(name),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts)
}

fn has_anchor(text: &str, anchor: &str) -> bool {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor_of(line.trim_start_matches('#').trim()) == anchor)
}

/// The anchor that forges make of a heading: lower case, blanks to dashes, punctuation dropped.
fn anchor_of(heading: &str) -> String {
    heading
        .chars()
        .filter_map(|c| match c {
            ' ' | '-' => Some('-'),
            '_' => Some('_'),
            c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[&str]) {
        let exists = |path: &Path| {
            ["README.md", "docs/a.md", "docs/b.md"].iter().any(|known| path == Path::new(known))
        };
        let read = |path: &Path| exists(path).then(|| "# One heading: `code`\n".to_owned());
        let findings = super::check(Path::new("docs/a.md"), text, exists, read);
        let found: Vec<&str> = findings.iter().map(|f| f.what.as_str()).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn links_that_lead_somewhere_are_good() {
        check("[b](b.md) [top](../README.md) [site](https://example.org/x.md)\n", &[]);
        check("[b](b.md#one-heading-code)\n", &[]);
        check("# Here\n[above](#here)\n", &[]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        check("[c](c.md)\n", &["the link c.md leads nowhere"]);
        check("[up](../../README.md)\n", &["the link ../../README.md leads nowhere"]);
        check("[abs](/README.md)\n", &["the link /README.md leads nowhere"]);
    }

    #[test]
    fn anchors_that_are_no_heading_are_found() {
        check("[b](b.md#two)\n", &["the link b.md#two names no heading"]);
        check("# Here\n[above](#there)\n", &["the link #there names no heading"]);
    }

    #[test]
    fn links_in_code_are_not_links() {
        check("`[c](c.md)`\n```\n[c](c.md)\n```\n", &[]);
    }
}
