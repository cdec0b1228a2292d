//! What the HTTP surface counts, all definitions in one place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use base::error::Code;
use base::metrics::{
    Counter, DURATION_BUCKETS_NANOS, Definition, Gauge, Histogram, Kind, MetricError, Registry,
};

use crate::engine::EngineError;

/// Requests that were answered.
const REQUESTS: Definition = Definition {
    name: "docdb_http_requests_total",
    kind: Kind::Counter,
    unit: "requests",
    help: "HTTP requests that were answered, by route and status.",
    labels: &["route", "status"],
};
/// How long they took.
const DURATION: Definition = Definition {
    name: "docdb_http_request_duration_seconds",
    kind: Kind::Histogram { bounds: DURATION_BUCKETS_NANOS },
    unit: "seconds",
    help: "Time from the head of an HTTP request to the head of its answer, by route.",
    labels: &["route"],
};
/// Open connections.
const CONNECTIONS: Definition = Definition {
    name: "docdb_http_open_connections",
    kind: Kind::Gauge,
    unit: "connections",
    help: "HTTP connections that are open.",
    labels: &[],
};
/// Connections that ended before their time.
const CUT: Definition = Definition {
    name: "docdb_http_cut_connections_total",
    kind: Kind::Counter,
    unit: "connections",
    help: "HTTP connections that the server closed: too many, or a client that was too slow.",
    labels: &["why"],
};

/// Handshakes of TLS.
const HANDSHAKES: Definition = Definition {
    name: "docdb_http_tls_handshakes_total",
    kind: Kind::Counter,
    unit: "handshakes",
    help: "TLS handshakes by what became of them: done, failed or slow. None without TLS.",
    labels: &["outcome"],
};

/// All of them.
pub const ALL: &[Definition] = &[REQUESTS, DURATION, CONNECTIONS, CUT, HANDSHAKES];

/// Why the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// As many are open as may be.
    TooMany,
    /// The head of a request did not come in time.
    SlowHead,
    /// An answer was not taken in time.
    SlowReader,
    /// A TLS handshake was not finished in time.
    SlowHandshake,
}

/// What became of a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    Done,
    Failed,
    /// It took too long.
    Slow,
}

/// By route and status.
type Requests = HashMap<(&'static str, StatusCode), (Counter, Histogram)>;

/// What the surface counts with.
#[derive(Debug)]
pub(super) struct Meters {
    requests: Mutex<Requests>,
    pub(super) connections: Gauge,
    cut: [Counter; 4],
    handshakes: [Counter; 3],
}

impl Meters {
    pub(super) fn new(registry: &Registry) -> Result<Self, EngineError> {
        Self::of(registry).map_err(|error| {
            let what = format!("the metrics of HTTP do not fit together: {error}");
            EngineError::new(Code::Internal, what)
        })
    }

    fn of(registry: &Registry) -> Result<Self, MetricError> {
        for definition in ALL {
            registry.register(definition)?;
        }
        let cut = |why| registry.counter(&CUT, &[why]);
        let handshake = |outcome| registry.counter(&HANDSHAKES, &[outcome]);
        Ok(Self {
            connections: registry.gauge(&CONNECTIONS, &[])?,
            cut: [cut("too_many")?, cut("slow_head")?, cut("slow_reader")?, cut("slow_handshake")?],
            handshakes: [handshake("done")?, handshake("failed")?, handshake("slow")?],
            requests: Mutex::default(),
        })
    }

    /// Counts a request that was answered.
    pub(super) fn answered(
        &self,
        registry: &Registry,
        route: &'static str,
        status: StatusCode,
        took: Duration,
    ) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let (counter, histogram) = match requests.entry((route, status)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let counter = registry.counter(&REQUESTS, &[route, status.as_str()]);
                let histogram = registry.histogram(&DURATION, &[route]);
                match (counter, histogram) {
                    (Ok(counter), Ok(histogram)) => new.insert((counter, histogram)),
                    (Err(error), _) | (_, Err(error)) => {
                        tracing::warn!(route, %error, "a request was not counted");
                        return;
                    }
                }
            }
        };
        counter.increment();
        histogram.observe_duration(took);
    }

    /// Counts a TLS handshake.
    pub(super) fn shaken(&self, outcome: Handshake) {
        if let Some(counter) = self.handshakes.get(outcome as usize) {
            counter.increment();
        }
    }

    /// Counts a connection that the server closed.
    pub(super) fn cut(&self, why: Cut) {
        if let Some(counter) = self.cut.get(why as usize) {
            counter.increment();
        }
    }
}
