//! Which of the possible fates are tried at one moment.
//!
//! Every unsynced call has a list of fates: applied, lost, and for a write torn, grown and garbage
//! in the ways of [`fates`]. When their product is within `Limits::exhaustive_max`, all
//! combinations are tried. Else, when there are few enough calls, every subset of applied and lost
//! ones; otherwise the subsets most likely to break something (none, all, only or all but one,
//! every prefix and suffix). To either are added every other fate of every single call among
//! applied and among lost neighbours, and combinations by chance.

use base::rng::Rng;

use super::{Limits, report::Coverage};
use crate::disk::{Fate, Kept, Pending, Rest};

/// Writes of at most this many sectors are torn in every way.
const SECTORS_EVERY_SUBSET_MAX: u64 = 3;
/// Longer ones are torn at this many boundaries at most.
const BOUNDARIES_MAX: u64 = 16;
/// A killed write of at most this many bytes is cut after every byte.
const CUT_EVERY_BYTE_MAX: usize = 64;

/// Where a write that a kill interrupts is cut.
pub(super) fn cuts(len: usize) -> Vec<usize> {
    if len <= CUT_EVERY_BYTE_MAX {
        return (1..len).collect();
    }
    let mut cuts = vec![1, 7, 8, 9, len / 2, len - 8, len - 1];
    cuts.extend((512..len).step_by(512).take(8));
    cuts.extend((4096..len).step_by(4096).take(8));
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// The fates of one call; applied and lost come first.
fn fates(pending: &Pending, garbage: u64) -> Vec<Fate> {
    let mut fates = vec![Fate::APPLIED, Fate::LOST];
    let Pending::Write { offset, grows, .. } = pending else { return fates };
    let mut rests = vec![Rest::Old, Rest::Garbage(garbage)];
    if *grows {
        rests.push(Rest::Grown);
    }
    let sectors = pending.sectors();
    let mut kept = vec![Kept::None];
    if sectors <= SECTORS_EVERY_SUBSET_MAX {
        kept.extend((1..(1 << sectors) - 1).map(Kept::Mask));
    } else {
        for boundary in boundaries(*offset, sectors) {
            kept.extend([Kept::Prefix(boundary), Kept::Suffix(boundary)]);
        }
        kept.extend([Kept::Mask(0x5555_5555_5555_5555), Kept::Mask(!0b10)]);
    }
    for kept in kept {
        fates.extend(rests.iter().map(|rest| Fate::torn(kept, *rest)));
    }
    fates.retain({
        let mut first = true;
        // `Kept::None` with `Rest::Old` is the second entry already.
        move |fate| !fate.is_lost() || std::mem::take(&mut first)
    });
    fates
}

/// After how many sectors a write of many is torn: everywhere when that is not too often, else
/// where sectors of 4096 bytes end, and within the first and the last of them.
fn boundaries(offset: u64, sectors: u64) -> Vec<u64> {
    if sectors <= BOUNDARIES_MAX {
        return (1..sectors).collect();
    }
    let first = 8 - offset / 512 % 8;
    let large: Vec<u64> = (first..sectors).step_by(8).collect();
    let every = large.len().div_ceil(usize::try_from(BOUNDARIES_MAX).unwrap_or(1)).max(1);
    let mut boundaries = vec![1, sectors - 1];
    boundaries.extend(large.into_iter().step_by(every));
    boundaries.sort_unstable();
    boundaries.dedup();
    boundaries
}

/// Calls `visit` with one fate per pending call, for every combination to be tried.
pub(super) fn each<E>(
    pending: &[Pending],
    limits: &Limits,
    rng: &mut Rng,
    visit: &mut impl FnMut(&[Fate]) -> Result<(), E>,
) -> Result<Coverage, E> {
    let options: Vec<Vec<Fate>> =
        pending.iter().map(|pending| fates(pending, rng.next_u64())).collect();
    let all = options.iter().try_fold(1_usize, |product, fates| product.checked_mul(fates.len()));
    if all.is_some_and(|all| all <= limits.exhaustive_max) {
        product(&options, visit)?;
        return Ok(Coverage::Exhaustive);
    }
    let n = u32::try_from(pending.len()).unwrap_or(u32::MAX);
    let subsets = 1_usize.checked_shl(n).filter(|subsets| *subsets <= limits.exhaustive_max);
    if subsets.is_some() {
        let whole: Vec<Vec<Fate>> = options.iter().map(|fates| fates[..2].to_vec()).collect();
        product(&whole, visit)?;
    } else {
        corners(pending.len(), visit)?;
    }
    singles(&options, visit)?;
    for _ in 0..limits.samples {
        let plan: Vec<Fate> = pending.iter().map(|pending| pending.chance_fate(rng)).collect();
        visit(&plan)?;
    }
    Ok(if subsets.is_some() { Coverage::Subsets } else { Coverage::Sampled })
}

/// Every combination, the last call's fate changing fastest.
fn product<E>(
    options: &[Vec<Fate>],
    visit: &mut impl FnMut(&[Fate]) -> Result<(), E>,
) -> Result<(), E> {
    let mut digits = vec![0; options.len()];
    let mut plan: Vec<Fate> = options.iter().map(|fates| fates[0]).collect();
    loop {
        visit(&plan)?;
        let mut place = options.len();
        loop {
            let Some(next) = place.checked_sub(1) else { return Ok(()) };
            place = next;
            digits[place] += 1;
            if digits[place] < options[place].len() {
                break;
            }
            digits[place] = 0;
            plan[place] = options[place][0];
        }
        plan[place] = options[place][digits[place]];
    }
}

/// The telling subsets of `n` calls when there are too many to try them all.
fn corners<E>(n: usize, visit: &mut impl FnMut(&[Fate]) -> Result<(), E>) -> Result<(), E> {
    let mut subset = |applied: &dyn Fn(usize) -> bool| {
        let fate = |index| if applied(index) { Fate::APPLIED } else { Fate::LOST };
        visit(&(0..n).map(fate).collect::<Vec<_>>())
    };
    for cut in 0..=n {
        subset(&|index| index < cut)?;
        subset(&|index| index >= cut)?;
        subset(&|index| index == cut)?;
        subset(&|index| index != cut)?;
    }
    Ok(())
}

/// Every further fate of every single call, its neighbours all applied, all lost, and applied up
/// to it.
fn singles<E>(
    options: &[Vec<Fate>],
    visit: &mut impl FnMut(&[Fate]) -> Result<(), E>,
) -> Result<(), E> {
    let n = options.len();
    for (index, fates) in options.iter().enumerate() {
        for fate in &fates[2..] {
            for applied in [0, index, n] {
                let mut plan = vec![Fate::APPLIED; applied];
                plan.resize(n, Fate::LOST);
                plan[index] = *fate;
                visit(&plan)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: u64, len: usize) -> Pending {
        Pending::Write { path: "/f".into(), offset, len, grows: true }
    }

    fn plans(pending: &[Pending], limits: &Limits) -> (Coverage, Vec<Vec<Fate>>) {
        let mut plans = Vec::new();
        let coverage = each(pending, limits, &mut Rng::new(1), &mut |plan: &[Fate]| {
            plans.push(plan.to_vec());
            Ok::<(), ()>(())
        });
        (coverage.unwrap(), plans)
    }

    #[test]
    fn few_calls_are_tried_in_every_combination_and_none_twice() {
        let name = || Pending::Name("create /a".into());
        let (coverage, tried) = plans(&[name(), write(0, 1024), name()], &Limits::default());
        assert_eq!(coverage, Coverage::Exhaustive);
        let per_write = fates(&write(0, 1024), 0).len();
        assert_eq!(tried.len(), 2 * per_write * 2);
        for (index, plan) in tried.iter().enumerate() {
            assert!(!tried[..index].contains(plan), "{plan:?} twice");
        }
    }

    #[test]
    fn a_write_of_two_sectors_is_torn_both_ways_grown_and_replaced() {
        let fates = fates(&write(0, 1024), 9);
        for fate in [
            Fate::GROWN,
            Fate::torn(Kept::None, Rest::Garbage(9)),
            Fate::torn(Kept::Mask(0b01), Rest::Old),
            Fate::torn(Kept::Mask(0b10), Rest::Old),
            Fate::torn(Kept::Mask(0b01), Rest::Garbage(9)),
            Fate::torn(Kept::Mask(0b10), Rest::Grown),
        ] {
            assert!(fates.contains(&fate), "{fate}");
        }
        assert_eq!(fates.iter().filter(|fate| fate.is_lost()).count(), 1);
    }

    #[test]
    fn a_long_write_is_torn_where_its_large_sectors_end() {
        // From the last small sector of a large one: large sectors end after 1, 9, 17, 25 small ones.
        assert_eq!(boundaries(7 * 512, 30), [1, 9, 17, 25, 29]);
        assert_eq!(boundaries(0, 5), [1, 2, 3, 4]);
        assert!(boundaries(0, 100_000).len() <= 18);
        let fates = fates(&write(7 * 512, 30 * 512), 0);
        for torn in [Kept::Prefix(9), Kept::Suffix(17)] {
            assert!(fates.contains(&Fate::torn(torn, Rest::Old)), "{torn:?}");
        }
    }

    #[test]
    fn many_calls_are_sampled_with_every_corner() {
        let pending: Vec<Pending> = (0..40).map(|i| write(i * 100, 100)).collect();
        let (coverage, tried) = plans(&pending, &Limits::default());
        assert_eq!(coverage, Coverage::Sampled);
        let whole = |f: &dyn Fn(usize) -> bool| -> Vec<Fate> {
            (0..40).map(|i| if f(i) { Fate::APPLIED } else { Fate::LOST }).collect()
        };
        for corner in [
            whole(&|_| true),
            whole(&|_| false),
            whole(&|i| i == 39),
            whole(&|i| i != 0),
            whole(&|i| i < 17),
        ] {
            assert!(tried.contains(&corner));
        }
        // One call grown, before it all applied, after it all lost.
        let grown_at_five = |plan: &&Vec<Fate>| plan[5] == Fate::GROWN;
        let rest = |plan: &Vec<Fate>| {
            plan[..5].iter().all(|fate| fate.is_applied())
                && plan[6..].iter().all(|fate| fate.is_lost())
        };
        assert!(tried.iter().filter(grown_at_five).any(rest));
    }

    #[test]
    fn a_short_killed_write_is_cut_everywhere_and_a_long_one_at_its_sectors() {
        assert_eq!(cuts(0), [0; 0]);
        assert_eq!(cuts(4), [1, 2, 3]);
        let long = cuts(10_000);
        for cut in [1, 8, 512, 4096, 8192, 9999] {
            assert!(long.contains(&cut), "{cut}");
        }
        assert!(!long.contains(&10_000));
    }
}
