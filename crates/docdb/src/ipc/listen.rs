//! The socket's file, and accepting connections.
//!
//! The socket is made under another name in a directory that only we can enter, given mode 0600,
//! and renamed to its place: nobody can connect before its mode is right, and a stale one is
//! replaced in one step. What stands in that place is looked at first: only a socket of our own
//! user that nobody listens on is stale. Anything else is left alone, and starting fails.

#![expect(
    clippy::disallowed_methods,
    reason = "base::io is the door to files with bytes in them; a socket's name is none"
)]

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::error::Code;
use client::wire::{Failure, Welcome};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::Surface;
use super::connection::serve;
use super::metrics::Cut;

/// Connections when the system does not say how many files may be open.
const CONNECTIONS_ASSUMED: usize = 1024;
/// How long accepting rests when the system has no file descriptor left.
const BREATH: Duration = Duration::from_millis(50);
/// Permissions of the socket.
const MODE: u32 = 0o600;

/// A surface that listens.
#[derive(Debug)]
pub struct Listening {
    surface: Arc<Surface>,
    accepting: JoinHandle<()>,
    /// The socket's file, to know it again.
    made: Made,
}

#[derive(Debug)]
struct Made {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Begins to listen, on the runtime of the caller. `descriptors` is how many connections the system
/// can hold when `ipc.max_connections` leaves it to that.
///
/// # Errors
/// The system's; `AddrInUse` when somebody listens there, `AlreadyExists` when what stands there is
/// no stale socket of ours.
pub fn listen(surface: Arc<Surface>, descriptors: Option<usize>) -> io::Result<Listening> {
    let path = surface.options.path.clone();
    let (listener, made) = bind(&path)?;
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let limit = surface.options.max_connections.or(descriptors).unwrap_or(CONNECTIONS_ASSUMED);
    let room = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
    let accepting = tokio::spawn(accept(listener, Arc::clone(&surface), room));
    Ok(Listening { surface, accepting, made })
}

impl Listening {
    /// The surface.
    #[must_use]
    pub fn surface(&self) -> &Arc<Surface> {
        &self.surface
    }

    /// Refuses new connections and requests, and returns when all that were under way are answered.
    pub async fn stop(&self) {
        self.surface.refuse();
        self.surface.quiet().await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.surface.refuse();
        self.accepting.abort();
        // Ours, and not that of a process that took its place.
        let ours = std::fs::symlink_metadata(&self.made.path)
            .is_ok_and(|at| at.dev() == self.made.device && at.ino() == self.made.inode);
        if ours && let Err(error) = std::fs::remove_file(&self.made.path) {
            tracing::warn!(%error, "the socket was not removed");
        }
    }
}

fn bind(path: &Path) -> io::Result<(std::os::unix::net::UnixListener, Made)> {
    look(path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let mut random = [0; 8];
    base::rng::os_bytes(&mut random)?;
    let private = parent.join(format!(".docdb-{:016x}", u64::from_le_bytes(random)));
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .create(&private)?;
    let made = make(&private.join("s"), path);
    // Empty, or left behind with a socket that nobody can reach.
    if made.is_err() {
        _ = std::fs::remove_file(private.join("s"));
    }
    std::fs::remove_dir(&private)?;
    made
}

fn make(under: &Path, path: &Path) -> io::Result<(std::os::unix::net::UnixListener, Made)> {
    let listener = std::os::unix::net::UnixListener::bind(under)?;
    std::fs::set_permissions(under, std::fs::Permissions::from_mode(MODE))?;
    let at = std::fs::symlink_metadata(under)?;
    // Looked at again, so that what came meanwhile is not replaced either.
    look(path)?;
    std::fs::rename(under, path)?;
    let made = Made { path: path.to_owned(), device: at.dev(), inode: at.ino() };
    Ok((listener, made))
}

/// Whether the place is free, or has a stale socket of ours.
fn look(path: &Path) -> io::Result<()> {
    let at = match std::fs::symlink_metadata(path) {
        Ok(at) => at,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let taken = |kind, what: &str| {
        Err(io::Error::new(kind, format!("{what}, and it is left as it is: {}", path.display())))
    };
    if !at.file_type().is_socket() {
        return taken(io::ErrorKind::AlreadyExists, "there is something that is no socket");
    }
    // Whose processes we are, the system says by whose the files that we make are: /proc/self is
    // ours.
    let is_ours = std::fs::metadata("/proc/self").is_ok_and(|us| us.uid() == at.uid());
    if !is_ours {
        return taken(io::ErrorKind::AlreadyExists, "there is a socket of another user");
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => taken(io::ErrorKind::AddrInUse, "another process listens there"),
        Err(_) => taken(io::ErrorKind::AddrInUse, "there is a socket that may be in use"),
    }
}

async fn accept(listener: UnixListener, surface: Arc<Surface>, room: Arc<Semaphore>) {
    let mut stopping = surface.stopping.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&room).try_acquire_owned() {
                Ok(permit) => {
                    tokio::spawn(connection(Arc::clone(&surface), stream, permit));
                }
                Err(_) => turn_away(&surface, &stream),
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

async fn connection(surface: Arc<Surface>, stream: UnixStream, _permit: OwnedSemaphorePermit) {
    surface.meters.connections.add(1.0);
    let _open = Open(&surface);
    serve(&surface, &stream).await;
}

/// An open connection, counted for as long as it lives.
struct Open<'a>(&'a Surface);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.meters.connections.add(-1.0);
    }
}

/// Tells a client that there is no room for it. Its buffer is empty, so this does not wait.
fn turn_away(surface: &Surface, stream: &UnixStream) {
    surface.meters.cut(Cut::TooMany);
    let code = super::dispatch::code_of(Code::QueueFull);
    let what = "as many clients are connected as may be; try again later";
    let failure = Failure { retryable: true, ..Failure::new(code, what) };
    let mut out = Vec::new();
    let welcome = Welcome { outcome: Err(failure) };
    if welcome.encode(&mut out).is_ok() {
        _ = stream.try_write(&out);
    }
}
