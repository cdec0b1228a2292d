//! The queue in front of the writer: what group commit decides, without doing any I/O.
//!
//! Callers add transactions under one short lock and get their LSNs there. Whoever finds that
//! nobody leads takes the first group, writes and syncs it outside the lock, and tells the others:
//! a lone writer so commits in its own thread, and those who arrive during a sync form the next
//! group. A leader that is done calls the next group's heir first and then wakes its own followers,
//! none of whom takes the queue's lock again: the disk is busy while they run. The hand-over is checked under every interleaving that the scheduler of the tests tries
//! (`tests/shuttle/`).

use std::collections::VecDeque;
use std::sync::OnceLock;

use base::clock::Instant;
use base::words::Lsn;

use crate::error::{Result, WalError};
use crate::frame::LSN_MAX;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, ThreadId};
use crate::sync::{Arc, Signal};
use crate::transaction::{Class, Transaction, stamp};
use crate::writer::Batch;

/// What a committed transaction got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// LSN of its first frame: the transaction's id.
    pub first: Lsn,
    /// LSN of its last frame.
    pub last: Lsn,
    /// Wall time in its frames, milliseconds since the Unix epoch; never less than that of the
    /// transaction before it.
    pub wall_ms: u64,
}

/// Told what became of a transaction. Completions run in LSN order, one at a time, on the thread
/// that committed them; they must not wait, commit, or drop the last handle of the log: that would
/// wait for itself and is refused ([`WalError::Reentered`]).
pub type Completion = Box<dyn FnOnce(Result<Committed>) + Send>;

/// Told whether an LSN that somebody else placed was acknowledged. The same rules hold as for
/// [`Completion`].
pub type Observer = Box<dyn FnOnce(Result<()>) + Send>;

/// Transactions that will be written together.
pub(crate) struct Group {
    pub(crate) batch: Batch,
    pub(crate) members: Vec<Member>,
    pub(crate) fate: Arc<Fate>,
}

/// One transaction of a group.
pub(crate) struct Member {
    pub(crate) committed: Committed,
    pub(crate) frames: u32,
    pub(crate) completion: Option<Completion>,
    pub(crate) since: Instant,
}

/// From which LSN on which error holds, ascending.
pub(crate) type Failures = Arc<[(Lsn, WalError)]>;

/// What becomes of one group: where its members wait, without the queue's lock.
///
/// The first that waits is the *heir*: it leads the group when its turn comes. The others wait
/// until it has ended.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    /// The group is the first in the queue and nobody leads; or it has ended.
    turn: Signal,
    /// Written, or failed.
    ended: Signal,
    heir: AtomicBool,
    failures: OnceLock<Failures>,
}

impl Fate {
    /// Takes the heir's place if it is free. Call it under the queue's lock: a leader that ends
    /// looks whether there is one.
    pub(crate) fn inherit(&self) -> bool {
        !self.heir.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn has_heir(&self) -> bool {
        self.heir.load(Ordering::Relaxed)
    }

    /// Lets the heir lead.
    pub(crate) fn call(&self) {
        self.turn.set();
    }

    /// Waits to be called. Somebody who came later may have led the group meanwhile.
    pub(crate) fn wait_turn(&self) {
        self.turn.wait();
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.is_set()
    }

    pub(crate) fn wait_end(&self) {
        self.ended.wait();
    }

    /// Tells everybody who waits.
    pub(crate) fn end(&self) {
        self.turn.set();
        self.ended.set();
    }

    /// Notes what failed; those who wait are told by [`Fate::end`].
    pub(crate) fn fail(&self, failures: &Failures) {
        // A group fails once: it is out of the queue then.
        let _ = self.failures.set(Arc::clone(failures));
    }

    /// The error that `lsn` met, if it did.
    pub(crate) fn failed(&self, lsn: Lsn) -> Option<WalError> {
        error_of(self.failures.get()?, lsn)
    }
}

/// The error that `lsn` met, if it did.
pub(crate) fn error_of(failures: &Failures, lsn: Lsn) -> Option<WalError> {
    failures.iter().rev().find(|(from, _)| *from <= lsn).map(|(_, error)| error.clone())
}

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) committed: Committed,
    pub(crate) fate: Arc<Fate>,
}

impl Ticket {
    /// What became of it, once its group has ended.
    pub(crate) fn outcome(&self) -> Result<Committed> {
        self.fate.failed(self.committed.last).map_or(Ok(self.committed), Err)
    }
}

/// Whether the log takes writes.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Open,
    Poisoned(Arc<str>),
    Closed,
}

/// Whether somebody claims the next segment's space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claiming {
    No,
    Wanted,
    Running,
}

/// What waits for the writer.
pub(crate) struct Queue {
    pub(crate) groups: VecDeque<Group>,
    /// Whether somebody writes at the moment.
    pub(crate) leading: bool,
    /// Who does, while completions run: they must not wait for themselves.
    pub(crate) leader: Option<ThreadId>,
    pub(crate) state: State,
    pub(crate) next_lsn: Lsn,
    /// Counts failures. LSNs from the failed one on are given again after each, so what was
    /// worked out before may rest on what will never be.
    pub(crate) epoch: u64,
    /// Where LSNs began to be given again: the epoch that began there, and the LSN.
    rewinds: Vec<(u64, Lsn)>,
    pub(crate) waiting_bytes: u64,
    /// Claimed bytes as of the last look: room of the active segment and of all spares.
    pub(crate) room: u64,
    /// Part of `room` that came from the reserve.
    pub(crate) reserved: u64,
    pub(crate) last_wall_ms: u64,
    pub(crate) last_activity: Instant,
    /// Whether the background thread runs.
    pub(crate) committer: bool,
    /// Whether somebody claims space ahead.
    pub(crate) claiming: Claiming,
    /// When what was acknowledged before its sync must be synced (`interval`).
    pub(crate) sync_at: Option<Instant>,
    /// Threads in front of a full queue.
    pub(crate) at_entrance: usize,
    /// Threads that wait for the leader to end.
    pub(crate) watchers: usize,
    /// Who is to be told when an LSN that is not acknowledged yet is, or fails.
    observers: Vec<(Lsn, Observer)>,
    spare_buffer: Vec<u8>,
}

/// Limits on groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grouping {
    pub(crate) bytes_max: usize,
    /// 0 = not counted.
    pub(crate) commits_max: usize,
    pub(crate) one_by_one: bool,
}

/// Failures that are told apart.
const REWINDS_MAX: usize = 64;
/// Buffers larger than this are given back after use.
const BUFFER_KEPT_MAX: usize = 1024 * 1024;

impl Queue {
    pub(crate) fn new(last: Lsn, room: u64, last_wall_ms: u64) -> Self {
        Self {
            groups: VecDeque::new(),
            leading: false,
            state: State::Open,
            next_lsn: last.next(),
            leader: None,
            epoch: 0,
            rewinds: Vec::new(),
            waiting_bytes: 0,
            room,
            reserved: 0,
            last_wall_ms,
            last_activity: Instant::default(),
            committer: false,
            claiming: Claiming::No,
            sync_at: None,
            at_entrance: 0,
            watchers: 0,
            observers: Vec::new(),
            spare_buffer: Vec::new(),
        }
    }

    /// Whether a transaction may be added that was worked out in `epoch`, if it says in which.
    pub(crate) fn admit(&self, epoch: Option<u64>) -> Result<()> {
        match &self.state {
            State::Open if epoch.is_some_and(|epoch| epoch != self.epoch) => {
                Err(WalError::Rewound { epoch: self.epoch })
            }
            State::Open => Ok(()),
            State::Poisoned(cause) => Err(WalError::Poisoned { cause: Arc::clone(cause) }),
            State::Closed => Err(WalError::Closed),
        }
    }

    /// Whether this thread runs completions at the moment, and would wait for itself.
    pub(crate) fn is_led_by_me(&self) -> bool {
        self.leader.is_some_and(|leader| leader == thread::current().id())
    }

    /// The lowest LSN that was given again since `epoch`.
    pub(crate) fn rewound_since(&self, epoch: u64) -> Option<Lsn> {
        let since = self.rewinds.iter().filter(|(began, _)| *began > epoch);
        since.map(|(_, lsn)| *lsn).min()
    }

    /// Whether there are LSNs left for so many more frames.
    pub(crate) fn numbers(&self, frames: u32) -> Result<()> {
        let last = self.next_lsn.0.saturating_add(u64::from(frames));
        if last > LSN_MAX {
            return Err(WalError::TooLarge { what: "the LSN", value: last, limit: LSN_MAX });
        }
        Ok(())
    }

    /// Has `observer` told what becomes of `lsn`, which is not visible yet.
    pub(crate) fn observe(&mut self, lsn: Lsn, observer: Observer) {
        self.observers.push((lsn, observer));
    }

    /// The observers of LSNs up to `visible`.
    pub(crate) fn observed(&mut self, visible: Lsn) -> Vec<(Lsn, Observer)> {
        if self.observers.is_empty() {
            return Vec::new();
        }
        self.observers.extract_if(.., |(lsn, _)| *lsn <= visible).collect()
    }

    /// The observers of what has failed.
    pub(crate) fn disappointed(&mut self, failures: &Failures) -> Vec<(Lsn, Observer)> {
        self.observers.extract_if(.., |(lsn, _)| error_of(failures, *lsn).is_some()).collect()
    }

    /// Bytes of claimed space that are missing for `bytes` more of this class.
    pub(crate) fn missing(&self, bytes: u64, class: Class) -> u64 {
        let usable = match class {
            Class::Normal => self.room.saturating_sub(self.reserved),
            Class::Reclaim => self.room,
        };
        (self.waiting_bytes + bytes).saturating_sub(usable)
    }

    /// Gives a transaction its LSNs and its place.
    pub(crate) fn add(
        &mut self,
        tx: Transaction,
        completion: Option<Completion>,
        now: Instant,
        wall_ms: u64,
        grouping: Grouping,
    ) -> Ticket {
        let first = self.next_lsn;
        let last = Lsn(first.0 + u64::from(tx.len()) - 1);
        self.last_wall_ms = self.last_wall_ms.max(wall_ms);
        let committed = Committed { first, last, wall_ms: self.last_wall_ms };
        let (bytes, frames_count, class) = (tx.bytes(), tx.len(), tx.space_class());
        if class == Class::Reclaim {
            self.reserved = self.reserved.saturating_sub(bytes);
        }
        self.next_lsn = last.next();
        self.waiting_bytes += bytes;
        self.last_activity = now;
        let (spool, mut frames) = tx.finish();
        let head = spool.as_ref().map_or(0, |spool| spool.len());
        let before_tail = u64::from(tail_frames(&frames));
        stamp(&mut frames, Lsn(last.next().0 - before_tail), committed.wall_ms);
        let joins = spool.is_none()
            && !grouping.one_by_one
            && self.groups.back().is_some_and(|group| {
                let has_room =
                    grouping.commits_max == 0 || group.members.len() < grouping.commits_max;
                has_room
                    && group.batch.spool.is_none()
                    && group.batch.bytes.len() + frames.len() <= grouping.bytes_max
            });
        if !joins {
            self.begin_group(first);
        }
        let group = self.groups.back_mut().expect("a group was begun or is there to join");
        if group.batch.bytes.is_empty() && frames.len() > BUFFER_KEPT_MAX {
            group.batch.bytes = frames;
        } else {
            group.batch.bytes.extend_from_slice(&frames);
        }
        debug_assert_eq!(
            bytes,
            head + group.batch.bytes.len() as u64 - group.batch.lens.iter().sum::<u64>()
        );
        group.batch.lens.push(bytes);
        group.batch.wall_ms = committed.wall_ms;
        if class == Class::Reclaim {
            group.batch.class = class;
        }
        group.batch.spool = spool;
        group.members.push(Member { committed, frames: frames_count, completion, since: now });
        Ticket { committed, fate: Arc::clone(&group.fate) }
    }

    fn begin_group(&mut self, first: Lsn) {
        let bytes = std::mem::take(&mut self.spare_buffer);
        self.groups.push_back(Group {
            batch: Batch { bytes, first, ..Batch::default() },
            members: Vec::new(),
            fate: Arc::default(),
        });
    }

    /// Takes a written group's buffer for the next one.
    pub(crate) fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= BUFFER_KEPT_MAX && buffer.capacity() > self.spare_buffer.capacity()
        {
            buffer.clear();
            self.spare_buffer = buffer;
        }
    }

    /// Drops the buffer kept for the next group.
    pub(crate) fn release(&mut self) {
        self.spare_buffer = Vec::new();
        self.groups.shrink_to_fit();
    }

    /// Ends the epoch. LSNs from that of the first failure on will be given again. Returns the
    /// groups that waited in the queue, which have failed too.
    pub(crate) fn fail(&mut self, failures: &Failures) -> Vec<Group> {
        if let Some((from, _)) = failures.first() {
            self.next_lsn = *from;
        }
        self.epoch += 1;
        self.rewinds.push((self.epoch, self.next_lsn));
        if self.rewinds.len() > REWINDS_MAX {
            // Who is that far behind is told of a little more than it has to take back.
            let oldest = self.rewinds.remove(0);
            if let Some(next) = self.rewinds.first_mut() {
                next.1 = next.1.min(oldest.1);
            }
        }
        self.waiting_bytes = 0;
        let groups: Vec<Group> = self.groups.drain(..).collect();
        for group in &groups {
            group.fate.fail(failures);
        }
        groups
    }
}

fn tail_frames(frames: &[u8]) -> u32 {
    let mut at = 0;
    let mut count = 0;
    while let Some(header) = frames.get(at..at + crate::frame::HEADER_BYTES) {
        at += crate::transaction::frame_len(header);
        count += 1;
    }
    count
}
