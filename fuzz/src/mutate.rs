//! Mutations of an input, drawn from a seeded generator: the same seed gives the same inputs on
//! every machine. Not clever, and not meant to be: coverage guidance is libFuzzer's part.

use base::rng::Rng;

/// Longest input that mutation makes.
pub const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Bytes that formats give a meaning to: ends of ranges, JSON's punctuation, tags and lengths.
const INTERESTING: &[u8] = &[0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF, b'"', b'\\', b'{', b'[', b',', b':'];

/// A new input: one of the seeds, changed in 1 to 8 places.
#[must_use]
pub fn mutant(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = pick(seeds, rng).to_vec();
    for _ in 0..=rng.below(8) {
        change(&mut input, seeds, rng);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn pick<'a>(seeds: &'a [Vec<u8>], rng: &mut Rng) -> &'a [u8] {
    seeds.get(rng.index(seeds.len())).map_or(&[], Vec::as_slice)
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.index(input.len());
    // What shortens the input is rare: a few cuts in a row would leave next to nothing of it.
    match rng.below(16) {
        0..3 => flip_bit(input, at, rng),
        3..6 => replace(input, at, INTERESTING[rng.index(INTERESTING.len())]),
        6..8 => replace(input, at, rng.next_u64().to_le_bytes()[0]),
        8..11 => input.insert(at, INTERESTING[rng.index(INTERESTING.len())]),
        11..13 => repeat_range(input, at, rng),
        13 => remove_range(input, at, rng),
        14 => input.truncate(at),
        _ => splice(input, at, pick(seeds, rng), rng),
    }
}

fn flip_bit(input: &mut [u8], at: usize, rng: &mut Rng) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
}

fn replace(input: &mut [u8], at: usize, by: u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = by;
    }
}

/// The end of a range that starts at `at`, short more often than long.
fn end_of_range(input: &[u8], at: usize, rng: &mut Rng) -> usize {
    let longest = if rng.chance(900) { 16 } else { input.len() };
    (at + 1 + rng.index(longest)).min(input.len())
}

fn remove_range(input: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let end = end_of_range(input, at, rng);
    input.drain(at..end);
}

fn repeat_range(input: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let end = end_of_range(input, at, rng);
    let copy = input[at..end].to_vec();
    let to = rng.index(input.len());
    input.splice(to..to, copy);
}

fn splice(input: &mut Vec<u8>, at: usize, other: &[u8], rng: &mut Rng) {
    let from = rng.index(other.len());
    input.truncate(at);
    input.extend_from_slice(&other[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn mutants(seed: u64, seeds: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut rng = Rng::new(seed);
        (0..1000).map(|_| mutant(seeds, &mut rng)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_another_gives_others() {
        let seeds = [b"one".to_vec(), b"another".to_vec()];
        assert_eq!(mutants(7, &seeds), mutants(7, &seeds));
        assert_ne!(mutants(7, &seeds), mutants(8, &seeds));
    }

    #[test]
    fn inputs_are_varied_and_bounded() {
        let seeds = [vec![1; INPUT_BYTES_MAX], b"short".to_vec()];
        let mutants = mutants(1, &seeds);
        assert!(mutants.iter().all(|input| input.len() <= INPUT_BYTES_MAX));
        assert!(mutants.iter().collect::<BTreeSet<_>>().len() > 900);
    }

    #[test]
    fn empty_seeds_are_no_trouble() {
        assert_eq!(mutants(1, &[vec![]]).len(), 1000);
        assert_eq!(mutants(1, &[]).len(), 1000);
    }
}
