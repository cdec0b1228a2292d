//! How work gets to a database: opened if it is not, in its turn, on a thread that may do it.

use std::sync::{Arc, Mutex, PoisonError};

use base::clock::Instant;
use base::workers::pool;
use docstore::Database;

use super::Engine;
use super::error::{EngineError, Result};
use super::reply::Reply;
use super::served::{Ready, Served, State};
use crate::scheduler::{HoldFor, Lane, Ran, Task, Turn};

/// How a request is to be treated.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// Whose requests it must not overtake.
    pub lane: Option<Lane>,
    /// When nobody waits for it any more.
    pub deadline: Option<Instant>,
}

/// What a step of work on an open database came to.
pub(super) enum Step<W> {
    Done,
    /// It cannot go on now; this is left of it.
    Later(W, HoldFor),
}

/// Work that is done in steps, each of which does not wait.
pub(super) trait Work: Send + Sized + 'static {
    /// Does as much as can be done now.
    fn go_on(self, engine: &Arc<Engine>, database: &Database) -> Step<Self>;

    /// Answers that it will not be done.
    fn refuse(self, error: EngineError);
}

impl Engine {
    /// Has work done in its turn.
    pub(super) fn schedule(
        self: &Arc<Self>,
        served: &Arc<Served>,
        bytes: usize,
        how: How,
        work: impl Work,
    ) {
        let task = self.task(Arc::clone(served), bytes, how, work);
        self.scheduler.submit(served.queue, task);
    }

    fn task(
        self: &Arc<Self>,
        served: Arc<Served>,
        bytes: usize,
        how: How,
        work: impl Work,
    ) -> Task {
        let engine = Arc::clone(self);
        let run = move |turn: Turn| {
            if let Turn::Not(why) = turn {
                work.refuse(served.explain(why.into()));
                return Ran::Done;
            }
            let again =
                |work, hold| Ran::Again(engine.task(served.clone(), bytes, how, work), hold);
            match served.ready(engine.clock.now()) {
                // Counted as working on it until the step is done.
                Ok(Ready::Yes(database, _using)) => match work.go_on(&engine, &database) {
                    Step::Done => Ran::Done,
                    Step::Later(work, hold) => again(work, hold),
                },
                Ok(Ready::NotYet) => again(work, HoldFor::AsSaid),
                Ok(Ready::MustOpen) => {
                    engine.open_behind(&served);
                    again(work, HoldFor::AsSaid)
                }
                Err(error) => {
                    work.refuse(error);
                    Ran::Done
                }
            }
        };
        Task::new(bytes, run).in_lane(how.lane).until(how.deadline)
    }

    /// Opens a database whose state says that it is being opened, on a thread that may wait. Its
    /// queue is held until then.
    fn open_behind(self: &Arc<Self>, served: &Arc<Served>) {
        self.scheduler.hold(served.queue);
        let (engine, target) = (Arc::clone(self), Arc::clone(served));
        let open = move || engine.open_now(&target);
        let (engine, target) = (Arc::clone(self), Arc::clone(served));
        let failed = move |why: pool::TaskFailure| engine.opened(&target, Err(why.into()));
        if let Err(refused) = self.openers.submit(pool::Task::new(open, failed)) {
            self.opened(served, Err(refused.why.into()));
        }
    }

    fn open_now(&self, served: &Arc<Served>) {
        let result = self.make_room(Some(served)).and_then(|()| {
            let (database, report) = self.store.database_with_id(&served.name, served.id)?;
            if let Some(report) = report {
                self.note_opened(served, &report);
            }
            Ok(database)
        });
        self.opened(served, result);
    }

    /// Notes how opening went, and lets the queue go on.
    fn opened(&self, served: &Arc<Served>, result: Result<Database>) {
        if let Ok(database) = &result {
            self.indexes.opened(database);
        }
        let state = match result {
            Ok(database) => State::Open(database),
            Err(error) => {
                self.track(&error);
                tracing::error!(database = %served.name, code = error.code.name(), %error,
                    "a database could not be opened");
                State::Failed(error, self.clock.now())
            }
        };
        if !served.end_busy(state) {
            // Dropped meanwhile, or the server stops.
            drop(self.indexes.leave(served.id));
        }
        self.scheduler.release(served.queue);
        served.tell_watchers();
    }

    /// Has a small piece of work done on a worker: it must not wait for anything but a disk's
    /// reads.
    pub fn work<T: Send + 'static>(
        self: &Arc<Self>,
        served: &Arc<Served>,
        bytes: usize,
        how: How,
        reply: Reply<T>,
        work: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) {
        let at = Arc::clone(served);
        self.schedule(served, bytes, how, Once { at, work, reply });
    }

    /// Has long work done on the threads for operations: checkpoints, scrubs, backups. Few run at
    /// once.
    pub fn operate<T: Send + 'static>(
        self: &Arc<Self>,
        served: &Arc<Served>,
        reply: Reply<T>,
        work: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) {
        self.work_on(|engine| &engine.operations, served, How::default(), reply, work);
    }

    /// Has work done that waits for a sync and nothing longer: it need not wait for operations.
    pub(super) fn change<T: Send + 'static>(
        self: &Arc<Self>,
        served: &Arc<Served>,
        reply: Reply<T>,
        work: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) {
        self.work_on(|engine| &engine.changers, served, How::default(), reply, work);
    }

    /// Has work done on one of the pools, which may wait there.
    pub(super) fn work_on<T: Send + 'static>(
        self: &Arc<Self>,
        pool: fn(&Engine) -> &pool::Pool,
        served: &Arc<Served>,
        how: How,
        reply: Reply<T>,
        work: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) {
        let engine = Arc::clone(self);
        let held = Held::of(served);
        let waiting = Arc::new(Mutex::new(Some(reply)));
        let (told, at) = (Arc::clone(&waiting), Arc::clone(served));
        // It passes through the queue to find the database open.
        let hand_over = move |database: &Database| {
            let database = database.clone();
            let run = move || {
                let _held = held;
                let reply = take(&waiting);
                let result = work(&database).map_err(|error| at.explain(error));
                if let Some(reply) = reply {
                    reply.send(result);
                }
            };
            let submitted = pool(&engine).submit(pool::Task::new(run, |_| {}));
            submitted.map_err(|refused| EngineError::from(refused.why))
        };
        let not_begun = Reply::new(move |result: Result<()>| {
            // Looked at first: the reply of what was begun is not this one's to take.
            let Err(error) = result else { return };
            if let Some(reply) = take(&told) {
                reply.send(Err(error));
            }
        });
        self.work(served, 0, how, not_begun, hand_over);
    }
}

/// What is in a slot, for whoever comes first.
pub(super) fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Keeps a database from being closed as idle.
#[derive(Debug)]
pub(super) struct Held(Arc<Served>);

impl Held {
    pub(super) fn of(served: &Arc<Served>) -> Self {
        served.held.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        Self(Arc::clone(served))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
    }
}

/// Work of one step.
struct Once<T, F> {
    at: Arc<Served>,
    work: F,
    reply: Reply<T>,
}

impl<T, F> Work for Once<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Database) -> Result<T> + Send + 'static,
{
    fn go_on(self, _: &Arc<Engine>, database: &Database) -> Step<Self> {
        self.reply.send((self.work)(database).map_err(|error| self.at.explain(error)));
        Step::Done
    }

    fn refuse(self, error: EngineError) {
        self.reply.send(Err(error));
    }
}
