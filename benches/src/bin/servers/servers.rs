//! The servers: how each is started, and how a connection to it is made.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use base::io::{Disk as _, RealDisk};
use benches::Scratch;

use crate::ask::Wire;
use crate::http::Requests;
use crate::load::Stream;
use crate::process::Process;
use crate::redis::Resp;
use crate::{postgres, socket};

/// Whom a load asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// docdb over its socket; connections are dealt out to so many databases.
    Socket(u64),
    /// Another docdb, with one worker, over its socket.
    OneWorker,
    /// docdb over HTTP.
    Http,
    /// Redis, which syncs before it answers.
    RedisAlways,
    /// Redis, which syncs once a second.
    RedisEverySecond,
    /// PostgreSQL.
    Postgres,
    /// The echo.
    Echo,
}

/// All of them, running.
#[derive(Debug)]
pub(crate) struct Servers {
    docdb: Process,
    socket: PathBuf,
    http: String,
    one_worker: Process,
    one_worker_socket: PathBuf,
    redis_always: Process,
    redis_always_socket: PathBuf,
    redis_every_second: Process,
    redis_every_second_socket: PathBuf,
    postgres: Process,
    postgres_directory: PathBuf,
    /// Where its user can go: not below the home of another.
    _postgres_place: Scratch,
    echo: Process,
    echo_address: String,
}

/// An address of this machine that was free a moment ago.
fn free_address() -> io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

impl Servers {
    pub(crate) fn start(scratch: &Scratch) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let (http, echo_address) = (free_address()?, free_address()?);
        let (docdb, socket) = ours(&program, scratch, "docdb", &["--http", &http])?;
        let one = ["--http", "off", "--scheduler.workers", "1"];
        let (one_worker, one_worker_socket) = ours(&program, scratch, "one-worker", &one)?;
        let is_there = || TcpStream::connect(&echo_address).is_ok();
        let echo = Process::start(Command::new(&program).args(["echo", &echo_address]), is_there)?;
        let (redis_always, redis_always_socket) = redis(scratch, "always")?;
        let (redis_every_second, redis_every_second_socket) = redis(scratch, "everysec")?;
        let place = Scratch::new(&std::env::temp_dir(), "postgres")?;
        let (postgres, postgres_directory) = start_postgres(&place.path("postgres"))?;
        Ok(Self {
            docdb,
            socket,
            http,
            one_worker,
            one_worker_socket,
            redis_always,
            redis_always_socket,
            redis_every_second,
            redis_every_second_socket,
            postgres,
            postgres_directory,
            _postgres_place: place,
            echo,
            echo_address,
        })
    }

    /// The process that answers a target.
    pub(crate) fn process(&self, target: Target) -> &Process {
        match target {
            Target::Socket(_) | Target::Http => &self.docdb,
            Target::OneWorker => &self.one_worker,
            Target::RedisAlways => &self.redis_always,
            Target::RedisEverySecond => &self.redis_every_second,
            Target::Postgres => &self.postgres,
            Target::Echo => &self.echo,
        }
    }

    /// Connects, as the connection of this number.
    pub(crate) fn connect(
        &self,
        target: Target,
        number: u64,
    ) -> io::Result<(Stream, Box<dyn Wire>)> {
        let documents = "/v1/databases/default/collections/default/documents/";
        Ok(match target {
            Target::Socket(databases) => {
                // Database 0 of any number of them is the one that everything else asks.
                let name = match number % databases {
                    0 => "default".to_owned(),
                    other => format!("bench-{other}"),
                };
                let (stream, frames) = socket::connect(&self.socket, &name)?;
                (Stream::Unix(stream), Box::new(frames))
            }
            Target::OneWorker => {
                let (stream, frames) = socket::connect(&self.one_worker_socket, "default")?;
                (Stream::Unix(stream), Box::new(frames))
            }
            Target::Http => tcp(&self.http, documents)?,
            Target::Echo => tcp(&self.echo_address, "/echo/")?,
            Target::RedisAlways => resp(&self.redis_always_socket)?,
            Target::RedisEverySecond => resp(&self.redis_every_second_socket)?,
            Target::Postgres => {
                let (stream, statements) = postgres::connect(&self.postgres_directory)?;
                (Stream::Unix(stream), Box::new(statements))
            }
        })
    }
}

/// A server of ours, with its files and its socket in the scratch directory under a name.
fn ours(
    program: &Path,
    scratch: &Scratch,
    name: &str,
    options: &[&str],
) -> io::Result<(Process, PathBuf)> {
    let socket = scratch.path(&format!("{name}.sock"));
    let mut command = Command::new(program);
    command.args(["serve", "--log.level", "warn", "--data-dir"]).arg(scratch.path(name));
    command.arg("--socket").arg(&socket).args(options);
    let process = Process::start(&mut command, || socket::connect(&socket, "default").is_ok())?;
    Ok((process, socket))
}

fn tcp(address: &str, path: &'static str) -> io::Result<(Stream, Box<dyn Wire>)> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok((Stream::Tcp(stream), Box::new(Requests { path })))
}

fn resp(socket: &Path) -> io::Result<(Stream, Box<dyn Wire>)> {
    Ok((Stream::Unix(UnixStream::connect(socket)?), Box::new(Resp)))
}

/// Redis with an append-only file, and nothing else.
fn redis(scratch: &Scratch, sync: &str) -> io::Result<(Process, PathBuf)> {
    let directory = scratch.path(&format!("redis-{sync}"));
    RealDisk.create_dir(&directory)?;
    let socket = scratch.path(&format!("redis-{sync}.sock"));
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", sync]);
    command.arg("--unixsocket").arg(&socket).arg("--dir").arg(&directory);
    let process = Process::start(&mut command, || UnixStream::connect(&socket).is_ok())?;
    Ok((process, socket))
}

/// PostgreSQL, which does not run as root: as the user that its package makes.
fn start_postgres(directory: &Path) -> io::Result<(Process, PathBuf)> {
    let script = format!(
        "set -e; bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1); \
         install -d -o postgres {directory}; \
         setpriv --reuid postgres --regid postgres --clear-groups \
         $bin/initdb -D {directory}/data -A trust -E UTF8 >{directory}/initdb.log; \
         exec setpriv --reuid postgres --regid postgres --clear-groups \
         $bin/postgres -D {directory}/data -k {directory} -c listen_addresses= \
         -c shared_buffers=1GB -c max_wal_size=4GB -c max_connections=200 2>{directory}/log",
        directory = directory.display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    let process = Process::start(&mut command, || postgres::connect(directory).is_ok())?;
    Ok((process, directory.to_owned()))
}
