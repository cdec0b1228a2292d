//! The cases, and the times of requests, for which the report has no column.

use std::cell::{Cell, RefCell};
use std::io::{self, Write as _};
use std::time::Duration;

use benches::writers::Latencies;
use benches::{Bench, Case, Stopwatch};

use crate::ask::Mix;
use crate::load::{BATCH, Load, fill};
use crate::servers::{Servers, Target};

/// Milliseconds of a round.
const ROUND_MS: u64 = 1500;
/// Connections, unless a case has one.
const CONNECTIONS: u64 = 64;
/// Bytes of documents.
const SMALL: usize = 256;
const LARGE: usize = 1024;
/// How many times [`BATCH`] documents there are in each database.
const BATCHES: u64 = 80;
/// Most databases.
const DATABASES: u64 = 20;

/// One case: two loads.
struct Pair {
    name: &'static str,
    operation: &'static str,
    peer: &'static str,
    aim: Option<f64>,
    ours: Load,
    its: Load,
}

/// All cases.
pub(crate) struct Cases<'a> {
    servers: &'a Servers,
    rounds: Cell<u64>,
    told: RefCell<Vec<Told>>,
}

/// The times of the requests of a case, round by round.
struct Told {
    name: &'static str,
    ours: Vec<Latencies>,
    its: Vec<Latencies>,
}

impl<'a> Cases<'a> {
    /// Cases on servers that get their documents here.
    pub(crate) fn new(bench: &Bench<'_>, servers: &'a Servers) -> io::Result<Self> {
        let batches = bench.amount(BATCHES);
        for number in 0..DATABASES {
            fill(servers, Target::Socket(DATABASES), number, batches, SMALL)?;
        }
        for target in
            [Target::OneWorker, Target::RedisAlways, Target::RedisEverySecond, Target::Postgres]
        {
            fill(servers, target, 0, batches, SMALL)?;
        }
        Ok(Self { servers, rounds: Cell::new(0), told: RefCell::default() })
    }

    /// Measures all.
    pub(crate) fn run(&self, bench: &mut Bench<'_>) -> io::Result<()> {
        let (ms, batches) = (bench.amount(ROUND_MS), bench.amount(BATCHES));
        for pair in pairs(ms, batches * BATCH as u64) {
            self.one(bench, &pair)?;
        }
        self.tell()
    }

    fn one(&self, bench: &mut Bench<'_>, pair: &Pair) -> io::Result<()> {
        let &Pair { name, operation, peer, aim, ours, its } = pair;
        let (of_ours, of_its) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let side = |load: Load, into: &RefCell<Vec<Latencies>>, stopwatch: &mut Stopwatch| {
            let round = self.rounds.replace(self.rounds.get() + 1);
            let (sample, latencies) = load.run(self.servers, round)?;
            stopwatch.add(sample);
            into.borrow_mut().push(latencies);
            Ok(())
        };
        bench.case(
            Case { name, operation, peer, aim },
            |stopwatch| side(ours, &of_ours, stopwatch),
            |stopwatch| side(its, &of_its, stopwatch),
        )?;
        let told = Told { name, ours: of_ours.into_inner(), its: of_its.into_inner() };
        self.told.borrow_mut().push(told);
        Ok(())
    }

    /// Medians of the times of all rounds but the first, which was to warm up.
    fn tell(&self) -> io::Result<()> {
        let mut out = io::stdout();
        writeln!(
            out,
            "| case | ours p50 / p99 / p999 ms | its p50 / p99 / p999 ms |\n|---|---|---|"
        )?;
        for Told { name, ours, its } in self.told.borrow().iter() {
            writeln!(out, "| {name} | {} | {} |", medians(ours), medians(its))?;
        }
        writeln!(out)
    }
}

fn medians(rounds: &[Latencies]) -> String {
    let rounds = if rounds.len() > 1 { &rounds[1..] } else { rounds };
    let median = |of: fn(&Latencies) -> Duration| {
        let mut all: Vec<Duration> = rounds.iter().map(of).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    let quantiles: [fn(&Latencies) -> Duration; 3] = [|l| l.p50, |l| l.p99, |l| l.p999];
    quantiles.map(|of| format!("{:.2}", median(of))).join(" / ")
}

/// What is compared with what, of loads that last so long on so many documents.
fn pairs(ms: u64, loaded: u64) -> Vec<Pair> {
    let load = |target, mix, pipeline, bytes| {
        let connections = CONNECTIONS;
        Load { target, mix, connections, pipeline, bytes, loaded, ms }
    };
    let puts = |target, pipeline| load(target, Mix::Puts, pipeline, SMALL);
    let gets = |target, pipeline| load(target, Mix::Gets, pipeline, SMALL);
    let mixed = |target, pipeline| load(target, Mix::Mixed, pipeline, LARGE);
    let pages = |target| load(target, Mix::Pages, 1, SMALL);
    let mut all = durable(puts);
    all.extend(reads(gets, puts));
    all.push(Pair {
        name: "pages-workers",
        operation: "page of 250 documents of 256 B, 64 connections",
        peer: "one worker",
        aim: Some(1.0),
        ours: pages(Target::Socket(1)),
        its: pages(Target::OneWorker),
    });
    all.extend(mixtures(mixed));
    all
}

const PUT: &str = "durable put of 256 B, 64 connections";
const PUT_ONE: &str = "durable put of 256 B, one connection";
const GET: &str = "read of 256 B, 64 connections";
const MIXED: &str = "40 % reads, 30 % puts, 20 % new, 10 % deletes of 1 KiB, 64 connections";
const ALWAYS: &str = "Redis, always";
const EVERYSEC: &str = "Redis, everysec: not durable";
const POSTGRES: &str = "PostgreSQL";

fn durable(puts: impl Fn(Target, usize) -> Load) -> Vec<Pair> {
    let ours = |pipeline| puts(Target::Socket(1), pipeline);
    let one = |target| Load { connections: 1, ..puts(target, 1) };
    let beside = |target, peer, aim, names: [&'static str; 2]| {
        let pair = |name, pipeline| {
            let (ours, its) = (ours(pipeline), puts(target, pipeline));
            Pair { name, operation: PUT, peer, aim, ours, its }
        };
        [pair(names[0], 1), pair(names[1], 8)]
    };
    let alone = |name, target, peer| {
        let (ours, its) = (one(Target::Socket(1)), one(target));
        Pair { name, operation: PUT_ONE, peer, aim: Some(1.0), ours, its }
    };
    let mut all = Vec::new();
    all.extend(beside(Target::RedisAlways, ALWAYS, Some(1.0), ["put-redis", "put-redis-8"]));
    all.extend(beside(Target::RedisEverySecond, EVERYSEC, None, ["put-sec", "put-sec-8"]));
    all.extend(beside(Target::Postgres, POSTGRES, Some(1.0), ["put-pg", "put-pg-8"]));
    all.push(alone("put-one-redis", Target::RedisAlways, ALWAYS));
    all.push(alone("put-one-pg", Target::Postgres, POSTGRES));
    all
}

fn reads(gets: impl Fn(Target, usize) -> Load, puts: impl Fn(Target, usize) -> Load) -> Vec<Pair> {
    let pair = |name, peer, aim, ours, its| Pair { name, operation: GET, peer, aim, ours, its };
    let ours = |pipeline| gets(Target::Socket(1), pipeline);
    let redis = |pipeline| gets(Target::RedisEverySecond, pipeline);
    let postgres = |pipeline| gets(Target::Postgres, pipeline);
    let (http, echo) = (Target::Http, Target::Echo);
    vec![
        pair("get-redis", "Redis", None, ours(1), redis(1)),
        pair("get-redis-16", "Redis", None, ours(16), redis(16)),
        pair("get-pg", POSTGRES, Some(1.0), ours(1), postgres(1)),
        pair("get-pg-16", POSTGRES, Some(1.0), ours(16), postgres(16)),
        pair("get-http", "axum, 256 B from memory", None, gets(http, 1), gets(echo, 1)),
        pair("get-http-pg", POSTGRES, Some(1.0), gets(http, 1), postgres(1)),
        Pair {
            operation: PUT,
            ..pair("put-http", "axum, the body back", None, puts(http, 1), puts(echo, 1))
        },
        Pair {
            operation: PUT,
            ..pair("put-http-pg", POSTGRES, Some(1.0), puts(http, 1), puts(Target::Postgres, 1))
        },
    ]
}

fn mixtures(mixed: impl Fn(Target, usize) -> Load) -> Vec<Pair> {
    let pair = |name, peer, aim, ours, its| Pair { name, operation: MIXED, peer, aim, ours, its };
    let ours = |databases, pipeline| mixed(Target::Socket(databases), pipeline);
    let postgres = |pipeline| mixed(Target::Postgres, pipeline);
    let one = "one database";
    vec![
        pair("mixed-redis-8", ALWAYS, None, ours(1, 8), mixed(Target::RedisAlways, 8)),
        pair("mixed-pg", POSTGRES, Some(1.0), ours(1, 1), postgres(1)),
        pair("mixed-pg-8", POSTGRES, Some(1.0), ours(1, 8), postgres(8)),
        pair("mixed-http-pg", POSTGRES, Some(1.0), mixed(Target::Http, 1), postgres(1)),
        pair("mixed-workers-8", "one worker", Some(1.0), ours(1, 8), mixed(Target::OneWorker, 8)),
        pair("mixed-3-databases-8", one, Some(0.7), ours(3, 8), ours(1, 8)),
        pair("mixed-6-databases-8", one, Some(0.7), ours(6, 8), ours(1, 8)),
        pair("mixed-20-databases-8", one, Some(0.7), ours(20, 8), ours(1, 8)),
    ]
}
