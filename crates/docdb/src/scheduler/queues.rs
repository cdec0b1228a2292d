//! Which task is next: the decisions of the scheduler, without threads, clocks of its own or locks.
//!
//! Every database has a queue. Queues take turns by deficit round robin (Shreedhar and Varghese,
//! "Efficient Fair Queuing Using Deficit Round-Robin", SIGCOMM 1995): at each of its turns a queue
//! may spend what it has saved plus its share, so a database that sends much gets everything that is
//! spare and keeps nobody waiting longer than one turn of each other. Within a database tasks run in
//! the order in which they came, but those of one *lane* (a connection, a transaction) never run
//! beside each other.
//!
//! Invariants: a queue is in the ring exactly when it has something that may run now; a lane with a
//! task that runs is not in its queue's order; `waiting` is the sum of all queues' depths.

use std::collections::{HashMap, VecDeque};

use base::clock::Instant;

/// Which database, by the number that the scheduler gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub(super) u64);

/// Whose tasks must not overtake each other: the number of a connection or a transaction, unique
/// among all that live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub u64);

/// What one turn of a queue adds to what it may spend, for a weight of 1. A task costs
/// 1 + its bytes / 4096.
const QUANTUM: u64 = 16;
/// Most tasks of one lane that are handed out at once: they run in order anyway.
const RUN_MAX: usize = 16;

/// Something that waits.
#[derive(Debug)]
pub(super) struct Item<T> {
    pub(super) task: T,
    pub(super) cost: u64,
    pub(super) lane: Option<Lane>,
    pub(super) since: Instant,
}

/// What a worker is to do next, in order.
#[derive(Debug)]
pub(super) struct Run<T> {
    pub(super) queue: QueueId,
    pub(super) lane: Option<Lane>,
    pub(super) items: VecDeque<Item<T>>,
}

/// Whether a queue's tasks may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// They may.
    No,
    /// Not before somebody lets them.
    Until(Release),
}

/// When a held queue goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// When [`Queues::release`] is called.
    Called,
    /// At this time, or when it is called.
    At(Instant),
}

/// Why a task is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The database's queue.
    Queue,
    /// All queues together.
    Total,
    /// There is no such queue any more.
    Gone,
}

/// What waits for one database.
#[derive(Debug)]
struct Queue<T> {
    weight: u64,
    /// What may run, in order: tasks without a lane, and lanes by their number.
    order: VecDeque<Next<T>>,
    lanes: HashMap<Lane, LaneState<T>>,
    depth: usize,
    deficit: u64,
    in_ring: bool,
    hold: Hold,
    /// Longest wait of a task until it was handed out, since the last look.
    longest_wait_ns: u64,
    handed_out: u64,
}

#[derive(Debug)]
enum Next<T> {
    Task(Item<T>),
    Lane(Lane),
}

#[derive(Debug)]
struct LaneState<T> {
    items: VecDeque<Item<T>>,
    /// One of them runs, or it is in the order.
    taken: bool,
}

/// Limits on what waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Depths {
    pub(super) queue_max: usize,
    /// 0 = no other limit than the queues' own.
    pub(super) total_max: usize,
}

/// What one queue looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// Tasks that wait.
    pub depth: usize,
    /// How long the longest wait of a task was since the last look.
    pub longest_wait: std::time::Duration,
    /// Tasks that were handed to workers.
    pub handed_out: u64,
    /// Whether it is held: its database is being opened, or has no memory left.
    pub held: bool,
}

/// All queues.
#[derive(Debug)]
pub(super) struct Queues<T> {
    queues: HashMap<QueueId, Queue<T>>,
    ring: VecDeque<QueueId>,
    waiting: usize,
    next_id: u64,
    depths: Depths,
    /// When the first of the queues that are held for a time may go on.
    due: Option<Instant>,
}

impl<T> Queues<T> {
    pub(super) fn new(depths: Depths) -> Self {
        let (queues, ring) = (HashMap::new(), VecDeque::new());
        Self { queues, ring, waiting: 0, next_id: 0, depths, due: None }
    }

    /// A queue for one more database.
    pub(super) fn add(&mut self, weight: u64) -> QueueId {
        let id = QueueId(self.next_id);
        self.next_id += 1;
        let queue = Queue {
            weight: weight.max(1),
            order: VecDeque::new(),
            lanes: HashMap::new(),
            depth: 0,
            deficit: 0,
            in_ring: false,
            hold: Hold::No,
            longest_wait_ns: 0,
            handed_out: 0,
        };
        self.queues.insert(id, queue);
        id
    }

    /// Removes a queue; what waits in it comes back.
    pub(super) fn remove(&mut self, id: QueueId) -> Vec<Item<T>> {
        let Some(queue) = self.queues.remove(&id) else { return Vec::new() };
        self.ring.retain(|other| *other != id);
        self.waiting -= queue.depth;
        queue.into_items()
    }

    /// Takes everything out of all queues.
    pub(super) fn drain(&mut self) -> Vec<Item<T>> {
        self.ring.clear();
        self.waiting = 0;
        let mut items = Vec::new();
        for queue in self.queues.values_mut() {
            let empty = Queue { weight: queue.weight, ..Queue::default() };
            items.extend(std::mem::replace(queue, empty).into_items());
        }
        items
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Puts a task behind the others of its lane, or of its database.
    pub(super) fn push(&mut self, id: QueueId, item: Item<T>) -> Result<(), (Item<T>, Full)> {
        let total = self.depths.total_max;
        let Some(queue) = self.queues.get_mut(&id) else { return Err((item, Full::Gone)) };
        if queue.depth >= self.depths.queue_max {
            return Err((item, Full::Queue));
        }
        if total > 0 && self.waiting >= total {
            return Err((item, Full::Total));
        }
        self.waiting += 1;
        queue.depth += 1;
        match item.lane {
            None => queue.order.push_back(Next::Task(item)),
            Some(lane) => {
                let state = queue.lanes.entry(lane).or_default();
                state.items.push_back(item);
                if !state.taken {
                    state.taken = true;
                    queue.order.push_back(Next::Lane(lane));
                }
            }
        }
        self.enter_ring(id);
        Ok(())
    }

    /// Puts back what could not be done, in front of what came later. Limits do not count: it was
    /// let in before.
    pub(super) fn put_back(&mut self, run: Run<T>) -> Vec<Item<T>> {
        let Run { queue: id, lane, items } = run;
        let Some(queue) = self.queues.get_mut(&id) else { return items.into() };
        self.waiting += items.len();
        queue.depth += items.len();
        match lane {
            None => items.into_iter().rev().for_each(|i| queue.order.push_front(Next::Task(i))),
            Some(lane) => {
                let state = queue.lanes.entry(lane).or_default();
                items.into_iter().rev().for_each(|item| state.items.push_front(item));
                state.taken = true;
                queue.order.push_front(Next::Lane(lane));
            }
        }
        self.enter_ring(id);
        Vec::new()
    }

    fn enter_ring(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if !queue.in_ring && queue.hold == Hold::No && !queue.order.is_empty() {
            queue.in_ring = true;
            self.ring.push_back(id);
        }
    }

    /// What to do next; none when nothing may run. The lane of what is handed out is closed until
    /// [`Queues::finished`].
    pub(super) fn pop(&mut self, now: Instant) -> Option<Run<T>> {
        if self.due.is_some_and(|due| due <= now) {
            self.due = self.release_due(now);
        }
        loop {
            let id = *self.ring.front()?;
            let queue = self.queues.get_mut(&id)?;
            let Some(cost) = queue.next_cost() else {
                queue.leave();
                self.ring.pop_front();
                continue;
            };
            if queue.deficit < cost {
                // The end of its turn: it saves its share for the next one.
                queue.deficit += QUANTUM * queue.weight;
                if self.ring.len() > 1 {
                    self.ring.rotate_left(1);
                }
                continue;
            }
            let run = queue.take(id, now);
            self.waiting -= run.items.len();
            if queue.order.is_empty() {
                queue.leave();
                self.ring.pop_front();
            }
            return Some(run);
        }
    }

    /// The lane of a run is free for its next task.
    pub(super) fn finished(&mut self, id: QueueId, lane: Option<Lane>) {
        let (Some(lane), Some(queue)) = (lane, self.queues.get_mut(&id)) else { return };
        let Some(state) = queue.lanes.get_mut(&lane) else { return };
        if state.items.is_empty() {
            queue.lanes.remove(&lane);
        } else {
            queue.order.push_back(Next::Lane(lane));
            self.enter_ring(id);
        }
    }

    /// Keeps a queue's tasks where they are.
    pub(super) fn hold(&mut self, id: QueueId, until: Release) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        queue.hold = Hold::Until(until);
        if let Release::At(at) = until {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
        if queue.in_ring {
            queue.in_ring = false;
            self.ring.retain(|other| *other != id);
        }
    }

    /// Lets a queue go on.
    pub(super) fn release(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.hold = Hold::No;
            self.enter_ring(id);
        }
    }

    /// When somebody has to look again, if nothing happens until then.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Lets those go on whose time has come; when the next one's comes.
    fn release_due(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut due = Vec::new();
        for (id, queue) in &self.queues {
            if let Hold::Until(Release::At(at)) = queue.hold {
                if at <= now {
                    due.push(*id);
                } else {
                    next = Some(next.map_or(at, |next| next.min(at)));
                }
            }
        }
        due.into_iter().for_each(|id| self.release(id));
        next
    }

    pub(super) fn stats(&mut self, id: QueueId) -> QueueStats {
        let Some(queue) = self.queues.get_mut(&id) else { return QueueStats::default() };
        let longest_wait_ns = std::mem::take(&mut queue.longest_wait_ns);
        QueueStats {
            depth: queue.depth,
            longest_wait: std::time::Duration::from_nanos(longest_wait_ns),
            handed_out: queue.handed_out,
            held: queue.hold != Hold::No,
        }
    }
}

impl<T> Default for LaneState<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), taken: false }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            weight: 1,
            order: VecDeque::new(),
            lanes: HashMap::new(),
            depth: 0,
            deficit: 0,
            in_ring: false,
            hold: Hold::No,
            longest_wait_ns: 0,
            handed_out: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Cost of what is next in the order.
    fn next_cost(&self) -> Option<u64> {
        match self.order.front()? {
            Next::Task(item) => Some(item.cost),
            Next::Lane(lane) => self.lanes.get(lane)?.items.front().map(|item| item.cost),
        }
    }

    /// Takes what is next, and of a lane as much as the queue may spend.
    fn take(&mut self, id: QueueId, now: Instant) -> Run<T> {
        let mut run = Run { queue: id, lane: None, items: VecDeque::new() };
        match self.order.pop_front() {
            Some(Next::Task(item)) => self.hand_out(item, &mut run, now),
            Some(Next::Lane(lane)) => {
                run.lane = Some(lane);
                while run.items.len() < RUN_MAX {
                    let Some(state) = self.lanes.get_mut(&lane) else { break };
                    let fits = state.items.front().is_some_and(|item| item.cost <= self.deficit);
                    if !fits {
                        break;
                    }
                    let Some(item) = state.items.pop_front() else { break };
                    self.hand_out(item, &mut run, now);
                }
            }
            None => {}
        }
        run
    }

    fn hand_out(&mut self, item: Item<T>, run: &mut Run<T>, now: Instant) {
        self.deficit = self.deficit.saturating_sub(item.cost);
        self.depth -= 1;
        self.handed_out += 1;
        let waited = u64::try_from(now.since(item.since).as_nanos()).unwrap_or(u64::MAX);
        self.longest_wait_ns = self.longest_wait_ns.max(waited);
        run.items.push_back(item);
    }

    /// Leaves the ring. What it has not spent is gone: a queue cannot save while it is empty.
    fn leave(&mut self) {
        self.in_ring = false;
        self.deficit = 0;
    }

    fn into_items(self) -> Vec<Item<T>> {
        let mut lanes = self.lanes;
        let mut items = Vec::new();
        for next in self.order {
            match next {
                Next::Task(item) => items.push(item),
                Next::Lane(lane) => {
                    items.extend(lanes.remove(&lane).into_iter().flat_map(|lane| lane.items));
                }
            }
        }
        items.extend(lanes.into_values().flat_map(|lane| lane.items));
        items
    }
}

#[cfg(test)]
mod tests;
