//! Phrases: words at given distances from one another.

/// How often words stand at their offsets from one another; each has its positions, ascending.
pub(super) fn occurrences(words: &[(&[u32], u32)]) -> u32 {
    let Some(((first, offset), others)) = words.split_first() else { return 0 };
    let mut next: Vec<usize> = vec![0; others.len()];
    let mut count = 0;
    for position in *first {
        let Some(start) = position.checked_sub(*offset) else { continue };
        let mut is_whole = true;
        for ((positions, offset), next) in others.iter().zip(&mut next) {
            let wanted = start.saturating_add(*offset);
            while positions.get(*next).is_some_and(|position| *position < wanted) {
                *next += 1;
            }
            is_whole &= positions.get(*next) == Some(&wanted);
        }
        count += u32::from(is_whole);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_counted_wherever_they_stand() {
        for (words, expect) in [
            (&[(&[0, 5, 9][..], 0), (&[1, 6, 8][..], 1)][..], 2),
            (&[(&[0][..], 0), (&[2][..], 1)][..], 0),
            (&[(&[3, 4, 5][..], 0), (&[3, 4, 5][..], 1)][..], 2),
            (&[(&[1][..], 0), (&[4][..], 3), (&[2][..], 1)][..], 1),
            (&[(&[1][..], 0), (&[][..], 1)][..], 0),
            (&[][..], 0),
        ] {
            assert_eq!(occurrences(words), expect, "{words:?}");
        }
    }
}
