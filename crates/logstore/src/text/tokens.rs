//! What a token is, and how its letters are compared.

/// Whether a character is part of a token.
fn is_token(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || c == '_' } else { c.is_alphanumeric() }
}

/// A character as it is compared: its lower case, where that is one character and ASCII for ASCII
/// only. So a token is ASCII exactly when what it was folded from is.
pub(crate) fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) if !one.is_ascii() => one,
        _ => c,
    }
}

/// The tokens of a text, in order, as they stand there.
#[derive(Debug, Clone)]
pub(crate) struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

/// The tokens of `text`.
pub(crate) fn tokens(text: &str) -> Tokens<'_> {
    Tokens { text, at: 0 }
}

/// The tokens of `text`, folded, with a blank between them.
pub(crate) fn folded_tokens(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for token in tokens(text) {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.extend(token.chars().map(fold));
    }
    folded
}

/// For ASCII: whether a byte is part of a token.
const ASCII: [bool; 128] = {
    let mut table = [false; 128];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_';
        byte += 1;
    }
    table
};

impl Tokens<'_> {
    /// Whether a token character stands at `at`, and how many bytes the character there has.
    fn look(&self, at: usize) -> Option<(bool, usize)> {
        let byte = *self.text.as_bytes().get(at)?;
        if let Some(is_token) = ASCII.get(usize::from(byte)) {
            return Some((*is_token, 1));
        }
        let c = self.text[at..].chars().next()?;
        Some((is_token(c), c.len_utf8()))
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        loop {
            let (is_token, len) = self.look(self.at)?;
            if is_token {
                break;
            }
            self.at += len;
        }
        let start = self.at;
        while let Some((true, len)) = self.look(self.at) {
            self.at += len;
        }
        Some(&self.text[start..self.at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_falls_into_its_runs_of_letters_and_digits() {
        for (text, expect) in [
            ("", vec![]),
            (" ;-) ", vec![]),
            ("GET /api/v1?user_id=7", vec!["GET", "api", "v1", "user_id", "7"]),
            ("größe: ½ 三月", vec!["größe", "½", "三月"]),
            ("a\u{1f600}b\0c", vec!["a", "b", "c"]),
        ] {
            assert_eq!(tokens(text).collect::<Vec<_>>(), expect, "{text:?}");
        }
    }

    #[test]
    fn folding_never_crosses_between_ascii_and_the_rest() {
        for c in (0..=0x0010_ffff).filter_map(char::from_u32) {
            assert_eq!(fold(c).is_ascii(), c.is_ascii(), "{c:?}");
        }
    }
}
