//! JSON documents made up from a seed: the same on every machine, shaped like records of an
//! application (a few short fields, an array, a nested object) and padded with words to size.

use std::fmt::Write as _;

use base::rng::Rng;

const WORDS: &[&str] = &[
    "amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbour", "island", "juniper",
    "kelp", "lagoon", "meadow", "north", "orchard", "prairie", "quarry", "ridge", "summit",
    "tundra", "upland", "valley", "willow", "yarrow",
];

/// An endless sequence of documents of about `bytes` bytes (never less than the fixed fields, which
/// are some 150).
#[derive(Debug, Clone)]
pub struct Documents {
    rng: Rng,
    bytes: usize,
    next: u64,
}

impl Documents {
    /// The sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64, bytes: usize) -> Self {
        Self { rng: Rng::new(seed), bytes, next: 0 }
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.rng.index(WORDS.len())]
    }
}

impl Iterator for Documents {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let (first, second) = (self.word(), self.word());
        let (score, price) = (self.rng.below(1000), self.rng.below(100_000));
        let (tag, other_tag) = (self.word(), self.word());
        let mut text = format!(
            "{{\"number\":{},\"name\":\"{first} {second}\",\"active\":{},\"score\":{score},\
             \"price\":{}.{:02},\"tags\":[\"{tag}\",\"{other_tag}\"],\"place\":{{\"x\":{},\"y\":{}}},\"note\":\"",
            self.next,
            self.rng.chance(500),
            price / 100,
            price % 100,
            self.rng.below(360),
            self.rng.below(180),
        );
        self.next += 1;
        text.push_str(self.word());
        while text.len() + 2 < self.bytes {
            let _ = write!(text, " {}", self.word());
        }
        text.push_str("\"}");
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_documents() {
        let take = |seed| Documents::new(seed, 256).take(10).collect::<Vec<_>>();
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    #[test]
    fn documents_are_json_of_about_the_asked_size() {
        for bytes in [256, 1024] {
            for text in Documents::new(1, bytes).take(100) {
                let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert!(json["number"].is_u64());
                assert!((bytes..bytes + 16).contains(&text.len()), "{} bytes", text.len());
            }
        }
    }
}
