//! What one engine is given to do in one round, and the check afterwards that what it holds is
//! right.
//!
//! A round is a function of its number: which documents it touches and what it writes into them can
//! be computed again, in another process too, and so a check needs no memory of what was written.
//! Threads write documents of their own, so that what each holds at the end is known.
//!
//! CPU time is counted until the process has become quiet: what an engine leaves to do behind the
//! answer is not free. Wall time ends with the last answer.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use base::rng::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::corpus::{Corpus, check_head};
use crate::engines::{Engine, Settings};
use crate::stopwatch::{Sample, cpu_now};
use crate::writers::{self, Amount, Combiner, Latencies};

/// Generations of one round.
const ROUND: u64 = 1_000_000_000;
/// Documents of a transaction while loading.
const LOAD_BATCH: u64 = 1000;
/// Of a round of writes, so many of each thread's last documents are read again.
const CHECKED_MAX: u64 = 20_000;
/// A process that takes less CPU time than [`QUIET_CPU`] in this time is quiet.
const QUIET: Duration = Duration::from_millis(20);
const QUIET_CPU: Duration = Duration::from_millis(1);
/// How long to wait for that at most.
const QUIET_MAX: Duration = Duration::from_secs(120);

/// Who commits the writes of several threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Committer {
    /// Each thread its own.
    Own,
    /// One of them for all that wait, in one transaction.
    Combining,
}

/// The work of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Replaces random documents, durably; an operation is a document.
    Put {
        /// How many threads.
        threads: u64,
        /// Documents of a transaction.
        batch: u64,
        /// Transactions of each thread.
        amount: Amount,
        /// Who commits.
        committer: Committer,
    },
    /// Sets a member of random documents, durably, in one thread; an operation is a document.
    Patch {
        /// Documents of a transaction.
        batch: u64,
        /// Transactions.
        amount: Amount,
    },
    /// Reads random documents; an operation is a document.
    Get {
        /// How many threads.
        threads: u64,
        /// Reads of each thread.
        reads: u64,
    },
    /// Reads documents that follow each other, from random places on; an operation is a document.
    Scan {
        /// How many such runs.
        runs: u64,
        /// Documents of each.
        documents: u64,
    },
}

/// What a round took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Round {
    /// Operations and times.
    pub sample: Sample,
    /// Times of single transactions or reads; of a scan, of whole runs.
    pub latencies: Latencies,
    /// Transactions of each thread.
    pub commits: Vec<u64>,
}

/// What the documents are like when all of them are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contents {
    /// As they were loaded, byte for byte.
    Loaded,
    /// JSON, each with its number.
    Whatever,
}

/// An open engine with documents to give to it.
pub struct Worker {
    engine: Box<dyn Engine>,
    corpus: Corpus,
    settings: Settings,
}

impl Worker {
    /// Works on `engine`, which was opened with these settings.
    #[must_use]
    pub fn new(engine: Box<dyn Engine>, settings: Settings) -> Self {
        let bytes = usize::try_from(settings.document_bytes).unwrap_or(usize::MAX);
        Self { engine, corpus: Corpus::new(bytes), settings }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Closes the engine.
    ///
    /// # Errors
    /// What it says.
    pub fn close(self) -> io::Result<()> {
        self.engine.close()
    }

    /// Writes every document for the first time, in the order of their numbers.
    ///
    /// # Errors
    /// The engine's.
    pub fn load(&self) -> io::Result<Round> {
        let documents = self.settings.documents;
        let commits = documents.div_ceil(LOAD_BATCH);
        self.round(documents, 1, Amount::Writes(commits), |_| {
            let mut batch = Batch::default();
            move |n| {
                let ids = n * LOAD_BATCH..((n + 1) * LOAD_BATCH).min(documents);
                batch.fill(&self.corpus, ids.map(|id| (id, 0)));
                batch.put(self.engine())
            }
        })
    }

    /// Does the work of round `round`, and checks what it has left.
    ///
    /// # Errors
    /// The engine's, and when something that was read is wrong.
    pub fn run(&self, work: Work, round: u64) -> io::Result<Round> {
        let done = match work {
            Work::Put { threads, batch, amount, committer } => {
                let done = match committer {
                    Committer::Own => self.put(threads, batch, amount, round),
                    Committer::Combining => self.put_combined(threads, amount, round),
                }?;
                let operations = done.commits.iter().sum::<u64>() * batch;
                Round { sample: Sample { operations, ..done.sample }, ..done }
            }
            Work::Patch { batch, amount } => {
                let done = self.patch(batch, amount, round)?;
                let operations = done.commits.iter().sum::<u64>() * batch;
                Round { sample: Sample { operations, ..done.sample }, ..done }
            }
            Work::Get { threads, reads } => self.get(threads, reads, round)?,
            Work::Scan { runs, documents } => self.scan(runs, documents, round)?,
        };
        self.verify(work, round, &done.commits)?;
        Ok(done)
    }

    /// Times `threads` threads, each with what `writer` makes for it.
    fn round<W: FnMut(u64) -> io::Result<()>>(
        &self,
        operations: u64,
        threads: u64,
        amount: Amount,
        writer: impl Fn(u64) -> W + Sync,
    ) -> io::Result<Round> {
        let clock = SystemClock::new();
        let (start, cpu) = (clock.now(), cpu_now());
        let times = writers::times(threads, amount, writer)?;
        let wall = clock.now().since(start);
        wait_until_quiet(&clock)?;
        let cpu = cpu_now().saturating_sub(cpu);
        let commits = times.iter().map(|times| times.len() as u64).collect();
        let latencies = Latencies::of(times.into_iter().flatten().collect());
        Ok(Round { sample: Sample { operations, wall, cpu }, latencies, commits })
    }

    fn put(&self, threads: u64, batch: u64, amount: Amount, round: u64) -> io::Result<Round> {
        self.round(0, threads, amount, |thread| {
            let mut ids = Ids::new(round, thread, threads, self.settings.documents);
            let mut texts = Batch::default();
            move |n| {
                let entries = (0..batch).map(|at| (ids.next(), generation(round, n * batch + at)));
                texts.fill(&self.corpus, entries);
                texts.put(self.engine())
            }
        })
    }

    fn put_combined(&self, threads: u64, amount: Amount, round: u64) -> io::Result<Round> {
        let combiner = Combiner::default();
        self.round(0, threads, amount, |thread| {
            let mut ids = Ids::new(round, thread, threads, self.settings.documents);
            let combiner = &combiner;
            move |n| {
                let id = ids.next();
                let mut text = Vec::new();
                self.corpus.write(id, generation(round, n), &mut text);
                combiner.commit((id, text), |group: &mut Vec<(u64, Vec<u8>)>| {
                    let entries: Vec<(u64, &[u8])> =
                        group.iter().map(|(id, text)| (*id, text.as_slice())).collect();
                    self.engine.put(&entries)
                })
            }
        })
    }

    fn patch(&self, batch: u64, amount: Amount, round: u64) -> io::Result<Round> {
        self.round(0, 1, amount, |thread| {
            let mut ids = Ids::new(round, thread, 1, self.settings.documents);
            move |n| {
                let ids: Vec<u64> = (0..batch).map(|_| ids.next()).collect();
                self.engine.patch(&ids, generation(round, n))
            }
        })
    }

    fn get(&self, threads: u64, reads: u64, round: u64) -> io::Result<Round> {
        self.round(threads * reads, threads, Amount::Writes(reads), |thread| {
            let mut ids = Ids::of_all(round, thread, self.settings.documents);
            let mut text = Vec::new();
            move |_| {
                let id = ids.next();
                if !self.engine.get(id, &mut text)? {
                    return Err(io::Error::other(format!("document {id} is missing")));
                }
                check_head(id, &text)
            }
        })
    }

    fn scan(&self, runs: u64, documents: u64, round: u64) -> io::Result<Round> {
        let documents = documents.min(self.settings.documents);
        let starts = self.settings.documents - documents + 1;
        self.round(runs * documents, 1, Amount::Writes(runs), |thread| {
            let mut from = Ids::of_all(round, thread, starts);
            let mut copy = Vec::new();
            move |_| {
                let mut expected = from.next();
                let end = expected + documents;
                self.engine.scan(expected, documents, &mut |id, text| {
                    if id != expected {
                        return Err(io::Error::other(format!("{id} in place of {expected}")));
                    }
                    expected += 1;
                    copy.clear();
                    copy.extend_from_slice(text);
                    check_head(id, &copy)
                })?;
                if expected == end { Ok(()) } else { Err(io::Error::other("a scan ended early")) }
            }
        })
    }

    /// Reads again what a round wrote, of each thread the last documents of `commits`
    /// transactions: they must be what the round left.
    ///
    /// # Errors
    /// When one is not.
    pub fn verify(&self, work: Work, round: u64, commits: &[u64]) -> io::Result<()> {
        let (threads, batch) = match work {
            Work::Put { threads, batch, .. } => (threads, batch),
            Work::Patch { batch, .. } => (1, batch),
            Work::Get { .. } | Work::Scan { .. } => return Ok(()),
        };
        for (thread, commits) in (0..threads).zip(commits) {
            let mut ids = Ids::new(round, thread, threads, self.settings.documents);
            let entries = commits * batch;
            let mut last = HashMap::new();
            for n in 0..entries {
                let id = ids.next();
                if n + CHECKED_MAX >= entries {
                    last.insert(id, n);
                }
            }
            for (id, n) in last {
                match work {
                    Work::Patch { .. } => self.check_patched(id, generation(round, n / batch))?,
                    Work::Put { .. } | Work::Get { .. } | Work::Scan { .. } => {
                        self.check_written(id, generation(round, n))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn read(&self, id: u64) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let is_there = self.engine.get(id, &mut text)?;
        is_there.then_some(text).ok_or_else(|| io::Error::other(format!("document {id} is lost")))
    }

    fn check_written(&self, id: u64, generation: u64) -> io::Result<()> {
        let mut expected = Vec::new();
        self.corpus.write(id, generation, &mut expected);
        let found = self.read(id)?;
        if found == expected {
            return Ok(());
        }
        let found = String::from_utf8_lossy(&found).into_owned();
        Err(io::Error::other(format!("not generation {generation} of document {id}: {found}")))
    }

    /// A patched document has the new score and is otherwise as some generation was written.
    fn check_patched(&self, id: u64, score: u64) -> io::Result<()> {
        let found: Value = serde_json::from_slice(&self.read(id)?)?;
        let mut expected = Vec::new();
        let generation = found["generation"].as_u64().unwrap_or(u64::MAX);
        self.corpus.write(id, generation, &mut expected);
        let mut expected: Value = serde_json::from_slice(&expected)?;
        expected["score"] = score.into();
        if found == expected {
            return Ok(());
        }
        Err(io::Error::other(format!("not document {id} with score {score}: {found}")))
    }

    /// Reads every document there is, in order, and checks that they are those that were loaded,
    /// and as `contents` says. Answers how many.
    ///
    /// # Errors
    /// When one is missing, too many or wrong.
    pub fn check_all(&self, contents: Contents) -> io::Result<u64> {
        let next = AtomicU64::new(0);
        let mut expected = Vec::new();
        self.engine.scan(0, u64::MAX >> 1, &mut |id, text| {
            if id != next.fetch_add(1, Ordering::Relaxed) {
                return Err(io::Error::other(format!("a document before {id} is missing")));
            }
            match contents {
                Contents::Loaded => {
                    self.corpus.write(id, 0, &mut expected);
                    let is_same = expected == text;
                    is_same.then_some(()).ok_or_else(|| io::Error::other(format!("{id} is wrong")))
                }
                Contents::Whatever => {
                    let json: Value = serde_json::from_slice(text)?;
                    let is_right = json["id"] == id && json["score"].is_u64();
                    is_right.then_some(()).ok_or_else(|| io::Error::other(format!("{id} is wrong")))
                }
            }
        })?;
        let count = next.into_inner();
        if count == self.settings.documents {
            return Ok(count);
        }
        Err(io::Error::other(format!("{count} documents of {}", self.settings.documents)))
    }
}

/// Waits until everything that goes on behind the answers has come to an end.
fn wait_until_quiet(clock: &SystemClock) -> io::Result<()> {
    let start = clock.now();
    while clock.now().since(start) < QUIET_MAX {
        let before = cpu_now();
        std::thread::park_timeout(QUIET);
        if cpu_now().saturating_sub(before) < QUIET_CPU {
            return Ok(());
        }
    }
    Err(io::Error::other("an engine was still busy two minutes after its last answer"))
}

const fn generation(round: u64, n: u64) -> u64 {
    round * ROUND + n
}

/// Random documents that belong to one of several threads.
struct Ids {
    rng: Rng,
    thread: u64,
    threads: u64,
    /// How many each thread has.
    each: u64,
}

impl Ids {
    fn new(round: u64, thread: u64, threads: u64, documents: u64) -> Self {
        let rng = Rng::new(round * 1000 + thread);
        Self { rng, thread, threads, each: (documents / threads).max(1) }
    }

    /// Random documents of all: threads may meet.
    fn of_all(round: u64, thread: u64, documents: u64) -> Self {
        Self { thread: 0, ..Self::new(round, thread, 1, documents) }
    }

    fn next(&mut self) -> u64 {
        self.rng.below(self.each) * self.threads + self.thread
    }
}

/// Texts of a transaction, whose memory is used again.
#[derive(Default)]
struct Batch {
    texts: Vec<(u64, Vec<u8>)>,
    used: usize,
}

impl Batch {
    fn fill(&mut self, corpus: &Corpus, entries: impl Iterator<Item = (u64, u64)>) {
        self.used = 0;
        for (id, generation) in entries {
            if self.used == self.texts.len() {
                self.texts.push((id, Vec::new()));
            }
            let (at, text) = &mut self.texts[self.used];
            *at = id;
            corpus.write(id, generation, text);
            self.used += 1;
        }
    }

    fn put(&self, engine: &dyn Engine) -> io::Result<()> {
        let texts = self.texts[..self.used].iter();
        let entries: Vec<(u64, &[u8])> = texts.map(|(id, text)| (*id, text.as_slice())).collect();
        engine.put(&entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;
    use crate::engines::{Kind, Visit};
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    const SETTINGS: Settings = Settings {
        documents: 1000,
        document_bytes: 256,
        cache_bytes: 8 << 20,
        is_larger_than_memory: false,
    };
    const PUT: Work =
        Work::Put { threads: 4, batch: 3, amount: Amount::Writes(50), committer: Committer::Own };

    /// A store in memory that forgets every `forgets`-th write.
    #[derive(Default)]
    struct Forgetful {
        documents: Mutex<BTreeMap<u64, Vec<u8>>>,
        forgets: u64,
        writes: AtomicU64,
    }

    impl Engine for Forgetful {
        fn put(&self, entries: &[(u64, &[u8])]) -> io::Result<()> {
            for (id, text) in entries {
                let n = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
                if self.forgets == 0 || !n.is_multiple_of(self.forgets) {
                    self.documents.lock().unwrap().insert(*id, text.to_vec());
                }
            }
            Ok(())
        }

        fn get(&self, id: u64, out: &mut Vec<u8>) -> io::Result<bool> {
            out.clear();
            let documents = self.documents.lock().unwrap();
            Ok(documents.get(&id).map(|text| out.extend_from_slice(text)).is_some())
        }

        fn scan(&self, from: u64, limit: u64, visit: Visit<'_>) -> io::Result<()> {
            let documents = self.documents.lock().unwrap();
            let limit = usize::try_from(limit).unwrap();
            documents.range(from..).take(limit).try_for_each(|(id, text)| visit(*id, text))
        }

        fn patch(&self, ids: &[u64], value: u64) -> io::Result<()> {
            for id in ids {
                let text = self.documents.lock().unwrap()[id].clone();
                let mut json: Value = serde_json::from_slice(&text)?;
                json["score"] = value.into();
                self.put(&[(*id, &serde_json::to_vec(&json)?)])?;
            }
            Ok(())
        }
    }

    #[test]
    fn every_kind_of_work_is_done_and_checked_on_a_real_store() {
        let scratch = Scratch::new(&std::env::temp_dir(), "work").unwrap();
        let engine = Kind::Docdb.open(&scratch.path("docdb"), &SETTINGS).unwrap();
        let worker = Worker::new(engine, SETTINGS);
        assert_eq!(worker.load().unwrap().sample.operations, 1000);
        assert_eq!(worker.check_all(Contents::Loaded).unwrap(), 1000);
        let get = worker.run(Work::Get { threads: 2, reads: 50 }, 1).unwrap();
        assert_eq!((get.sample.operations, &*get.commits), (100, &[50, 50][..]));
        let scan = worker.run(Work::Scan { runs: 3, documents: 100 }, 2).unwrap();
        assert_eq!(scan.sample.operations, 300);
        assert_eq!(worker.run(PUT, 3).unwrap().sample.operations, 600);
        let Work::Put { threads, amount, .. } = PUT else { unreachable!() };
        let committer = Committer::Combining;
        let combined = Work::Put { threads, batch: 1, amount, committer };
        assert_eq!(worker.run(combined, 4).unwrap().sample.operations, 200);
        assert!(worker.check_all(Contents::Loaded).is_err());
        let amount = Amount::Writes(5);
        assert_eq!(worker.run(Work::Patch { batch: 10, amount }, 5).unwrap().sample.operations, 50);
        assert_eq!(worker.check_all(Contents::Whatever).unwrap(), 1000);
        worker.close().unwrap();
    }

    #[test]
    fn a_store_that_forgets_a_write_is_noticed() {
        let forgetful = |forgets| {
            Worker::new(Box::new(Forgetful { forgets, ..Forgetful::default() }), SETTINGS)
        };
        let good = forgetful(0);
        good.load().unwrap();
        good.run(PUT, 1).unwrap();
        // The last of all, which nothing can write again.
        let bad = forgetful(1600);
        bad.load().unwrap();
        assert!(bad.run(PUT, 1).is_err());
        let bad = forgetful(1010);
        bad.load().unwrap();
        bad.check_all(Contents::Whatever).unwrap();
        assert!(bad.run(Work::Patch { batch: 20, amount: Amount::Writes(1) }, 1).is_err());
        let bad = forgetful(500);
        bad.load().unwrap();
        assert!(bad.check_all(Contents::Whatever).is_err());
    }
}
