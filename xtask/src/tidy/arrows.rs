//! Which crate may depend on which. Cargo refuses cycles; this table refuses the rest: the stores
//! never see each other, the simulator never ships, and what joins the stores is the binary.

use std::path::Path;

use super::Finding;
use crate::workspace::{Need, Package};

/// What one crate may depend on, among ours.
struct Allowed {
    name: &'static str,
    /// In the product.
    product: &'static [&'static str],
    /// In tests and benches, besides those.
    tests: &'static [&'static str],
}

/// Every crate of ours. A new crate, or a new arrow, is an entry here and a decision in
/// `docs/decisions`.
const ARROWS: &[Allowed] = &[
    Allowed { name: "base", product: &[], tests: &[] },
    Allowed { name: "sim", product: &["base"], tests: &[] },
    Allowed { name: "wal", product: &["base"], tests: &["sim"] },
    Allowed { name: "docstore", product: &["base", "wal"], tests: &["sim"] },
    Allowed { name: "search", product: &["base"], tests: &["sim"] },
    Allowed { name: "logstore", product: &["base"], tests: &["sim"] },
    Allowed { name: "client", product: &[], tests: &[] },
    Allowed {
        name: "docdb",
        product: &["base", "wal", "docstore", "search", "logstore", "client"],
        tests: &["sim"],
    },
    Allowed {
        name: "benches",
        product: &["base", "wal", "docstore", "search", "logstore", "client", "docdb"],
        tests: &[],
    },
    Allowed {
        name: "docdb-fuzz",
        product: &["base", "wal", "docstore", "search", "logstore", "client", "docdb", "sim"],
        tests: &[],
    },
    Allowed { name: "xtask", product: &[], tests: &[] },
];

/// Checks the crates of one workspace.
pub(super) fn check(manifest: &Path, packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let Some(allowed) = ARROWS.iter().find(|allowed| allowed.name == package.name) else {
            let what = format!("the crate {} is not in the table of arrows", package.name);
            findings.push(Finding::new(manifest, 0, what));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let is_ours = ARROWS.iter().any(|ours| ours.name == name);
            // A crate's tests may turn on features of the crate itself.
            let is_for_tests = allowed.tests.contains(&name) || name == package.name;
            let is_allowed =
                allowed.product.contains(&name) || (dependency.need == Need::Tests && is_for_tests);
            if is_ours && !is_allowed {
                let what = format!("{} must not depend on {name}", package.name);
                findings.push(Finding::new(manifest, 0, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn check(package: &str, dependency: &str, need: Need, expect: &[&str]) {
        let packages = [Package {
            name: package.to_owned(),
            dependencies: vec![Dependency { name: dependency.to_owned(), need }],
            targets: Vec::new(),
        }];
        let findings = super::check(Path::new("Cargo.toml"), &packages);
        let found: Vec<&str> = findings.iter().map(|f| f.what.as_str()).collect();
        assert_eq!(found, expect, "{package} -> {dependency}");
    }

    #[test]
    fn arrows_of_the_architecture_are_allowed() {
        check("wal", "base", Need::Product, &[]);
        check("docstore", "wal", Need::Product, &[]);
        check("wal", "sim", Need::Tests, &[]);
        check("wal", "wal", Need::Tests, &[]);
        check("wal", "crc32c", Need::Product, &[]);
    }

    #[test]
    fn arrows_against_the_architecture_are_found() {
        check("base", "wal", Need::Product, &["base must not depend on wal"]);
        check("search", "docstore", Need::Product, &["search must not depend on docstore"]);
        check("logstore", "wal", Need::Tests, &["logstore must not depend on wal"]);
        check("client", "base", Need::Product, &["client must not depend on base"]);
    }

    #[test]
    fn the_simulator_never_ships() {
        check("wal", "sim", Need::Product, &["wal must not depend on sim"]);
        check("docdb", "sim", Need::Product, &["docdb must not depend on sim"]);
    }

    #[test]
    fn an_unknown_crate_is_found() {
        check("extra", "base", Need::Product, &["the crate extra is not in the table of arrows"]);
    }
}
