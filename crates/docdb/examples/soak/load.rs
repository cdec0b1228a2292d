//! Clients of every kind, for one epoch: they outlive the server, write down what they asked and
//! were answered, and at the end everything is read and must be explained by one store.
//!
//! Each epoch has documents of its own, so that its history begins with nothing, and removes them.

mod counts;
mod one;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base::rng::Rng;
use client::{Client, ErrorCode};
use sim::history::{Checked, History, Violation};

use crate::server::Addresses;

pub(crate) use counts::{Counts, Figures};
use one::One;

/// Documents that are written one at a time.
pub(crate) const SINGLES: u64 = 400;
/// The first of those that are written in pairs, and how many pairs.
pub(crate) const PAIRS_FROM: u64 = 5000;
pub(crate) const PAIRS: u64 = 40;
/// Documents of one epoch are within so many ids.
const EPOCH_IDS: u64 = 10_000;
/// Steps of search for each group of documents.
const STEPS_MAX: u64 = 200_000_000;

/// One epoch.
pub(crate) struct Load {
    /// The first of its ids.
    first: u64,
    seed: u64,
    /// Time that an operation of one client may not fall short of.
    pace: Duration,
    addresses: Addresses,
    history: History<u64, u64>,
    next_value: AtomicU64,
    stopping: AtomicBool,
    counts: Counts,
}

impl Load {
    pub(crate) fn new(epoch: u64, seed: u64, rate: u64, addresses: Addresses) -> Self {
        Self {
            first: epoch * EPOCH_IDS,
            seed: seed ^ (epoch << 32),
            pace: Duration::from_secs(1) / u32::try_from(rate.max(1)).unwrap_or(u32::MAX),
            addresses,
            history: History::new(),
            next_value: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
            counts: Counts::default(),
        }
    }

    /// What its clients went through.
    pub(crate) fn figures(&self) -> Figures {
        self.counts.figures()
    }

    /// Lets clients work while `meanwhile` does what it does to the server, and checks what they
    /// saw.
    pub(crate) fn run<T>(
        &self,
        clients: u64,
        meanwhile: impl FnOnce() -> T,
    ) -> (T, Result<Checked, Violation>) {
        let done = std::thread::scope(|scope| {
            for number in 0..clients {
                scope.spawn(move || self.client(number));
            }
            scope.spawn(|| self.upkeep());
            scope.spawn(|| self.follow());
            let done = meanwhile();
            self.stopping.store(true, Ordering::SeqCst);
            done
        });
        self.read_everything();
        let checked = self.history.check(STEPS_MAX);
        self.remove_everything();
        (done, checked)
    }

    fn is_over(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// A connection, when there is a server; none when the epoch is over.
    fn connect(&self, address: &str) -> Option<Client> {
        while !self.is_over() {
            let options = client::Options::new().timeout(Duration::from_secs(20));
            if let Ok(client) = options.connect(address) {
                return Some(client);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// A client, half of which speak HTTP. It comes back when its server has died.
    fn client(&self, number: u64) {
        let mut rng = Rng::new(self.seed.wrapping_add(number));
        let Addresses { socket, http } = &self.addresses;
        let address = if number.is_multiple_of(2) { socket } else { http };
        while let Some(client) = self.connect(address) {
            let mut one = One::new(self, &client, rng.fork());
            while !self.is_over() {
                let begun = Instant::now();
                let result = one.step();
                let took = begun.elapsed();
                match result {
                    Ok(()) => self.counts.answered(took),
                    Err(error) => {
                        self.counts.unknown(&error);
                        break;
                    }
                }
                std::thread::sleep(self.pace.saturating_sub(took));
            }
        }
    }

    /// Somebody who keeps the server at everything else that it does.
    fn upkeep(&self) {
        for turn in 0_u64.. {
            let Some(client) = self.connect(&self.addresses.socket) else { return };
            let database = client.database("default");
            // What fails here fails because the server is away, or is told by `Counts::odd`.
            let done = match turn % 8 {
                0 => database.checkpoint().map(drop),
                1 => database.compact().map(drop),
                2 => database.backup("soak").map(drop),
                3 => database.stats().map(drop),
                4 => database.heal_all().map(drop),
                5 => client.metrics(client::MetricsFormat::Prometheus).map(drop),
                6 => database.collection("default").scan().try_for_each(|found| found.map(drop)),
                _ => client.stats().map(drop),
            };
            match done {
                Ok(()) => self.counts.upkept(),
                Err(error) => self.counts.unknown(&error),
            }
            for _ in 0..20 {
                if self.is_over() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Somebody who follows the change feed from where he was, whatever becomes of the server.
    fn follow(&self) {
        let mut position = None;
        while let Some(client) = self.connect(&self.addresses.http) {
            let database = client.database("default");
            let newest = || {
                let stats = database.stats().ok()?;
                stats["log"]["visible"].as_u64()
            };
            let Some(after) = position.or_else(newest) else { continue };
            let mut feed = database.changes(after);
            while !self.is_over() {
                match feed.poll(Duration::from_millis(500)) {
                    Ok(Some(change)) => {
                        let last = position.unwrap_or(after);
                        assert!(change.lsn > last, "the feed goes back from {last}");
                        position = Some(change.lsn);
                        self.counts.followed();
                    }
                    Ok(None) => {}
                    Err(error) => {
                        if error.is(ErrorCode::LsnTrimmed) {
                            position = None;
                        }
                        self.counts.unknown(&error);
                        break;
                    }
                }
            }
        }
    }

    fn ids(&self) -> impl Iterator<Item = u64> {
        (0..SINGLES).chain(PAIRS_FROM..PAIRS_FROM + 2 * PAIRS).map(|key| self.first + key)
    }

    /// The last reading of every document, into the history.
    fn read_everything(&self) {
        let client = Client::connect(&self.addresses.socket).expect("the server is there");
        let documents = client.database("default").collection("default");
        for id in self.ids() {
            let started = self.history.read(id);
            let found = documents.get(id).expect("it can be read");
            self.history.answered(started, vec![found.map(|found| one::value(&found.bytes))]);
        }
    }

    fn remove_everything(&self) {
        let client = Client::connect(&self.addresses.socket).expect("the server is there");
        let documents = client.database("default").collection("default");
        for id in self.ids() {
            match documents.delete(id) {
                Err(error) if !error.is(ErrorCode::DocNotFound) => panic!("not removed: {error}"),
                _ => {}
            }
        }
    }
}
