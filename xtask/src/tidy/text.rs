//! Rules for every text file: how lines end, and what a public repository does not say.

use std::path::Path;

use super::Finding;

/// Beginnings of paths that exist on somebody's machine only. In halves, so that this file does not
/// break its own rule.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// Hosts of package registries: which one is used is the machine's business.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("npmjs", ".org"),
    concat!("debian", ".org"),
    concat!("proxy.golang", ".org"),
];

/// Checks one file.
pub(super) fn check(file: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let number = index + 1;
        if line.ends_with([' ', '\t', '\r']) {
            findings.push(Finding::new(file, number, "blanks at the end of the line"));
        }
        for path in MACHINE_PATHS.iter().filter(|path| contains_path(line, path)) {
            findings.push(Finding::new(file, number, format!("a path of one machine: {path}")));
        }
        for host in REGISTRY_HOSTS.iter().filter(|host| line.contains(**host)) {
            findings.push(Finding::new(file, number, format!("a registry's host: {host}")));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::new(file, 0, "no newline at the end"));
    }
    if text.ends_with("\n\n") {
        findings.push(Finding::new(file, 0, "empty lines at the end"));
    }
    findings
}

/// Whether the absolute `path` begins in `line`: not as the middle of a longer path.
fn contains_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-' | '}' | '*'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(usize, &str)]) {
        let findings = super::check(Path::new("a.md"), text);
        let found: Vec<(usize, &str)> =
            findings.iter().map(|f| (f.line, f.what.as_str())).collect();
        assert_eq!(found, expect, "{text:?}");
    }

    #[test]
    fn good_text_has_no_finding() {
        check("", &[]);
        check("one\n\ntwo\n", &[]);
    }

    #[test]
    fn blanks_at_the_end_of_a_line_are_found() {
        check("one \ntwo\n", &[(1, "blanks at the end of the line")]);
        check("one\ntwo\t\n", &[(2, "blanks at the end of the line")]);
        check("one\r\n", &[(1, "blanks at the end of the line")]);
    }

    #[test]
    fn the_end_of_the_file_is_one_newline() {
        check("one", &[(0, "no newline at the end")]);
        check("one\n\n", &[(0, "empty lines at the end")]);
    }

    #[test]
    fn paths_of_one_machine_are_found_and_longer_paths_are_not() {
        for path in MACHINE_PATHS {
            check(&format!("see {path}x\n"), &[(1, &format!("a path of one machine: {path}"))]);
            check(&format!("see docs{path}x\n"), &[]);
        }
    }

    #[test]
    fn hosts_of_registries_are_found() {
        for host in REGISTRY_HOSTS {
            check(&format!("https://{host}/x\n"), &[(1, &format!("a registry's host: {host}"))]);
        }
    }
}
