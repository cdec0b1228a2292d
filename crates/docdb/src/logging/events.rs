//! The server's own events as entries of its log store, under the program `docdb`: whatever is
//! `info` or graver in its own crates, warnings of the libraries, whatever `log.level` says.
//!
//! # No loops
//!
//! Storing an entry must not cause another: events of the log store itself are not stored, nor those
//! that come up on a thread while it stores one. What cannot be stored (the queue is full, the disk
//! is) is counted by the store as every other drop and stands on standard error all the same.
//!
//! Events from before the store is open wait for it, at most [`WAITING_MAX`].

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use base::clock::ClockRef;
use logstore::{BatchedSqliteStorage, Entry, LogStorage as _, Severity, UnixNanos};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::ingest::fields::set_structured;

/// Most events that wait for the store to be opened.
pub const WAITING_MAX: usize = 256;
/// The program that the entries are of.
pub const APP_NAME: &str = "docdb";
/// Where the entries came from, as they say.
const SOURCE: &str = "docdb";
/// The facility of programs that run in the background, as syslog counts them.
const DAEMON: u8 = 3;
/// Whose events would cause others.
const STORE: &str = "logstore";

thread_local! {
    /// Whether this thread is storing an event.
    static IS_STORING: Cell<bool> = const { Cell::new(false) };
}

/// Where events go. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: ClockRef,
    hostname: String,
    place: Mutex<Place>,
}

#[derive(Debug)]
enum Place {
    /// The store is not open yet.
    Waiting(Vec<Entry>),
    Store(Arc<BatchedSqliteStorage>),
    /// There is no store.
    Nowhere,
}

impl Events {
    /// Events that wait for their store.
    #[must_use]
    pub fn new(clock: &ClockRef) -> Self {
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let place = Mutex::new(Place::Waiting(Vec::new()));
        let clock = ClockRef::clone(clock);
        Self { shared: Arc::new(Shared { clock, hostname, place }) }
    }

    /// Says where they go from now on, with what has waited; nowhere without a store.
    pub fn connect(&self, store: Option<Arc<BatchedSqliteStorage>>) {
        let waited = {
            let mut place = self.shared.place.lock().unwrap_or_else(PoisonError::into_inner);
            let next = store.map_or(Place::Nowhere, Place::Store);
            std::mem::replace(&mut *place, next)
        };
        if let Place::Waiting(entries) = waited {
            entries.into_iter().for_each(|entry| self.shared.keep(entry));
        }
    }

    /// What listens.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let ours = super::OURS.iter().filter(|target| **target != STORE);
        let ours = ours.map(|target| (*target, LevelFilter::INFO));
        let filter = Targets::new()
            .with_default(LevelFilter::WARN)
            .with_targets(ours)
            .with_target(STORE, LevelFilter::OFF);
        Listener { shared: Arc::clone(&self.shared) }.with_filter(filter)
    }
}

impl Shared {
    fn keep(&self, entry: Entry) {
        let store = {
            let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *place {
                Place::Waiting(entries) => {
                    if entries.len() < WAITING_MAX {
                        entries.push(entry);
                    }
                    return;
                }
                Place::Nowhere => return,
                Place::Store(store) => Arc::clone(store),
            }
        };
        if IS_STORING.replace(true) {
            return;
        }
        // What became of it is counted by the store, and telling of it here would be another event.
        drop(store.store(entry));
        IS_STORING.set(false);
    }

    fn entry(&self, event: &Event<'_>) -> Entry {
        let mut read = Read::default();
        event.record(&mut read);
        let now = UnixNanos::from_ms(self.clock.wall().0);
        let severity = match *event.metadata().level() {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warning,
            Level::INFO => Severity::Info,
            Level::DEBUG | Level::TRACE => Severity::Debug,
        };
        let mut entry = Entry::new(now, read.message)
            .with_severity(severity)
            .from_app(self.hostname.clone(), APP_NAME);
        entry.facility = DAEMON;
        entry.proc_id = std::process::id().to_string();
        event.metadata().target().clone_into(&mut entry.msg_id);
        SOURCE.clone_into(&mut entry.source);
        set_structured(&mut entry, &read.fields);
        entry
    }
}

/// Listens to events.
#[derive(Debug)]
struct Listener {
    shared: Arc<Shared>,
}

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !IS_STORING.get() {
            self.shared.keep(self.shared.entry(event));
        }
    }
}

/// The fields of an event: in the message as a reader of the lines sees them, and by name.
#[derive(Debug, Default)]
struct Read {
    message: String,
    fields: Map<String, Value>,
}

impl Read {
    fn add(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            // It is recorded before or behind others, and stands before them.
            let said = crate::ingest::fields::text(value);
            self.message.insert_str(0, &said);
            return;
        }
        let shown = crate::ingest::fields::text(value.clone());
        // A string takes everything.
        _ = write!(self.message, " {}={shown}", field.name());
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Read {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use base::clock::SystemClock;
    use logstore::{Background, Environment, Field as Of, Filter, Options, Order, Query};

    use super::*;
    use crate::config::{Machine, Settings};

    struct World {
        events: Events,
        store: Arc<BatchedSqliteStorage>,
        dispatch: tracing::Dispatch,
        _dir: tempfile::TempDir,
    }

    impl World {
        fn new(options: Options) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let clock = SystemClock::shared();
            let events = Events::new(&clock);
            let machine = Machine { cores: 1, memory_bytes: 1 << 30 };
            let config = Settings::defaults().config(&machine);
            let dispatch = super::super::dispatch(&config.log, &clock, std::io::sink, &events);
            let store = BatchedSqliteStorage::open(dir.path(), options, Environment::system());
            Self { events, store: Arc::new(store.unwrap()), dispatch, _dir: dir }
        }

        fn connect(&self) {
            self.events.connect(Some(Arc::clone(&self.store)));
        }

        fn found(&self) -> Vec<Entry> {
            // An entry after a pause waits a moment for others.
            loop {
                self.store.turn();
                let stats = self.store.stats().unwrap();
                if stats.committed == stats.stored {
                    break;
                }
            }
            let filter = Filter::default().field(Of::AppName, &[APP_NAME]);
            let query = Query { order: Order::OldestFirst, ..Query::new(filter) };
            self.store.search(&query).unwrap().entries.into_iter().map(|e| e.entry).collect()
        }
    }

    fn by_hand() -> Options {
        Options { background: Background::Manual, ..Options::default() }
    }

    #[test]
    fn events_become_entries_also_those_from_before_the_store_was_open() {
        let world = World::new(by_hand());
        tracing::dispatcher::with_default(&world.dispatch, || {
            tracing::info!(target: "docdb::x", version = "1", cores = 2, "begins");
            world.connect();
            tracing::error!(target: "docstore", path = %"/a", "damaged");
            tracing::debug!(target: "docdb", "not worth keeping");
            tracing::info!(target: "hyper", "of a library");
            tracing::warn!(target: "hyper", "a warning of a library");
        });
        let found = world.found();
        let messages: Vec<_> = found.iter().map(|entry| entry.message.as_str()).collect();
        let expected = ["begins version=1 cores=2", "damaged path=/a", "a warning of a library"];
        assert_eq!(messages, expected);
        assert_eq!((found[0].severity, &*found[0].msg_id), (Severity::Info, "docdb::x"));
        assert_eq!(found[1].severity, Severity::Error);
        assert_eq!(found[0].structured_data, "{\"cores\":2,\"version\":\"1\"}");
        assert!(!found[0].hostname.is_empty() && !found[0].proc_id.is_empty());
    }

    #[test]
    fn events_of_the_store_itself_are_not_stored() {
        let world = World::new(by_hand());
        world.connect();
        tracing::dispatcher::with_default(&world.dispatch, || {
            tracing::error!(target: "logstore::batcher", "no room on the disk");
            tracing::error!(target: "logstore", "no room on the disk");
        });
        assert!(world.found().is_empty());
    }

    #[test]
    fn a_full_queue_drops_events_and_counts_them() {
        let world = World::new(Options { batch_size: 2, queue_size: 2, ..by_hand() });
        world.connect();
        tracing::dispatcher::with_default(&world.dispatch, || {
            (0..5).for_each(|n| tracing::warn!(target: "docdb", n, "again"));
        });
        assert_eq!(world.found().len(), 2);
        let dropped = world.store.stats().unwrap().dropped;
        assert_eq!(dropped.iter().map(|(_, count)| count).sum::<u64>(), 3);
    }

    #[test]
    fn what_waits_for_a_store_is_bounded_and_goes_nowhere_without_one() {
        let world = World::new(by_hand());
        tracing::dispatcher::with_default(&world.dispatch, || {
            (0..2 * WAITING_MAX).for_each(|n| tracing::warn!(target: "docdb", n, "again"));
        });
        world.connect();
        world.store.turn();
        assert_eq!(world.store.stats().unwrap().stored, WAITING_MAX as u64);
        world.events.connect(None);
        tracing::dispatcher::with_default(&world.dispatch, || {
            tracing::warn!(target: "docdb", "nobody hears this");
        });
        assert_eq!(world.store.stats().unwrap().stored, WAITING_MAX as u64);
    }
}
