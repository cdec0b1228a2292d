//! The databases of the server: what there is, making, dropping, opening and closing them.

use std::sync::Arc;
use std::time::Duration;

use base::error::Code;
use base::words::Name;
use base::workers::pool;
use docstore::{Database, OpenReport};

use super::Engine;
use super::error::{EngineError, Result};
use super::reply::Reply;
use super::served::{Condition, Served, State};
use super::work::How;

/// How long a database that is to be closed or dropped is left to those who work on it: each of them does what does
/// not wait.
const UNUSED_MAX: Duration = Duration::from_secs(5);
/// How often a database that is to make room is looked for: somebody may have come to the one that was found.
const ROOM_TRIES_MAX: usize = 8;

impl Engine {
    /// Takes notice of the databases of the directory.
    pub(super) fn discover(&self) {
        let mut databases = self.databases_mut();
        for entry in self.store.list() {
            let queue = self.scheduler.add_queue(self.weight_of(&entry.name));
            let state = match entry.is_open.then(|| self.store.database(&entry.name)) {
                Some(Ok(database)) => {
                    self.indexes.opened(&database);
                    State::Open(database)
                }
                Some(Err(_)) | None => State::Closed,
            };
            let served = Served::new(entry.name.clone(), entry.id, queue, state);
            databases.insert(entry.name, Arc::new(served));
        }
        // One that is refused may be repaired.
        let refused = self.store.refused();
        let is_refused =
            |id: &str| refused.iter().any(|refused| refused.path.to_string_lossy().ends_with(id));
        self.indexes.remove_unknown(|id| {
            databases.values().any(|served| served.id.to_string() == id) || is_refused(id)
        });
    }

    fn weight_of(&self, name: &Name) -> u64 {
        self.options.weights.get(name).copied().map_or(1, u64::from)
    }

    fn databases_mut(
        &self,
    ) -> std::sync::RwLockWriteGuard<'_, std::collections::BTreeMap<Name, Arc<Served>>> {
        self.databases.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// All databases, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Served>> {
        let databases = self.databases.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        databases.values().cloned().collect()
    }

    /// The database of this name, open or not.
    ///
    /// # Errors
    /// `DbNotFound`; that of a directory which cannot be read and may be the one of this name.
    pub fn database(&self, name: &Name) -> Result<Arc<Served>> {
        let databases = self.databases.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        databases.get(name).cloned().ok_or_else(|| {
            let missing = self.store.missing(name);
            if !error_is_not_found(&missing) {
                return missing.into();
            }
            let what = format!("there is no database of this name; create it first name={name}");
            EngineError::new(Code::DbNotFound, what)
        })
    }

    /// Makes a database. Waits for the disk: call it where that is allowed, as through
    /// [`Engine::change_server`].
    ///
    /// # Errors
    /// `DbExists`; the disk's.
    pub fn create_database(&self, name: &Name) -> Result<Arc<Served>> {
        self.make_room(None)?;
        let database = self.store.create(name)?;
        Ok(self.adopt(name, database))
    }

    /// Takes notice of a database that was just made.
    pub(super) fn adopt(&self, name: &Name, database: Database) -> Arc<Served> {
        let queue = self.scheduler.add_queue(self.weight_of(name));
        let id = database.id();
        self.indexes.opened(&database);
        let served = Arc::new(Served::new(name.clone(), id, queue, State::Open(database)));
        // Counted as used now, or it might be closed as idle at once.
        _ = served.with(self.clock.now(), |_| ());
        self.databases_mut().insert(name.clone(), Arc::clone(&served));
        tracing::info!(database = %name, uuid = %id, "a database was made");
        served
    }

    /// Removes this database and everything in it, for good, and none that was made under its name since. Whoever
    /// waits for it is told so. Waits for the disk.
    ///
    /// # Errors
    /// `DbNotFound`; `Unsupported` for `default`; the disk's.
    pub fn drop_database(&self, served: &Arc<Served>) -> Result<()> {
        let (name, id) = (&served.name, served.id);
        if *name == docstore::default_name() {
            // The store says why not.
            return Ok(self.store.drop_with_id(name, id)?);
        }
        *served.write() = State::Dropped;
        if !served.wait_unused(UNUSED_MAX) {
            tracing::warn!(database = %name, "dropped while somebody works on it");
        }
        // They keep the log.
        let indexes = self.indexes.leave(id);
        // This one, whatever has its name by now.
        let dropped = self.store.drop_with_id(name, id);
        drop(indexes);
        if let Err(error) = dropped {
            if error_is_not_found(&error) {
                self.forget(served);
            } else {
                // Closed by the attempt, if it was open; the next request opens it again.
                *served.write() = State::Closed;
            }
            return Err(error.into());
        }
        self.indexes.remove_database(id);
        self.forget(served);
        tracing::info!(database = %name, uuid = %served.id(), "a database was dropped");
        Ok(())
    }

    fn forget(&self, served: &Arc<Served>) {
        let mut databases = self.databases_mut();
        if databases.get(&served.name).is_some_and(|known| Arc::ptr_eq(known, served)) {
            databases.remove(&served.name);
        }
        drop(databases);
        self.scheduler.remove_queue(served.queue);
        served.tell_watchers();
    }

    /// Answers once the database is open.
    pub fn open_database(self: &Arc<Self>, served: &Arc<Served>, how: How, reply: Reply<()>) {
        self.work(served, 0, how, reply, |_| Ok(()));
    }

    /// Closes a database with a checkpoint; the next request opens it again. Waits for the disk.
    ///
    /// # Errors
    /// `QueueFull` while a transaction is open on it; the disk's.
    pub fn close_database(&self, served: &Arc<Served>) -> Result<()> {
        if served.held.load(std::sync::atomic::Ordering::Acquire) > 0 {
            let what = "a transaction or an operation is open on the database; end it first";
            return Err(EngineError::new(Code::QueueFull, what));
        }
        let none_holds = |served: &Served, _: &Database| {
            served.held.load(std::sync::atomic::Ordering::Acquire) == 0
        };
        self.close_served(served, none_holds).map(drop)
    }

    /// Closes a database if it is open and `may` be closed, once those who work on it have done; says whether it
    /// did. Whoever comes meanwhile waits and opens it again.
    fn close_served(
        &self,
        served: &Arc<Served>,
        may: impl FnOnce(&Served, &Database) -> bool,
    ) -> Result<bool> {
        let Some(database) = served.begin_closing(may) else { return Ok(false) };
        self.scheduler.hold(served.queue);
        let closed = if served.wait_unused(UNUSED_MAX) {
            drop(database);
            // They keep the log, which closing trims.
            let indexes = self.indexes.leave(served.id);
            let closed = self.store.close_with_id(&served.name, served.id);
            drop(indexes);
            served.end_busy(State::Closed);
            closed.map(|()| true)
        } else {
            served.end_busy(State::Open(database));
            Ok(false)
        };
        self.scheduler.release(served.queue);
        served.tell_watchers();
        closed.map_err(|error| served.explain(error.into()))
    }

    /// Closes a database that nobody has used for `time`, and that nobody may come back to for the rest of a scan.
    pub(super) fn close_if_idle(&self, served: &Arc<Served>, time: Duration) {
        let now = self.clock.now();
        match self.close_served(served, |served, database| served.is_idle(database, now, time)) {
            Ok(false) => {}
            Ok(true) => tracing::info!(database = %served.name, "closed, nobody uses it"),
            Err(error) => {
                self.track(&error);
                tracing::error!(database = %served.name, %error, "an idle database did not close");
            }
        }
    }

    /// Closes the one that is unused for longest when as many are open as may be: one to which nobody may come back
    /// for the rest of a scan, if there is such a one. `wanted` is the one that is to be opened; none for one that
    /// is to be made.
    pub(super) fn make_room(&self, wanted: Option<&Arc<Served>>) -> Result<()> {
        let max = self.options.databases_open_max;
        if max == 0 {
            return Ok(());
        }
        let is_other =
            |other: &Arc<Served>| wanted.is_none_or(|wanted| !Arc::ptr_eq(other, wanted));
        for _ in 0..ROOM_TRIES_MAX {
            let now = self.clock.now();
            let others = self.all().into_iter().filter(is_other);
            let open: Vec<_> =
                others.filter_map(|other| other.peek().map(|database| (other, database))).collect();
            if open.len() < max {
                return Ok(());
            }
            let free = open.iter().filter(|(served, _)| served.is_free());
            let victim = free.max_by_key(|(served, database)| {
                (database.live_snapshots() == 0, served.unused_for(now))
            });
            let Some((victim, _)) = victim else { break };
            let victim = Arc::clone(victim);
            // Handles of it would keep it in memory.
            drop(open);
            self.close_served(&victim, |served, _| served.is_free())?;
        }
        let what = format!("{max} databases are open and in use, which is all that may be");
        Err(EngineError::new(Code::QueueFull, what))
    }

    pub(super) fn note_opened(&self, served: &Served, report: &OpenReport) {
        self.meters.opened(report.replayed);
        tracing::info!(database = %served.name, replayed = report.replayed,
            checkpoint = %report.checkpoint, "opened");
        for passed in &report.passed_over {
            tracing::warn!(database = %served.name, %passed, "a checkpoint could not be used");
        }
    }

    /// Closes every database, several at a time.
    pub(super) fn close_databases(&self) -> Result<()> {
        for served in self.all() {
            let mut state = served.write();
            if matches!(*state, State::Open(_) | State::Busy) {
                *state = State::Closed;
            }
        }
        Ok(self.store.close()?)
    }

    /// Has work done that belongs to no database, on the threads for operations.
    pub fn operate_on_server<T: Send + 'static>(
        self: &Arc<Self>,
        reply: Reply<T>,
        work: impl FnOnce(&Arc<Engine>) -> Result<T> + Send + 'static,
    ) {
        self.work_on_server(&self.operations, reply, work);
    }

    /// The same, of work that waits for a sync and nothing longer: making and dropping databases.
    pub fn change_server<T: Send + 'static>(
        self: &Arc<Self>,
        reply: Reply<T>,
        work: impl FnOnce(&Arc<Engine>) -> Result<T> + Send + 'static,
    ) {
        self.work_on_server(&self.changers, reply, work);
    }

    pub(super) fn work_on_server<T: Send + 'static>(
        self: &Arc<Self>,
        pool: &pool::Pool,
        reply: Reply<T>,
        work: impl FnOnce(&Arc<Engine>) -> Result<T> + Send + 'static,
    ) {
        let engine = Arc::clone(self);
        let waiting = Arc::new(std::sync::Mutex::new(Some(reply)));
        let taken = Arc::clone(&waiting);
        let run = move || {
            let reply = super::work::take(&taken);
            let result = work(&engine);
            if let Some(reply) = reply {
                reply.send(result);
            }
        };
        if let Err(refused) = pool.submit(pool::Task::new(run, |_| {}))
            && let Some(reply) = super::work::take(&waiting)
        {
            reply.send(Err(refused.why.into()));
        }
    }

    /// Whether a database is ready, for those who ask without wanting it opened.
    #[must_use]
    pub fn is_open(&self, served: &Served) -> bool {
        matches!(served.condition(), Condition::Open)
    }

    /// Has a failed database tried again with its next request.
    pub fn try_again(&self, served: &Arc<Served>) {
        let mut state = served.write();
        if matches!(*state, State::Failed(..)) {
            *state = State::Closed;
        }
    }
}

fn error_is_not_found(error: &docstore::StoreError) -> bool {
    matches!(error, docstore::StoreError::DbNotFound(_))
}
