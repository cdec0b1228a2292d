//! The server beside Redis, PostgreSQL and a raw HTTP echo: real processes on one machine, asked by the
//! same client over their own protocols, 64 connections unless a case says otherwise.
//!
//! One thread of this process asks for all connections, so that clients take as little as possible of
//! what the servers need. A connection sends as many requests as the case pipelines in one write, and
//! the next ones when all are answered; the time of each is from that write to its own answer. CPU time
//! is that of the server's processes. A number at the end of a case's name is how many requests it
//! pipelines.
//!
//! With `serve` as its first argument this program is docdb's server, with `echo` the echo. Start with
//! `cases.rs`.

mod ask;
mod cases;
mod echo;
mod http;
mod load;
mod postgres;
mod process;
mod redis;
mod servers;
mod socket;

use std::io;
use std::process::ExitCode;

use base::io::RealDisk;

use crate::cases::Cases;
use crate::servers::Servers;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let first = std::env::args_os().nth(1);
    if first.as_ref().is_some_and(|first| first == "serve") {
        let (out, err) = (&mut io::stdout(), &mut io::stderr());
        let environment = std::env::vars_os().collect();
        return docdb::cli::run_on(RealDisk::shared(), std::env::args_os(), environment, out, err);
    }
    if first.is_some_and(|first| first == "echo") {
        return echo::main();
    }
    benches::run("servers", |bench| {
        let servers = Servers::start(bench.scratch())?;
        Cases::new(bench, &servers)?.run(bench)
    })
}
