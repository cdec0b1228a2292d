//! What a bench found, as Markdown for people and JSON for `cargo xtask bench --compare`.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::machine;
use crate::probe::Probe;
use crate::verdict::{Spread, Verdict};

/// The figures of one side of a case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SideReport {
    /// Median operations per second.
    pub per_second: f64,
    /// Median CPU microseconds per operation.
    pub cpu_us_per_operation: f64,
}

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// What one operation is.
    pub operation: String,
    /// The peer's name and version.
    pub peer_name: String,
    /// Least ratio claimed, if any.
    pub aim: Option<f64>,
    /// Our figures.
    pub ours: SideReport,
    /// The peer's.
    pub peer: SideReport,
    /// Ours to the peer's operations per second, pair by pair.
    pub ratios: Vec<f64>,
    /// Median and range of the ratios.
    pub ratio: Spread,
    /// The probe before the first pair.
    pub before: Probe,
    /// The probe after the last.
    pub after: Probe,
    /// Whether the claim holds.
    pub verdict: Verdict,
}

/// A whole bench.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its name.
    pub bench: String,
    /// Its cases, in the order they ran.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// A report without cases yet.
    #[must_use]
    pub fn new(bench: &str) -> Self {
        Self { bench: bench.to_owned(), cases: Vec::new() }
    }

    /// The report as JSON, with the machine and the command that measured it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "bench": self.bench,
            "command": format!("cargo xtask bench {}", self.bench),
            "machine": machine::describe(),
            "cases": self.cases.iter().map(case_json).collect::<Vec<_>>(),
        })
    }

    /// The report as a Markdown section.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "## {}\n\n{}\n\n\
             | case | operation | ours /s | peer | peer /s | ratio (range) | aim | CPU µs ours / peer \
             | probe µs before / after | verdict |\n|---|---|---|---|---|---|---|---|---|---|\n",
            self.bench,
            machine::describe()
        );
        for case in &self.cases {
            let aim = case.aim.map_or_else(|| "–".to_owned(), |aim| format!("{aim:.2}"));
            let _ = writeln!(
                text,
                "| {} | {} | {:.0} | {} | {:.0} | {:.2} ({:.2}–{:.2}) | {aim} | {:.2} / {:.2} \
                 | {:.0} / {:.0} | {} |",
                case.name,
                case.operation,
                case.ours.per_second,
                case.peer_name,
                case.peer.per_second,
                case.ratio.median,
                case.ratio.min,
                case.ratio.max,
                case.ours.cpu_us_per_operation,
                case.peer.cpu_us_per_operation,
                case.before.median_us,
                case.after.median_us,
                case.verdict.name(),
            );
        }
        text
    }
}

/// One case as JSON.
#[must_use]
pub fn case_json(case: &CaseReport) -> Value {
    let side = |side: &SideReport| {
        json!({
            "per_second": side.per_second,
            "cpu_us_per_operation": side.cpu_us_per_operation,
        })
    };
    json!({
        "name": case.name,
        "operation": case.operation,
        "peer_name": case.peer_name,
        "aim": case.aim,
        "ours": side(&case.ours),
        "peer": side(&case.peer),
        "ratio": {
            "median": case.ratio.median,
            "min": case.ratio.min,
            "max": case.ratio.max,
            "pairs": case.ratios,
        },
        "probe_us": {"before": case.before.median_us, "after": case.after.median_us},
        "verdict": case.verdict.name(),
    })
}

/// Writes `json` to `path`, replacing what is there.
///
/// # Errors
/// Whatever the system says.
pub fn write_json(path: &Path, json: &Value) -> io::Result<()> {
    write_text(path, &format!("{json:#}\n"))
}

/// Writes `text` to `path`, replacing what is there.
///
/// # Errors
/// Whatever the system says.
#[expect(clippy::disallowed_methods, reason = "a report for people, not data of docdb")]
pub fn write_text(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let side = SideReport { per_second: 9000.0, cpu_us_per_operation: 12.5 };
        let mut report = Report::new("seam");
        report.cases.push(CaseReport {
            name: "write".to_owned(),
            operation: "one write".to_owned(),
            peer_name: "raw".to_owned(),
            aim: Some(0.9),
            ours: side,
            peer: side,
            ratios: vec![0.9, 1.0, 1.1],
            ratio: Spread::of(&[0.9, 1.0, 1.1]),
            before: Probe { median_us: 110.0 },
            after: Probe { median_us: 120.0 },
            verdict: Verdict::TooFewPairs,
        });
        report
    }

    #[test]
    fn markdown_quotes_everything_the_rule_asks_for() {
        let text = report().to_markdown();
        let row = "| write | one write | 9000 | raw | 9000 | 1.00 (0.90–1.10) | 0.90 \
                   | 12.50 / 12.50 | 110 / 120 | too few pairs |\n";
        assert!(text.ends_with(row), "{text}");
        assert!(text.contains(&machine::describe()), "{text}");
    }

    #[test]
    fn json_has_what_a_comparison_reads() {
        let json = report().to_json();
        assert_eq!(json["bench"], "seam");
        assert_eq!(json["cases"][0]["ours"]["per_second"], 9000.0);
        assert_eq!(json["cases"][0]["ratio"]["median"], 1.0);
        assert_eq!(json["cases"][0]["probe_us"]["after"], 120.0);
        assert_eq!(json["command"], "cargo xtask bench seam");
    }
}
