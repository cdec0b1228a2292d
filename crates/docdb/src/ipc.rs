//! The Unix socket: the engine's calls in frames of `client::wire` (docs/formats/ipc.md).
//!
//! It decides nothing about documents. A connection is one task of tokio that cuts what comes into
//! frames (`connection`), has each lowered to a call of the engine (`dispatch`), and writes what
//! has gathered in its output buffer; whoever knows an answer encodes it there itself (`outbox`).
//!
//! Invariants:
//!
//! 1. Every request is answered once: also one that cannot be decoded, is too large, or panics.
//! 2. Nothing waits on a thread of tokio; reads that memory can answer are answered where they
//!    arrive.
//! 3. A connection has at most [`IN_FLIGHT_MAX`] requests under way and stops reading while
//!    [`OUTBOX_BYTES_MAX`] of answers wait for its client; what is held for it beyond small change
//!    is reserved in the process's budget.
//! 4. A client that is silent within a frame, or takes no answers, costs a connection for a bounded
//!    time.
//! 5. Only a stale socket of our own is ever replaced (`listen`).
//! 6. Nothing is done for who may not ask (`access`).
//!
//! Start with [`listen()`].

mod access;
mod changes;
mod connection;
mod databases;
mod dispatch;
mod execute;
mod listen;
mod logs;
mod metrics;
mod outbox;
mod scan;
mod search;
mod tails;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::auth::Auth;
use crate::engine::{Engine, EngineError};

pub use listen::{Listening, listen};
pub use metrics::ALL as METRICS;

/// Requests of one connection that may be under way: fewer than a database's queue takes by default,
/// so that no client alone is ever told `QueueFull`.
pub const IN_FLIGHT_MAX: usize = 512;
/// Bytes of answers that may wait for one client before no more of its requests are read.
pub const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// How long a client may take for its hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client of the server may take no bytes of its answers.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings of the socket.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it is.
    pub path: PathBuf,
    /// Connections that there may be; none = as many as the system can hold.
    pub max_connections: Option<usize>,
    /// How long a client may be silent within a frame.
    pub frame_timeout: Duration,
    /// How long a client may take no bytes of its answers: [`SEND_TIMEOUT`] in the server.
    pub send_timeout: Duration,
}

/// What every connection needs.
pub struct Surface {
    engine: Arc<Engine>,
    auth: Arc<Auth>,
    options: Options,
    meters: metrics::Meters,
    /// True once new requests are refused.
    stopping: watch::Sender<bool>,
    /// Requests under way, of all connections.
    in_flight: AtomicUsize,
    /// Told whenever nothing is under way any more.
    quiet: Notify,
}

impl std::fmt::Debug for Surface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surface").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Surface {
    /// The surface of an engine.
    ///
    /// # Errors
    /// `Internal` when the metrics do not fit together.
    pub fn new(
        engine: Arc<Engine>,
        auth: Arc<Auth>,
        options: Options,
    ) -> Result<Arc<Self>, EngineError> {
        let meters = metrics::Meters::new(engine.meters().registry())?;
        Ok(Arc::new(Self {
            engine,
            auth,
            options,
            meters,
            stopping: watch::Sender::new(false),
            in_flight: AtomicUsize::new(0),
            quiet: Notify::new(),
        }))
    }

    /// Refuses new connections and new requests. What is under way goes on.
    pub fn refuse(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether new requests are refused.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until no request is being answered.
    pub async fn quiet(&self) {
        loop {
            let told = self.quiet.notified();
            let mut told = std::pin::pin!(told);
            told.as_mut().enable();
            if self.in_flight.load(Ordering::Acquire) == 0 {
                return;
            }
            told.await;
        }
    }
}
