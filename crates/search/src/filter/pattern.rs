//! Patterns on strings: globs, regular expressions, and strings with errors in them.
//!
//! Everything is linear in the string that is tested, and bounded in memory: patterns come from clients.

use regex::{Regex, RegexBuilder};

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 4096;
/// Most memory of a compiled pattern, and as much again for what is built while matching, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;
/// Deepest nesting of groups.
const PATTERN_DEPTH_MAX: u32 = 64;

/// Whether upper and lower case differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Sensitive,
    Insensitive,
}

/// Compiles a regular expression.
pub(super) fn regex(pattern: &str, case: Case) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("a pattern has at most {PATTERN_BYTES_MAX} bytes"));
    }
    RegexBuilder::new(pattern)
        .case_insensitive(case == Case::Insensitive)
        .size_limit(PATTERN_SIZE_MAX)
        .dfa_size_limit(PATTERN_SIZE_MAX)
        .nest_limit(PATTERN_DEPTH_MAX)
        .build()
        .map_err(|error| format!("the pattern cannot be used: {error}"))
}

/// Compiles a glob: the whole string must match.
pub(super) fn glob(pattern: &str, case: Case) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("a pattern has at most {PATTERN_BYTES_MAX} bytes"));
    }
    let mut out = String::from(r"(?s)\A");
    let mut open = 0;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => class(&mut rest, &mut out)?,
            '{' => {
                open += 1;
                out.push_str("(?:");
            }
            '}' if open > 0 => {
                open -= 1;
                out.push(')');
            }
            ',' if open > 0 => out.push('|'),
            '\\' => match rest.next() {
                Some(escaped) => literal(escaped, &mut out),
                None => return Err("the pattern ends after `\\`; write it as \\\\".to_owned()),
            },
            _ => literal(c, &mut out),
        }
    }
    if open > 0 {
        return Err("a `{` is not closed; write the character itself as \\{".to_owned());
    }
    out.push_str(r"\z");
    // The expression is several times as long as the glob, so it is not held to the length again.
    RegexBuilder::new(&out)
        .case_insensitive(case == Case::Insensitive)
        .size_limit(PATTERN_SIZE_MAX)
        .dfa_size_limit(PATTERN_SIZE_MAX)
        .nest_limit(PATTERN_DEPTH_MAX)
        .build()
        .map_err(|error| format!("the pattern cannot be used: {error}"))
}

/// What every string that matches a glob begins with.
pub(super) fn beginning(glob: &str) -> Box<str> {
    let mut out = String::new();
    let mut rest = glob.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' | '?' | '[' | '{' => break,
            '\\' => out.extend(rest.next()),
            _ => out.push(c),
        }
    }
    out.into()
}

/// A class after its `[`. A `]` that comes first, and a `-` at either end, are themselves.
fn class(rest: &mut std::str::Chars<'_>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if rest.as_str().starts_with(['!', '^']) {
        rest.next();
        out.push('^');
    }
    let mut is_first = true;
    while let Some(c) = rest.next() {
        let is_end = c == ']' && !is_first;
        let is_range = c == '-' && !is_first && !rest.as_str().starts_with(']');
        is_first = false;
        if is_end {
            out.push(']');
            return Ok(());
        }
        match c {
            '-' if is_range => out.push('-'),
            '\\' => literal(rest.next().unwrap_or('\\'), out),
            _ => literal(c, out),
        }
    }
    Err("a `[` is not closed; write the character itself as \\[".to_owned())
}

/// A character that means itself, inside a class and outside.
fn literal(c: char, out: &mut String) {
    let mut buffer = [0; 4];
    out.push_str(&regex::escape(c.encode_utf8(&mut buffer)));
}

/// Whether two strings are at most `edits` insertions, deletions and substitutions of characters apart
/// (Levenshtein's distance). Costs the length of the shorter times `2 * edits + 1`.
pub(super) fn is_near(pattern: &[char], text: &str, edits: usize) -> bool {
    // Nothing longer can be near; counted no further than that.
    let text: Vec<char> = text.chars().take(pattern.len() + edits + 1).collect();
    if text.len().abs_diff(pattern.len()) > edits {
        return false;
    }
    let far = edits + 1;
    // Distances of the beginnings of the pattern from the beginning of the text that was read.
    let mut row: Vec<usize> = (0..=pattern.len()).map(|n| n.min(far)).collect();
    for (index, c) in text.iter().enumerate() {
        let read = index + 1;
        let (from, to) = (read.saturating_sub(edits), (read + edits).min(pattern.len()));
        // The cell left of the band: the beginning of the table, or out of reach.
        let left = from.max(1) - 1;
        let at_left = if from == 0 { read.min(far) } else { far };
        let mut diagonal = std::mem::replace(&mut row[left], at_left);
        for at in from.max(1)..=to {
            let substituted = diagonal + usize::from(pattern[at - 1] != *c);
            let inserted = row[at - 1] + 1;
            let deleted = row[at] + 1;
            diagonal = row[at];
            row[at] = substituted.min(inserted).min(deleted).min(far);
        }
        if let Some(right) = row.get_mut(to + 1) {
            *right = far;
        }
    }
    row.last().is_some_and(|distance| *distance <= edits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn globs_match_whole_strings() {
        for (pattern, good, bad) in [
            ("a*c", &["ac", "abc", "a\nc"][..], &["abcd", "xac"][..]),
            ("?", &["x", "é", "\n"], &["", "xx"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "-x"]),
            ("[!a-c]", &["d", "-"], &["a", ""]),
            ("[]x]", &["]", "x"], &["[]x]"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[&&^]", &["&", "^"], &["a"]),
            (r"\*\[", &["*["], &["x["]),
            ("*.{png,jp{,e}g}", &["a.png", "b.jpg", "b.jpeg"], &["a.gif", "jpg"]),
            ("a,b}", &["a,b}"], &["a"]),
            (".+(", &[".+("], &["aa("]),
            ("", &[""], &["a"]),
        ] {
            let glob = glob(pattern, Case::Sensitive).unwrap();
            assert!(good.iter().all(|text| glob.is_match(text)), "{pattern}");
            assert!(!bad.iter().any(|text| glob.is_match(text)), "{pattern}");
        }
        assert!(glob("STRASSE É*", Case::Insensitive).unwrap().is_match("straSSe éa"));
        for bad in ["[a", "{a", "a\\", "[c-a]", "["] {
            assert!(glob(bad, Case::Sensitive).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_that_would_cost_too_much_are_refused() {
        assert!(regex("a.c", Case::Sensitive).unwrap().is_match("xabcx"));
        for bad in [r"(\w{500}){500}", "(a", r"(a)\1", "(?=a)", &"a".repeat(PATTERN_BYTES_MAX + 1)]
        {
            assert!(regex(bad, Case::Sensitive).is_err(), "{bad}");
        }
        assert!(regex(&format!("{}a{}", "(".repeat(80), ")".repeat(80)), Case::Sensitive).is_err());
        assert!(glob(&"*".repeat(PATTERN_BYTES_MAX + 1), Case::Sensitive).is_err());
    }

    /// The textbook's whole table.
    fn distance(a: &[char], b: &[char]) -> usize {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                table[i][j] = match (i, j) {
                    (0, n) | (n, 0) => n,
                    _ => (table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]))
                        .min(table[i - 1][j] + 1)
                        .min(table[i][j - 1] + 1),
                };
            }
        }
        table[a.len()][b.len()]
    }

    proptest! {
        #[test]
        fn nearness_is_the_distance_of_the_textbook(a in "[a-cé]{0,9}", b in "[a-cé]{0,9}", edits in 0..3_usize) {
            let pattern: Vec<char> = a.chars().collect();
            let text: Vec<char> = b.chars().collect();
            prop_assert_eq!(is_near(&pattern, &b, edits), distance(&pattern, &text) <= edits);
        }

        #[test]
        fn no_glob_panics_and_an_escaped_one_is_itself(
            text in "[a-c*?!\\[\\]{},\\\\^-]{0,12}", probe in "[a-c*{},-]{0,8}",
        ) {
            let _ = glob(&text, Case::Sensitive);
            let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert_eq!(&*beginning(&escaped), text.as_str());
            if let Ok(glob) = glob(&text, Case::Sensitive) {
                let begins = beginning(&text);
                prop_assert!(!glob.is_match(&probe) || probe.starts_with(&*begins), "{} {}", text, probe);
            }
            prop_assert!(glob(&escaped, Case::Sensitive).unwrap().is_match(&text));
        }
    }
}
