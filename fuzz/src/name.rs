//! Text as a name: refused, or kept as it is and within the rule that the documentation states.

use base::limits::NAME_BYTES_MAX;
use base::words::Name;

/// One input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let is_name = (1..=NAME_BYTES_MAX).contains(&text.len())
        && data.iter().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b))
        && data[0] != b'.';
    match Name::new(text) {
        Ok(name) => assert!(is_name && name.as_str() == text, "accepted {text:?}"),
        Err(error) => assert!(!is_name, "refused {text:?}: {error}"),
    }
}

/// Names, and texts one step away from one.
pub fn seeds() -> Vec<Vec<u8>> {
    let longest = "n".repeat(NAME_BYTES_MAX);
    ["default", "a", "A-z_0.9", ".hidden", "two words", "näme", &longest]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect()
}
