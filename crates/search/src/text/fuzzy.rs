//! Words that are some characters away from a given one.

use std::fmt;
use std::sync::{Arc, OnceLock};

use levenshtein_automata::{DFA, Distance, LevenshteinAutomatonBuilder, SINK_STATE};
use tantivy_fst::Automaton;

/// Most characters that may be inserted, deleted or substituted.
pub(super) const EDITS_MAX: u8 = 2;

/// Recognises the words that are near to one.
#[derive(Clone)]
pub(super) struct Near(Arc<DFA>);

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near").field("states", &self.0.num_states()).finish()
    }
}

impl Near {
    /// Words at most `edits` characters away; swapping two costs two.
    pub(super) fn new(word: &str, edits: u8) -> Self {
        // The tables behind an automaton take milliseconds to make.
        static ONE: OnceLock<LevenshteinAutomatonBuilder> = OnceLock::new();
        static TWO: OnceLock<LevenshteinAutomatonBuilder> = OnceLock::new();
        let (cell, edits) = if edits < EDITS_MAX { (&ONE, 1) } else { (&TWO, EDITS_MAX) };
        let builder = cell.get_or_init(|| LevenshteinAutomatonBuilder::new(edits, false));
        Self(Arc::new(builder.build_dfa(word)))
    }

    /// Whether a word is one of them.
    pub(super) fn has(&self, word: &str) -> bool {
        matches!(self.0.eval(word), Distance::Exact(_))
    }
}

impl Automaton for Near {
    type State = u32;

    fn start(&self) -> u32 {
        self.0.initial_state()
    }

    fn is_match(&self, state: &u32) -> bool {
        matches!(self.0.distance(*state), Distance::Exact(_))
    }

    fn can_match(&self, state: &u32) -> bool {
        *state != SINK_STATE
    }

    fn accept(&self, state: &u32, byte: u8) -> u32 {
        self.0.transition(*state, byte)
    }
}

/// How many characters of a word may be wrong: none of two, one of five, otherwise as many as asked.
pub(super) fn edits_of(word: &str, asked: u8) -> u8 {
    match word.chars().count() {
        0..=2 => 0,
        3..=5 => asked.min(1),
        _ => asked.min(EDITS_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_near_by_characters_not_bytes() {
        for (word, edits, other, expect) in [
            ("fox", 1, "fix", true),
            ("fox", 1, "fx", true),
            ("fox", 1, "foxy", true),
            ("fox", 1, "ofx", false),
            ("fox", 1, "box1", false),
            ("müller", 1, "muller", true),
            ("müller", 2, "mullar", true),
            ("müller", 2, "mullars", false),
        ] {
            assert_eq!(Near::new(word, edits).has(other), expect, "{word} {edits} {other}");
        }
        let edits = ["ab", "abc", "abcde", "abcdef"].map(|word| edits_of(word, 2));
        assert_eq!(edits, [0, 1, 1, 2]);
    }
}
