//! Clients that write down what they asked and were answered, over many lives of a server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use base::rng::Rng;
use client::{Client, Collection, Database, Error, ErrorCode, Id, Op};
use sim::history::{Action, Checked, History, Started};

use super::server::Server;

const CLIENTS: u64 = 8;
/// Documents that are written one at a time.
const SINGLES: u64 = 40;
/// The first of those that are written in pairs.
const PAIRS_FROM: u64 = 1000;
const PAIRS: u64 = 8;

/// All clients of all lives.
pub(crate) struct Clients {
    history: History<u64, u64>,
    next: AtomicU64,
    /// Operations that were answered.
    answered: AtomicU64,
}

/// What a write that failed came to, as far as the history goes.
enum Answer {
    Refused,
    Unknown,
}

fn answer(error: &Error) -> Answer {
    match error.code() {
        Some(ErrorCode::DurabilityUnknown | ErrorCode::Timeout | ErrorCode::Internal) | None => {
            Answer::Unknown
        }
        Some(_) => Answer::Refused,
    }
}

impl Clients {
    pub(crate) fn new() -> Self {
        Self { history: History::new(), next: AtomicU64::new(1), answered: AtomicU64::new(0) }
    }

    /// Clients at once, each doing so much, until all are done or the server is gone. Says whether
    /// somebody was left without an answer.
    pub(crate) fn work(&self, server: &Server, seed: u64, operations: u64) -> bool {
        self.work_until_told(server, seed, operations, |_| ())
    }

    /// The same, and `then` while they work: after each has been answered some times.
    pub(crate) fn work_until_told(
        &self,
        server: &Server,
        seed: u64,
        operations: u64,
        then: impl FnOnce(&Server),
    ) -> bool {
        let before = self.answered.load(Ordering::Acquire);
        std::thread::scope(|scope| {
            let mut working = Vec::new();
            for number in 0..CLIENTS {
                working.push(scope.spawn(move || {
                    let Ok(client) = server.client() else { return true };
                    let rng = Rng::new(seed * CLIENTS + number);
                    let database = client.database("default");
                    let documents = documents(&client);
                    let mut one = One { clients: self, rng, database, documents };
                    for step in 0..operations {
                        if one.step().is_err() {
                            return true;
                        }
                        self.answered.fetch_add(1, Ordering::AcqRel);
                        // One of them keeps the server at everything else that it does.
                        if number == 0 && step % 10 == 9 && one.upkeep(&client, step).is_err() {
                            return true;
                        }
                    }
                    false
                }));
            }
            while self.answered.load(Ordering::Acquire) < before + 20 * CLIENTS
                && working.iter().any(|client| !client.is_finished())
            {
                std::thread::yield_now();
            }
            then(server);
            let lost = working.into_iter().map(|client| client.join().expect("no panics"));
            lost.fold(false, |any, lost| any | lost)
        })
    }

    /// Reads everything, and says whether one store could have answered so.
    pub(crate) fn check(&self, server: &Server) -> Checked {
        let client = server.client().expect("it serves");
        let documents = documents(&client);
        for key in (0..SINGLES).chain(PAIRS_FROM..PAIRS_FROM + 2 * PAIRS) {
            let started = self.history.read(key);
            let value = value(&documents, key).expect("it can be read");
            self.history.answered(started, vec![value]);
        }
        self.history.check(50_000_000).expect("one store could have answered so")
    }

    /// What every document has, of those that are there: asked one by one.
    pub(crate) fn documents(&self, server: &Server) -> BTreeMap<u64, u64> {
        let client = server.client().expect("it serves");
        let documents = documents(&client);
        let keys = (0..SINGLES).chain(PAIRS_FROM..PAIRS_FROM + 2 * PAIRS);
        let found = |key| Some((key, value(&documents, key).expect("it can be read")?));
        keys.filter_map(found).collect()
    }

    fn ended(&self, started: Started, result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Ok(()) => self.history.acknowledged(started),
            Err(error) => match answer(&error) {
                Answer::Refused => self.history.failed(started),
                Answer::Unknown => return Err(error),
            },
        }
        Ok(())
    }
}

pub(crate) fn documents(client: &Client) -> Collection {
    client.database("default").collection("default")
}

fn value(documents: &Collection, key: u64) -> Result<Option<u64>, Error> {
    let found = documents.get(key)?;
    Ok(found.map(|found| {
        let text = String::from_utf8(found.bytes).expect("it is JSON");
        let digits = text.trim_start_matches("{\"n\":").split(',').next().expect("one part");
        digits.parse().expect("every document has a number")
    }))
}

/// One client.
struct One<'a> {
    clients: &'a Clients,
    rng: Rng,
    database: Database,
    documents: Collection,
}

impl One<'_> {
    fn document(&mut self) -> (u64, Vec<u8>) {
        let n = self.clients.next.fetch_add(1, Ordering::Relaxed);
        let pad = "x".repeat(self.rng.index(12_000));
        (n, format!("{{\"n\":{n},\"pad\":\"{pad}\"}}").into_bytes())
    }

    fn step(&mut self) -> Result<(), Error> {
        let history = &self.clients.history;
        let key = self.rng.below(SINGLES);
        match self.rng.below(10) {
            0..=3 => {
                let (n, document) = self.document();
                let started = history.write(key, n);
                let done = self.documents.upsert(key, &document).map(drop);
                self.clients.ended(started, done)
            }
            4 => {
                let started = history.delete(key);
                // That there is nothing to delete is a reading too, but says no more than one.
                let done = self.documents.delete(key).map(drop);
                self.clients.ended(started, done)
            }
            5 | 6 => {
                let pair = PAIRS_FROM + 2 * self.rng.below(PAIRS);
                let (n, document) = self.document();
                let values = vec![(pair, Some(n)), (pair + 1, Some(n))];
                let started = history.start(Action::Write(values));
                let ids = [Id::from(pair), Id::from(pair + 1)];
                let ops = ids.each_ref().map(|id| Op::upsert("default", id, &document));
                let done = self.database.batch(&ops).map(drop);
                self.clients.ended(started, done)
            }
            _ => {
                let started = history.read(key);
                let value = value(&self.documents, key)?;
                history.answered(started, vec![value]);
                Ok(())
            }
        }
    }

    /// Checkpoints, compactions, collections made and dropped.
    fn upkeep(&mut self, client: &Client, step: u64) -> Result<(), Error> {
        let database = client.database("default");
        let done = match step / 10 % 3 {
            0 => database.checkpoint().map(drop),
            1 => database.compact().map(drop),
            _ => database
                .create_collection("passing")
                .and_then(|_| database.drop_collection("passing", client::DropMode::WithDocuments)),
        };
        match done {
            Err(error) if matches!(answer(&error), Answer::Unknown) => Err(error),
            // One that an earlier life has left behind, or that another is at work.
            Err(_) | Ok(()) => Ok(()),
        }
    }
}
