//! What the listeners of syslog count. What becomes of entries behind them is counted by the log
//! store.

use base::error::Code;
use base::metrics::{Counter, Definition, Gauge, Kind, MetricError, Registry};

use crate::engine::EngineError;

const MESSAGES: Definition = Definition {
    name: "docdb_syslog_messages_total",
    kind: Kind::Counter,
    unit: "messages",
    help: "Syslog messages that came, by protocol: tcp, tls, udp.",
    labels: &["protocol"],
};
const BYTES: Definition = Definition {
    name: "docdb_syslog_received_bytes_total",
    kind: Kind::Counter,
    unit: "bytes",
    help: "Bytes of syslog that were read, by protocol.",
    labels: &["protocol"],
};
const CONNECTIONS: Definition = Definition {
    name: "docdb_syslog_open_connections",
    kind: Kind::Gauge,
    unit: "connections",
    help: "Connections of syslog that are open.",
    labels: &[],
};
const REFUSED: Definition = Definition {
    name: "docdb_syslog_refused_total",
    kind: Kind::Counter,
    unit: "",
    help: "Connections and datagrams of syslog that were refused, by reason.",
    labels: &["reason"],
};
const WAITS: Definition = Definition {
    name: "docdb_syslog_waits_total",
    kind: Kind::Counter,
    unit: "waits",
    help: "Times that a connection of syslog was not read because there was no room for entries.",
    labels: &[],
};

/// All of them.
pub const ALL: &[Definition] = &[MESSAGES, BYTES, CONNECTIONS, REFUSED, WAITS];

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Tls,
    Udp,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Tcp, Self::Tls, Self::Udp];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
        }
    }
}

/// Why something was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The address may not send.
    NotAllowed,
    /// As many connections are open as may be.
    TooMany,
    /// There is no memory for another connection.
    NoMemory,
    /// The handshake failed, or took too long.
    Handshake,
}

impl Refusal {
    /// How many reasons there are.
    pub(super) const COUNT: usize = 4;
    const ALL: [Self; Self::COUNT] =
        [Self::NotAllowed, Self::TooMany, Self::NoMemory, Self::Handshake];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::TooMany => "too_many",
            Self::NoMemory => "no_memory",
            Self::Handshake => "handshake",
        }
    }

    /// What is said of it to people, and what there is to do.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::NotAllowed => "logs.syslog.allow does not name the sender's network",
            Self::TooMany => "as many connections are open as logs.syslog.max_connections allows",
            Self::NoMemory => "memory.total_mb has nothing left for another connection",
            Self::Handshake => "the TLS handshake failed or was too slow",
        }
    }
}

#[derive(Debug)]
pub(super) struct Meters {
    messages: [Counter; 3],
    bytes: [Counter; 3],
    refused: [Counter; 4],
    pub(super) connections: Gauge,
    pub(super) waits: Counter,
}

impl Meters {
    pub(super) fn new(registry: &Registry) -> Result<Self, EngineError> {
        Self::of(registry).map_err(|error| {
            let what = format!("the metrics of syslog do not fit together: {error}");
            EngineError::new(Code::Internal, what)
        })
    }

    fn of(registry: &Registry) -> Result<Self, MetricError> {
        for definition in ALL {
            registry.register(definition)?;
        }
        let by_protocol = |of: &Definition| {
            let [tcp, tls, udp] = Protocol::ALL.map(|p| registry.counter(of, &[p.name()]));
            Ok::<_, MetricError>([tcp?, tls?, udp?])
        };
        let [a, b, c, d] = Refusal::ALL.map(|why| registry.counter(&REFUSED, &[why.name()]));
        Ok(Self {
            messages: by_protocol(&MESSAGES)?,
            bytes: by_protocol(&BYTES)?,
            refused: [a?, b?, c?, d?],
            connections: registry.gauge(&CONNECTIONS, &[])?,
            waits: registry.counter(&WAITS, &[])?,
        })
    }

    /// Counts bytes that were read.
    pub(super) fn read(&self, protocol: Protocol, bytes: usize) {
        if let Some(counter) = self.bytes.get(protocol as usize) {
            counter.add(bytes as u64);
        }
    }

    /// Counts messages.
    pub(super) fn took(&self, protocol: Protocol, messages: usize) {
        if let Some(counter) = self.messages.get(protocol as usize) {
            counter.add(messages as u64);
        }
    }

    /// Counts what was refused.
    pub(super) fn refused(&self, why: Refusal) {
        if let Some(counter) = self.refused.get(why as usize) {
            counter.increment();
        }
    }
}
