//! The server as a process: the engine and its surfaces, from the first line of its log to its exit
//! code.
//!
//! What happens at the end, and in which order, is the table of [`stop`]. Start with [`run`].

mod descriptors;
mod renew;
mod stop;

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::clock::{ClockRef, SystemClock};
use base::error::Coded;
use base::io::DiskRef;
use base::shutdown::{Outcome, Phase, Shutdown};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use wal::Environment;

use crate::alerts::{Alerts, Look, Source};
use crate::auth::{Auth, Exposure};
use crate::config::{Config, Machine};
use crate::engine::{Engine, EngineOptions};
use crate::http::{Listening, Surface, listen};
use crate::ingest::listen as syslog;
use crate::ipc;
use crate::logging;
use crate::scheduler::SchedulerOptions;
use crate::tls::{Purpose, ServerTls};
use descriptors::connections_max;
use renew::Renewal;

/// Threads for operations that take long, beside those for requests.
const OPERATION_THREADS: usize = 4;
/// How long the end waits for alerts that are not posted yet.
const ALERTS_TIME: Duration = Duration::from_secs(2);

/// Serves until a signal ends it.
///
/// # Errors
/// What kept it from starting, with its code: another process has the directory, the address is
/// taken, a setting is refused.
pub fn run(config: &Config, machine: &Machine, disk: DiskRef) -> io::Result<ExitCode> {
    let clock = SystemClock::shared();
    let events = logging::install(&config.log, &clock);
    descriptors::raise();
    let version = env!("CARGO_PKG_VERSION");
    let data_dir = config.data_dir.display();
    tracing::info!(version, pid = std::process::id(), %data_dir, "docdb starts");
    let guard = guard(config, &disk, &clock)?;
    let shutdown = Arc::new(Shutdown::new(Arc::clone(&clock), config.shutdown_timeout));
    let env = Environment { disk, clock, reserve: None };
    let mut options = options(config);
    if options.databases_open_max == 0 {
        options.databases_open_max = descriptors::databases_max().unwrap_or(0);
    }
    let engine = Engine::start(env, options).map_err(failed)?;
    events.connect(engine.logs().ok().map(|logs| Arc::clone(logs.store())));
    let alerts = start_alerts(config, &engine, &guard)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(machine.cores.max(1))
        .thread_name("network")
        .enable_io()
        .enable_time()
        .build()?;
    let alerts = Mutex::new(Some(alerts));
    let serving =
        Serving { engine: Arc::clone(&engine), http: None, socket: None, syslog: None, alerts };
    let served = runtime.block_on(serve(config, serving, &guard, &shutdown));
    // What a forced end left behind ends with the process.
    runtime.shutdown_background();
    let outcome = served.inspect_err(|_| {
        // It never served, so there is nothing to wait for.
        if let Err(error) = engine.close() {
            tracing::error!(%error, "the databases were not closed as they should be");
        }
    })?;
    match outcome {
        Outcome::Clean => tracing::info!("docdb has stopped"),
        Outcome::TimedOut => {
            tracing::warn!("the shutdown took longer than shutdown_timeout and was cut off");
        }
        Outcome::Forced => tracing::warn!("a second signal cut the shutdown off"),
    }
    Ok(ExitCode::from(outcome.exit_code()))
}

fn failed(error: impl Coded + std::fmt::Display) -> io::Error {
    let code = error.code().name();
    io::Error::other(format!("{error} code={code}"))
}

/// What can be done about an address where nobody can listen, by the `flag` that names it.
pub(crate) fn advice(error: &io::Error, flag: &str) -> String {
    let kind = error.kind();
    let what = if kind == io::ErrorKind::AddrInUse {
        "another program, or another docdb, listens there: stop it, or choose another address"
    } else if kind == io::ErrorKind::PermissionDenied {
        "ports below 1024 are not for everybody: choose another"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "it is no address of this machine: choose another"
    } else {
        return String::new();
    };
    format!("; {what} with --{flag}")
}

/// The engine's options out of the configuration.
#[must_use]
pub fn options(config: &Config) -> EngineOptions {
    EngineOptions {
        dir: config.data_dir.clone(),
        store: config.store_options(),
        memory_bytes: config.memory.total_bytes,
        scheduler: SchedulerOptions {
            workers: config.scheduler.workers,
            worker_expiry: config.scheduler.worker_expiry,
            pre_alloc: config.scheduler.pre_alloc,
            queue_depth: config.scheduler.queue_depth,
            max_total_queued: config.scheduler.max_total_queued.unwrap_or(0),
        },
        weights: config.scheduler.weights.clone(),
        databases_open_max: config.databases.max_open.unwrap_or(0),
        idle_timeout: config.databases.idle_timeout.unwrap_or(Duration::ZERO),
        transaction_timeout: config.transactions.timeout,
        operation_threads: OPERATION_THREADS,
        slow_after: config.log.slow_after,
        logs: config.logs.as_ref().map(|logs| logs.store.clone()),
        logs_close: config.shutdown_timeout / 6,
        query_threads: config.scheduler.query_workers,
        search: config.search_options(),
    }
}

/// Keys and certificate, or why the server must not start without them.
fn guard(config: &Config, disk: &DiskRef, clock: &ClockRef) -> io::Result<Renewal> {
    let http = config.http.as_ref();
    let auth = Auth::open(disk, &config.data_dir, Exposure::of(http)).map_err(io::Error::other)?;
    if let Some(http) = http.filter(|_| auth.is_locked_out()) {
        let what = format!(
            "http.listen is beyond loopback, where every request needs an API key, and there is \
             none; make one with `docdb key add`, or say --insecure address={}",
            http.listen
        );
        return Err(io::Error::other(what));
    }
    let files = http.and_then(|http| http.tls.as_ref());
    let tls = files.map(|files| ServerTls::load(disk, files, clock.wall())).transpose();
    let tls = tls.map_err(io::Error::other)?.map(Arc::new);
    let of_syslog = config.logs.as_ref().and_then(|logs| logs.syslog.tls.as_ref());
    let syslog_tls = of_syslog.map(|of| {
        let purpose = Purpose::Syslog { client_ca: of.client_ca.clone() };
        ServerTls::load_for(purpose, disk, &of.files, clock.wall())
    });
    let syslog_tls = syslog_tls.transpose().map_err(io::Error::other)?.map(Arc::new);
    Ok(Renewal { auth: Arc::new(auth), tls, syslog_tls, clock: ClockRef::clone(clock) })
}

fn start_alerts(config: &Config, engine: &Arc<Engine>, guard: &Renewal) -> io::Result<Alerts> {
    let (looked, guard) = (Arc::clone(engine), guard.clone());
    let source = Source {
        tracker: Arc::clone(engine.tracker()),
        look: Box::new(move || {
            let mut look = Look::at(&looked.health());
            guard.look(&mut look);
            look
        }),
        clock: ClockRef::clone(engine.clock()),
        server: config.data_dir.display().to_string(),
    };
    Alerts::start(source, config.alerts.webhook_url.as_ref(), engine.meters().registry())
}

/// What serves.
struct Serving {
    engine: Arc<Engine>,
    http: Option<Listening>,
    socket: Option<ipc::Listening>,
    syslog: Option<syslog::Listening>,
    /// Taken when it is stopped.
    alerts: Mutex<Option<Alerts>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Still there when it never served: nobody waits for what could not be told then.
        self.stop_alerts(Duration::ZERO);
    }
}

impl Serving {
    fn stop_alerts(&self, time: Duration) {
        let alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(alerts) = alerts {
            alerts.stop(time);
        }
    }
}

async fn serve(
    config: &Config,
    mut serving: Serving,
    guard: &Renewal,
    shutdown: &Arc<Shutdown>,
) -> io::Result<Outcome> {
    // Before anybody is told that it serves: a signal from now on ends it in order.
    let signals = Signals::new()?;
    let hangups = signal(SignalKind::hangup())?;
    serving.http = start_http(config, &serving.engine, guard).await?;
    serving.socket = start_socket(config, &serving.engine, guard)?;
    serving.syslog = start_syslog(config, &serving.engine, guard).await?;
    let serving = Arc::new(serving);
    tokio::spawn(guard.clone().run(hangups));
    tracing::info!("docdb serves");
    let told = Arc::new(Told::default());
    tokio::spawn(signals.listen(Arc::clone(shutdown), Arc::clone(&told)));
    told.first.notified().await;
    let grace = config.shutdown_timeout;
    tracing::info!(?grace, "docdb stops; a second signal ends it at once");
    Ok(stop::stop(shutdown, &told.second, &serving).await)
}

async fn start_http(
    config: &Config,
    engine: &Arc<Engine>,
    guard: &Renewal,
) -> io::Result<Option<Listening>> {
    let Some(http) = &config.http else { return Ok(None) };
    let auth = Arc::clone(&guard.auth);
    let surface = Surface::new(Arc::clone(engine), auth, http.clone()).map_err(failed)?;
    let listening = listen(surface, guard.tls.clone(), connections_max()).await;
    let listening = listening.map_err(|error| {
        let advice = advice(&error, "http");
        io::Error::other(format!("cannot listen, address={} error={error}{advice}", http.listen))
    })?;
    let tls = guard.tls.is_some();
    tracing::info!(address = %listening.address, tls, "HTTP listens");
    Ok(Some(listening))
}

fn start_socket(
    config: &Config,
    engine: &Arc<Engine>,
    guard: &Renewal,
) -> io::Result<Option<ipc::Listening>> {
    let Some(socket) = &config.socket else { return Ok(None) };
    let options = ipc::Options {
        path: socket.path.clone(),
        max_connections: socket.max_connections,
        frame_timeout: socket.frame_timeout,
        send_timeout: ipc::SEND_TIMEOUT,
    };
    let auth = Arc::clone(&guard.auth);
    let surface = ipc::Surface::new(Arc::clone(engine), auth, options).map_err(failed)?;
    let path = socket.path.display();
    let listening = ipc::listen(surface, connections_max()).map_err(|error| {
        let advice = advice(&error, "socket");
        io::Error::other(format!("cannot listen, socket={path} error={error}{advice}"))
    })?;
    tracing::info!(socket = %path, "the socket listens");
    Ok(Some(listening))
}

async fn start_syslog(
    config: &Config,
    engine: &Arc<Engine>,
    guard: &Renewal,
) -> io::Result<Option<syslog::Listening>> {
    let Some(logs) = &config.logs else { return Ok(None) };
    let join_within = logs.store.batch_timeout;
    let tls = guard.syslog_tls.clone();
    let listening = syslog::listen(engine, &logs.syslog, join_within, tls).await?;
    let at = [("tcp", listening.tcp), ("udp", listening.udp), ("tls", listening.tls)];
    for (protocol, address) in at {
        if let Some(address) = address {
            tracing::info!(protocol, %address, "syslog is taken");
        }
    }
    Ok(Some(listening))
}

impl stop::Parts for Arc<Serving> {
    fn refuse(&self) {
        if let Some(http) = &self.http {
            http.refuse();
        }
        if let Some(socket) = &self.socket {
            socket.surface().refuse();
        }
        if let Some(syslog) = &self.syslog {
            syslog.refuse();
        }
        self.engine.refuse();
    }

    async fn drained(&self) {
        let engine = Arc::clone(&self.engine);
        // Bounded by the phase, which gives up waiting for it.
        let wait = move || engine.wait_idle(Duration::MAX);
        _ = tokio::task::spawn_blocking(wait).await;
    }

    async fn finished(&self) {
        if let Some(http) = &self.http {
            http.quiet().await;
        }
        if let Some(socket) = &self.socket {
            socket.surface().quiet().await;
        }
        if let Some(syslog) = &self.syslog {
            syslog.quiet().await;
        }
    }

    async fn closed(&self) {
        let serving = Arc::clone(self);
        let close = move || {
            let closed = serving.engine.close();
            // Last, so that what went wrong in closing is told too.
            serving.stop_alerts(ALERTS_TIME);
            closed
        };
        match tokio::task::spawn_blocking(close).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, code = %error.code, "a database did not close in order");
            }
            Err(error) => tracing::error!(%error, "closing panicked"),
        }
    }
}

/// Who waits for signals.
#[derive(Debug, Default)]
struct Told {
    first: Notify,
    second: Notify,
}

/// The signals that end the process.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn listen(mut self, shutdown: Arc<Shutdown>, told: Arc<Told>) {
        loop {
            let came = tokio::select! {
                came = self.terminate.recv() => came,
                came = self.interrupt.recv() => came,
            };
            if came.is_none() {
                return;
            }
            match shutdown.signal() {
                Phase::Ended => told.second.notify_one(),
                Phase::Serving | Phase::Drain | Phase::Finish | Phase::Close => {}
            }
            told.first.notify_one();
        }
    }
}
