//! Seeds: how a simulated run is chosen, repeated and lengthened.
//!
//! `DOCDB_SIM_SEED` sets the first seed, `DOCDB_SIM_RUNS` how many consecutive seeds are run; both
//! override what the test asks for. A failing run names the seed that repeats it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Environment variable with the first seed.
pub const SEED_VARIABLE: &str = "DOCDB_SIM_SEED";
/// Environment variable with the number of seeds.
pub const RUNS_VARIABLE: &str = "DOCDB_SIM_RUNS";

/// Consecutive seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds {
    /// The first.
    pub first: u64,
    /// How many.
    pub runs: u64,
}

impl Seeds {
    /// These seeds, unless the environment says otherwise.
    ///
    /// # Panics
    /// When a variable is set to something that is not a number: a run with a seed other than the
    /// one asked for would prove nothing.
    #[must_use]
    pub fn from_env(first: u64, runs: u64) -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|text| Self::parse(name, &text));
        Self {
            first: number(SEED_VARIABLE).unwrap_or(first),
            runs: number(RUNS_VARIABLE).unwrap_or(runs),
        }
    }

    fn parse(name: &str, text: &str) -> u64 {
        text.parse().unwrap_or_else(|_| panic!("{name} is not a number: value={text}"))
    }

    /// Runs `body` once per seed.
    ///
    /// # Panics
    /// With the seed and the message when a run panics; later seeds are not run.
    pub fn each(self, body: impl Fn(u64)) {
        for run in 0..self.runs {
            let seed = self.first.wrapping_add(run);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(seed))) {
                let message = panic_message(&*panic);
                panic!("seed={seed} (repeat: {SEED_VARIABLE}={seed} {RUNS_VARIABLE}=1): {message}");
            }
        }
    }
}

/// The words of a panic.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_is_run_once_and_in_order() {
        let seen = std::sync::Mutex::new(Vec::new());
        Seeds { first: 7, runs: 3 }.each(|seed| seen.lock().unwrap().push(seed));
        assert_eq!(seen.into_inner().unwrap(), [7, 8, 9]);
    }

    #[test]
    fn a_failing_run_names_its_seed() {
        let run = || Seeds { first: 40, runs: 5 }.each(|seed| assert_ne!(seed, 42, "the answer"));
        let message = panic_message(&*catch_unwind(run).unwrap_err());
        assert!(message.starts_with("seed=42 (repeat: DOCDB_SIM_SEED=42 DOCDB_SIM_RUNS=1)"));
        assert!(message.contains("the answer"), "{message}");
    }

    #[test]
    #[should_panic(expected = "DOCDB_SIM_SEED is not a number: value=abc")]
    fn a_seed_that_is_no_number_is_refused() {
        Seeds::parse(SEED_VARIABLE, "abc");
    }
}
