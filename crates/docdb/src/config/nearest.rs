//! The name that was probably meant.

/// Longest name that is compared: the work grows with its length times that of each candidate.
const NAME_BYTES_MAX: usize = 128;

/// The candidate nearest to `name`: one that ends with it as its last part, else the one with the
/// fewest edits. None only when there is no candidate.
pub(crate) fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let name = name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default();
    let name = name.to_lowercase();
    candidates.min_by_key(|candidate| {
        let lower = candidate.to_lowercase();
        let is_tail = lower.strip_suffix(&name).is_some_and(|head| head.ends_with(['.', '_']));
        (!is_tail || name.is_empty(), distance(&name, &lower))
    })
}

/// The least number of insertions, deletions and replacements of characters, and of swaps of
/// neighbours, that make `b` of `a` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            let is_swap = i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y;
            if is_swap {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_and_swaps_are_counted() {
        let cases = [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
        ];
        for (a, b, expected) in cases {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn the_last_part_of_a_name_finds_it() {
        let names = || {
            ["txn.timeout", "interval_ms", "wal.fsync.interval_ms"].map(str::to_owned).into_iter()
        };
        assert_eq!(nearest("fsync.interval_ms", names()).as_deref(), Some("wal.fsync.interval_ms"));
        assert_eq!(nearest("txn.timeuot", names()).as_deref(), Some("txn.timeout"));
        assert_eq!(nearest("é".repeat(1000).as_str(), names()).as_deref(), Some("txn.timeout"));
        assert_eq!(nearest("x", std::iter::empty()), None);
    }
}
