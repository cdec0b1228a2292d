//! The settings of the application logs, as the log store takes them.

use logstore::{FullText, Journal, Options, Retention, Seal, Synchronous};

use std::path::PathBuf;

use super::read::Reader;
use super::{Logs, Syslog, SyslogTls, Tls};
use crate::config::value::{address, networks, streams};

impl Reader<'_> {
    pub(super) fn logs(&self) -> Option<Logs> {
        let logs = Logs { store: self.log_store(), syslog: self.syslog() };
        // Read whatever this says, so that a test sees that every setting has a reader.
        self.is("logs.enabled").then_some(logs)
    }

    fn log_store(&self) -> Options {
        Options {
            batch_size: self.size("logs.batch_size"),
            batch_timeout: self.time("logs.batch_timeout"),
            queue_size: self.size("logs.queue_size"),
            queue_bytes: self.size("logs.queue_bytes"),
            synchronous: match self.text("logs.synchronous") {
                "NORMAL" => Synchronous::Normal,
                _ => Synchronous::Full,
            },
            journal: if self.is("logs.wal_enabled") { Journal::Wal } else { Journal::Rollback },
            seal: match self.text("logs.seal") {
                "off" => Seal::Off,
                _ => Seal::On,
            },
            full_text: self.full_text(),
            retention: Retention {
                days_max: Some(self.count("logs.retention_days")).filter(|days| *days > 0),
                bytes_max: self.some("logs.retention_mb"),
            },
            ..Options::default()
        }
    }

    fn syslog(&self) -> Syslog {
        let path =
            |name| Some(PathBuf::from(self.text(name))).filter(|p| !p.as_os_str().is_empty());
        let listen = |name| address(self.text(name)).flatten();
        let files = (path("logs.syslog.tls_cert"), path("logs.syslog.tls_key"));
        let client_ca = path("logs.syslog.tls_client_ca");
        let tls = match (listen("logs.syslog.tls"), files) {
            (Some(listen), (Some(cert), Some(key))) => {
                Some(SyslogTls { listen, files: Tls { cert, key }, client_ca })
            }
            // A listener without them is refused before.
            _ => None,
        };
        Syslog {
            tcp: listen("logs.syslog.tcp"),
            udp: listen("logs.syslog.udp"),
            tls,
            allow: networks(self.text("logs.syslog.allow")).expect("it was read before"),
            max_connections: self.size("logs.syslog.max_connections"),
        }
    }

    fn full_text(&self) -> FullText {
        let streams = streams(self.text("logs.full_text")).expect("it was read before");
        match streams.as_slice() {
            [] => FullText::Off,
            [all] if all == "*" => FullText::All,
            _ => FullText::Streams(streams.into_iter().collect()),
        }
    }
}
