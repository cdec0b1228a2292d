//! Seeds: how a simulated run is chosen, repeated and lengthened.
//!
//! `TESTS_SIM_SEED` sets the first seed, `TESTS_SIM_RUNS` how many consecutive seeds are run; both
//! override what the test asks for. `TESTS_SIM_TIMES` multiplies what it asks for instead, so that
//! cheap and costly tests grow in proportion; work that is not counted in seeds grows by [`times`].
//! A failing run names the seed that repeats it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Environment variable with the first seed.
pub const SEED_VARIABLE: &str = "TESTS_SIM_SEED";
/// Environment variable with the number of seeds.
pub const RUNS_VARIABLE: &str = "TESTS_SIM_RUNS";
/// Environment variable with a factor on the work that each test asks for by itself.
pub const TIMES_VARIABLE: &str = "TESTS_SIM_TIMES";

/// The factor on the work that a test asks for by itself: 1 unless the environment says otherwise.
///
/// For a test whose work is not counted in seeds, such as an enumeration that takes samples. One that
/// is takes its seeds from [`Seeds::from_env`], which has multiplied already.
///
/// # Panics
/// When the variable is set to something other than a number above 0: a run shorter than the one
/// asked for would prove less than it claims.
#[must_use]
pub fn times() -> u64 {
    times_of(&environment)
}

fn environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|text| text.to_string_lossy().into_owned())
}

fn times_of(variable: &impl Fn(&str) -> Option<String>) -> u64 {
    let times = number(variable, TIMES_VARIABLE).unwrap_or(1);
    assert_ne!(times, 0, "{TIMES_VARIABLE} is 0: nothing would run");
    times
}

fn number(variable: &impl Fn(&str) -> Option<String>, name: &str) -> Option<u64> {
    let text = variable(name)?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: value={text}")))
}

/// Consecutive seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds {
    /// The first.
    pub first: u64,
    /// How many.
    pub runs: u64,
}

impl Seeds {
    /// These seeds, unless the environment says otherwise: `TESTS_SIM_RUNS` sets their number, and
    /// where it is not set, `TESTS_SIM_TIMES` multiplies it.
    ///
    /// # Panics
    /// When a variable is set to something that is not a number, or the factor is 0: a run with a
    /// seed other than the one asked for would prove nothing.
    #[must_use]
    pub fn from_env(first: u64, runs: u64) -> Self {
        Self { first, runs }.with(&environment)
    }

    fn with(self, variable: &impl Fn(&str) -> Option<String>) -> Self {
        Self {
            first: number(variable, SEED_VARIABLE).unwrap_or(self.first),
            runs: number(variable, RUNS_VARIABLE)
                .unwrap_or_else(|| self.runs.saturating_mul(times_of(variable))),
        }
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
        assert!(message.starts_with("seed=42 (repeat: TESTS_SIM_SEED=42 TESTS_SIM_RUNS=1)"));
        assert!(message.contains("the answer"), "{message}");
    }

    /// An environment of these variables alone.
    fn set(variables: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| variables.iter().find(|(set, _)| *set == name).map(|(_, text)| (*text).to_owned())
    }

    #[test]
    fn the_factor_multiplies_what_a_test_asks_for_and_a_number_of_runs_replaces_it() {
        let seeds = Seeds { first: 1, runs: 20 };
        let with = |variables| seeds.with(&set(variables));
        assert_eq!(with(&[]), seeds);
        assert_eq!(with(&[(TIMES_VARIABLE, "3")]), Seeds { first: 1, runs: 60 });
        assert_eq!(with(&[(TIMES_VARIABLE, "3"), (RUNS_VARIABLE, "5")]).runs, 5);
        assert_eq!(with(&[(SEED_VARIABLE, "42")]), Seeds { first: 42, runs: 20 });
    }

    #[test]
    #[should_panic(expected = "TESTS_SIM_SEED is not a number: value=abc")]
    fn a_seed_that_is_no_number_is_refused() {
        let _ = Seeds { first: 1, runs: 1 }.with(&set(&[(SEED_VARIABLE, "abc")]));
    }

    #[test]
    #[should_panic(expected = "TESTS_SIM_TIMES is 0: nothing would run")]
    fn a_factor_that_leaves_nothing_to_run_is_refused() {
        times_of(&set(&[(TIMES_VARIABLE, "0")]));
    }
}
