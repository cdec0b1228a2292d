//! A list of checks, run one after another whatever the earlier ones said, with a summary at the
//! end: one line per stage, its outcome and its time. A stage that could not run is shown as
//! skipped with the reason, never as passed.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::process::{Failure, Result};

/// How a stage ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything it checks holds. The note says what the name does not.
    Passed(String),
    /// It could not run here.
    Skipped(String),
    /// Something does not hold.
    Failed(String),
}

impl Outcome {
    /// Passed, with nothing to add.
    pub(crate) fn passed() -> Self {
        Self::Passed(String::new())
    }
}

/// A check with a name.
pub(crate) struct Stage {
    name: &'static str,
    work: Box<dyn Fn() -> Result<Outcome>>,
}

impl Stage {
    /// A stage that does `work`.
    pub(crate) fn new(name: &'static str, work: impl Fn() -> Result<Outcome> + 'static) -> Self {
        Self { name, work: Box::new(work) }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

/// A stage that ran.
struct Finished {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// Runs the stages and prints the summary.
///
/// # Errors
/// When at least one stage failed, naming those that did.
pub(crate) fn run_all(stages: &[Stage]) -> Result<()> {
    let mut finished = Vec::new();
    for stage in stages {
        println!("\n==> {}", stage.name);
        let start = Instant::now();
        let outcome = (stage.work)().unwrap_or_else(|failure| {
            eprintln!("{failure}");
            Outcome::Failed(failure.to_string())
        });
        let took = start.elapsed();
        println!("<== {} {} in {:.1} s", stage.name, word(&outcome), took.as_secs_f64());
        finished.push(Finished { name: stage.name, outcome, took });
    }
    println!("\n{}", summary(&finished));
    let failed: Vec<&str> = finished
        .iter()
        .filter(|f| matches!(f.outcome, Outcome::Failed(_)))
        .map(|f| f.name)
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("failed: {}", failed.join(", "))))
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed(_) => "passed",
        Outcome::Skipped(_) => "SKIPPED",
        Outcome::Failed(_) => "FAILED",
    }
}

fn summary(finished: &[Finished]) -> String {
    let mut table = format!("{:<14} {:<8} {:>8}\n", "stage", "outcome", "seconds");
    let mut total = Duration::ZERO;
    for stage in finished {
        total += stage.took;
        let note = match &stage.outcome {
            Outcome::Passed(note) | Outcome::Skipped(note) | Outcome::Failed(note) => {
                note.lines().next().unwrap_or_default()
            }
        };
        let line = format!(
            "{:<14} {:<8} {:>8.1}  {note}",
            stage.name,
            word(&stage.outcome),
            stage.took.as_secs_f64()
        );
        table.push_str(line.trim_end());
        table.push('\n');
    }
    let _ = writeln!(table, "{:<14} {:<8} {:>8.1}", "total", "", total.as_secs_f64());
    for stage in finished {
        if let Outcome::Skipped(why) = &stage.outcome {
            let _ = writeln!(table, "SKIPPED: {}: {why}", stage.name);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_failure_does_not_stop_later_stages_and_is_named_at_the_end() {
        let ran = Rc::new(Cell::new(0));
        let count = |outcome: fn() -> Result<Outcome>| {
            let ran = Rc::clone(&ran);
            move || {
                ran.set(ran.get() + 1);
                outcome()
            }
        };
        let result = run_all(&[
            Stage::new("first", count(|| Err(Failure::new("broken")))),
            Stage::new("second", count(|| Ok(Outcome::passed()))),
            Stage::new("third", count(|| Ok(Outcome::Failed("wrong".to_owned())))),
        ]);
        assert_eq!(ran.get(), 3);
        assert_eq!(result, Err(Failure::new("failed: first, third")));
    }

    #[test]
    fn a_skipped_stage_is_not_a_failure_and_is_never_shown_as_passed() {
        let skipped = || Ok(Outcome::Skipped("no such target here".to_owned()));
        assert_eq!(run_all(&[Stage::new("cross", skipped)]), Ok(()));
        let shown = summary(&[Finished {
            name: "cross",
            outcome: Outcome::Skipped("no such target here".to_owned()),
            took: Duration::ZERO,
        }]);
        assert!(shown.contains("SKIPPED: cross: no such target here"), "{shown}");
        assert!(!shown.contains("passed"), "{shown}");
    }
}
