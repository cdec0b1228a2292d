//! What clients asked and were answered, and whether one store could have answered so.
//!
//! Clients record the start and the end of every operation on keys: single writes, deletes and
//! reads, batches that write several keys at once, and reads of several keys at one snapshot.
//! [`History::check`] decides whether the whole is **linearizable** (Herlihy and Wing, TOPLAS
//! 1990): whether every operation can be given one moment between its start and its end such that
//! each read answers the last write before it, a batch being one moment for all its keys. Lost
//! acknowledgements, stale reads, values that come back after a delete, and batches seen in part
//! are all histories for which there is no such order.
//!
//! An operation that **failed** did not happen. One whose outcome is **unknown** (the server died,
//! or no answer was recorded) may take effect at any time after its start, once or never.
//!
//! Keys that no operation joins are checked apart (linearizability is local), which keeps the
//! search of `history/search.rs` small. Written values should be unique per key: otherwise the
//! verdict is right but forgives more than it need.

mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::{Mutex, MutexGuard, PoisonError};

use search::{ABSENT, Cell, Effect, Outcome, Search, Stuck, Task};

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<K, V> {
    /// Writes values, or deletes where there is none, all at one moment.
    Write(Vec<(K, Option<V>)>),
    /// Reads keys at one moment.
    Read(Vec<K>),
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End<V> {
    /// It did what it should; a read's answers are in the order of its keys.
    Done(Vec<Option<V>>),
    /// It did nothing.
    Failed,
}

#[derive(Debug, Clone)]
struct Operation<K, V> {
    action: Action<K, V>,
    start: u64,
    /// The moment of the answer, and the answer; `None` while there is none.
    end: Option<(u64, End<V>)>,
}

/// An operation that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an operation without an end counts as unknown"]
pub struct Started(usize);

/// A history. Clients on any threads record into the same one.
#[derive(Debug)]
pub struct History<K, V> {
    log: Mutex<Log<K, V>>,
}

#[derive(Debug)]
struct Log<K, V> {
    moment: u64,
    operations: Vec<Operation<K, V>>,
}

impl<K, V> Default for History<K, V> {
    fn default() -> Self {
        Self { log: Mutex::new(Log { moment: 0, operations: Vec::new() }) }
    }
}

/// What a check went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Operations that counted: not failed, not a read without an answer.
    pub operations: usize,
    /// Groups of keys that were checked apart.
    pub groups: usize,
    /// Steps of the search.
    pub steps: u64,
}

/// Why a history was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// No order of the operations explains the answers.
    Impossible(String),
    /// The search was given up after as many steps as it was allowed. This accepts nothing and
    /// refuses nothing: record less, or allow more.
    Undecided {
        /// How many steps.
        steps: u64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible(why) => f.write_str(why),
            Self::Undecided { steps } => write!(f, "undecided: steps={steps}"),
        }
    }
}

impl std::error::Error for Violation {}

impl<K: Ord + Clone + Debug, V: Ord + Clone + Debug> History<K, V> {
    /// An empty history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn log(&self) -> MutexGuard<'_, Log<K, V>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the start of an operation. Call it before the store is asked.
    pub fn start(&self, action: Action<K, V>) -> Started {
        let mut log = self.log();
        log.moment += 1;
        let start = log.moment;
        log.operations.push(Operation { action, start, end: None });
        Started(log.operations.len() - 1)
    }

    /// Records the start of writing one value.
    pub fn write(&self, key: K, value: V) -> Started {
        self.start(Action::Write(vec![(key, Some(value))]))
    }

    /// Records the start of deleting one value.
    pub fn delete(&self, key: K) -> Started {
        self.start(Action::Write(vec![(key, None)]))
    }

    /// Records the start of reading one value.
    pub fn read(&self, key: K) -> Started {
        self.start(Action::Read(vec![key]))
    }

    fn end(&self, started: Started, end: End<V>) {
        let mut log = self.log();
        log.moment += 1;
        let moment = log.moment;
        log.operations[started.0].end = Some((moment, end));
    }

    /// Records that a write was acknowledged. Call it after the store has answered.
    pub fn acknowledged(&self, started: Started) {
        self.end(started, End::Done(Vec::new()));
    }

    /// Records what a read answered, in the order of its keys.
    pub fn answered(&self, started: Started, values: Vec<Option<V>>) {
        self.end(started, End::Done(values));
    }

    /// Records that an operation was refused: it promised to have done nothing.
    pub fn failed(&self, started: Started) {
        self.end(started, End::Failed);
    }

    /// Decides whether the history is linearizable, in at most `steps_max` steps of search per
    /// group of keys. Keys start without a value.
    ///
    /// # Errors
    /// [`Violation::Impossible`] when it is not, with the first operation that cannot be placed;
    /// [`Violation::Undecided`] when the steps did not suffice.
    pub fn check(&self, steps_max: u64) -> Result<Checked, Violation> {
        let log = self.log();
        let counted: Vec<&Operation<K, V>> =
            log.operations.iter().filter(|operation| operation.counts()).collect();
        let mut checked = Checked { operations: counted.len(), ..Checked::default() };
        for group in groups(&counted) {
            checked.groups += 1;
            checked.steps += check_group(&group, steps_max)?;
        }
        Ok(checked)
    }
}

impl<K: Ord + Clone, V> Operation<K, V> {
    fn counts(&self) -> bool {
        match (&self.action, &self.end) {
            (_, Some((_, End::Failed))) | (Action::Read(_), None) => false,
            (Action::Write(_), _) | (Action::Read(_), Some((_, End::Done(_)))) => true,
        }
    }

    fn keys(&self) -> Vec<&K> {
        match &self.action {
            Action::Write(writes) => writes.iter().map(|(key, _)| key).collect(),
            Action::Read(keys) => keys.iter().collect(),
        }
    }
}

/// Operations whose keys are joined, directly or through others, in order of their start.
fn groups<'a, K: Ord + Clone, V>(
    operations: &[&'a Operation<K, V>],
) -> Vec<Vec<&'a Operation<K, V>>> {
    let mut number: BTreeMap<&K, usize> = BTreeMap::new();
    let mut parent: Vec<usize> = Vec::new();
    for operation in operations {
        let mut first = None;
        for key in operation.keys() {
            let id = *number.entry(key).or_insert_with(|| {
                parent.push(parent.len());
                parent.len() - 1
            });
            let root = root(&parent, id);
            match first {
                None => first = Some(root),
                Some(first) => parent[root] = first,
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<&'a Operation<K, V>>> = BTreeMap::new();
    for operation in operations {
        if let Some(key) = operation.keys().first() {
            groups.entry(root(&parent, number[key])).or_default().push(operation);
        }
    }
    groups.into_values().collect()
}

fn root(parent: &[usize], mut id: usize) -> usize {
    while parent[id] != id {
        id = parent[id];
    }
    id
}

/// The numbers that stand for keys and values in the search.
struct Numbers<'a, K, V> {
    keys: BTreeMap<&'a K, usize>,
    /// From 1: 0 is the absence of a value.
    values: BTreeMap<&'a V, u32>,
}

impl<'a, K: Ord, V: Ord> Numbers<'a, K, V> {
    fn cell(&mut self, key: &'a K, value: Option<&'a V>) -> Cell {
        let new = self.keys.len();
        let key = *self.keys.entry(key).or_insert(new);
        let new = u32::try_from(self.values.len() + 1).unwrap_or(u32::MAX);
        (key, value.map_or(ABSENT, |value| *self.values.entry(value).or_insert(new)))
    }

    /// What an operation does; `None` when a read was answered for other keys than it asked.
    fn effect(&mut self, operation: &'a Operation<K, V>) -> Option<Effect> {
        match &operation.action {
            Action::Write(writes) => {
                let cells = writes.iter().map(|(key, value)| self.cell(key, value.as_ref()));
                Some(Effect::Write(cells.collect()))
            }
            Action::Read(keys) => {
                let Some((_, End::Done(values))) = &operation.end else { return None };
                let cells = keys.iter().zip(values).map(|(k, v)| self.cell(k, v.as_ref()));
                (keys.len() == values.len()).then(|| Effect::Read(cells.collect()))
            }
        }
    }
}

/// Numbers the keys and values of one group, and searches.
fn check_group<K: Ord + Debug, V: Ord + Debug>(
    group: &[&Operation<K, V>],
    steps_max: u64,
) -> Result<u64, Violation> {
    let mut numbers = Numbers { keys: BTreeMap::new(), values: BTreeMap::new() };
    let mut tasks = Vec::new();
    for (index, operation) in group.iter().enumerate() {
        let Some(effect) = numbers.effect(operation) else {
            let why = format!("a read was answered for other keys: {operation:?}");
            return Err(Violation::Impossible(why));
        };
        let end = operation.end.as_ref().map_or(u64::MAX, |(end, _)| *end);
        tasks.push(Task { index, start: operation.start, end, effect });
    }
    let read: BTreeSet<Cell> = tasks.iter().flat_map(Task::read).copied().collect();
    tasks.retain(|task| task.matters(&read));
    match Search::new(&tasks, numbers.keys.len()).run(steps_max) {
        Outcome::Explained { steps } => Ok(steps),
        Outcome::Undecided { steps } => Err(Violation::Undecided { steps }),
        Outcome::Impossible(stuck) => {
            Err(Violation::Impossible(describe(group, numbers.keys.keys().copied(), &stuck)))
        }
    }
}

/// What a person needs to see why there is no order.
fn describe<'a, K: Debug + 'a, V: Debug>(
    group: &[&Operation<K, V>],
    keys: impl Iterator<Item = &'a K>,
    stuck: &Stuck,
) -> String {
    let keys: Vec<&K> = keys.take(8).collect();
    let mut text = format!(
        "not linearizable: keys={keys:?} operations={} placed={}; none of these can be next:",
        group.len(),
        stuck.placed
    );
    for index in &stuck.blocked {
        let Operation { action, start, end } = group[*index];
        text.push_str(&format!("\n  {action:?} start={start} end={end:?}"));
    }
    text
}
