//! What is measured: the rows, how much work a sample of each is, and the order in which ours and
//! a peer go through them.
//!
//! Rows that only read come first, on documents as they were loaded; then those that write, then
//! those that patch. At the end all documents are checked.

use std::cell::{Cell, RefCell};
use std::io::{self, Write as _};

use benches::confined::Group;
use benches::engines::{Kind, Settings};
use benches::hosted::{Answer, Request};
use benches::report::Report;
use benches::stopwatch::Stopwatch;
use benches::work::{Committer, Contents, Work};
use benches::writers::{Amount, Latencies};
use benches::{Bench, Case, Scratch};
use serde_json::{Value, json};

use crate::home::{Home, Place};
use crate::results::Results;

/// The writers of the rows that have many.
const WRITERS: u64 = 64;
/// What is written after the last checkpoint before a process is killed.
const KILLED_BYTES: u64 = 60 << 20;
/// What an engine has beside a document's bytes in its log, about.
const FRAME_BYTES: u64 = 64;
/// How much more data than memory the row `limited` has.
const DATA_TO_MEMORY: u64 = 4;
/// Least memory of a process that is confined: programs and engines need some.
const MEMORY_MIN: u64 = 64 << 20;
/// The best of the others may be this much faster, where being first is not the aim.
const NEAR: f64 = 1.0 / 1.2;

/// A row of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Row {
    /// Bytes on the disk and in memory
    Sizes,
    /// Point reads of one thread, everything in memory
    Get,
    /// Point reads of two threads, everything in memory
    Get2,
    /// Runs of 100 documents from random places on
    Range,
    /// A million documents in order
    Scan,
    /// Point reads of two threads with four times as much data as memory
    Limited,
    /// Open after a clean close, nothing in memory, to the first answered read
    ReopenClean,
    /// Durable writes of one thread, one document a commit
    Put1,
    /// Durable writes of one thread, 10 documents a commit
    Put10,
    /// Durable writes of one thread, 100 documents a commit
    Put100,
    /// Durable writes of one thread, 1000 documents a commit
    Put1000,
    /// Durable writes of 64 threads, each committing its own
    Put64,
    /// Durable writes of 64 threads, the peer behind one committer that combines what waits
    Put64Combined,
    /// Durable writes of 64 threads, seconds on end, for the longest waits; the peer combined
    Stall,
    /// Open after a kill with 60 MiB of log, nothing in memory, to the first answered read
    ReopenKilled,
    /// Durable patches of one member, one thread, one document a commit
    Patch,
    /// Durable patches of one member, one thread, 1000 documents a commit
    Patch1000,
}

/// How much a sample is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    pub(crate) documents: u64,
    pub(crate) bytes: u64,
    reads: u64,
    runs: u64,
    scan: u64,
    limited_reads: u64,
    write_ms: u64,
    stall_ms: u64,
    killed_commits: u64,
    may_drop_caches: bool,
}

impl Amounts {
    pub(crate) fn full(documents: u64, bytes: u64, seconds: u64) -> Self {
        Self {
            documents,
            bytes,
            reads: 300_000,
            runs: 3000,
            scan: 1_000_000,
            limited_reads: 5000,
            write_ms: 100,
            stall_ms: seconds * 1000,
            killed_commits: (KILLED_BYTES / ((bytes + FRAME_BYTES) * 1000)).max(1),
            may_drop_caches: true,
        }
    }

    /// Little work that disturbs nobody else on the machine.
    pub(crate) fn smoke() -> Self {
        Self {
            documents: 2000,
            bytes: 256,
            reads: 100,
            runs: 2,
            scan: 1000,
            limited_reads: 100,
            write_ms: 10,
            stall_ms: 20,
            killed_commits: 1,
            may_drop_caches: false,
        }
    }
}

/// What a sample of a row is made of.
enum Shape {
    Sizes,
    /// This work, ours and the peer's, in so many slices.
    Warm(Work, Work, usize),
    Limited(Work),
    Reopen(After),
}

#[derive(Clone, Copy)]
enum After {
    Close,
    Kill,
}

impl Row {
    pub(crate) fn all() -> Vec<Self> {
        <Self as clap::ValueEnum>::value_variants().to_vec()
    }

    /// Its name on the command line.
    fn word(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// All rows, each with what it is.
    pub(crate) fn described() -> Vec<(String, String)> {
        Self::all().into_iter().map(|row| (row.word(), row.operation())).collect()
    }

    /// What one operation is.
    fn operation(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        let help = value.and_then(|value| value.get_help().map(ToString::to_string));
        help.unwrap_or_default()
    }

    /// Least ratio that is claimed.
    fn aim(self) -> Option<f64> {
        match self {
            Self::Sizes | Self::ReopenClean | Self::ReopenKilled | Self::Stall => None,
            Self::Get | Self::Get2 | Self::Range | Self::Scan | Self::Limited => Some(NEAR),
            Self::Patch | Self::Patch1000 => Some(NEAR),
            Self::Put1 | Self::Put10 | Self::Put100 | Self::Put1000 => Some(1.0),
            Self::Put64 | Self::Put64Combined => Some(1.0),
        }
    }

    /// Whether the waits of single operations are worth a line of their own.
    fn has_latencies(self) -> bool {
        matches!(self, Self::Put1 | Self::Put64 | Self::Put64Combined | Self::Stall | Self::Patch)
    }

    fn shape(self, amounts: &Amounts) -> Shape {
        let ms = Amount::Millis(amounts.write_ms);
        let own = Committer::Own;
        let put =
            |threads, batch, amount, committer| Work::Put { threads, batch, amount, committer };
        let both = |work, slices| Shape::Warm(work, work, slices);
        match self {
            Self::Sizes => Shape::Sizes,
            Self::Get => both(Work::Get { threads: 1, reads: amounts.reads }, 1),
            Self::Get2 => both(Work::Get { threads: 2, reads: amounts.reads }, 1),
            Self::Range => both(Work::Scan { runs: amounts.runs, documents: 100 }, 1),
            Self::Scan => both(Work::Scan { runs: 1, documents: amounts.scan }, 1),
            Self::Limited => Shape::Limited(Work::Get { threads: 2, reads: amounts.limited_reads }),
            Self::ReopenClean => Shape::Reopen(After::Close),
            Self::ReopenKilled => Shape::Reopen(After::Kill),
            // The disk's speed drifts within seconds: short slices in turn.
            Self::Put1 => both(put(1, 1, ms, own), 8),
            Self::Put10 => both(put(1, 10, ms, own), 8),
            Self::Put100 => both(put(1, 100, ms, own), 8),
            Self::Put1000 => both(put(1, 1000, ms, own), 8),
            Self::Put64 => both(put(WRITERS, 1, ms, own), 8),
            Self::Put64Combined => {
                let peers = put(WRITERS, 1, ms, Committer::Combining);
                Shape::Warm(put(WRITERS, 1, ms, own), peers, 8)
            }
            Self::Stall => {
                let ms = Amount::Millis(amounts.stall_ms);
                let peers = put(WRITERS, 1, ms, Committer::Combining);
                Shape::Warm(put(WRITERS, 1, ms, own), peers, 1)
            }
            Self::Patch => both(Work::Patch { batch: 1, amount: ms }, 8),
            Self::Patch1000 => both(Work::Patch { batch: 1000, amount: ms }, 8),
        }
    }
}

/// Ours and one peer.
pub(crate) struct Pair<'a> {
    pub(crate) scratch: &'a Scratch,
    pub(crate) options: &'a benches::Options,
    pub(crate) amounts: Amounts,
    pub(crate) kind: Kind,
}

/// What a pair has in common while it is measured.
struct Run<'a, 'r> {
    pair: &'a Pair<'a>,
    bench: Bench<'a>,
    results: &'r mut Results,
    ours: RefCell<Home>,
    theirs: RefCell<Home>,
    next_round: Cell<u64>,
}

impl Pair<'_> {
    /// Measures `rows`. What was measured before something went wrong is answered with it.
    pub(crate) fn measure(
        &self,
        rows: &[Row],
        disk_bytes_max: u64,
        results: &mut Results,
    ) -> (Report, io::Result<()>) {
        let name = format!("documents beside {}", self.kind.word());
        let Amounts { documents, bytes, .. } = self.amounts;
        let needed = [Kind::Docdb, self.kind].map(|kind| disk_estimate(kind, documents, bytes));
        if needed.iter().sum::<u64>() > disk_bytes_max {
            let done = self.alone(rows, results);
            return (Report::new(&name), done);
        }
        let made = self.homes();
        let (ours, theirs) = match made {
            Ok(homes) => homes,
            Err(error) => return (Report::new(&name), Err(error)),
        };
        let mut run = Run {
            pair: self,
            bench: Bench::new(&name, self.scratch, self.options),
            results,
            ours: RefCell::new(ours.0),
            theirs: RefCell::new(theirs.0),
            next_round: Cell::new(1),
        };
        let loads = [ours.1, theirs.1];
        let all = Row::all();
        // In their own order, whatever order they were asked for in.
        let mut chosen = all.iter().filter(|row| rows.contains(row));
        let mut done = chosen.try_for_each(|row| {
            // Standard error may be closed; progress is all that would be lost.
            let _ = writeln!(io::stderr(), "{}, {documents} x {bytes}: {}", name, row.word());
            run.row(*row, loads).map_err(|error| {
                run.results.left_out(documents, bytes, &row.word(), self.kind, &error.to_string());
                io::Error::other(format!("{}: {error}", row.word()))
            })
        });
        if done.is_ok() {
            done = run.finish();
        }
        let report = run.bench.into_report();
        for case in &report.cases {
            run.results.case(documents, bytes, case);
        }
        (report, done)
    }

    /// What fits on the disk only without the other: the sizes.
    fn alone(&self, rows: &[Row], results: &mut Results) -> io::Result<()> {
        let Amounts { documents, bytes, .. } = self.amounts;
        for row in rows.iter().filter(|row| **row != Row::Sizes) {
            let reason = "both together would need more disk than was allowed";
            results.left_out(documents, bytes, &row.word(), self.kind, reason);
        }
        if !rows.contains(&Row::Sizes) {
            return Ok(());
        }
        for kind in [Kind::Docdb, self.kind] {
            if !results.has_sizes(documents, bytes, kind) {
                let (mut home, load) = self.home(kind)?;
                sizes(&mut home, load, &self.amounts, results)?;
            }
        }
        Ok(())
    }

    fn home(&self, kind: Kind) -> io::Result<(Home, f64)> {
        let Amounts { documents, bytes, .. } = self.amounts;
        let cache_bytes = (2 * documents * bytes).clamp(64 << 20, 8 << 30);
        let settings = Settings {
            documents,
            document_bytes: bytes,
            cache_bytes,
            is_larger_than_memory: false,
        };
        let may_drop_caches = self.amounts.may_drop_caches;
        let (home, load) = Home::new(self.scratch, kind, settings, may_drop_caches)?;
        Ok((home, load.sample.per_second()))
    }

    fn homes(&self) -> io::Result<((Home, f64), (Home, f64))> {
        Ok((self.home(Kind::Docdb)?, self.home(self.kind)?))
    }
}

/// About what a database takes at most while it is loaded.
fn disk_estimate(kind: Kind, documents: u64, bytes: u64) -> u64 {
    let each = match kind {
        // They pack documents.
        Kind::Docdb | Kind::Rocksdb | Kind::Fjall => bytes * 2 / 3 + 100,
        Kind::Lmdb | Kind::Sqlite | Kind::Redb => bytes * 4 / 3 + 100,
    };
    documents * each + (512 << 20)
}

impl Run<'_, '_> {
    fn row(&mut self, row: Row, loads: [f64; 2]) -> io::Result<()> {
        match row.shape(&self.pair.amounts) {
            Shape::Sizes => self.sizes(loads),
            Shape::Warm(ours, theirs, slices) => self.warm(row, ours, theirs, slices),
            Shape::Limited(work) => self.limited(row, work),
            Shape::Reopen(after) => self.reopen(row, after),
        }
    }

    fn sizes(&mut self, loads: [f64; 2]) -> io::Result<()> {
        for (home, load) in [&self.ours, &self.theirs].into_iter().zip(loads) {
            let home = &mut *home.borrow_mut();
            let Amounts { documents, bytes, .. } = self.pair.amounts;
            if !home.is_open() {
                home.open_again()?;
            }
            if !self.results.has_sizes(documents, bytes, home.kind) {
                sizes(home, load, &self.pair.amounts, self.results)?;
            }
        }
        Ok(())
    }

    fn open_both(&self) -> io::Result<()> {
        for home in [&self.ours, &self.theirs] {
            let mut home = home.borrow_mut();
            if !home.is_open() {
                home.open_again()?;
            }
        }
        Ok(())
    }

    fn close_both(&self) -> io::Result<()> {
        for home in [&self.ours, &self.theirs] {
            let mut home = home.borrow_mut();
            if home.is_open() {
                home.close()?;
            }
        }
        Ok(())
    }

    fn round(&self) -> u64 {
        self.next_round.replace(self.next_round.get() + 1)
    }

    /// Runs a case of which `ours` and `theirs` are the sides, and keeps their waits.
    fn case(
        &mut self,
        row: Row,
        slices: usize,
        side: impl Fn(&RefCell<Home>, bool, &mut Stopwatch) -> io::Result<Latencies>,
    ) -> io::Result<()> {
        let kind = self.pair.kind;
        let (name, operation) = (format!("{}-{}", row.word(), kind.word()), row.operation());
        let title = kind.title();
        let case = Case { name: &name, operation: &operation, peer: &title, aim: row.aim() };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (homes, bench) = ((&self.ours, &self.theirs), &mut self.bench);
        bench.case_in_slices(
            case,
            slices,
            |stopwatch| {
                ours.push(side(homes.0, true, stopwatch)?);
                Ok(())
            },
            |stopwatch| {
                theirs.push(side(homes.1, false, stopwatch)?);
                Ok(())
            },
        )?;
        if row.has_latencies() {
            let Amounts { documents, bytes, .. } = self.pair.amounts;
            let word = row.word();
            for (engine, latencies) in [(Kind::Docdb, ours), (kind, theirs)] {
                self.results.latencies((documents, bytes), &word, kind, engine, &latencies);
            }
        }
        Ok(())
    }

    fn warm(&mut self, row: Row, ours: Work, theirs: Work, slices: usize) -> io::Result<()> {
        self.open_both()?;
        let before = facts(&self.ours)?;
        // `case` borrows all of this, so the rounds are counted in a cell of their own.
        let next = Cell::new(self.round());
        self.case(row, slices, |home, is_ours, stopwatch| {
            let work = if is_ours { ours } else { theirs };
            let round = home.borrow_mut().run(work, next.replace(next.get() + 1))?;
            stopwatch.add(round.sample);
            Ok(round.latencies)
        })?;
        self.next_round.set(next.get());
        if row == Row::Stall {
            let after = facts(&self.ours)?;
            let Amounts { documents, bytes, .. } = self.pair.amounts;
            self.results.beside_stall((documents, bytes), self.pair.kind, &before, &after);
        }
        Ok(())
    }

    fn limited(&mut self, row: Row, work: Work) -> io::Result<()> {
        self.close_both()?;
        let Amounts { documents, bytes, .. } = self.pair.amounts;
        let limit = (documents * bytes / DATA_TO_MEMORY).max(MEMORY_MIN);
        let mut groups = Vec::new();
        for home in [&self.ours, &self.theirs] {
            let mut home = home.borrow_mut();
            let group = match Group::new(home.kind.word(), limit) {
                Ok(group) => group,
                Err(error) => {
                    let (word, kind) = (row.word(), self.pair.kind);
                    let reason = format!("no group with less memory: {error}");
                    self.results.left_out(documents, bytes, &word, kind, &reason);
                    drop(home);
                    return Ok(());
                }
            };
            let settings = Settings {
                // A third, as RocksDB's documentation has it for a memory budget.
                cache_bytes: limit / 3,
                is_larger_than_memory: true,
                ..home.settings()
            };
            home.open(Place::Confined(&group), settings, None)?;
            groups.push(group);
        }
        let next = Cell::new(self.round());
        self.case(row, 1, |home, _, stopwatch| {
            let round = home.borrow_mut().run(work, next.replace(next.get() + 1))?;
            stopwatch.add(round.sample);
            Ok(round.latencies)
        })?;
        self.next_round.set(next.get());
        self.close_both()
    }

    fn reopen(&mut self, row: Row, after: After) -> io::Result<()> {
        self.close_both()?;
        let amount = Amount::Writes(self.pair.amounts.killed_commits);
        let work = Work::Put { threads: 1, batch: 1000, amount, committer: Committer::Own };
        let documents = self.pair.amounts.documents;
        let next = Cell::new(self.round());
        self.case(row, 1, |home, _, stopwatch| {
            let mut home = home.borrow_mut();
            let round = next.replace(next.get() + 1);
            let mut left = None;
            if let After::Kill = after {
                home.open_again()?;
                left = Some(home.run(work, round)?.commits);
                home.kill();
            }
            let (settings, first) = (home.settings(), round * 7919 % documents);
            let opened = home.open(Place::Cold, settings, Some(first))?;
            if let Some(commits) = left {
                home.ask(&Request::Verify { work, round, commits })?;
            }
            stopwatch.add(opened.sample);
            home.close()?;
            Ok(opened.latencies)
        })?;
        self.next_round.set(next.get());
        Ok(())
    }

    /// Checks everything once more.
    fn finish(&self) -> io::Result<()> {
        self.open_both()?;
        for home in [&self.ours, &self.theirs] {
            home.borrow_mut().ask(&Request::CheckAll(Contents::Whatever))?;
        }
        self.close_both()
    }
}

fn facts(home: &RefCell<Home>) -> io::Result<Value> {
    match home.borrow_mut().ask(&Request::Facts)? {
        Answer::Facts(facts) => Ok(facts),
        Answer::Done | Answer::Round(_) | Answer::Memory(_) | Answer::Failed(_) => Ok(Value::Null),
    }
}

/// What a database takes on the disk once it was closed, and in memory once it was opened again
/// with a cache of a quarter of the data and asked for many documents. It is closed then.
fn sizes(home: &mut Home, load: f64, amounts: &Amounts, results: &mut Results) -> io::Result<()> {
    home.close()?;
    let disk_bytes = home.disk_bytes()?;
    let data = amounts.documents * amounts.bytes;
    let cache_bytes = (data / 4).max(8 << 20);
    let settings = Settings { cache_bytes, ..home.settings() };
    home.open(Place::Warm, settings, None)?;
    home.run(Work::Get { threads: 1, reads: amounts.reads }, 0)?;
    let Answer::Memory(memory) = home.ask(&Request::Memory)? else {
        return Err(io::Error::other("a host that does not tell its memory"));
    };
    let Answer::Facts(facts) = home.ask(&Request::Facts)? else {
        return Err(io::Error::other("a host that does not tell its facts"));
    };
    home.close()?;
    let entry = json!({
        "loaded_per_second": load,
        "disk_bytes": disk_bytes,
        "resident_bytes": memory.resident,
        "anonymous_bytes": memory.anonymous,
        "cache_bytes": cache_bytes,
        "facts": facts,
    });
    results.sizes((amounts.documents, amounts.bytes), home.kind, entry);
    Ok(())
}
