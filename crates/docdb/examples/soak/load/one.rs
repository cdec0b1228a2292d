//! One client: single writes and reads, deletes, patches, batches, transactions and scans.

use std::sync::atomic::Ordering;

use base::rng::Rng;
use client::{Client, Collection, Database, Error, ErrorCode, Id, Op};
use sim::history::{Action, Started};

use super::{Load, PAIRS, PAIRS_FROM, SINGLES};

/// Longest padding of a document: 1 KiB on average.
const PAD_MAX: usize = 2048;

pub(super) struct One<'a> {
    load: &'a Load,
    rng: Rng,
    database: Database,
    documents: Collection,
}

/// The number that a document of ours begins with.
pub(super) fn value(bytes: &[u8]) -> u64 {
    let text = std::str::from_utf8(bytes).expect("it is JSON");
    let digits = text.trim_start_matches("{\"n\":").split([',', '}']).next();
    digits.and_then(|digits| digits.parse().ok()).expect("every document has a number")
}

/// Whether the server says that it has done nothing.
fn is_refused(error: &Error) -> bool {
    let unknown = [ErrorCode::DurabilityUnknown, ErrorCode::Timeout, ErrorCode::Internal];
    error.code().is_some_and(|code| !unknown.contains(&code))
}

impl<'a> One<'a> {
    pub(super) fn new(load: &'a Load, client: &Client, rng: Rng) -> Self {
        let database = client.database("default");
        let documents = database.collection("default");
        Self { load, rng, database, documents }
    }

    fn document(&mut self) -> (u64, Vec<u8>) {
        let n = self.load.next_value.fetch_add(1, Ordering::Relaxed);
        let pad = "x".repeat(self.rng.index(PAD_MAX));
        (n, format!("{{\"n\":{n},\"pad\":\"{pad}\"}}").into_bytes())
    }

    /// Notes what became of a write. An error is given back when the connection is of no more use, or
    /// the outcome is unknown.
    fn ended(&self, started: Started, result: Result<(), Error>) -> Result<(), Error> {
        let Err(error) = result else {
            self.load.history.acknowledged(started);
            return Ok(());
        };
        if !is_refused(&error) {
            return Err(error);
        }
        self.load.history.failed(started);
        self.load.counts.refused(&error);
        // A server that stops says so to everybody: the next one is to be asked.
        if error.is(ErrorCode::PoolStopped) { Err(error) } else { Ok(()) }
    }

    /// One operation.
    pub(super) fn step(&mut self) -> Result<(), Error> {
        let key = self.load.first + self.rng.below(SINGLES);
        let pair = self.load.first + PAIRS_FROM + 2 * self.rng.below(PAIRS);
        match self.rng.below(20) {
            0..=6 => {
                let (n, document) = self.document();
                let started = self.load.history.write(key, n);
                let done = self.documents.upsert(key, &document).map(drop);
                self.ended(started, done)
            }
            7 | 8 => {
                let started = self.load.history.delete(key);
                // That there is nothing to delete says no more than a reading.
                let done = self.documents.delete(key).map(drop);
                self.ended(started, done)
            }
            9 | 10 => self.batch(pair),
            11 => self.transaction(pair),
            12 => self.scan(pair),
            _ => {
                let started = self.load.history.read(key);
                let found = self.documents.get(key)?;
                self.load.history.answered(started, vec![found.map(|found| value(&found.bytes))]);
                Ok(())
            }
        }
    }

    /// Two documents at one moment.
    fn batch(&mut self, pair: u64) -> Result<(), Error> {
        let (n, document) = self.document();
        let action = Action::Write(vec![(pair, Some(n)), (pair + 1, Some(n))]);
        let started = self.load.history.start(action);
        let ids = [Id::from(pair), Id::from(pair + 1)];
        let ops = ids.each_ref().map(|id| Op::upsert("default", id, &document));
        let done = self.database.batch(&ops).map(drop);
        self.ended(started, done)
    }

    /// The same in a transaction, which reads one of them before.
    fn transaction(&mut self, pair: u64) -> Result<(), Error> {
        let (n, document) = self.document();
        let action = Action::Write(vec![(pair, Some(n)), (pair + 1, Some(n))]);
        let started = self.load.history.start(action);
        let done = self.database.begin().and_then(|transaction| {
            transaction.get("default", pair)?;
            let ids = [Id::from(pair), Id::from(pair + 1)];
            for id in &ids {
                transaction.write(Op::upsert("default", id, &document))?;
            }
            transaction.commit().map(drop)
        });
        self.ended(started, done)
    }

    /// Both documents of a pair, by a scan, which shows one moment.
    fn scan(&mut self, pair: u64) -> Result<(), Error> {
        let started = self.load.history.start(Action::Read(vec![pair, pair + 1]));
        let mut values = vec![None, None];
        for found in self.documents.scan_range(Id::from(pair)..=Id::from(pair + 1)) {
            let found = found?;
            let at = usize::from(found.id != Id::from(pair));
            values[at] = Some(value(&found.bytes));
        }
        self.load.history.answered(started, values);
        Ok(())
    }
}
