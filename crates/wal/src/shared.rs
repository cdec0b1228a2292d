//! Committing: the way of a transaction from the caller through the queue to the disk and back.
//!
//! Lock order: `claiming` → `queue` → spares; the writer's lock is taken by the leader alone and
//! never while the queue's is held. `leading` in the queue is the real lock on the writer: it is
//! set under the queue's lock and held over I/O.

mod room;

use base::clock::Instant;
use base::words::Lsn;

use crate::anchor::{Anchor, LogState};
use crate::commit::{
    Claiming, Committed, Completion, Failures, Fate, Group, Grouping, Member, Observer, Queue,
    State, Ticket, error_of,
};
use crate::error::{Result, WalError};
use crate::options::{Background, FsyncMode};
use crate::reserve::{Debt, Reserve};
use crate::stats::Counters;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, Weak, lock, thread, wait};
use crate::transaction::Transaction;
use crate::trim::Marks;
use crate::writer::{Context, Fail, Writer};

/// What a group came to.
struct Outcome {
    /// Members written, and synced if the mode waits for it.
    done: usize,
    fail: Option<Fail>,
    last: Lsn,
    durable: Lsn,
    room: u64,
    claim: Option<u64>,
}

pub(crate) struct Shared {
    pub(crate) cx: Context,
    pub(crate) anchor: Arc<dyn Anchor>,
    pub(crate) state: Mutex<LogState>,
    pub(crate) queue: Mutex<Queue>,
    /// Callers in front of a full queue.
    entrance: Condvar,
    /// The background thread waits here, and who waits for the leader to end.
    pub(crate) committer: Condvar,
    pub(crate) writer: Mutex<Writer>,
    /// Serialises claims, so that many callers in want of space claim once.
    claiming: Mutex<()>,
    next_size: AtomicU64,
    visible: AtomicU64,
    durable: AtomicU64,
    followers: AtomicUsize,
    follow: (Mutex<()>, Condvar),
    pub(crate) counters: Counters,
    pub(crate) marks: Mutex<Marks>,
    pub(crate) reserve: Option<Arc<Reserve>>,
    /// What a checkpoint may have to find room for, as the reserve knows it.
    debt: Option<Debt>,
    /// Where replay would start: what the manifest says.
    pub(crate) replayed: AtomicU64,
    pub(crate) spools: AtomicU64,
    /// Given back when the log is closed.
    pub(crate) held: Mutex<Option<Box<dyn base::io::Lock>>>,
    pub(crate) threads: Mutex<Vec<thread::JoinHandle<()>>>,
    me: Weak<Shared>,
}

impl Shared {
    pub(crate) fn new(
        cx: Context,
        anchor: Arc<dyn Anchor>,
        state: LogState,
        writer: Writer,
        last_wall_ms: u64,
        reserve: Option<Arc<Reserve>>,
        held: Box<dyn base::io::Lock>,
    ) -> Arc<Self> {
        let last = writer.last();
        let mut queue = Queue::new(last, writer.room(), last_wall_ms);
        queue.last_activity = cx.clock.now();
        if reserve.as_ref().is_some_and(|reserve| !reserve.is_whole()) {
            // What a recovery has claimed on a full disk is for deletes first.
            queue.reserved = queue.room;
        }
        let debt = reserve.as_ref().map(Debt::new);
        let shared = Arc::new_cyclic(|me| Self {
            next_size: AtomicU64::new(writer.next_size()),
            cx,
            anchor,
            replayed: AtomicU64::new(state.replay_lsn.0),
            state: Mutex::new(state),
            queue: Mutex::new(queue),
            entrance: Condvar::new(),
            committer: Condvar::new(),
            writer: Mutex::new(writer),
            claiming: Mutex::new(()),
            visible: AtomicU64::new(last.0),
            durable: AtomicU64::new(last.0),
            followers: AtomicUsize::new(0),
            follow: (Mutex::new(()), Condvar::new()),
            counters: Counters::default(),
            marks: Mutex::new(Marks::default()),
            reserve,
            debt,
            spools: AtomicU64::new(0),
            held: Mutex::new(Some(held)),
            threads: Mutex::new(Vec::new()),
            me: Weak::clone(me),
        });
        shared.owe();
        shared
    }

    /// A handle for a thread of the log's own.
    pub(crate) fn myself(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    pub(crate) fn visible(&self) -> Lsn {
        Lsn(self.visible.load(Ordering::Acquire))
    }

    pub(crate) fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    /// Commits and waits for the acknowledgement, leading the group when nobody else does.
    pub(crate) fn commit(&self, tx: Transaction) -> Result<Committed> {
        let (queue, ticket) = self.enter(tx, None, Wait::Yes)?;
        self.finish(queue, &ticket)
    }

    /// Adds a transaction and gives its place; `wait` or the background does the rest. Who has a
    /// completion to be told does not wait in front of a full queue.
    pub(crate) fn place(&self, tx: Transaction, completion: Option<Completion>) -> Result<Ticket> {
        let full = if completion.is_some() { Wait::No } else { Wait::Yes };
        let (queue, ticket) = self.enter(tx, completion, full)?;
        drop(queue);
        Ok(ticket)
    }

    /// Waits for a transaction that has its place.
    pub(crate) fn wait(&self, ticket: &Ticket) -> Result<Committed> {
        if ticket.fate.is_ended() {
            return ticket.outcome();
        }
        self.finish(lock(&self.queue), ticket)
    }

    /// Leads the groups up to the ticket's, or waits until others have.
    fn finish<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        ticket: &Ticket,
    ) -> Result<Committed> {
        let fate = &ticket.fate;
        while !fate.is_ended() {
            if !queue.leading && !queue.groups.is_empty() {
                self.lead(queue);
            } else if queue.is_led_by_me() {
                return Err(WalError::Reentered);
            } else if queue.leading && fate.inherit() {
                drop(queue);
                fate.wait_turn();
            } else {
                // There is an heir, or the leader is done and about to say so.
                drop(queue);
                fate.wait_end();
                break;
            }
            if fate.is_ended() {
                break;
            }
            queue = lock(&self.queue);
        }
        ticket.outcome()
    }

    /// Has what was placed written by somebody else than the caller.
    pub(crate) fn leave(&self, ticket: &Ticket) {
        if ticket.fate.is_ended() {
            return;
        }
        let queue = lock(&self.queue);
        if queue.leading || self.cx.options.background == Background::Manual {
            // Who leads looks for what has no heir when it is done.
            return;
        }
        if queue.committer {
            self.committer.notify_all();
            return;
        }
        drop(queue);
        self.drive();
    }

    /// Writes groups until none waits.
    pub(crate) fn drive(&self) {
        let mut queue = lock(&self.queue);
        while !queue.groups.is_empty() {
            if queue.leading {
                queue = self.watch(queue);
            } else {
                self.lead(queue);
                queue = lock(&self.queue);
            }
        }
    }

    /// Waits until the leader has ended.
    fn watch<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        queue.watchers += 1;
        let mut queue = wait(&self.committer, queue);
        queue.watchers -= 1;
        queue
    }

    fn grouping(&self) -> Grouping {
        Grouping {
            bytes_max: self.cx.options.group_bytes_max,
            commits_max: self.cx.options.group_commits_max,
            one_by_one: self.cx.options.fsync == FsyncMode::Always,
        }
    }

    /// Waits for room in the queue and for claimed space, then adds.
    fn enter(
        &self,
        tx: Transaction,
        completion: Option<Completion>,
        full: Wait,
    ) -> Result<(MutexGuard<'_, Queue>, Ticket)> {
        let (bytes, class) = (tx.bytes(), tx.space_class());
        let (now, wall) = (self.cx.clock.now(), self.cx.clock.wall());
        let mut queue = lock(&self.queue);
        loop {
            if completion.is_none() && queue.is_led_by_me() {
                return Err(WalError::Reentered);
            }
            queue.admit(tx.epoch())?;
            queue.numbers(tx.len())?;
            let waiting = queue.waiting_bytes;
            if waiting > 0 && waiting + bytes > self.cx.options.waiting_bytes_max {
                if full == Wait::No {
                    return Err(WalError::QueueFull { waiting });
                }
                queue = self.wait_for_room(queue)?;
                continue;
            }
            if queue.missing(bytes, class) == 0 {
                break;
            }
            drop(queue);
            self.claim(bytes, class)?;
            queue = lock(&self.queue);
        }
        let ticket = queue.add(tx, completion, now, wall.0, self.grouping());
        Ok((self.with_committer(queue), ticket))
    }

    /// Waits until the leader has made room in the queue, or makes it.
    fn wait_for_room<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
    ) -> Result<MutexGuard<'a, Queue>> {
        if !queue.leading {
            self.lead(queue);
            return Ok(lock(&self.queue));
        }
        queue.at_entrance += 1;
        let mut queue = wait(&self.entrance, queue);
        queue.at_entrance -= 1;
        Ok(queue)
    }

    /// Writes the first group outside the lock, calls who leads the next, and wakes its members.
    pub(crate) fn lead<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) {
        if let State::Poisoned(cause) = &queue.state {
            let error = WalError::Poisoned { cause: Arc::clone(cause) };
            self.refuse_waiting(queue, error);
            return;
        }
        let Some(group) = queue.groups.pop_front() else { return };
        queue.leading = true;
        drop(queue);
        let mut led = Led { shared: self, group, whole: false };
        let mut outcome = self.write(&mut led.group);
        self.publish(outcome.last, outcome.durable);
        let now = self.cx.clock.now();
        let rest = self.complete(&mut led.group, outcome.done, now);
        let fail = outcome.fail.take();
        let mut queue = self.tell_observers(lock(&self.queue));
        let bytes: u64 = led.group.batch.lens.iter().sum();
        queue.waiting_bytes = queue.waiting_bytes.saturating_sub(bytes);
        queue.room = outcome.room + self.cx.claims.capacity();
        queue.keep_buffer(std::mem::take(&mut led.group.batch.bytes));
        if let Some(fail) = fail {
            let fate = Arc::clone(&led.group.fate);
            queue = self.fail(queue, &fate, rest, outcome.last, fail);
        }
        led.whole = true;
        self.plan(&mut queue, now, &outcome);
        self.hand_over(queue, Some(&led.group.fate));
    }

    /// Counts and completes the members that were written; returns the others.
    fn complete(&self, group: &mut Group, done: usize, now: Instant) -> Vec<Member> {
        let mut members = std::mem::take(&mut group.members);
        let rest = members.split_off(done.min(members.len()));
        if !members.is_empty() {
            let written = members.iter().map(|member| (member.frames, now.since(member.since)));
            self.counters.group(written, self.cx.clock.wall().0);
        }
        if members.iter().any(|member| member.completion.is_some()) {
            lock(&self.queue).leader = Some(thread::current().id());
            for member in members {
                member.complete(None);
            }
        }
        rest
    }

    /// Tells those who looked at what is acknowledged now.
    fn tell_observers<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        let observers = queue.observed(self.visible());
        if observers.is_empty() {
            return queue;
        }
        queue.leader = Some(thread::current().id());
        drop(queue);
        for (lsn, observer) in observers {
            call(lsn, || observer(Ok(())));
        }
        lock(&self.queue)
    }

    /// Has `observer` told what becomes of `lsn`, which was placed in `epoch`. False when that is
    /// known already: it is acknowledged, and the observer was dropped.
    pub(crate) fn observe(&self, lsn: Lsn, epoch: u64, observer: Observer) -> Result<bool> {
        let mut queue = lock(&self.queue);
        if queue.epoch != epoch || lsn >= queue.next_lsn {
            return Err(match &queue.state {
                State::Poisoned(cause) => WalError::DurabilityUnknown { cause: Arc::clone(cause) },
                State::Open | State::Closed => WalError::Rewound { epoch: queue.epoch },
            });
        }
        if self.visible() >= lsn {
            return Ok(false);
        }
        queue.observe(lsn, observer);
        Ok(true)
    }

    /// Ends leading: calls the next one first, so that the disk is busy while the others wake.
    fn hand_over(&self, mut queue: MutexGuard<'_, Queue>, ended: Option<&Fate>) {
        queue.leading = false;
        queue.leader = None;
        let lost = planted!(self.cx.options, LostWakeUp);
        let next = queue.groups.front().filter(|_| !lost);
        let heir = next.filter(|group| group.fate.has_heir()).map(|group| Arc::clone(&group.fate));
        let orphan = next.is_some() && heir.is_none();
        let threads = self.cx.options.background == Background::Threads;
        let alone = orphan && threads && !queue.committer;
        let watched = queue.watchers > 0 || (orphan && queue.committer);
        let entrance = queue.at_entrance > 0;
        drop(queue);
        if let Some(heir) = heir {
            heir.call();
        }
        if let Some(ended) = ended {
            ended.end();
        }
        if entrance {
            self.entrance.notify_all();
        }
        if watched {
            self.committer.notify_all();
        }
        if alone {
            self.drive();
        }
    }

    fn write(&self, group: &mut Group) -> Outcome {
        let mut writer = lock(&self.writer);
        let (mut done, mut at) = (0, 0);
        let mut fail = None;
        while done < group.batch.lens.len() {
            match writer.write(&mut group.batch, done, at) {
                Ok((count, bytes)) => (done, at) = (done + count, at + bytes),
                Err(e) => {
                    fail = Some(e);
                    break;
                }
            }
        }
        self.next_size.store(writer.next_size(), Ordering::Relaxed);
        let acked = done.checked_sub(1).and_then(|i| group.members.get(i));
        let before = group.members.first().map_or(writer.last(), |m| Lsn(m.committed.first.0 - 1));
        Outcome {
            done,
            fail,
            last: acked.map_or(before, |member| member.committed.last),
            durable: writer.durable(),
            room: writer.room(),
            claim: writer.wants_claim(),
        }
    }

    /// Moves what readers may see.
    pub(crate) fn publish(&self, last: Lsn, durable: Lsn) {
        self.durable.fetch_max(durable.0, Ordering::AcqRel);
        // Sequentially consistent with `wait_visible`: one of the two sees what the other did.
        self.visible.fetch_max(last.0, Ordering::SeqCst);
        if self.followers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.follow.0));
            self.follow.1.notify_all();
        }
    }

    /// Ends the epoch after a failure and tells everybody whom it hit but the waiters of the group
    /// itself.
    fn fail<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        fate: &Fate,
        rest: Vec<Member>,
        last: Lsn,
        fail: Fail,
    ) -> MutexGuard<'a, Queue> {
        let behind = rest.last().map_or(last, |member| member.committed.last).next();
        let failures: Failures = match fail {
            Fail::Refused(error) => Arc::from([(last.next(), error)]),
            Fail::Poison(error) => {
                let cause: Arc<str> = Arc::from(error.to_string());
                tracing::error!(cause = %cause, "the log is poisoned and takes no more writes");
                queue.state = State::Poisoned(Arc::clone(&cause));
                Arc::from([
                    (last.next(), WalError::DurabilityUnknown { cause: Arc::clone(&cause) }),
                    (behind, WalError::Poisoned { cause }),
                ])
            }
        };
        fate.fail(&failures);
        queue.leader = Some(thread::current().id());
        let (waited, observers) = (queue.fail(&failures), queue.disappointed(&failures));
        drop(queue);
        for member in rest {
            let error = error_of(&failures, member.committed.last);
            member.complete(error);
        }
        tell(waited, observers, &failures);
        self.entrance.notify_all();
        lock(&self.queue)
    }

    /// Notes what the background has to do after a group.
    fn plan(&self, queue: &mut Queue, now: Instant, outcome: &Outcome) {
        let before = (queue.sync_at, queue.claiming);
        if let FsyncMode::Interval(interval) = self.cx.options.fsync
            && outcome.durable < outcome.last
            && queue.sync_at.is_none()
        {
            queue.sync_at = Some(now.after(interval));
        }
        if outcome.claim.is_some()
            && queue.claiming == Claiming::No
            && self.cx.options.background == Background::Threads
        {
            queue.claiming = Claiming::Wanted;
        }
        if (queue.sync_at, queue.claiming) != before {
            self.committer.notify_all();
        }
    }

    /// Does something with the writer while nobody leads; `None` when somebody does, something
    /// waits to be written, or the log takes no writes.
    pub(crate) fn with_writer<T>(&self, work: impl FnOnce(&mut Writer) -> T) -> Option<T> {
        let queue = lock(&self.queue);
        if queue.leading || !queue.groups.is_empty() || !matches!(queue.state, State::Open) {
            return None;
        }
        Some(self.lead_with(queue, work))
    }

    /// Does something with the writer as the leader.
    fn lead_with<T>(
        &self,
        mut queue: MutexGuard<'_, Queue>,
        work: impl FnOnce(&mut Writer) -> T,
    ) -> T {
        queue.leading = true;
        drop(queue);
        let mut upkeep = Upkeep { shared: self, whole: false };
        let (out, room, durable, last) = {
            let mut writer = lock(&self.writer);
            let out = work(&mut writer);
            self.next_size.store(writer.next_size(), Ordering::Relaxed);
            (out, writer.room(), writer.durable(), writer.last())
        };
        self.publish(last, durable);
        let mut queue = lock(&self.queue);
        queue.room = room + self.cx.claims.capacity();
        upkeep.whole = true;
        self.hand_over(queue, None);
        out
    }

    /// Closes: nothing more is admitted, what waits is written, the log is synced and says so in
    /// its last frame. The second call finds nothing to do.
    pub(crate) fn close(&self) -> Result<()> {
        let mut queue = lock(&self.queue);
        let before = queue.state.clone();
        if matches!(before, State::Closed) {
            return Ok(());
        }
        if queue.is_led_by_me() {
            // Nothing is closed by half. When this was the last handle, the next open recovers what
            // a close would have tidied up.
            tracing::error!("{}; it is left as it is", WalError::Reentered);
            return Err(WalError::Reentered);
        }
        if matches!(before, State::Open) {
            queue.state = State::Closed;
        }
        while queue.leading || !queue.groups.is_empty() {
            if queue.leading {
                queue = self.watch(queue);
            } else {
                self.lead(queue);
                queue = lock(&self.queue);
            }
        }
        // What was written last may have poisoned it.
        let before = match &queue.state {
            State::Poisoned(_) => queue.state.clone(),
            State::Open | State::Closed => before,
        };
        let closed = match before {
            State::Open => self.lead_with(queue, Writer::close),
            State::Poisoned(_) | State::Closed => {
                drop(queue);
                Ok(())
            }
        };
        self.end_threads();
        // Who claims space in this moment finds the log closed, but has a file to remove.
        drop(lock(&self.claiming));
        if closed.is_ok() && matches!(before, State::Open) {
            self.record_end();
        }
        let mut held = lock(&self.held);
        let first = held.take().is_some();
        if let Some(debt) = &self.debt {
            debt.set(0);
        }
        match (closed, before) {
            (_, State::Poisoned(cause)) if first => Err(WalError::Poisoned { cause }),
            (Err(Fail::Refused(error) | Fail::Poison(error)), _) => Err(error),
            (Ok(()), _) => Ok(()),
        }
    }

    /// Stops all writes after a sync outside a group failed. Who leads at the moment finishes; who
    /// waits is refused by the next one that would lead.
    pub(crate) fn poison(&self, error: &WalError) {
        let cause: Arc<str> = Arc::from(error.to_string());
        tracing::error!(cause = %cause, "the log is poisoned and takes no more writes");
        let mut queue = lock(&self.queue);
        if matches!(queue.state, State::Poisoned(_)) {
            return;
        }
        queue.state = State::Poisoned(Arc::clone(&cause));
        if !queue.leading {
            self.refuse_waiting(queue, WalError::Poisoned { cause });
        }
    }

    /// Refuses everything that waits: nothing of it was written.
    fn refuse_waiting(&self, mut queue: MutexGuard<'_, Queue>, error: WalError) {
        let first = queue.groups.front().and_then(|group| group.members.first());
        let Some(from) = first.map(|member| member.committed.first) else { return };
        let failures: Failures = Arc::from([(from, error)]);
        let (waited, observers) = (queue.fail(&failures), queue.disappointed(&failures));
        drop(queue);
        tell(waited, observers, &failures);
        self.entrance.notify_all();
        self.committer.notify_all();
    }

    /// Makes everything acknowledged durable, beside writes that go on.
    pub(crate) fn sync(&self) -> Result<Lsn> {
        lock(&self.queue).admit(None)?;
        if self.cx.options.fsync.syncs_before_ack() {
            return Ok(self.durable());
        }
        let job = lock(&self.writer).sync_job();
        match job.run() {
            Ok(()) => {
                let (last, durable) = {
                    let mut writer = lock(&self.writer);
                    writer.synced(&job);
                    (self.visible(), writer.durable())
                };
                self.publish(last, durable);
                Ok(durable)
            }
            Err(Fail::Refused(error)) => Err(error),
            Err(Fail::Poison(error)) => {
                self.poison(&error);
                Err(WalError::DurabilityUnknown { cause: Arc::from(error.to_string()) })
            }
        }
    }

    /// Waits until `lsn` is visible or `until` has passed; says whether it is.
    pub(crate) fn wait_visible(&self, lsn: Lsn, timeout: std::time::Duration) -> bool {
        self.followers.fetch_add(1, Ordering::SeqCst);
        let until = self.cx.clock.now().after(timeout);
        let mut guard = lock(&self.follow.0);
        while self.visible.load(Ordering::SeqCst) < lsn.0 {
            let left = until.since(self.cx.clock.now());
            if left.is_zero() {
                break;
            }
            let waited = self.follow.1.wait_timeout(guard, left);
            let (reached, waited) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
            guard = reached;
            // A clock that stands still, as a simulated one does, must not keep anybody here.
            if waited.timed_out() {
                break;
            }
        }
        drop(guard);
        self.followers.fetch_sub(1, Ordering::AcqRel);
        self.visible() >= lsn
    }
}

/// Tells the members of groups that were never written, and who looked at what has failed.
fn tell(groups: Vec<Group>, observers: Vec<(Lsn, Observer)>, failures: &Failures) {
    for group in groups {
        for member in group.members {
            let error = error_of(failures, member.committed.last);
            member.complete(error);
        }
        group.fate.end();
    }
    for (lsn, observer) in observers {
        call(lsn, || observer(error_of(failures, lsn).map_or(Ok(()), Err)));
    }
}

/// Runs a callback. A panic of the caller's code must not take the leader's place with it:
/// everybody would wait for ever.
fn call(lsn: Lsn, callback: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(callback)).is_err() {
        tracing::error!(%lsn, "a completion panicked");
    }
}

/// A group while it is led. A leader that panics must not leave everybody waiting: what becomes
/// of the group is unknown then, and the log takes no more writes.
struct Led<'a> {
    shared: &'a Shared,
    group: Group,
    whole: bool,
}

/// The writer while upkeep has it, for the same reason.
struct Upkeep<'a> {
    shared: &'a Shared,
    whole: bool,
}

impl Drop for Upkeep<'_> {
    fn drop(&mut self) {
        if self.whole {
            return;
        }
        let cause: Arc<str> = Arc::from("the upkeep of the log panicked");
        tracing::error!(cause = %cause, "the log is poisoned and takes no more writes");
        let mut queue = lock(&self.shared.queue);
        queue.state = State::Poisoned(Arc::clone(&cause));
        self.shared.refuse_waiting(queue, WalError::Poisoned { cause });
        self.shared.hand_over(lock(&self.shared.queue), None);
    }
}

impl Drop for Led<'_> {
    fn drop(&mut self) {
        if self.whole {
            return;
        }
        let members = std::mem::take(&mut self.group.members);
        let before = Lsn(self.group.batch.first.0.saturating_sub(1));
        let cause = WalError::DurabilityUnknown { cause: Arc::from("the committer panicked") };
        let queue = lock(&self.shared.queue);
        let fate = &self.group.fate;
        let queue = self.shared.fail(queue, fate, members, before, Fail::Poison(cause));
        self.shared.hand_over(queue, Some(fate));
    }
}

impl Member {
    fn complete(self, error: Option<WalError>) {
        let Some(completion) = self.completion else { return };
        let result = error.map_or(Ok(self.committed), Err);
        call(self.committed.last, move || completion(result));
    }
}

/// What to do when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Yes,
    No,
}
