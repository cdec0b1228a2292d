//! Accepting connections: as many as may be, each on a task of its own, until the surface stops.
//!
//! With TLS, the handshake is part of the connection: it has a place among `http.max_connections`,
//! and as long as the head of a request may take, `http.header_timeout`. Nothing of HTTP is read
//! before it is done.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower_service::Service as _;

use super::connection::{Answer, Pulse, Timed, UnderWay};
use super::metrics::{Cut, Handshake};
use super::{Surface, compress, cors, routes};
use crate::tls::ServerTls;

/// Connections when the system does not say how many files may be open.
const CONNECTIONS_ASSUMED: usize = 1024;
/// Requests of one HTTP/2 connection that may be under way at once.
const STREAMS_MAX: u32 = 256;
/// How long accepting rests when the system has no file descriptor left.
const BREATH: std::time::Duration = std::time::Duration::from_millis(50);

/// A surface that listens.
#[derive(Debug)]
pub struct Listening {
    /// Where, with the port that the system chose if it was to choose.
    pub address: SocketAddr,
    surface: Arc<Surface>,
    accepting: JoinHandle<()>,
}

/// What every connection is served with.
struct Server {
    surface: Arc<Surface>,
    /// None for plain HTTP.
    tls: Option<Arc<ServerTls>>,
    router: Router,
    builder: auto::Builder<TokioExecutor>,
}

/// Begins to listen, with TLS if there is any. `descriptors` is how many connections the system can
/// hold when `http.max_connections` leaves it to that.
///
/// # Errors
/// The system's, when the address is taken or not of this machine.
pub async fn listen(
    surface: Arc<Surface>,
    tls: Option<Arc<ServerTls>>,
    descriptors: Option<usize>,
) -> io::Result<Listening> {
    let listener = TcpListener::bind(surface.options.listen).await?;
    let address = listener.local_addr()?;
    let limit = surface.options.max_connections.or(descriptors).unwrap_or(CONNECTIONS_ASSUMED);
    let server = Arc::new(Server::new(Arc::clone(&surface), tls));
    let room = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
    let accepting = tokio::spawn(accept(listener, server, room));
    Ok(Listening { address, surface, accepting })
}

impl Listening {
    /// Refuses new connections and requests; connections without a request are closed.
    pub fn refuse(&self) {
        self.surface.refuse();
    }

    /// Returns when no request is being answered.
    pub async fn quiet(&self) {
        self.surface.quiet().await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: Arc<Server>, room: Arc<Semaphore>) {
    let mut stopping = server.surface.stopping.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stops(&mut stopping) => return,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&room).try_acquire_owned() {
                Ok(permit) => {
                    tokio::spawn(Arc::clone(&server).connection(stream, permit));
                }
                Err(_) => server.surface.meters.cut(Cut::TooMany),
            },
            Err(error) => {
                // The connection may have gone before it was accepted, or there is no descriptor
                // left: then it is better to wait for one than to ask without end.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Ends when new work is refused.
pub(super) async fn stops(stopping: &mut watch::Receiver<bool>) {
    // Without anybody who could say so, there is nothing to serve any more either.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

impl Server {
    fn new(surface: Arc<Surface>, tls: Option<Arc<ServerTls>>) -> Self {
        let head_max = surface.options.header_bytes_max;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // The connection has clocks of its own, for the idle time too.
            .header_read_timeout(None)
            .max_buf_size(usize::try_from(head_max).unwrap_or(usize::MAX));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(head_max)
            .max_concurrent_streams(STREAMS_MAX);
        let router = compress::around(routes::router(&surface));
        let router = cors::around(router, &surface.options.cors_origins);
        Self { surface, tls, router, builder }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, _permit: OwnedSemaphorePermit) {
        // Small answers are not held back for others to follow.
        _ = stream.set_nodelay(true);
        let connections = &self.surface.meters.connections;
        connections.add(1.0);
        match &self.tls {
            None => self.serve(stream).await,
            Some(tls) => {
                if let Some(stream) = self.shake(tls, stream).await {
                    self.serve(stream).await;
                }
            }
        }
        connections.add(-1.0);
    }

    /// The handshake; none when it failed, took too long, or the server stops.
    async fn shake(&self, tls: &ServerTls, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let meters = &self.surface.meters;
        let mut stopping = self.surface.stopping.subscribe();
        let shaking = TlsAcceptor::from(tls.config()).accept(stream);
        let patience = self.surface.options.header_timeout;
        let shaken = tokio::select! {
            shaken = timeout(patience, shaking) => shaken,
            () = stops(&mut stopping) => return None,
        };
        match shaken {
            Ok(Ok(stream)) => {
                meters.shaken(Handshake::Done);
                Some(stream)
            }
            Ok(Err(error)) => {
                meters.shaken(Handshake::Failed);
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                meters.shaken(Handshake::Slow);
                meters.cut(Cut::SlowHandshake);
                None
            }
        }
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let pulse = Pulse::new(self.surface.engine.new_lane());
        let io = TokioIo::new(Timed::new(stream, &self.surface, &pulse));
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            let under_way = UnderWay::new(&self.surface, &pulse);
            request.extensions_mut().insert(Arc::clone(&pulse));
            let answer = self.router.clone().call(request);
            async move {
                let answer = answer.await?;
                Ok::<_, std::convert::Infallible>(
                    answer.map(|body: Body| Answer::new(body, under_way)),
                )
            }
        });
        let mut connection =
            std::pin::pin!(self.builder.serve_connection_with_upgrades(io, service));
        let mut stopping = self.surface.stopping.subscribe();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = stops(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }
}
