//! Finding a key among the sorted slots of a block.
//!
//! Numbers are found by interpolation: where ids are dense or spread evenly, the first guess is in
//! the right cache line or near it, while a binary search would load a dozen lines that are cold in
//! a large index. Ids that are neither cost a few guesses and then a binary search.

use super::block::NumberSlot;

/// Guesses before what is left is searched by halves.
const GUESSES_MAX: u32 = 6;
/// So few slots lie in two or three cache lines and are looked at one by one.
const NEAR: usize = 8;

/// The first slot whose id is not below `id`, and whether it is `id`. No id exceeds `upper`.
pub(super) fn number(slots: &[NumberSlot], id: u64, upper: u64) -> Result<usize, usize> {
    let (mut from, mut to) = (0, slots.len());
    // Every slot below `from` has a lower id, every slot from `to` on a higher one.
    let Some(mut low) = slots.first().map(|slot| slot[0]) else { return Err(0) };
    let mut high = upper;
    for _ in 0..GUESSES_MAX {
        if to - from <= NEAR || id < low || id > high {
            break;
        }
        let at = from + guess(id - low, high - low, to - from);
        let found = slots[at][0];
        if found == id {
            return Ok(at);
        }
        if found < id {
            (from, low) = (at + 1, found);
        } else {
            (to, high) = (at, found);
        }
    }
    let rest = &slots[from..to];
    let at = if rest.len() <= NEAR {
        from + rest.iter().take_while(|slot| slot[0] < id).count()
    } else {
        from + rest.partition_point(|slot| slot[0] < id)
    };
    match slots.get(at) {
        Some(slot) if slot[0] == id => Ok(at),
        Some(_) | None => Err(at),
    }
}

/// Which of `slots` slots stands `part` of the way to `whole`, `part` being at most that.
fn guess(part: u64, whole: u64, slots: usize) -> usize {
    // Shifted so that the product fits: a block has far fewer than 2^16 slots.
    let shift = 16_u32.saturating_sub(whole.leading_zeros());
    let (part, whole) = (part >> shift, whole >> shift);
    let at = part * (slots as u64) / (whole + 1);
    usize::try_from(at).map_or(slots - 1, |at| at.min(slots - 1))
}

/// The first of `len` texts that is not below `wanted`, and whether it is `wanted`.
pub(super) fn other<'a>(
    len: usize,
    wanted: &[u8],
    text: impl Fn(usize) -> &'a [u8],
) -> Result<usize, usize> {
    let (mut from, mut to) = (0, len);
    while from < to {
        let middle = from.midpoint(to);
        match text(middle).cmp(wanted) {
            std::cmp::Ordering::Less => from = middle + 1,
            std::cmp::Ordering::Equal => return Ok(middle),
            std::cmp::Ordering::Greater => to = middle,
        }
    }
    Err(from)
}
