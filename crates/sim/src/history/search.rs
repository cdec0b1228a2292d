//! The search for an order: Wing and Gong (JPDC 1993) with the memory of Lowe (2017).
//!
//! It places one operation after another. The next may be any that started before every operation
//! not yet placed had ended. A read that answers what the keys hold is placed at once: that never
//! closes a way. Otherwise each write that may be next is tried in turn; a set of placed operations
//! that was reached before with the same contents of the keys is not tried again.
//!
//! That memory keeps 128-bit hashes, not sets: two that collide could make a possible history seem
//! impossible, once in far more runs than there will ever be.

use std::collections::{BTreeSet, HashSet};

use base::rng::Rng;

/// The value of a key that has none.
pub(super) const ABSENT: u32 = 0;

/// A key and a value, by number.
pub(super) type Cell = (usize, u32);

/// What an operation does.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    Write(Vec<Cell>),
    Read(Vec<Cell>),
}

/// An operation to be placed.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// Its place in the caller's list.
    pub(super) index: usize,
    pub(super) start: u64,
    /// `u64::MAX`: its outcome is unknown, and it need not be placed.
    pub(super) end: u64,
    pub(super) effect: Effect,
}

impl Task {
    fn must(&self) -> bool {
        self.end < u64::MAX
    }

    /// What it read.
    pub(super) fn read(&self) -> &[Cell] {
        match &self.effect {
            Effect::Read(cells) => cells,
            Effect::Write(_) => &[],
        }
    }

    /// Whether it can matter: a write of unknown outcome that deletes nothing and of which nothing
    /// was ever read can be taken never to have happened.
    pub(super) fn matters(&self, read: &BTreeSet<Cell>) -> bool {
        match &self.effect {
            Effect::Write(cells) if !self.must() => {
                cells.iter().any(|cell| cell.1 == ABSENT || read.contains(cell))
            }
            Effect::Write(_) | Effect::Read(_) => true,
        }
    }
}

/// How far the best attempt came.
#[derive(Debug, Clone, Default)]
pub(super) struct Stuck {
    /// Operations placed.
    pub(super) placed: usize,
    /// Those of which one would have had to be next (the caller's numbers).
    pub(super) blocked: Vec<usize>,
}

/// The verdict.
#[derive(Debug)]
pub(super) enum Outcome {
    Explained { steps: u64 },
    Impossible(Stuck),
    Undecided { steps: u64 },
}

/// One placed operation, or the start.
struct Frame {
    /// What may come next, and how much of it has been tried.
    candidates: Vec<usize>,
    tried: usize,
    /// The operation placed from here, and what its keys held before.
    placed: Option<(usize, Vec<Cell>)>,
}

/// A search in progress.
pub(super) struct Search<'a> {
    tasks: &'a [Task],
    /// What the keys hold.
    state: Vec<u32>,
    /// The operations not placed, linked in order of start. Entry `n` is the head of both.
    next: Vec<usize>,
    previous: Vec<usize>,
    /// How many that must be placed are not.
    left: usize,
    placed: usize,
    /// One random number per operation; the set's hash is their sum.
    marks: Vec<u128>,
    set_hash: u128,
    seen: HashSet<u128>,
    stuck: Stuck,
}

impl<'a> Search<'a> {
    /// A search over `tasks`, which are in order of their start.
    pub(super) fn new(tasks: &'a [Task], keys: usize) -> Self {
        let n = tasks.len();
        let mut rng = Rng::new(7);
        let mut wide = || u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        Self {
            tasks,
            state: vec![ABSENT; keys],
            next: (0..=n).map(|i| if i == n { 0 } else { i + 1 }).collect(),
            previous: (0..=n).map(|i| if i == 0 { n } else { i - 1 }).collect(),
            left: tasks.iter().filter(|task| task.must()).count(),
            placed: 0,
            marks: (0..n).map(|_| wide()).collect(),
            set_hash: 0,
            seen: HashSet::new(),
            stuck: Stuck::default(),
        }
    }

    /// Searches for at most `steps_max` steps.
    pub(super) fn run(mut self, steps_max: u64) -> Outcome {
        let mut steps = 0;
        let mut frames = vec![self.frame()];
        while let Some(frame) = frames.last_mut() {
            if self.left == 0 {
                return Outcome::Explained { steps };
            }
            if let Some((task, before)) = frame.placed.take() {
                self.take_back(task, &before);
            }
            let Some(task) = frame.candidates.get(frame.tried).copied() else {
                frames.pop();
                continue;
            };
            frame.tried += 1;
            steps += 1;
            if steps > steps_max {
                return Outcome::Undecided { steps: steps_max };
            }
            let before = self.place(task);
            if self.seen.insert(self.hash()) {
                frame.placed = Some((task, before));
                let next = self.frame();
                frames.push(next);
            } else {
                self.take_back(task, &before);
            }
        }
        Outcome::Impossible(self.stuck)
    }

    /// What may come next.
    fn frame(&mut self) -> Frame {
        let head = self.tasks.len();
        let mut candidates = Vec::new();
        let mut open = Vec::new();
        let mut end = u64::MAX;
        let mut at = self.next[head];
        while at != head && self.tasks[at].start < end {
            let task = &self.tasks[at];
            end = end.min(task.end);
            open.push(at);
            match &task.effect {
                Effect::Read(cells) if cells.iter().all(|(k, v)| self.state[*k] == *v) => {
                    return Frame { candidates: vec![at], tried: 0, placed: None };
                }
                Effect::Read(_) => {}
                Effect::Write(_) => candidates.push(at),
            }
            at = self.next[at];
        }
        // Those that end first first: in most histories that is the order.
        candidates.sort_by_key(|at| self.tasks[*at].end);
        if self.placed >= self.stuck.placed {
            let blocked = open.iter().take(16).map(|at| self.tasks[*at].index).collect();
            self.stuck = Stuck { placed: self.placed, blocked };
        }
        Frame { candidates, tried: 0, placed: None }
    }

    fn place(&mut self, task: usize) -> Vec<Cell> {
        let mut before = Vec::new();
        if let Effect::Write(cells) = &self.tasks[task].effect {
            for (key, value) in cells {
                before.push((*key, std::mem::replace(&mut self.state[*key], *value)));
            }
        }
        let (next, previous) = (self.next[task], self.previous[task]);
        self.next[previous] = next;
        self.previous[next] = previous;
        self.left -= usize::from(self.tasks[task].must());
        self.placed += 1;
        self.set_hash = self.set_hash.wrapping_add(self.marks[task]);
        before
    }

    fn take_back(&mut self, task: usize, before: &[Cell]) {
        for (key, value) in before.iter().rev() {
            self.state[*key] = *value;
        }
        // The neighbours are still those of when it was taken out: later ones are back already.
        let (next, previous) = (self.next[task], self.previous[task]);
        self.next[previous] = task;
        self.previous[next] = task;
        self.left += usize::from(self.tasks[task].must());
        self.placed -= 1;
        self.set_hash = self.set_hash.wrapping_sub(self.marks[task]);
    }

    /// A hash of what is placed and what the keys hold.
    fn hash(&self) -> u128 {
        self.state.iter().fold(self.set_hash, |hash, value| {
            (hash ^ u128::from(*value)).wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645)
                ^ (hash >> 64)
        })
    }
}
