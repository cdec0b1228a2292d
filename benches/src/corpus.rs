//! Documents that can be made again from their number and their generation: what a store should
//! hold is known without keeping a copy of it.

use std::io::{self, Write as _};

use crate::documents::Documents;

/// Different endings; a document has one of them.
const ENDINGS: usize = 4096;
/// What stands before the ending, about.
const HEAD_BYTES: usize = 32;

/// Documents of about one size.
#[derive(Debug)]
pub struct Corpus {
    endings: Vec<String>,
}

impl Corpus {
    /// Documents of about `bytes` bytes each.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let documents = Documents::new(7, bytes.saturating_sub(HEAD_BYTES)).take(ENDINGS);
        // Without the opening brace: the head has it.
        let endings = documents.map(|text| text[1..].to_owned()).collect();
        Self { endings }
    }

    /// Replaces `text` by document `id` as it was written the `generation`-th time.
    ///
    /// # Panics
    /// Never: writing to memory does not fail.
    pub fn write(&self, id: u64, generation: u64, text: &mut Vec<u8>) {
        text.clear();
        write!(text, "{{\"id\":{id},\"generation\":{generation},").expect("memory takes it");
        let at = id.wrapping_mul(31).wrapping_add(generation) % ENDINGS as u64;
        let ending = usize::try_from(at).map_or("", |at| &self.endings[at]);
        text.extend_from_slice(ending.as_bytes());
    }
}

/// Refuses bytes that do not begin as document `id` does: what a read can check without costing
/// anything.
///
/// # Errors
/// When they do not.
pub fn check_head(id: u64, text: &[u8]) -> io::Result<()> {
    let mut head = [0; HEAD_BYTES];
    let mut rest = &mut head[..];
    write!(rest, "{{\"id\":{id},")?;
    let unused = rest.len();
    if text.starts_with(&head[..HEAD_BYTES - unused]) {
        return Ok(());
    }
    let found = String::from_utf8_lossy(&text[..text.len().min(40)]);
    Err(io::Error::other(format!("document {id} is wrong: {found}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_json_that_says_who_it_is_and_has_about_the_size_that_was_asked_for() {
        for bytes in [256, 1024] {
            let corpus = Corpus::new(bytes);
            let mut text = Vec::new();
            for (id, generation) in [(0, 0), (9_999_999, 3), (5, 70_000_000)] {
                corpus.write(id, generation, &mut text);
                let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
                assert_eq!(json["id"], id);
                assert_eq!(json["generation"], generation);
                assert!(json["score"].is_u64());
                assert!((bytes - 16..bytes + 48).contains(&text.len()), "{} bytes", text.len());
                check_head(id, &text).unwrap();
                assert!(check_head(id + 1, &text).is_err());
            }
        }
    }
}
