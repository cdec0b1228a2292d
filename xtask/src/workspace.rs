//! Where the repository is, which files it holds and which crates it is made of.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::process::{Failure, Process, Result};

/// The root of the repository.
///
/// Cargo says at run time where xtask's manifest is; the path seen by the compiler is only the
/// answer for a binary started by hand, because a shared target directory outlives clones.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        manifest.parent().map_or_else(|| manifest.clone(), Path::to_path_buf)
    })
}

/// Where builds go: an absolute path, as a program that is started elsewhere needs it. A relative one
/// is meant from the root, where every program of ours is started.
pub(crate) fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The program, built: with the whole workspace, so that its dependencies have the features that the tests built them
/// with and are not built again.
pub(crate) fn program() -> Result<PathBuf> {
    let which = ["--workspace", "--bin", "docdb"];
    Process::cargo().args(["build", "--locked", "--profile", "ci"]).args(which).run()?;
    Ok(target_dir().join("ci").join("docdb"))
}

/// Reads a text file of the repository.
pub(crate) fn read(path: &Path) -> Result<String> {
    let whole = root().join(path);
    std::fs::read_to_string(&whole).map_err(|e| Failure::io("read", &whole, &e))
}

/// Paths, relative to the root, of every file that is in the repository or about to be: tracked,
/// or new and not ignored.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let listed = Process::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()?;
    let mut files: Vec<PathBuf> = listed
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|path| root().join(path).is_file())
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// How one crate needs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// In the product or its build.
    Product,
    /// In tests and benches only.
    Tests,
}

/// One dependency of a crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// Its package name.
    pub(crate) name: String,
    /// What for.
    pub(crate) need: Need,
}

/// A target that cargo can build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// Cargo's word for what it is: `lib`, `bin`, `bench`, `test`, `example`.
    pub(crate) kind: String,
    /// Features without which cargo does not build it.
    pub(crate) required_features: Vec<String>,
}

/// A crate of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// What it depends on, direct dependencies only.
    pub(crate) dependencies: Vec<Dependency>,
    /// What it builds.
    pub(crate) targets: Vec<Target>,
}

impl Package {
    /// The names of its targets of one kind, sorted.
    pub(crate) fn targets_of_kind(&self, kind: &str) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.targets.iter().filter(|t| t.kind == kind).map(|t| t.name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

/// The crates of the workspace whose manifest is at `manifest`, relative to the root.
pub(crate) fn packages(manifest: &str) -> Result<Vec<Package>> {
    let json = Process::cargo()
        .args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path", manifest])
        .output()?;
    let metadata: Value = serde_json::from_str(&json)
        .map_err(|e| Failure::new(format!("cargo metadata is not JSON: {e}")))?;
    Ok(parse_packages(&metadata))
}

fn parse_packages(metadata: &Value) -> Vec<Package> {
    list(&metadata["packages"])
        .map(|package| Package {
            name: text(&package["name"]),
            dependencies: list(&package["dependencies"])
                .map(|dependency| Dependency {
                    name: text(&dependency["name"]),
                    need: if dependency["kind"] == "dev" { Need::Tests } else { Need::Product },
                })
                .collect(),
            targets: list(&package["targets"])
                .flat_map(|target| {
                    list(&target["kind"]).map(|kind| Target {
                        name: text(&target["name"]),
                        kind: text(kind),
                        required_features: list(&target["required-features"]).map(text).collect(),
                    })
                })
                .collect(),
        })
        .collect()
}

fn list(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn packages_are_read_from_metadata() {
        let packages = parse_packages(&json!({"packages": [{
            "name": "wal",
            "dependencies": [
                {"name": "base", "kind": null},
                {"name": "sim", "kind": "dev"},
            ],
            "targets": [
                {"name": "wal", "kind": ["lib"]},
                {"name": "append", "kind": ["bench"], "required-features": ["peers"]},
            ],
        }]}));
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0].name, "wal");
        assert_eq!(
            packages[0].dependencies,
            [
                Dependency { name: "base".to_owned(), need: Need::Product },
                Dependency { name: "sim".to_owned(), need: Need::Tests },
            ]
        );
        assert_eq!(packages[0].targets_of_kind("bench"), ["append"]);
        assert!(packages[0].targets[0].required_features.is_empty());
        assert_eq!(packages[0].targets[1].required_features, ["peers"]);
    }

    #[test]
    fn the_root_holds_the_workspace_manifest() {
        assert!(root().join("Cargo.toml").is_file());
        assert!(files().unwrap().contains(&PathBuf::from("Cargo.toml")));
    }
}
