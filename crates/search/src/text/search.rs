//! The best rows of a part, and all that match.
//!
//! Without words that must be there, rows are looked at in windows: each clause adds its scores to those of
//! the window, one list after the other, so that decoding and adding are tight loops. With such words the
//! shortest list leads, and the others are asked for its rows. Both add up the clauses of a row in the order
//! of the query, so that a score is the same to the last bit however it was found. A search that may answer
//! only few rows asks for these alone.
//!
//! Words whose weights together cannot lift a row among the best are not looked for by themselves (the rule of
//! MaxScore, Turtle and Flood 1995): their lists are only asked for the rows that other words find. The bound of a
//! word is its weight, which holds whatever the statistics are; tantivy's block maxima hold only for the average
//! length that its segment was written with, and are not used.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use roaring::RoaringBitmap;

use super::bm25::Weights;
use super::list::{Cursor, END};
use super::prepared::Prepared;
use super::query::Occur;

/// Rows that are looked at together.
const WINDOW: u32 = 4096;
const WINDOW_LEN: usize = WINDOW as usize;
/// A search that may answer fewer than one in so many of its postings looks at those rows alone.
const FEW: u64 = 16;
/// What a bound is raised by, because sums of floats depend on their order.
const SLACK: f32 = 1.0 + 1e-4;

/// One query of those whose scores are added up.
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'a> {
    /// Its postings.
    pub prepared: &'a Prepared,
    /// Its weights.
    pub weights: &'a Weights,
    /// What its scores are multiplied with; not negative.
    pub boost: f32,
}

/// What a search of some rows alone goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// These rows: for each the lists are asked whether they have it.
    Rows,
    /// The lists: for each row that they find it is looked up whether it is one of these.
    Lists,
}

impl Lead {
    /// The one that is less work.
    #[must_use]
    pub fn cheaper(leaves: &[Leaf<'_>], rows: &RoaringBitmap) -> Self {
        let postings: u64 = leaves.iter().map(|leaf| leaf.prepared.postings()).sum();
        if rows.len().saturating_mul(FEW) < postings { Self::Rows } else { Self::Lists }
    }
}

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Its number in the part.
    pub row: u32,
    /// Its score.
    pub score: f32,
}

impl Eq for Hit {}

impl Ord for Hit {
    /// The better first: the greater score, and of equal ones the lower row.
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The `k` best rows of one part among those that are allowed, best first: of all that match any of the queries, by
/// the sum of their scores. Without `allowed` every row is. Rows that score the same as the last of them come
/// too, because who asks breaks ties by what is not known here.
#[must_use]
pub fn search(leaves: &[Leaf<'_>], k: usize, allowed: Option<&RoaringBitmap>) -> Vec<Hit> {
    search_along(leaves, k, allowed.map(|rows| (rows, Lead::cheaper(leaves, rows))))
}

/// The same, and whoever asks says what is gone along.
#[must_use]
pub fn search_along(
    leaves: &[Leaf<'_>],
    k: usize,
    allowed: Option<(&RoaringBitmap, Lead)>,
) -> Vec<Hit> {
    let mut best = Best { k, heap: BinaryHeap::with_capacity(k.min(1024) + 1), ties: Vec::new() };
    let mut scans: Vec<Scan<'_>> = leaves.iter().map(|leaf| Scan::new(leaf.prepared)).collect();
    if k == 0 {
        return Vec::new();
    }
    if let Some((rows, Lead::Rows)) = allowed {
        for row in rows {
            let scores = scans
                .iter_mut()
                .zip(leaves)
                .map(|(scan, leaf)| scan.score(row, leaf.weights).map(|score| leaf.boost * score));
            let total = scores.flatten().fold(None, |sum, score| Some(sum.unwrap_or(0.0) + score));
            if let Some(score) = total {
                best.add(Hit { row, score });
            }
        }
        return best.finish();
    }
    let allowed = allowed.map(|(rows, _)| rows);
    match (leaves, scans.as_mut_slice()) {
        ([leaf], [scan]) if scan.lead.is_none() => prune(leaf, scan, allowed, &mut best),
        (leaves, scans) => sum(leaves, scans, allowed, &mut best),
    }
    best.finish()
}

/// Looks at every row that any of the queries matches.
fn sum(
    leaves: &[Leaf<'_>],
    scans: &mut [Scan<'_>],
    allowed: Option<&RoaringBitmap>,
    best: &mut Best,
) {
    let (mut window, mut part) = (Window::new(), Window::new());
    loop {
        let base = scans.iter().map(Scan::first_row).min().unwrap_or(END);
        if base == END {
            return;
        }
        window.start(base);
        for (scan, leaf) in scans.iter_mut().zip(leaves) {
            part.start(base);
            scan.fill(&mut part, Some(leaf.weights));
            for at in part.found() {
                window.add(at, leaf.boost * part.scores[at]);
            }
        }
        for at in window.found() {
            let hit = Hit { row: window.row(at), score: window.scores[at] };
            if best.wants(hit) && allowed.is_none_or(|allowed| allowed.contains(hit.row)) {
                best.add(hit);
            }
        }
    }
}

/// Looks at the rows that words find which can lift a row among the best; `exact` scores those that may be.
fn prune(leaf: &Leaf<'_>, exact: &mut Scan<'_>, allowed: Option<&RoaringBitmap>, best: &mut Best) {
    let cursors = leaf.prepared.cursors().into_iter().enumerate();
    let mut lists: Vec<(f32, usize, Cursor<'_>)> = cursors
        .filter(|(_, (occur, _))| *occur == Occur::Should)
        .map(|(clause, (_, cursor))| (leaf.weights.bound(clause), clause, cursor))
        .collect();
    lists.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    // The lists before `first` are not looked for; they add at most `rest` to a row.
    let (mut first, mut rest) = (0, 0.0);
    let mut window = Window::new();
    while let Some(base) = lists[first..].iter().map(|(.., cursor)| cursor.row()).min()
        && base != END
    {
        window.start(base);
        let end = window.end();
        for (_, clause, cursor) in &mut lists[first..] {
            cursor.drain(end, |row, frequency| {
                let score = leaf.weights.score(*clause, frequency, leaf.prepared.length_code(row));
                window.add((row - base) as usize, score);
            });
        }
        for at in window.found() {
            let row = window.row(at);
            let is_hopeless = best.is_beyond(leaf.boost * (window.scores[at] + rest) * SLACK);
            if is_hopeless || allowed.is_some_and(|allowed| !allowed.contains(row)) {
                continue;
            }
            if let Some(score) = exact.score(row, leaf.weights) {
                let hit = Hit { row, score: leaf.boost * score };
                if best.wants(hit) {
                    best.add(hit);
                }
            }
        }
        while let Some((bound, ..)) = lists.get(first)
            && best.is_beyond(leaf.boost * (rest + bound) * SLACK)
        {
            rest += bound;
            first += 1;
        }
    }
}

/// Every row that matches.
pub(super) fn matches(prepared: &Prepared) -> RoaringBitmap {
    let mut scan = Scan::new(prepared);
    let mut rows = RoaringBitmap::new();
    let mut window = Window::new();
    loop {
        let base = scan.first_row();
        if base == END {
            return rows;
        }
        window.start(base);
        scan.fill(&mut window, None);
        for at in window.found() {
            rows.insert(window.row(at));
        }
    }
}

/// The best so far.
struct Best {
    k: usize,
    /// The worst of them on top.
    heap: BinaryHeap<Hit>,
    /// Others that score the same as the worst.
    ties: Vec<Hit>,
}

impl Best {
    fn wants(&self, hit: Hit) -> bool {
        !self.is_beyond(hit.score)
    }

    /// Whether no row that scores no more than so much is among the best.
    fn is_beyond(&self, score: f32) -> bool {
        self.heap.len() >= self.k && self.heap.peek().is_some_and(|worst| score < worst.score)
    }

    fn add(&mut self, hit: Hit) {
        if self.heap.len() < self.k {
            self.heap.push(hit);
            return;
        }
        let Some(mut worst) = self.heap.peek_mut() else { return };
        if hit.score < worst.score {
            return;
        }
        if hit >= *worst {
            self.ties.push(hit);
            return;
        }
        let gone = std::mem::replace(&mut *worst, hit);
        drop(worst);
        if self.heap.peek().is_some_and(|worst| worst.score > gone.score) {
            self.ties.clear();
        } else {
            self.ties.push(gone);
        }
    }

    fn finish(self) -> Vec<Hit> {
        let mut hits = self.heap.into_vec();
        hits.extend(self.ties);
        hits.sort_unstable();
        hits
    }
}

/// Scores of some rows that follow one another.
pub(super) struct Window {
    base: u32,
    scores: Box<[f32; WINDOW_LEN]>,
    found: [u64; WINDOW_LEN / 64],
    banned: [u64; WINDOW_LEN / 64],
}

impl Window {
    fn new() -> Self {
        Self {
            base: 0,
            scores: Box::new([0.0; WINDOW_LEN]),
            found: [0; WINDOW_LEN / 64],
            banned: [0; WINDOW_LEN / 64],
        }
    }

    fn start(&mut self, base: u32) {
        self.base = base;
        self.scores.fill(0.0);
        self.found.fill(0);
        self.banned.fill(0);
    }

    fn end(&self) -> u32 {
        self.base.saturating_add(WINDOW)
    }

    fn row(&self, at: usize) -> u32 {
        self.base + u32::try_from(at).unwrap_or_default()
    }

    #[inline]
    fn add(&mut self, at: usize, score: f32) {
        self.scores[at] += score;
        self.found[at / 64] |= 1 << (at % 64);
    }

    /// The places that were found and not banned, ascending.
    fn found(&self) -> impl Iterator<Item = usize> + use<> {
        let mut words = [0; WINDOW_LEN / 64];
        for (word, (found, banned)) in words.iter_mut().zip(self.found.iter().zip(&self.banned)) {
            *word = found & !banned;
        }
        words.into_iter().enumerate().flat_map(|(index, mut word): (usize, u64)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                (word != 0).then(|| {
                    word &= word - 1;
                    index * 64 + bit
                })
            })
        })
    }
}

/// The cursors of a query on their way through a part.
pub(super) struct Scan<'a> {
    prepared: &'a Prepared,
    cursors: Vec<(Occur, Cursor<'a>)>,
    /// The shortest clause that must match.
    lead: Option<usize>,
    finds: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(prepared: &'a Prepared) -> Self {
        let cursors = prepared.cursors();
        let musts = cursors.iter().enumerate().filter(|(_, (occur, _))| *occur == Occur::Must);
        let lead =
            musts.min_by_key(|(index, _)| prepared.clause_len(*index)).map(|(index, _)| index);
        let finds = cursors.iter().any(|(occur, _)| *occur != Occur::MustNot);
        Self { prepared, cursors, lead, finds }
    }

    /// The lowest row that may still match.
    fn first_row(&self) -> u32 {
        match self.lead {
            _ if !self.finds => END,
            Some(lead) => self.cursors[lead].1.row(),
            None => Prepared::first_row(&self.cursors),
        }
    }

    /// Adds all rows below the end of the window to it; rows below its base are gone already.
    fn fill(&mut self, window: &mut Window, weights: Option<&Weights>) {
        match self.lead {
            Some(lead) => self.follow(lead, window, weights),
            None => self.sweep(window, weights),
        }
    }

    fn sweep(&mut self, window: &mut Window, weights: Option<&Weights>) {
        let (base, end, prepared) = (window.base, window.end(), self.prepared);
        for (clause, (occur, cursor)) in self.cursors.iter_mut().enumerate() {
            match (*occur, weights) {
                (Occur::MustNot, _) => {
                    cursor.seek(base);
                    cursor.drain(end, |row, _| {
                        let at = (row - base) as usize;
                        window.banned[at / 64] |= 1 << (at % 64);
                    });
                }
                (Occur::Should | Occur::Must, Some(weights)) => {
                    cursor.drain(end, |row, frequency| {
                        let score = weights.score(clause, frequency, prepared.length_code(row));
                        window.add((row - base) as usize, score);
                    })
                }
                (Occur::Should | Occur::Must, None) => {
                    cursor.drain(end, |row, _| window.add((row - base) as usize, 0.0));
                }
            }
        }
    }

    fn follow(&mut self, lead: usize, window: &mut Window, weights: Option<&Weights>) {
        let end = window.end();
        loop {
            let row = self.cursors[lead].1.row();
            if row >= end {
                return;
            }
            match self.look(row, weights) {
                Look::Found(score) => {
                    window.add((row - window.base) as usize, score);
                    self.cursors[lead].1.seek(row + 1);
                }
                Look::Not { next } => self.cursors[lead].1.seek(next),
            }
        }
    }

    /// The score of a row; none when it does not match. Rows are asked for ascending.
    pub(super) fn score(&mut self, row: u32, weights: &Weights) -> Option<f32> {
        match self.look(row, Some(weights)) {
            Look::Found(score) => Some(score),
            Look::Not { .. } => None,
        }
    }

    fn look(&mut self, row: u32, weights: Option<&Weights>) -> Look {
        let mut found = self.lead.is_some();
        let mut total = 0.0;
        for (clause, (occur, cursor)) in self.cursors.iter_mut().enumerate() {
            cursor.seek(row);
            let is_met = cursor.row() == row;
            match (*occur, is_met) {
                (Occur::MustNot, true) => return Look::Not { next: row + 1 },
                (Occur::Must, false) => return Look::Not { next: cursor.row() },
                (Occur::Should | Occur::Must, true) => {
                    found = true;
                    if let Some(weights) = weights {
                        let length = self.prepared.length_code(row);
                        total += weights.score(clause, cursor.frequency(), length);
                    }
                }
                (Occur::Should | Occur::MustNot, false) => {}
            }
        }
        if found { Look::Found(total) } else { Look::Not { next: row + 1 } }
    }
}

/// What is known of a row.
enum Look {
    Found(f32),
    /// No row below `next` matches.
    Not {
        next: u32,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_are_those_of_sorting_all_and_their_ties(
            scores in prop::collection::vec(0..6_u8, 0..60),
            k in 1..12_usize,
        ) {
            let hits = (0..).zip(&scores).map(|(row, score)| Hit { row, score: f32::from(*score) });
            let mut best = Best { k, heap: BinaryHeap::new(), ties: Vec::new() };
            for hit in hits.clone() {
                if best.wants(hit) {
                    best.add(hit);
                }
            }
            let mut sorted: Vec<Hit> = hits.collect();
            sorted.sort_unstable();
            let last = sorted.get(k - 1).map_or(0.0, |last| last.score);
            sorted.retain(|hit| hit.score >= last);
            prop_assert_eq!(best.finish(), sorted);
        }
    }
}
