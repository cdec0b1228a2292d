//! A store in a directory of its own, with a clock that is moved by hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::clock::WallMs;
use base::io::RealDisk;
use base::metrics::Registry;
use logstore::*;
use sim::VirtualClock;

/// 2026-01-01T12:00:00Z.
pub(crate) const NOON_MS: u64 = 1_767_268_800_000;
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) struct Bed {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: VirtualClock,
    pub(crate) options: Options,
    pub(crate) registry: Arc<Registry>,
}

impl Bed {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: VirtualClock::new(WallMs(NOON_MS)),
            options: Options { background: Background::Manual, ..options },
            registry: Arc::new(Registry::new()),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    pub(crate) fn open(&self) -> BatchedSqliteStorage {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<BatchedSqliteStorage> {
        let environment = Environment {
            clock: self.clock.shared(),
            disk: Arc::new(RealDisk),
            metrics: Arc::clone(&self.registry),
        };
        BatchedSqliteStorage::open(&self.path(), self.options.clone(), environment)
    }

    /// Closes a store and opens it again under a clock that goes on at every look.
    pub(crate) fn open_with_running_clock(
        &self,
        closed: &BatchedSqliteStorage,
    ) -> BatchedSqliteStorage {
        closed.close(Duration::ZERO).unwrap();
        let path = self.dir.path().join("again");
        restored(&self.path(), &path);
        let environment = Environment {
            clock: Arc::new(Running(self.clock.clone())),
            disk: Arc::new(RealDisk),
            metrics: Arc::new(Registry::new()),
        };
        BatchedSqliteStorage::open(&path, self.options.clone(), environment).unwrap()
    }

    /// An entry that happens now.
    pub(crate) fn entry(&self, message: impl Into<String>) -> Entry {
        use base::clock::Clock as _;
        Entry::new(UnixNanos::from_ms(self.clock.wall().0), message)
    }

    /// Stores messages and lets them be written.
    pub(crate) fn store(&self, store: &BatchedSqliteStorage, messages: &[&str]) -> Receipt {
        let entries = messages.iter().map(|message| self.entry(*message)).collect();
        let group = store.store_all(entries).unwrap();
        self.flush(store);
        group.wait_for(Duration::ZERO).unwrap()
    }

    /// Lets so much time pass that everything queued is due, and has it written.
    pub(crate) fn flush(&self, store: &BatchedSqliteStorage) {
        self.clock.advance(self.options.batch_timeout);
        store.turn();
    }

    /// The value of a metric, by its name and labels as they are rendered.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.registry.render(base::metrics::Format::Prometheus);
        let line = text.lines().find(|line| line.starts_with(&format!("{series} ")));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}"))[series.len()..]
            .trim()
            .parse()
            .unwrap()
    }

    /// The files of the store, by name.
    pub(crate) fn files(&self) -> Vec<String> {
        names(&self.path())
    }
}

/// Goes on by a microsecond whenever somebody looks.
#[derive(Debug)]
struct Running(VirtualClock);

impl base::clock::Clock for Running {
    fn now(&self) -> base::clock::Instant {
        self.0.advance(Duration::from_micros(1));
        self.0.now()
    }

    fn wall(&self) -> WallMs {
        self.0.wall()
    }
}

/// Copies the files of a closed store.
#[expect(clippy::disallowed_methods, reason = "a test's own copy, beside the store")]
pub(crate) fn restored(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for name in names(from).iter().filter(|name| name.contains(".logs")) {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// The names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    use base::io::Disk as _;
    RealDisk.list(dir).unwrap().into_iter().map(|entry| entry.name).collect()
}

/// The names of the partitions in a directory.
pub(crate) fn partitions(dir: &Path) -> Vec<String> {
    names(dir).into_iter().filter(|name| name.ends_with(".logs")).collect()
}

/// Everything that a filter lets through, the newest first, page by page.
pub(crate) fn all(store: &BatchedSqliteStorage, filter: &Filter) -> Vec<StoredEntry> {
    let mut query = Query { limit: 500, ..Query::new(filter.clone()) };
    let mut found = Vec::new();
    loop {
        let page = store.search(&query).unwrap();
        assert_eq!(page.unreadable, []);
        found.extend(page.entries);
        query.after = page.next;
        if query.after.is_none() {
            return found;
        }
    }
}

/// The messages of everything, the oldest first.
pub(crate) fn messages(store: &BatchedSqliteStorage) -> Vec<String> {
    let found = all(store, &Filter::default());
    found.into_iter().rev().map(|stored| stored.entry.message).collect()
}
