//! What the socket counts, all definitions in one place. Operations themselves are counted by the
//! engine, whatever surface they came from.

use base::error::Code;
use base::metrics::{Counter, Definition, Gauge, Kind, MetricError, Registry};

use crate::engine::EngineError;

/// Open connections.
const CONNECTIONS: Definition = Definition {
    name: "docdb_ipc_open_connections",
    kind: Kind::Gauge,
    unit: "connections",
    help: "Connections of the Unix socket that are open.",
    labels: &[],
};
/// Frames that came.
const FRAMES: Definition = Definition {
    name: "docdb_ipc_requests_total",
    kind: Kind::Counter,
    unit: "requests",
    help: "Frames of requests that came over the Unix socket.",
    labels: &[],
};
/// Frames that were no requests.
const MALFORMED: Definition = Definition {
    name: "docdb_ipc_malformed_requests_total",
    kind: Kind::Counter,
    unit: "requests",
    help: "Frames that could not be decoded or were too large.",
    labels: &[],
};
/// Connections that ended before their time.
const CUT: Definition = Definition {
    name: "docdb_ipc_cut_connections_total",
    kind: Kind::Counter,
    unit: "connections",
    help: "Connections that the server closed: too many, no hello, or a client that was too slow.",
    labels: &["why"],
};

/// All of them.
pub const ALL: &[Definition] = &[CONNECTIONS, FRAMES, MALFORMED, CUT];

/// Why the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// As many are open as may be.
    TooMany,
    /// Its first frame was no hello, or did not come in time.
    Hello,
    /// It was silent within a frame, or there was no memory for the frame.
    SlowFrame,
    /// It took no answers.
    SlowReader,
}

impl Cut {
    const ALL: [Self; 4] = [Self::TooMany, Self::Hello, Self::SlowFrame, Self::SlowReader];

    const fn name(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::Hello => "hello",
            Self::SlowFrame => "slow_frame",
            Self::SlowReader => "slow_reader",
        }
    }
}

/// What the surface counts with.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) connections: Gauge,
    pub(super) frames: Counter,
    pub(super) malformed: Counter,
    cut: Vec<(Cut, Counter)>,
}

impl Meters {
    pub(super) fn new(registry: &Registry) -> Result<Self, EngineError> {
        let made = || -> Result<Self, MetricError> {
            for definition in ALL {
                registry.register(definition)?;
            }
            let cut = Cut::ALL.into_iter();
            let cut = cut.map(|why| Ok((why, registry.counter(&CUT, &[why.name()])?)));
            Ok(Self {
                connections: registry.gauge(&CONNECTIONS, &[])?,
                frames: registry.counter(&FRAMES, &[])?,
                malformed: registry.counter(&MALFORMED, &[])?,
                cut: cut.collect::<Result<_, MetricError>>()?,
            })
        };
        made().map_err(|error| {
            EngineError::new(Code::Internal, format!("the metrics do not fit together: {error}"))
        })
    }

    pub(super) fn cut(&self, why: Cut) {
        for (of, counter) in &self.cut {
            if *of == why {
                counter.increment();
            }
        }
    }
}
