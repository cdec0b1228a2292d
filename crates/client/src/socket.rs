//! One connection in one thread: requests are queued and sent together, answers are read one by
//! one, in the order the server finished them. No lock and no second thread: the fastest way to
//! keep a server busy. [`crate::Connection`] is the one that threads share.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::options::Options;
use crate::wire::{FrameBuffer, Hello, Next, Request, Response, Welcome};

/// A connection that one thread uses. Request ids are the caller's choice.
///
/// A caller that queues without end and never receives is held back by the server, and its
/// [`Socket::flush`] fails at the timeout: some hundred requests in flight are plenty.
#[derive(Debug)]
pub struct Socket {
    stream: UnixStream,
    inbox: FrameBuffer,
    outbox: Vec<u8>,
    server: String,
    timeout: Duration,
}

impl Socket {
    /// Connects and says hello.
    ///
    /// # Errors
    /// When nobody listens there, or the server refuses: `QueueFull` when it has no room for
    /// another client, `Unauthenticated`, `Unsupported` when it speaks other versions only.
    pub fn connect(path: &Path, options: &Options) -> Result<Self> {
        let stream = UnixStream::connect(path).map_err(|e| {
            Error::not_connected(format!("cannot connect to `{}`: {e}", path.display()))
        })?;
        Self::start(stream, options)
    }

    /// Says hello on a stream.
    ///
    /// # Errors
    /// As [`Socket::connect`].
    pub fn start(stream: UnixStream, options: &Options) -> Result<Self> {
        let timeout = options.timeout;
        let timeouts = stream
            .set_read_timeout(Some(timeout))
            .and_then(|()| stream.set_write_timeout(Some(timeout)));
        timeouts.map_err(|e| Error::not_connected(format!("cannot set timeouts: {e}")))?;
        let mut socket = Self {
            stream,
            inbox: FrameBuffer::new(),
            outbox: Vec::new(),
            server: String::new(),
            timeout,
        };
        Hello::new(&options.key).encode(&mut socket.outbox)?;
        // A server without room refuses before it has read a word, so a hello that cannot be
        // written may still have been answered.
        let sent = socket.flush();
        let body = socket.frame().map_err(|error| sent.err().unwrap_or(error));
        let body = body.map_err(|error| Error::not_connected(error.message()))?;
        let welcome = Welcome::decode(body)
            .map_err(|e| Error::protocol(format!("the server's welcome is none: {e}")))?;
        socket.server = match welcome.outcome {
            Ok((version, server)) if version == crate::wire::VERSION => server.to_owned(),
            Ok((version, _)) => {
                return Err(Error::protocol(format!("the server wants version {version}")));
            }
            Err(failure) => return Err(Error::from(&failure)),
        };
        Ok(socket)
    }

    /// What the server says it is, such as `docdb 1.2.3`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Adds a request to what the next [`Socket::flush`] sends.
    ///
    /// # Errors
    /// When the request cannot be encoded; what was queued before stays.
    pub fn queue(&mut self, request: &Request<'_>) -> Result<()> {
        Ok(request.encode(&mut self.outbox)?)
    }

    /// Bytes that are queued.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.outbox.len()
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// When the connection is lost, or the server did not read within the timeout: the connection
    /// is of no more use.
    pub fn flush(&mut self) -> Result<()> {
        let sent = (&self.stream).write_all(&self.outbox);
        self.outbox.clear();
        sent.map_err(|error| io_error(&error, self.timeout))
    }

    /// The next answer, whichever request it is to.
    ///
    /// # Errors
    /// When none comes within the timeout, the connection is lost, or the answer is none.
    pub fn receive(&mut self) -> Result<Response<'_>> {
        let body = self.frame()?;
        Response::decode(body).map_err(|e| Error::protocol(format!("an answer is malformed: {e}")))
    }

    /// Sends what is queued and this request, and reads the next answer. Only for when nothing is
    /// in flight.
    ///
    /// # Errors
    /// As [`Socket::flush`] and [`Socket::receive`]; and when the answer is to another request.
    pub fn call(&mut self, request: &Request<'_>) -> Result<Response<'_>> {
        self.queue(request)?;
        self.flush()?;
        let response = self.receive()?;
        if response.id == request.id {
            return Ok(response);
        }
        let (found, wanted) = (response.id, request.id);
        Err(Error::protocol(format!("an answer to {found}, where {wanted} was asked")))
    }

    fn frame(&mut self) -> Result<&[u8]> {
        while !self.inbox.is_ready() {
            match self.inbox.read_from(&mut &self.stream) {
                Ok(0) => return Err(Error::lost("the server closed the connection")),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error(&error, self.timeout)),
            }
        }
        match self.inbox.next() {
            Next::Frame(body) => Ok(body),
            Next::TooLarge { body_bytes, .. } => {
                Err(Error::protocol(format!("an answer of {body_bytes} bytes")))
            }
            Next::More => Err(Error::protocol("a frame was announced and is not there")),
        }
    }

    /// The parts, for a connection that threads share.
    pub(crate) fn into_parts(self) -> (UnixStream, FrameBuffer, String) {
        (self.stream, self.inbox, self.server)
    }
}

fn io_error(error: &io::Error, timeout: Duration) -> Error {
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        return Error::timed_out(timeout);
    }
    Error::lost(format!("the connection is lost: {error}"))
}
