//! One connection: what it is doing, and the clocks that end it when its client is too slow.
//!
//! | while | it may take |
//! |---|---|
//! | no request is under way and nothing comes | `http.idle_timeout` |
//! | the head of a request comes (HTTP/1.1) | `http.header_timeout` |
//! | the body of a request comes | `http.body_timeout` between two pieces (`body.rs`) |
//! | an answer waits for its reader | `http.send_timeout` |
//!
//! Heads of HTTP/2 come in frames among others, so there the idle time is the bound: it ends when a
//! request begins, and not when bytes come.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Surface;
use super::metrics::Cut;
use crate::scheduler::Lane;

/// How HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Pulse {
    lane: Lane,
    in_flight: AtomicUsize,
    /// How often it came to have no request under way.
    rests: AtomicU64,
    /// Who reads: woken when the last request ends, because the clock of the idle time begins then
    /// and no byte may ever come.
    reader: AtomicWaker,
}

impl Pulse {
    pub(super) fn new(lane: Lane) -> Arc<Self> {
        let (in_flight, rests) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { lane, in_flight, rests, reader: AtomicWaker::new() })
    }

    /// The order of its writes.
    pub(super) fn lane(&self) -> Lane {
        self.lane
    }
}

/// A request under way, until the last byte of its answer was handed over or nobody wants it.
pub(super) struct UnderWay {
    surface: Arc<Surface>,
    pulse: Arc<Pulse>,
}

impl UnderWay {
    pub(super) fn new(surface: &Arc<Surface>, pulse: &Arc<Pulse>) -> Self {
        surface.in_flight.fetch_add(1, Ordering::AcqRel);
        pulse.in_flight.fetch_add(1, Ordering::AcqRel);
        Self { surface: Arc::clone(surface), pulse: Arc::clone(pulse) }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.pulse.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.pulse.rests.fetch_add(1, Ordering::AcqRel);
            self.pulse.reader.wake();
        }
        if self.surface.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.surface.quiet.notify_waiters();
        }
    }
}

/// The body of an answer, which is under way for as long as it is not all taken.
pub(super) struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl Answer {
    pub(super) fn new(body: Body, under_way: UnderWay) -> Self {
        Self { body, _under_way: under_way }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that ends with `TimedOut` when its client is too slow.
pub(super) struct Timed<S> {
    stream: S,
    surface: Arc<Surface>,
    pulse: Arc<Pulse>,
    /// The rest that the reading clock counts from.
    rest: u64,
    /// Whether bytes of a head came since then.
    has_begun: bool,
    is_http2: bool,
    /// The first bytes, until they say which protocol it is.
    first: Vec<u8>,
    reading: Pin<Box<Sleep>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, surface: &Arc<Surface>, pulse: &Arc<Pulse>) -> Self {
        let reading = Box::pin(sleep_until(deadline(surface.options.idle_timeout)));
        Self {
            stream,
            surface: Arc::clone(surface),
            pulse: Arc::clone(pulse),
            rest: 0,
            has_begun: false,
            is_http2: false,
            first: Vec::with_capacity(PREFACE.len()),
            reading,
            writing: None,
        }
    }

    /// Begins the idle time anew when a request ended since the last look.
    fn note_rest(&mut self) {
        let rests = self.pulse.rests.load(Ordering::Acquire);
        if rests != self.rest {
            self.rest = rests;
            self.has_begun = false;
            self.reading.as_mut().reset(deadline(self.surface.options.idle_timeout));
        }
    }

    /// Takes note of bytes that came.
    fn note_bytes(&mut self, bytes: &[u8]) {
        if self.first.len() < PREFACE.len() {
            let missing = PREFACE.len() - self.first.len();
            self.first.extend_from_slice(&bytes[..bytes.len().min(missing)]);
            self.is_http2 = self.first == PREFACE;
            if self.is_http2 {
                // Its head may have been taken for one of HTTP/1.1.
                self.has_begun = true;
                self.reading.as_mut().reset(deadline(self.surface.options.idle_timeout));
            }
        }
        if !self.has_begun && !self.is_http2 && self.pulse.in_flight.load(Ordering::Acquire) == 0 {
            self.has_begun = true;
            self.reading.as_mut().reset(deadline(self.surface.options.header_timeout));
        }
    }

    fn poll_writing(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let patience = self.surface.options.send_timeout;
        let clock = self.writing.get_or_insert_with(|| Box::pin(sleep_until(deadline(patience))));
        if clock.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        self.surface.meters.cut(Cut::SlowReader);
        Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no bytes"))
    }
}

fn deadline(patience: Duration) -> Instant {
    Instant::now() + patience
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.note_rest();
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            this.note_bytes(&buffer.filled()[before..]);
            return Poll::Ready(result);
        }
        // Registered before it is looked, so that an end between the two is not missed.
        this.pulse.reader.register(cx.waker());
        if this.pulse.in_flight.load(Ordering::Acquire) > 0 {
            return Poll::Pending;
        }
        this.note_rest();
        ready!(this.reading.as_mut().poll(cx));
        if this.has_begun && !this.is_http2 {
            this.surface.meters.cut(Cut::SlowHead);
        }
        let what = "no request came in time";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_write(cx, bytes) {
            self.writing = None;
            return Poll::Ready(result);
        }
        self.poll_writing(cx)?;
        Poll::Pending
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_write_vectored(cx, parts) {
            self.writing = None;
            return Poll::Ready(result);
        }
        self.poll_writing(cx)?;
        Poll::Pending
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_flush(cx) {
            return Poll::Ready(result);
        }
        self.poll_writing(cx)?;
        Poll::Pending
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_shutdown(cx) {
            return Poll::Ready(result);
        }
        self.poll_writing(cx)?;
        Poll::Pending
    }
}
