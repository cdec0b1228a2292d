//! The HTTP surface: the engine's calls as JSON over HTTP/1.1 and HTTP/2.
//!
//! It decides nothing about documents: a handler reads a request ([`call`]), makes words of the
//! engine out of it, and writes what the engine answered ([`respond`]). One file per resource; each
//! lists its routes with what they take and answer, and both the router and `/openapi.json` are made
//! of these lists ([`routes`]), so that nothing is served that is not described.
//!
//! # Invariants
//!
//! - Every request is answered once, with a request id, whatever becomes of its handler.
//! - Nothing waits on a thread of tokio: engine answers come through [`call::ask`].
//! - No body is held in memory beyond its limit, and what is held is reserved in the process's
//!   budget.
//! - A client that is slow, silent or gone costs a connection for a bounded time ([`connection`]);
//!   so does one that does not finish its TLS handshake ([`listen`](mod@listen)).
//! - Nobody is answered who may not ask ([`access`]).
//!
//! Start with [`Surface`], then [`dispatch`].

mod access;
mod batch;
mod body;
mod bulk;
mod call;
mod changes;
mod collections;
mod compress;
mod connection;
mod cors;
mod databases;
pub mod decode;
mod dispatch;
mod documents;
mod error;
mod health;
mod id;
mod json;
mod listen;
mod logs;
mod metrics;
mod namespaces;
mod openapi;
mod operations;
mod parameters;
mod respond;
mod routes;
mod rows;
mod scan;
pub(crate) mod search;
mod server;
mod time;
mod transactions;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

use crate::auth::Auth;
use crate::config::Http as HttpOptions;
use crate::engine::{Engine, EngineError};

pub use listen::{Listening, listen};
pub use metrics::ALL as METRICS;

/// The status of an answer with this code, unless a route says otherwise.
#[must_use]
pub fn http_status(code: base::error::Code) -> u16 {
    error::status_of(code).as_u16()
}

/// What every request needs.
pub struct Surface {
    engine: Arc<Engine>,
    auth: Arc<Auth>,
    options: HttpOptions,
    meters: metrics::Meters,
    /// Makes the ids of requests.
    ids: dispatch::RequestIds,
    /// True once new requests are refused.
    stopping: watch::Sender<bool>,
    in_flight: AtomicUsize,
    /// Told whenever nothing is in flight any more.
    quiet: Notify,
}

impl std::fmt::Debug for Surface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        f.debug_struct("Surface").field("in_flight", &in_flight).finish_non_exhaustive()
    }
}

impl Surface {
    /// The surface of an engine.
    ///
    /// # Errors
    /// `Internal` when the metrics do not fit together or the system gives no random numbers.
    pub fn new(
        engine: Arc<Engine>,
        auth: Arc<Auth>,
        options: HttpOptions,
    ) -> Result<Arc<Self>, EngineError> {
        let meters = metrics::Meters::new(engine.meters().registry())?;
        let ids = dispatch::RequestIds::new()?;
        Ok(Arc::new(Self {
            engine,
            auth,
            options,
            meters,
            ids,
            stopping: watch::Sender::new(false),
            in_flight: AtomicUsize::new(0),
            quiet: Notify::new(),
        }))
    }

    /// Refuses new requests: they are answered 503, `/health/ready` says so, connections without a
    /// request are closed, and streams of changes end.
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
            if self.in_flight.load(Ordering::Acquire) == 0 {
                return;
            }
            told.await;
        }
    }
}
