//! A load: connections that ask as fast as they are answered, for a while.

use std::cell::Cell;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use benches::stopwatch::Sample;
use benches::writers::Latencies;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::LocalSet;

use crate::ask::{Ask, Mix, Plan, Wire, document};
use crate::servers::{Servers, Target};

/// Room for answers at a time.
const READ_BYTES: usize = 64 * 1024;
/// Documents that are written at a time before anything is measured.
pub(crate) const BATCH: usize = 250;

/// A connection, not yet part of a runtime.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) target: Target,
    pub(crate) mix: Mix,
    pub(crate) connections: u64,
    pub(crate) pipeline: usize,
    pub(crate) bytes: usize,
    /// How many documents are there, ids from 0.
    pub(crate) loaded: u64,
    pub(crate) ms: u64,
}

impl Load {
    /// Lets it work once: `round` is a number that no other call had. Answers what was done and the time
    /// of each request.
    pub(crate) fn run(&self, servers: &Servers, round: u64) -> io::Result<(Sample, Latencies)> {
        let connect = |number| servers.connect(self.target, number);
        let connections = (0..self.connections).map(connect).collect::<io::Result<Vec<_>>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let clock = Rc::new(SystemClock::new());
        let process = servers.process(self.target);
        let (cpu, begin) = (process.cpu()?, clock.now());
        let local = LocalSet::new();
        let done = local.block_on(&runtime, async {
            let mut tasks = Vec::new();
            for (number, (stream, wire)) in (0..).zip(connections) {
                let plan = Plan::new(self.mix, self.loaded, self.bytes, number, round);
                let clock = Rc::clone(&clock);
                let end = Duration::from_millis(self.ms);
                let is_over = move || clock.now().since(begin) >= end;
                tasks.push(tokio::task::spawn_local(connection(
                    stream,
                    wire,
                    plan,
                    self.pipeline,
                    is_over,
                )));
            }
            let mut times = Vec::new();
            for task in tasks {
                times.append(&mut task.await.map_err(io::Error::other)??);
            }
            Ok::<_, io::Error>(times)
        })?;
        let wall = clock.now().since(begin);
        let cpu = process.cpu()?.saturating_sub(cpu);
        Ok((Sample { operations: done.len() as u64, wall, cpu }, Latencies::of(done)))
    }
}

/// Writes the documents that loads expect, so many times [`BATCH`].
pub(crate) fn fill(
    servers: &Servers,
    target: Target,
    number: u64,
    batches: u64,
    bytes: usize,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stream, wire) = servers.connect(target, number)?;
    let (document, next) = (document(bytes), Cell::new(0));
    runtime.block_on(async move {
        let ask = |wire: &mut dyn Wire, out: &mut Vec<u8>| {
            let id = next.replace(next.get() + 1);
            wire.ask(Ask::Put(id, &document), out)
        };
        let mut connection = Connection::new(stream, wire)?;
        for _ in 0..batches {
            connection.round(BATCH, ask, |_| {}).await?;
        }
        Ok(())
    })
}

async fn connection(
    stream: Stream,
    wire: Box<dyn Wire>,
    mut plan: Plan,
    pipeline: usize,
    is_over: impl Fn() -> bool,
) -> io::Result<Vec<Duration>> {
    let (mut times, clock) = (Vec::new(), SystemClock::new());
    let mut connection = Connection::new(stream, wire)?;
    while times.is_empty() || !is_over() {
        let start = clock.now();
        let ask = |wire: &mut dyn Wire, out: &mut Vec<u8>| wire.ask(plan.next(), out);
        let answered = |count: usize| {
            let time = clock.now().since(start);
            times.extend(std::iter::repeat_n(time, count));
        };
        connection.round(pipeline, ask, answered).await?;
    }
    Ok(times)
}

/// A connection of the runtime.
struct Connection {
    stream: Box<dyn Duplex>,
    wire: Box<dyn Wire>,
    out: Vec<u8>,
    read: Vec<u8>,
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl Connection {
    fn new(stream: Stream, wire: Box<dyn Wire>) -> io::Result<Self> {
        let stream: Box<dyn Duplex> = match stream {
            Stream::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                Box::new(tokio::net::TcpStream::from_std(stream)?)
            }
            Stream::Unix(stream) => {
                stream.set_nonblocking(true)?;
                Box::new(tokio::net::UnixStream::from_std(stream)?)
            }
        };
        Ok(Self { stream, wire, out: Vec::new(), read: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends so many requests and waits for all answers; tells how many came at a time.
    async fn round(
        &mut self,
        requests: usize,
        mut ask: impl FnMut(&mut dyn Wire, &mut Vec<u8>) -> io::Result<()>,
        mut answered: impl FnMut(usize),
    ) -> io::Result<()> {
        self.out.clear();
        for _ in 0..requests {
            ask(&mut *self.wire, &mut self.out)?;
        }
        self.stream.write_all(&self.out).await?;
        let mut waiting = requests;
        while waiting > 0 {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::Error::other("the server hung up"));
            }
            let (mut at, mut count) = (0, 0);
            while let Some(len) = self.wire.answer(&self.read[at..])? {
                at += len;
                count += 1;
            }
            self.read.drain(..at);
            waiting = waiting
                .checked_sub(count)
                .ok_or_else(|| io::Error::other("more answers than requests"))?;
            if count > 0 {
                answered(count);
            }
        }
        Ok(())
    }
}
