//! The settings of the application logs.

use super::{
    GIB, KIB, Kind, MIB, Only, ROW, Reader, Setting, TIB, bytes, count, mib, millis, time,
};
use std::time::Duration;

const ENABLED: Only = Only::Is("logs.enabled", "true");
const TLS: Only = Only::IsNot("logs.syslog.tls", "off");

/// What most of these rows have in common.
const LOGS: Setting = Setting { reader: Reader::Logs, only: &[ENABLED], ..ROW };

pub(super) const ROWS: &[Setting] = &[
    Setting {
        name: "logs.enabled",
        kind: Kind::Bool,
        default: "true",
        what: "Whether the server keeps application logs, its own events among them.",
        trade: "false frees their memory and leaves what is stored where it is.",
        only: &[],
        ..LOGS
    },
    Setting {
        name: "logs.batch_size",
        kind: count(1, 4096),
        default: "100",
        what: "How many entries close a batch, which is one transaction; under load a batch is larger.",
        trade: "Smaller ones are found sooner; each costs a sync.",
        ..LOGS
    },
    Setting {
        name: "logs.batch_timeout",
        kind: time(millis(1), Duration::from_secs(10)),
        default: "100ms",
        what: "How long the oldest entry of a batch waits for others, and a syslog message for its next line.",
        trade: "Longer makes fewer syncs of a trickle of entries, which are found later.",
        ..LOGS
    },
    Setting {
        name: "logs.queue_size",
        kind: count(100, 1_000_000),
        default: "10000",
        what: "How many entries may wait to be written.",
        trade: "Deeper takes larger bursts; what waits is lost when the process is killed.",
        ..LOGS
    },
    Setting {
        name: "logs.queue_bytes",
        kind: bytes(256 * KIB, GIB),
        default: "10MiB",
        what: "How many bytes of entries may wait to be written.",
        trade: "As logs.queue_size; they are taken from memory.total_mb.",
        ..LOGS
    },
    Setting {
        name: "logs.wal_enabled",
        kind: Kind::Bool,
        default: "true",
        what: "Whether the files of the logs have a write-ahead log of SQLite's.",
        trade: "false makes each day one plain file, with slower commits, which searches wait for.",
        ..LOGS
    },
    Setting {
        name: "logs.synchronous",
        kind: Kind::Choice(&["FULL", "NORMAL"]),
        default: "FULL",
        what: "Whether every commit is synced. One that an HTTP sender waits for always is.",
        trade: "NORMAL saves syncs of syslog, and a loss of power may take the last commits.",
        only: &[ENABLED, Only::Is("logs.wal_enabled", "true")],
        ..LOGS
    },
    Setting {
        name: "logs.seal",
        kind: Kind::Choice(&["on", "off"]),
        default: "on",
        what: "Whether older entries are pressed into compressed blocks.",
        trade: "off keeps every entry a row that the sqlite3 tool reads, and takes several times the disk.",
        ..LOGS
    },
    Setting {
        name: "logs.full_text",
        kind: Kind::Streams,
        default: "",
        empty: Some("none: text is found through the filters of blocks"),
        what: "The programs whose entries have a full-text index; `*` is all.",
        trade: "It finds rare words in months at once, and costs most of the time of writing.",
        ..LOGS
    },
    Setting {
        name: "logs.retention_days",
        kind: count(1, 36_500),
        default: "30",
        empty: Some("for ever"),
        what: "How many days entries are kept, by the day on which they came.",
        trade: "More takes more disk.",
        ..LOGS
    },
    Setting {
        name: "logs.retention_mb",
        kind: mib(MIB, 1024 * TIB),
        default: "0",
        empty: Some("as much as there is"),
        what: "How much disk the logs may take; the oldest files are dropped first.",
        trade: "The file that is being written is never dropped, whatever its size.",
        ..LOGS
    },
    Setting {
        name: "logs.syslog.tcp",
        kind: Kind::Address,
        default: "off",
        what: "The address on which syslog is taken over TCP, or off; port 2253 by convention.",
        trade: "Syslog has no keys: beyond loopback logs.syslog.allow must say who may send.",
        ..LOGS
    },
    Setting {
        name: "logs.syslog.udp",
        kind: Kind::Address,
        default: "off",
        what: "The address on which syslog is taken over UDP, or off; port 2253 by convention.",
        trade: "What comes faster than it is written is lost; senders over TCP wait instead.",
        ..LOGS
    },
    Setting {
        name: "logs.syslog.tls",
        kind: Kind::Address,
        default: "off",
        what: "The address on which syslog is taken over TLS, or off.",
        trade: "It needs logs.syslog.tls_cert and logs.syslog.tls_key.",
        ..LOGS
    },
    Setting {
        name: "logs.syslog.tls_cert",
        kind: Kind::Path,
        default: "",
        empty: Some("no TLS"),
        what: "The certificate of that listener with its chain, PEM; SIGHUP reads it again.",
        trade: "It may be that of the HTTP server.",
        only: &[ENABLED, TLS],
        ..LOGS
    },
    Setting {
        name: "logs.syslog.tls_key",
        kind: Kind::Path,
        default: "",
        empty: Some("no TLS"),
        what: "The private key of that certificate, PEM.",
        trade: "It should be readable by the server's user alone.",
        only: &[ENABLED, TLS],
        ..LOGS
    },
    Setting {
        name: "logs.syslog.tls_client_ca",
        kind: Kind::Path,
        default: "",
        empty: Some("senders need no certificate"),
        what: "The authority, PEM, of which a sender over TLS must show a certificate.",
        trade: "It says who may send, wherever they are; each sender needs a certificate of its own.",
        only: &[ENABLED, TLS],
        ..LOGS
    },
    Setting {
        name: "logs.syslog.allow",
        kind: Kind::Networks,
        default: "",
        empty: Some("whoever reaches a listener, which must be on loopback or have mutual TLS"),
        what: "The blocks of IP addresses whose machines may send syslog, such as `10.0.0.0/8,::1`.",
        trade: "Addresses of UDP can be forged: a network that lets forged ones in needs TCP or TLS.",
        ..LOGS
    },
    Setting {
        name: "logs.syslog.max_connections",
        kind: count(1, 100_000),
        default: "1000",
        what: "How many connections of syslog may be open; further ones are closed at once.",
        trade: "Each open connection takes a file descriptor and up to 200 KiB of memory.",
        ..LOGS
    },
];
