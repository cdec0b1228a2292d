//! The client's one error: what the server answered, or why there is no answer.

use std::fmt;
use std::time::Duration;

use crate::code::ErrorCode;
use crate::wire::{Failure, WireError};

/// A result with the client's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    code: Option<ErrorCode>,
    message: String,
    retryable: bool,
    sent: bool,
    writes: bool,
    operation: Option<usize>,
}

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server answered an error: [`Error::code`] says which.
    Server,
    /// There is no connection, or it was lost.
    Connection,
    /// No answer came in time.
    TimedOut,
    /// The other side speaks something else.
    Protocol,
    /// What was asked cannot be asked.
    Argument,
}

impl Error {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            code: None,
            message: message.into(),
            retryable: false,
            sent: false,
            writes: false,
            operation: None,
        }))
    }

    /// Nothing of the request has been sent: another connection may take it.
    pub(crate) fn not_connected(message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Connection, message);
        error.0.retryable = true;
        error
    }

    /// The connection went away after the request was sent.
    pub(crate) fn lost(message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Connection, message);
        error.0.sent = true;
        error
    }

    pub(crate) fn timed_out(after: Duration) -> Self {
        let message = format!("no answer within {} ms", after.as_millis());
        let mut error = Self::new(ErrorKind::TimedOut, message);
        error.0.sent = true;
        error
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Protocol, message);
        error.0.sent = true;
        error
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Argument, message)
    }

    pub(crate) fn server(code: Option<ErrorCode>, status: u8, message: &str) -> Self {
        let message = match code {
            Some(_) => message.to_owned(),
            None => format!("error {status}, which this client does not know: {message}"),
        };
        let mut error = Self::new(ErrorKind::Server, message);
        error.0.code = code;
        error
    }

    pub(crate) fn retry(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    pub(crate) fn at(mut self, operation: Option<usize>) -> Self {
        self.0.operation = operation;
        self
    }

    /// The same for a request that would only have read, or might have written.
    pub(crate) fn of_request(mut self, only_reads: bool) -> Self {
        if self.0.sent {
            self.0.writes = !only_reads;
            self.0.retryable |= only_reads && self.0.kind != ErrorKind::Protocol;
        }
        self
    }

    /// Whether the connection failed before anything of the request was sent.
    pub(crate) fn was_not_sent(&self) -> bool {
        self.0.kind == ErrorKind::Connection && !self.0.sent
    }

    /// Who is at fault.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the server answered; none when it answered nothing, or a code that is newer than this
    /// client.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        self.0.code
    }

    /// The code's name, such as `DocNotFound`. An error that the server did not answer has the code
    /// that the server would have answered it with, `InvalidQuery` or `Timeout`; what only a client
    /// can meet is `ConnectionLost` or `ProtocolError`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match (self.0.code, self.0.kind) {
            (Some(code), _) => code.name(),
            (None, ErrorKind::Server) => "UnknownError",
            (None, ErrorKind::Connection) => "ConnectionLost",
            (None, ErrorKind::TimedOut) => ErrorCode::Timeout.name(),
            (None, ErrorKind::Protocol) => "ProtocolError",
            (None, ErrorKind::Argument) => ErrorCode::InvalidQuery.name(),
        }
    }

    /// What happened, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether sending the same again does no harm and may succeed. Never true when
    /// [`Error::is_outcome_unknown`] is.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable && !self.is_outcome_unknown()
    }

    /// Whether the request may have been done all the same: read it back before writing again.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        self.0.writes || self.0.code == Some(ErrorCode::DurabilityUnknown)
    }

    /// The operation of a batch that is at fault, counted from 0.
    #[must_use]
    pub fn operation(&self) -> Option<usize> {
        self.0.operation
    }

    /// Whether the server answered this code.
    #[must_use]
    pub fn is(&self, code: ErrorCode) -> bool {
        self.0.code == Some(code)
    }
}

impl From<&Failure<'_>> for Error {
    fn from(failure: &Failure<'_>) -> Self {
        let operation = failure.operation.and_then(|number| usize::try_from(number).ok());
        Self::server(failure.code(), failure.status, &failure.message)
            .retry(failure.retryable)
            .at(operation)
    }
}

/// A request that cannot be encoded is the caller's.
impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        let operation = error.entry.and_then(|number| usize::try_from(number).ok());
        Self::argument(error.to_string()).at(operation)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.0.message)?;
        match self.0.operation {
            Some(operation) => write!(f, " operation={operation}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
