//! Runs targets without libFuzzer: every seed input, then a fixed number of mutants drawn from a
//! seed. What makes a target panic is kept as a file.

#![expect(clippy::disallowed_methods, reason = "a test program keeps its inputs in plain files")]

use std::path::{Path, PathBuf};
use std::{fs, io, panic};

use base::rng::Rng;

use crate::{Target, mutate};

/// What a run of one target found.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No panic in so many inputs.
    Good {
        /// Seeds and mutants together.
        inputs: u64,
    },
    /// An input panicked; the run ended there.
    Panicked {
        /// Its number, from 1: the same in every run with the same seed.
        number: u64,
        /// Where it was kept.
        kept: PathBuf,
    },
}

/// Runs one target; an input that panics is kept as `<artifacts>/<target>/panic`.
///
/// # Errors
/// When that file cannot be written.
pub fn drive(target: &Target, runs: u64, seed: u64, artifacts: &Path) -> io::Result<Outcome> {
    let seeds = (target.seeds)();
    let mut rng = Rng::new(seed);
    let mutants = (0..runs).map(|_| mutate::mutant(&seeds, &mut rng));
    let mut inputs = 0;
    for input in seeds.iter().cloned().chain(mutants) {
        inputs += 1;
        if !holds(target, &input) {
            let dir = artifacts.join(target.name);
            fs::create_dir_all(&dir)?;
            let kept = dir.join("panic");
            fs::write(&kept, &input)?;
            return Ok(Outcome::Panicked { number: inputs, kept });
        }
    }
    Ok(Outcome::Good { inputs })
}

/// Whether the target takes the input without a panic, whose message the default hook prints.
#[must_use]
pub fn holds(target: &Target, input: &[u8]) -> bool {
    panic::catch_unwind(|| (target.run)(input)).is_ok()
}

/// Writes the seed inputs of a target into `dir`, as the start of libFuzzer's corpus.
///
/// # Errors
/// When the directory or a file cannot be written.
pub fn save_seeds(target: &Target, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(dir.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Target = Target { name: "sound", run: |_| {}, seeds: || vec![b"abc".to_vec()] };
    /// Panics on a byte that its seed lacks, so that only a mutant can find it.
    const FRAGILE: Target = Target {
        name: "fragile",
        run: |data| assert!(!data.contains(&0xFF), "the planted bug"),
        seeds: || vec![b"abc".to_vec()],
    };

    fn artifacts(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("docdb-driver-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_sound_target_takes_every_seed_and_mutant() {
        let outcome = drive(&SOUND, 100, 1, &artifacts("sound")).unwrap();
        assert_eq!(outcome, Outcome::Good { inputs: 101 });
    }

    #[test]
    fn a_planted_bug_is_found_kept_and_found_again_at_the_same_input() {
        let dir = artifacts("fragile");
        let first = drive(&FRAGILE, 10_000, 1, &dir).unwrap();
        assert_eq!(drive(&FRAGILE, 10_000, 1, &dir).unwrap(), first);
        let Outcome::Panicked { number, kept } = first else { panic!("the bug was not found") };
        assert!(number > 1);
        let input = fs::read(&kept).unwrap();
        assert!(!holds(&FRAGILE, &input) && holds(&SOUND, &input));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn every_target_has_seeds_and_holds_for_them() {
        for target in crate::ALL {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{}", target.name);
            assert!(seeds.iter().all(|seed| holds(target, seed)), "{}", target.name);
        }
    }
}
