//! Made-up entries that look like those of a small team's services: about 190 bytes as lines of RFC
//! 5424, ten an hour-second, with numbers of requests that are all different.

use base::rng::Rng;
use logstore::{Entry, Severity, UnixNanos};

/// 2026-01-01T00:00:00Z.
const FIRST_NANOS: i64 = 1_767_225_600_000_000_000;
/// Time between entries: a million of them are 2.8 hours.
pub(crate) const STEP_NANOS: i64 = 10_000_000;

const HOSTS: [&str; 6] = ["web-1", "web-2", "web-3", "db-1", "queue-1", "edge-1"];
const PATHS: [&str; 8] =
    ["users", "orders", "carts", "sessions", "invoices", "search", "health", "images"];

/// A sequence of entries; the same seed gives the same.
pub(crate) struct Lines {
    rng: Rng,
    n: i64,
}

impl Lines {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), n: 0 }
    }

    /// The time of the last entry.
    pub(crate) fn now(&self) -> UnixNanos {
        UnixNanos(FIRST_NANOS + self.n * STEP_NANOS)
    }

    pub(crate) fn entry(&mut self) -> Entry {
        self.n += 1;
        let message = self.message();
        let mut entry = Entry::new(self.now(), message);
        let host = HOSTS[self.rng.index(HOSTS.len())];
        entry.hostname = format!("{host}.example.net");
        entry.app_name = ["shop", "nginx", "postgres", "worker"][self.rng.index(4)].to_owned();
        entry.proc_id = (1000 + self.rng.below(40)).to_string();
        entry.severity = match self.rng.below(100) {
            0..2 => Severity::Error,
            2..8 => Severity::Warning,
            8..80 => Severity::Info,
            _ => Severity::Debug,
        };
        entry.source = "tcp".to_owned();
        entry
    }

    /// `panicked` in one of 200,000, `timeout` in one of 1,000, `GET` in half.
    fn message(&mut self) -> String {
        let path = PATHS[self.rng.index(PATHS.len())];
        let (user, ms) = (self.rng.below(50_000), self.rng.below(900));
        let request = self.rng.next_u64() >> 32;
        if self.rng.below(200_000) == 0 {
            return format!("worker panicked while it served {path}, request={request:08x}");
        }
        if self.rng.below(1000) == 0 {
            return format!("upstream timeout after {ms} ms on {path}, user {user} will retry");
        }
        match self.rng.below(4) {
            0 | 1 => format!(
                "GET /api/v1/{path}/{user} HTTP/1.1 200 {} bytes in {ms} ms request={request:08x} \
                 cache=miss region=eu-central",
                self.rng.below(90_000)
            ),
            2 => format!("query on table {path} returned {} rows in {ms} ms", self.rng.below(500)),
            _ => {
                format!("job {request:08x} finished: {path} of user {user} were sent to the mailer")
            }
        }
    }
}
