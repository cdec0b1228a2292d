//! `cargo xtask bench`: runs the programs of the `benches` crate, keeps their reports in one file
//! and compares two such files. Measuring itself, and the rule for a verdict, are in `benches`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{Failure, Process, Result, has_package};
use crate::workspace;

/// The crate of the bench programs.
pub(crate) const PACKAGE: &str = "benches";
/// The feature that programs need which measure other engines.
pub(crate) const PEERS: &str = "peers";
/// The peers' library that is the system's.
const PEERS_LIBRARY: &str = "librocksdb-dev";
/// The peers that are servers, as packages of the system.
const PEERS_SERVERS: [&str; 2] = ["redis-server", "postgresql"];

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Benches to run (all when none is named)
    names: Vec<String>,
    /// Print the names of the benches and stop
    #[arg(long)]
    list: bool,
    /// Measure other engines too; installs the library that they need
    #[arg(long)]
    peers: bool,
    /// Run each bench once on little work, to see that it works
    #[arg(long, conflicts_with_all = ["compare", "save"])]
    smoke: bool,
    /// Show the results beside those of an earlier run
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Keep the results in this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Arguments for the benches themselves: name one that takes them
    #[arg(last = true)]
    passed: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let known = programs(arguments.peers)?;
    if arguments.list {
        for program in known {
            println!("{}", program.name);
        }
        return Ok(());
    }
    let chosen = chosen(known, &arguments.names)?;
    if arguments.peers {
        install_peers()?;
    }
    // Read before an hour of measuring, not after it.
    let base = arguments.compare.as_deref().map(load).transpose()?;
    if arguments.smoke {
        return run_smoke(&chosen, &arguments.passed);
    }
    let reports = measure(&chosen, &arguments.passed)?;
    if let Some(path) = &arguments.save {
        save(path, &reports)?;
    }
    if let Some(base) = base {
        println!("\n{}", comparison(&base, &reports));
    }
    Ok(())
}

/// A bench program.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Program {
    name: String,
    measures_peers: bool,
}

/// The programs of these names, or all when none is named.
fn chosen(known: Vec<Program>, names: &[String]) -> Result<Vec<Program>> {
    let is_unknown = |name: &&String| !known.iter().any(|program| program.name == **name);
    if let Some(name) = names.iter().find(is_unknown) {
        return Err(Failure::new(format!("no bench is called `{name}`; see --list")));
    }
    let is_chosen = |program: &Program| names.is_empty() || names.contains(&program.name);
    Ok(known.into_iter().filter(is_chosen).collect())
}

/// The stage of `ci`. The benches of other engines only where these are there already.
pub(crate) fn smoke() -> Result<String> {
    let missing = missing_peers();
    let with_peers = missing.is_empty();
    let programs = programs(with_peers)?;
    run_smoke(&programs, &[])?;
    if with_peers {
        // What the stage `test` cannot build without that library.
        Process::cargo()
            .args(["test", "--locked", "--profile", "ci", "--package", PACKAGE])
            .args(["--features", PEERS, "--lib", "--bins"])
            .run()?;
    }
    let note = format!("{} programs, once each", programs.len());
    Ok(if with_peers {
        note
    } else {
        format!("{note}; {PEERS} SKIPPED: not installed are {}", missing.join(", "))
    })
}

/// The stage of `nightly`: every criterion bench and every side-by-side bench, measured.
pub(crate) fn measure_all() -> Result<String> {
    let packages = workspace::packages("Cargo.toml")?;
    if packages.iter().any(|package| !package.targets_of_kind("bench").is_empty()) {
        Process::cargo().args(["bench", "--workspace", "--locked", "--bench", "*"]).run()?;
    }
    let path = reports_dir().join("nightly.json");
    save(&path, &measure(&programs(false)?, &[])?)?;
    Ok(format!("results in {}", path.display()))
}

/// Makes sure that the peers can be linked.
fn install_peers() -> Result<()> {
    let missing = missing_peers();
    if missing.is_empty() {
        return Ok(());
    }
    Process::new("apt-get").args(["install", "--yes"]).args(missing).run()
}

fn missing_peers() -> Vec<&'static str> {
    let is_missing = |package: &&str| !has_package(package);
    PEERS_SERVERS.into_iter().chain([PEERS_LIBRARY]).filter(is_missing).collect()
}

/// The bench programs, sorted by name; those that measure other engines only when they are wanted.
fn programs(with_peers: bool) -> Result<Vec<Program>> {
    let packages = workspace::packages("Cargo.toml")?;
    let package = packages
        .iter()
        .find(|package| package.name == PACKAGE)
        .ok_or_else(|| Failure::new("the workspace has no crate `benches`"))?;
    let targets = package.targets.iter().filter(|target| target.kind == "bin");
    let mut programs: Vec<Program> = targets
        .map(|target| Program {
            name: target.name.clone(),
            measures_peers: target.required_features.iter().any(|feature| feature == PEERS),
        })
        .filter(|program| with_peers || !program.measures_peers)
        .collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

fn reports_dir() -> PathBuf {
    workspace::target_dir().join("bench")
}

/// Builds and runs a program.
fn start(program: &Program, profile: &str) -> Process {
    let process = Process::cargo()
        .args(["run", "--locked", "--profile", profile, "--package", PACKAGE])
        .args(["--bin", &program.name]);
    let features: &[&str] = if program.measures_peers { &["--features", PEERS] } else { &[] };
    process.args(features).args(["--"])
}

fn run_smoke(programs: &[Program], passed: &[String]) -> Result<()> {
    programs
        .iter()
        .try_for_each(|program| start(program, "ci").args(["--smoke"]).args(passed).run())
}

/// Runs the benches and returns their reports, in order.
fn measure(programs: &[Program], passed: &[String]) -> Result<Vec<Value>> {
    let dir = reports_dir();
    std::fs::create_dir_all(&dir).map_err(|e| Failure::io("create", &dir, &e))?;
    let mut reports = Vec::new();
    for program in programs {
        let path = dir.join(format!("{}.json", program.name));
        start(program, "release").args(["--json".as_ref(), path.as_os_str()]).args(passed).run()?;
        reports.push(parse(&path)?);
    }
    Ok(reports)
}

fn parse(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::io("read", path, &e))?;
    serde_json::from_str(&text)
        .map_err(|e| Failure::new(format!("{} is not JSON: {e}", path.display())))
}

fn load(path: &Path) -> Result<Vec<Value>> {
    let Value::Array(reports) = parse(path)? else {
        return Err(Failure::new(format!("{} is not a list of reports", path.display())));
    };
    Ok(reports)
}

fn save(path: &Path, reports: &[Value]) -> Result<()> {
    let text = format!("{:#}\n", Value::Array(reports.to_vec()));
    std::fs::write(path, text).map_err(|e| Failure::io("write", path, &e))?;
    println!("results in {}", path.display());
    Ok(())
}

/// One row per case that both runs have, and a line for each that only one has. Rates of different
/// hours say little on a shared machine; the ratio to the peer, measured in the same run, is what
/// to look at, and so it is shown for both.
fn comparison(base: &[Value], now: &[Value]) -> String {
    let (base, now) = (cases(base), cases(now));
    let mut table = String::from(
        "| case | base, per second | now, per second | now / base | base, to peer | now, to peer |\n\
         |---|---|---|---|---|---|\n",
    );
    for (name, case) in &now {
        let Some((_, before)) = base.iter().find(|(other, _)| other == name) else {
            let _ =
                writeln!(table, "| {name} | – | {:.0} | – | – | {:.2} |", rate(case), ratio(case));
            continue;
        };
        let _ = writeln!(
            table,
            "| {name} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} |",
            rate(before),
            rate(case),
            rate(case) / rate(before),
            ratio(before),
            ratio(case)
        );
    }
    for (name, _) in base.iter().filter(|(name, _)| !now.iter().any(|(other, _)| other == name)) {
        let _ = writeln!(table, "\n{name} is in the base only.");
    }
    table
}

fn cases(reports: &[Value]) -> Vec<(String, &Value)> {
    reports
        .iter()
        .flat_map(|report| {
            let bench = report["bench"].as_str().unwrap_or_default();
            let cases = report["cases"].as_array().map_or(&[][..], Vec::as_slice);
            cases.iter().map(move |case| {
                (format!("{bench}/{}", case["name"].as_str().unwrap_or_default()), case)
            })
        })
        .collect()
}

fn rate(case: &Value) -> f64 {
    case["ours"]["per_second"].as_f64().unwrap_or(f64::NAN)
}

fn ratio(case: &Value) -> f64 {
    case["ratio"]["median"].as_f64().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(cases: &[(&str, f64, f64)]) -> Vec<Value> {
        let cases: Vec<Value> = cases
            .iter()
            .map(|(name, rate, ratio)| {
                json!({"name": name, "ours": {"per_second": rate}, "ratio": {"median": ratio}})
            })
            .collect();
        vec![json!({"bench": "seam", "cases": cases})]
    }

    #[test]
    fn a_comparison_shows_both_runs_and_their_ratio() {
        let table = comparison(
            &report(&[("write", 1000.0, 0.9), ("gone", 1.0, 1.0)]),
            &report(&[("write", 1500.0, 0.95), ("new", 10.0, 1.1)]),
        );
        assert!(table.contains("| seam/write | 1000 | 1500 | 1.50 | 0.90 | 0.95 |"), "{table}");
        assert!(table.contains("| seam/new | – | 10 | – | – | 1.10 |"), "{table}");
        assert!(table.contains("seam/gone is in the base only."), "{table}");
    }

    #[test]
    fn benches_of_other_engines_are_run_only_when_they_are_wanted() {
        let names = |with_peers| {
            let programs = programs(with_peers).unwrap().into_iter();
            programs.map(|program| program.name).collect::<Vec<_>>()
        };
        assert!(!names(false).iter().any(|name| name == "documents-peers"));
        assert!(names(true).iter().any(|name| name == "documents-peers"));
        assert!(names(false).iter().any(|name| name == "documents"));
        let wanted = chosen(programs(true).unwrap(), &["peers".to_owned()]).unwrap();
        assert_eq!(wanted, [Program { name: "peers".to_owned(), measures_peers: true }]);
    }

    #[test]
    fn an_unknown_bench_is_refused() {
        let arguments = Arguments {
            names: vec!["nonsense".to_owned()],
            list: false,
            peers: false,
            smoke: false,
            compare: None,
            save: None,
            passed: Vec::new(),
        };
        let failure = run(&arguments).unwrap_err().to_string();
        assert!(failure.contains("no bench is called `nonsense`"), "{failure}");
    }
}
