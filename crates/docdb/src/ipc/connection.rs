//! One connection: hello, then frames in and answers out, in one task.
//!
//! | while | it may take |
//! |---|---|
//! | the hello comes | 10 s |
//! | a frame has begun and nothing more of it comes | `ipc.frame_timeout` |
//! | an answer waits and the client takes no byte | 30 s |
//! | nothing is under way | for ever |
//!
//! The hello brings the API key, if one is needed; whoever has none that works is refused there.
//!
//! When the client has sent its last byte, what is under way is still answered. Its transactions
//! end when the last request was answered.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::error::Code;
use base::memory::Reservation;
use base::words::Name;
use client::wire::{Failure, FrameBuffer, Hello, Next, Request, Welcome};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::dispatch::{dispatch, failure_of};
use super::metrics::Cut;
use super::outbox::{Batch, Outbox, failed};
use super::tails::Tails;
use super::{HELLO_TIMEOUT, IN_FLIGHT_MAX, OUTBOX_BYTES_MAX, Surface};
use crate::auth::Visitor;
use crate::engine::{EngineError, Served};
use crate::scheduler::Lane;

/// Memory of a buffer for frames that is not reserved.
const SMALL_BYTES: usize = 64 * 1024;
/// How long a frame waits before memory for it is asked for again.
const BREATH: Duration = Duration::from_millis(20);
/// Names that a connection remembers as checked.
const NAMES_MAX: usize = 64;

/// What requests of a connection share with their answers.
pub(super) struct Shared {
    pub(super) surface: Arc<Surface>,
    pub(super) outbox: Outbox,
    /// In which the writes of this connection keep their order.
    pub(super) lane: Lane,
    pub(super) databases: Mutex<Databases>,
    /// Transactions that were begun here and have not ended.
    pub(super) transactions: Mutex<HashSet<u64>>,
    /// Live tails of logs that were begun here.
    pub(super) tails: Mutex<Tails>,
}

/// The databases that were opened on a connection, by their number less one.
#[derive(Debug, Default)]
pub(super) struct Databases(Vec<Option<Arc<Served>>>);

/// Most numbers of databases of one connection: more would be a client that never gives one back.
const DATABASES_MAX: usize = 100_000;

impl Databases {
    pub(super) fn get(&self, number: u64) -> Option<Arc<Served>> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        self.0.get(at)?.clone()
    }

    /// Gives a database a number that was not used before; none when there are too many.
    pub(super) fn add(&mut self, served: Arc<Served>) -> Option<u64> {
        (self.0.len() < DATABASES_MAX).then(|| {
            self.0.push(Some(served));
            self.0.len() as u64
        })
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Arc<Served>> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        self.0.get_mut(at)?.take()
    }
}

/// Names of collections that were checked before.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<Name>);

impl Names {
    /// The name, checked once.
    pub(super) fn get(&mut self, text: &str) -> Result<Name, base::words::NameError> {
        if let Some(known) = self.0.iter().find(|name| name.as_str() == text) {
            return Ok(known.clone());
        }
        let name = Name::new(text)?;
        if self.0.len() < NAMES_MAX {
            self.0.push(name.clone());
        }
        Ok(name)
    }
}

/// What only the reading half of a connection uses.
pub(super) struct Local {
    pub(super) names: Names,
    /// Who said hello.
    pub(super) visitor: Visitor,
}

/// Why a connection ends.
enum End {
    /// The client has closed it, or the server stops and all is answered.
    Done,
    /// The server closes it.
    Cut(Cut),
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve(surface: &Arc<Surface>, stream: &UnixStream) {
    let lane = surface.engine.new_lane();
    let mut inbox = FrameBuffer::new();
    let end = match timeout(HELLO_TIMEOUT, hello(surface, stream, &mut inbox)).await {
        Ok(Ok(visitor)) => {
            let shared = Arc::new(Shared {
                surface: Arc::clone(surface),
                outbox: Outbox::new(surface.engine.budget.clone()),
                lane,
                databases: Mutex::default(),
                transactions: Mutex::default(),
                tails: Mutex::default(),
            });
            let local = Local { names: Names::default(), visitor };
            talk(&shared, local, stream, inbox).await
        }
        Ok(Err(end)) => end,
        Err(_) => End::Cut(Cut::Hello),
    };
    match end {
        End::Done => {}
        End::Cut(why) => {
            surface.meters.cut(why);
            tracing::info!(?why, "a connection was cut");
        }
        End::Failed(error) => tracing::debug!(%error, "a connection ended"),
    }
}

/// Ends what a connection has left open, also when its task panics.
struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.outbox.close();
        self.0.surface.engine.connection_ended(self.0.lane);
    }
}

async fn talk(shared: &Arc<Shared>, local: Local, stream: &UnixStream, inbox: FrameBuffer) -> End {
    let _leaving = Leaving(shared);
    let end = tokio::select! {
        end = read(shared, local, stream, inbox) => end,
        end = write(shared, stream) => end,
    };
    shared.outbox.close();
    // A transaction that is being begun is not known before its request was answered.
    while shared.outbox.in_flight() > 0 {
        shared.outbox.progress().await;
    }
    end
}

/// Reads the client's hello and welcomes it, once it is known who it is.
async fn hello(
    surface: &Surface,
    stream: &UnixStream,
    inbox: &mut FrameBuffer,
) -> Result<Visitor, End> {
    while !inbox.is_ready() {
        stream.readable().await?;
        if fill(stream, inbox)? == Some(0) {
            return Err(End::Done);
        }
    }
    let admitted = match inbox.next() {
        Next::Frame(body) => admit(surface, body),
        Next::TooLarge { body_bytes, .. } => {
            let what = format!("no hello has {body_bytes} bytes");
            Err(EngineError::new(Code::FrameTooLarge, what))
        }
        Next::More => Err(EngineError::new(Code::InvalidRequestId, "no hello")),
    };
    let server = concat!("docdb ", env!("CARGO_PKG_VERSION"));
    let outcome = match &admitted {
        Ok((version, _)) => Ok((*version, server)),
        Err(error) => {
            surface.engine.track(error);
            Err(failure_of(error))
        }
    };
    let mut out = Vec::new();
    let encoded = Welcome { outcome }.encode(&mut out);
    encoded.map_err(|error| io::Error::other(error.to_string()))?;
    send(stream, &out, surface.options.send_timeout).await?;
    admitted.map(|(_, visitor)| visitor).map_err(|_| End::Cut(Cut::Hello))
}

/// The version that both speak and who the client is.
fn admit(surface: &Surface, body: &[u8]) -> Result<(u16, Visitor), EngineError> {
    let hello = Hello::decode(body)
        .map_err(|error| EngineError::new(Code::InvalidRequestId, format!("no hello: {error}")))?;
    let version = hello.agreed().ok_or_else(|| {
        let version = client::wire::VERSION;
        let what = format!("this server speaks version {version} of the protocol");
        EngineError::new(Code::Unsupported, what)
    })?;
    let now = surface.engine.clock().wall();
    Ok((version, surface.auth.admit(Some(hello.key), now)?))
}

/// Reads what has come; none when nothing has.
fn fill(stream: &UnixStream, inbox: &mut FrameBuffer) -> io::Result<Option<usize>> {
    match stream.try_read(inbox.room()) {
        Ok(read) => {
            inbox.filled(read);
            Ok(Some(read))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes all of it, as long as the client takes something now and then.
async fn send(stream: &UnixStream, bytes: &[u8], patience: Duration) -> Result<(), End> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match stream.try_write(rest) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match timeout(patience, stream.writable()).await {
                    Ok(writable) => writable?,
                    Err(_) => return Err(End::Cut(Cut::SlowReader)),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes answers, as they gather.
async fn write(shared: &Shared, stream: &UnixStream) -> End {
    let mut batch = Batch::default();
    loop {
        shared.outbox.take(&mut batch);
        if batch.bytes.is_empty() {
            shared.outbox.filled().await;
            continue;
        }
        let patience = shared.surface.options.send_timeout;
        if let Err(end) = send(stream, &batch.bytes, patience).await {
            return end;
        }
    }
}

/// Reads requests and has them done.
async fn read(
    shared: &Arc<Shared>,
    mut local: Local,
    stream: &UnixStream,
    mut inbox: FrameBuffer,
) -> End {
    let mut reserved: Option<Reservation> = None;
    let mut stopping = shared.surface.stopping.subscribe();
    loop {
        while inbox.is_ready() {
            has_room(&shared.outbox).await;
            if !take_frame(shared, &mut local, &mut inbox) {
                drained(&shared.outbox).await;
                return End::Cut(Cut::Hello);
            }
        }
        if shared.outbox.bytes() > 0 {
            // The other half of this task writes what was answered at once.
            tokio::task::yield_now().await;
        }
        let is_within = !inbox.is_empty();
        match fill_reserved(shared, stream, &mut inbox, &mut reserved).await {
            Ok(Some(0)) => {
                drained(&shared.outbox).await;
                return End::Done;
            }
            Ok(Some(_)) => continue,
            Ok(None) => {}
            Err(end) => return end,
        }
        let came = async {
            tokio::select! {
                readable = stream.readable() => readable.map(|()| true),
                _ = stopping.wait_for(|stopping| *stopping), if !is_within => Ok(false),
            }
        };
        let patience = if is_within { shared.surface.options.frame_timeout } else { Duration::MAX };
        match timeout(patience, came).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                drained(&shared.outbox).await;
                return End::Done;
            }
            Ok(Err(error)) => return error.into(),
            Err(_) => return End::Cut(Cut::SlowFrame),
        }
    }
}

/// Reads what has come, with memory for it.
async fn fill_reserved(
    shared: &Shared,
    stream: &UnixStream,
    inbox: &mut FrameBuffer,
    reserved: &mut Option<Reservation>,
) -> Result<Option<usize>, End> {
    // The room is made first: how much it is decides what is reserved.
    _ = inbox.room();
    let wanted = if inbox.capacity() > SMALL_BYTES { inbox.capacity() as u64 } else { 0 };
    let mut waited = Duration::ZERO;
    loop {
        let held = reserved.as_ref().map_or(0, Reservation::bytes);
        let budget = &shared.surface.engine.budget;
        let grown = match reserved {
            _ if wanted == 0 => {
                *reserved = None;
                Ok(())
            }
            Some(reserved) if wanted >= held => reserved.grow(wanted - held),
            Some(reserved) => {
                reserved.shrink(held - wanted);
                Ok(())
            }
            None => budget.reserve("frames", wanted).map(|new| *reserved = Some(new)),
        };
        let Err(error) = grown else { return Ok(fill(stream, inbox)?) };
        if waited >= shared.surface.options.frame_timeout {
            let refused = failed(0, None, Code::MemoryLimit, error.to_string());
            shared.outbox.put(&refused);
            drained(&shared.outbox).await;
            return Err(End::Cut(Cut::SlowFrame));
        }
        tokio::time::sleep(BREATH).await;
        waited += BREATH;
    }
}

/// Waits until another request may be taken.
async fn has_room(outbox: &Outbox) {
    while outbox.in_flight() >= IN_FLIGHT_MAX || outbox.bytes() > OUTBOX_BYTES_MAX {
        outbox.progress().await;
    }
}

/// Waits until everything is answered and written.
async fn drained(outbox: &Outbox) {
    while outbox.in_flight() > 0 || outbox.bytes() > 0 {
        outbox.progress().await;
    }
}

/// Has the next frame done. False when the connection cannot go on behind it.
fn take_frame(shared: &Arc<Shared>, local: &mut Local, inbox: &mut FrameBuffer) -> bool {
    let meters = &shared.surface.meters;
    match inbox.next() {
        Next::More => true,
        Next::Frame(body) => {
            meters.frames.increment();
            match Request::decode(body) {
                Ok(request) => {
                    dispatch(shared, local, &request);
                    true
                }
                Err(error) => {
                    meters.malformed.increment();
                    let id = Request::id_of(body);
                    let failure = Failure::new(error.code(), error.to_string());
                    let command = None;
                    shared.outbox.put(&client::wire::Response::failed(id, command, failure));
                    error.code() != client::ErrorCode::InvalidRequestId
                }
            }
        }
        Next::TooLarge { body_bytes, request } => {
            meters.frames.increment();
            meters.malformed.increment();
            let max = client::wire::BODY_BYTES_MAX;
            let what = format!("a frame has at most {max} bytes; this one has {body_bytes}");
            shared.outbox.put(&failed(request, None, Code::FrameTooLarge, what));
            true
        }
    }
}

/// Locks what no code here panics while it holds.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
