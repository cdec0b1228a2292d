//! The Unix socket of a server in this process, over a real socket and a real directory.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "what these tests share fails them by panicking; they look at files themselves"
)]

mod frames;
pub(crate) mod keys;
mod life;
mod typed;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::clock::SystemClock;
use base::io::RealDisk;
use client::Client;
use docdb::auth::{Auth, Exposure};
use docdb::engine::{Engine, EngineOptions};
use docdb::ipc::{Listening, Options, Surface, listen};
use docdb::scheduler::SchedulerOptions;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wal::Environment;

/// How long is waited for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server.
pub(crate) struct Server {
    engine: Arc<Engine>,
    auth: Arc<Auth>,
    path: PathBuf,
    listening: Option<Listening>,
    runtime: Runtime,
    _dir: TempDir,
}

fn engine(dir: &Path) -> Arc<Engine> {
    engine_of(dir, |_| {})
}

fn engine_of(dir: &Path, change: impl FnOnce(&mut EngineOptions)) -> Arc<Engine> {
    let env = Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None };
    let mut options = EngineOptions {
        dir: dir.join("data"),
        store: docstore::Options::default(),
        memory_bytes: 1 << 30,
        scheduler: SchedulerOptions {
            workers: 2,
            worker_expiry: Duration::from_secs(1),
            pre_alloc: false,
            queue_depth: 10_000,
            max_total_queued: 0,
        },
        weights: std::collections::BTreeMap::new(),
        databases_open_max: 0,
        idle_timeout: Duration::from_secs(300),
        transaction_timeout: Duration::from_secs(30),
        operation_threads: 2,
        slow_after: Duration::ZERO,
        logs: None,
        logs_close: Duration::from_secs(5),
        query_threads: 2,
        search: docdb::engine::SearchOptions::default(),
    };
    change(&mut options);
    Engine::start(env, options).unwrap()
}

/// The keys of the server below `dir`.
fn auth_in(dir: &Path) -> Arc<Auth> {
    let data = dir.join("data");
    Arc::new(Auth::open(&RealDisk::shared(), &data, Exposure::Closed).unwrap())
}

fn server_with(change: impl FnOnce(&mut Options)) -> Server {
    server_of(|_| {}, change)
}

pub(crate) fn server_of(
    change_engine: impl FnOnce(&mut EngineOptions),
    change: impl FnOnce(&mut Options),
) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine_of(dir.path(), change_engine);
    let path = dir.path().join("docdb.sock");
    let mut options = Options {
        path: path.clone(),
        max_connections: None,
        frame_timeout: Duration::from_secs(30),
        send_timeout: docdb::ipc::SEND_TIMEOUT,
    };
    change(&mut options);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let auth = auth_in(dir.path());
    let surface = Surface::new(Arc::clone(&engine), Arc::clone(&auth), options).unwrap();
    let listening = runtime.block_on(async { listen(surface, None) }).unwrap();
    Server { engine, auth, path, listening: Some(listening), runtime, _dir: dir }
}

fn server() -> Server {
    server_with(|_| {})
}

impl Server {
    pub(crate) fn address(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        client::Options::new().timeout(PATIENCE).connect(self.address()).unwrap()
    }

    fn stream(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.client().metrics(client::MetricsFormat::Prometheus).unwrap();
        let line = metrics.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
        });
        let value = line.and_then(|line| line.rsplit(' ').next()).unwrap_or("0");
        value.parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.listening.take());
        let closed = self.engine.close();
        assert!(std::thread::panicking() || closed.is_ok(), "{closed:?}");
    }
}

/// Waits until `holds`.
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let (never, end) = std::sync::mpsc::sync_channel::<()>(0);
    let step = Duration::from_millis(5);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if holds() {
            return;
        }
        assert!(end.recv_timeout(step).is_err());
    }
    drop(never);
    panic!("{what}: it did not happen");
}
