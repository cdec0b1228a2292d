//! Listeners for syslog: TCP, TLS and UDP, each of them only when it is configured.
//!
//! # Back-pressure
//!
//! Syslog has no acknowledgement. A connection that cannot store what it has read stops reading,
//! so that its sender's socket fills and the sender waits or keeps what it has: nothing is lost on
//! the way. A datagram that finds no room is dropped and counted.
//!
//! # Invariants
//!
//! - Nothing is read from whom `logs.syslog.allow` does not name; with mutual TLS nothing is read
//!   before the handshake is done.
//! - A connection holds one message, one piece of what was read and the entries of that piece; its
//!   memory is reserved when it is accepted ([`CONNECTION_BYTES`]).
//! - When the server stops, what was read is stored, and nothing more is read.
//! - Whoever is not read is counted, and told of in the server's log ([`notices`]).

mod connection;
mod datagrams;
mod meters;
mod notices;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::clock::ClockRef;
use base::memory::Budget;
use logstore::{Entry, LogError};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::config::{Network, Syslog as Options};
use crate::engine::{Engine, EngineError, Logs};
use crate::tls::ServerTls;

pub use meters::ALL as METRICS;
use meters::{Meters, Protocol, Refusal};
use notices::Notices;

/// Memory of a connection.
pub const CONNECTION_BYTES: u64 = 200 * 1024;
/// How long a sender may take for a handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How often it is looked whether there is room again.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long accepting rests when the system has no file descriptor left.
const BREATH: Duration = Duration::from_millis(50);

/// What every listener and connection needs.
struct Shared {
    logs: Arc<Logs>,
    clock: ClockRef,
    budget: Budget,
    allow: Vec<Network>,
    /// How long a message waits for its next line.
    join_within: Duration,
    meters: Meters,
    notices: Notices,
    stopping: watch::Sender<bool>,
    open: AtomicUsize,
    quiet: Notify,
}

/// Listeners that listen.
pub struct Listening {
    /// Where TCP is taken.
    pub tcp: Option<SocketAddr>,
    /// Where UDP is taken.
    pub udp: Option<SocketAddr>,
    /// Where TLS is taken.
    pub tls: Option<SocketAddr>,
    shared: Arc<Shared>,
    accepting: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening")
            .field("tcp", &self.tcp)
            .field("udp", &self.udp)
            .finish_non_exhaustive()
    }
}

/// Begins to listen wherever the options say so; `tls` is for their TLS listener.
///
/// # Errors
/// The system's, when an address is taken or not of this machine; `Unsupported` without logs.
pub async fn listen(
    engine: &Engine,
    options: &Options,
    join_within: Duration,
    tls: Option<Arc<ServerTls>>,
) -> io::Result<Listening> {
    let failed = |error: EngineError| io::Error::other(error.to_string());
    let shared = Arc::new(Shared {
        logs: Arc::clone(engine.logs().map_err(failed)?),
        clock: ClockRef::clone(engine.clock()),
        budget: engine.budget.clone(),
        allow: options.allow.clone(),
        join_within,
        meters: Meters::new(engine.meters().registry()).map_err(failed)?,
        notices: Notices::default(),
        stopping: watch::Sender::new(false),
        open: AtomicUsize::new(0),
        quiet: Notify::new(),
    });
    let room = Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS)));
    let mut listening =
        Listening { tcp: None, udp: None, tls: None, shared, accepting: Vec::new() };
    if let Some(address) = options.tcp {
        let listener = TcpListener::bind(address).await.map_err(named("logs.syslog.tcp"))?;
        listening.tcp = Some(listener.local_addr()?);
        listening.accept(listener, None, &room);
    }
    if let (Some(of_tls), Some(tls)) = (&options.tls, tls) {
        let listener = TcpListener::bind(of_tls.listen).await.map_err(named("logs.syslog.tls"))?;
        listening.tls = Some(listener.local_addr()?);
        listening.accept(listener, Some(tls), &room);
    }
    if let Some(address) = options.udp {
        let socket = UdpSocket::bind(address).await.map_err(named("logs.syslog.udp"))?;
        listening.udp = Some(socket.local_addr()?);
        let held = Held::new(&listening.shared);
        listening.accepting.push(tokio::spawn(datagrams::serve(socket, held)));
    }
    Ok(listening)
}

fn named(setting: &'static str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| {
        let advice = crate::serve::advice(&error, setting);
        io::Error::other(format!("cannot listen, setting={setting} error={error}{advice}"))
    }
}

impl Listening {
    fn accept(
        &mut self,
        listener: TcpListener,
        tls: Option<Arc<ServerTls>>,
        room: &Arc<Semaphore>,
    ) {
        let (shared, room) = (Arc::clone(&self.shared), Arc::clone(room));
        self.accepting.push(tokio::spawn(accept(listener, shared, tls, room)));
    }

    /// Reads nothing more; connections end when what they have read is stored.
    pub fn refuse(&self) {
        self.shared.stopping.send_replace(true);
    }

    /// Returns when every connection has ended.
    pub async fn quiet(&self) {
        loop {
            let told = self.shared.quiet.notified();
            if self.shared.open.load(Ordering::Acquire) == 0 {
                return;
            }
            told.await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

/// Counts something that is open for as long as it is.
struct Held(Arc<Shared>);

impl Held {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    tls: Option<Arc<ServerTls>>,
    room: Arc<Semaphore>,
) {
    let mut stopping = shared.stopping.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stops(&mut stopping) => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection of syslog was not accepted");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        if !shared.allows(peer.ip()) {
            shared.refuse(Refusal::NotAllowed, peer.ip());
            continue;
        }
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            shared.refuse(Refusal::TooMany, peer.ip());
            continue;
        };
        let Ok(memory) = shared.budget.reserve("syslog connection", CONNECTION_BYTES) else {
            shared.refuse(Refusal::NoMemory, peer.ip());
            continue;
        };
        let (held, tls) = (Held::new(&shared), tls.clone());
        tokio::spawn(async move {
            serve(held, stream, peer, tls, permit).await;
            drop(memory);
        });
    }
}

async fn serve(
    held: Held,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerTls>>,
    _permit: OwnedSemaphorePermit,
) {
    let shared = &held.0;
    shared.meters.connections.add(1.0);
    match tls {
        None => connection::serve(shared, stream, Protocol::Tcp, peer).await,
        Some(tls) => {
            let shaken = TlsAcceptor::from(tls.config()).accept(stream);
            match timeout(HANDSHAKE_TIME, shaken).await {
                Ok(Ok(stream)) => connection::serve(shared, stream, Protocol::Tls, peer).await,
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "a TLS handshake of syslog failed");
                    shared.refuse(Refusal::Handshake, peer.ip());
                }
                Err(_) => shared.refuse(Refusal::Handshake, peer.ip()),
            }
        }
    }
    shared.meters.connections.add(-1.0);
}

/// Ends when nothing more is to be read.
async fn stops(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// What is stored when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WithoutRoom {
    /// It waits.
    Wait,
    /// It is dropped, and counted.
    Drop,
}

impl Shared {
    fn allows(&self, peer: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|network| network.contains(peer))
    }

    /// Counts what was refused, and tells of it now and then.
    fn refuse(&self, why: Refusal, peer: IpAddr) {
        self.meters.refused(why);
        self.notices.refused(why, peer, self.clock.now());
    }

    /// Stores entries, in pieces that the queue can take.
    async fn store(&self, mut entries: Vec<Entry>, without_room: WithoutRoom) {
        let (entries_max, bytes_max) = self.logs.piece_max();
        while !entries.is_empty() {
            let mut bytes = 0;
            let fits = entries.iter().take(entries_max).take_while(|entry| {
                bytes += entry.cost_bytes();
                bytes <= bytes_max
            });
            // An entry alone always fits into an empty queue.
            let rest = entries.split_off(fits.count().max(1));
            let mut piece = std::mem::replace(&mut entries, rest);
            self.store_piece(&mut piece, without_room).await;
        }
    }

    async fn store_piece(&self, piece: &mut Vec<Entry>, without_room: WithoutRoom) {
        let mut has_waited = false;
        loop {
            let error = match self.logs.store().offer(piece) {
                // Nobody is told when it is committed.
                Ok(completion) => return drop(completion),
                Err(error) => error,
            };
            let is_full = matches!(error, LogError::QueueFull { .. } | LogError::DiskFull { .. });
            if !is_full || without_room == WithoutRoom::Drop {
                self.logs.store().give_up(piece, &error);
                return;
            }
            if !has_waited {
                self.meters.waits.increment();
                has_waited = true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
