//! Critical errors told to somebody: each that the tracker hears of is posted as JSON to the webhook
//! that the configuration names.
//!
//! ```json
//! {"source":"docdb","server":"/var/lib/docdb","version":"0.1.0","at":"2027-01-15T08:00:00.000Z",
//!  "code":"…","category":"critical","message":"…"}
//! ```
//!
//! One thread of its own posts them one after another. At most [`QUEUE_MAX`] wait; further ones are
//! counted as dropped and nobody waits for them. A post is tried again while the other side cannot be
//! reached or says 429 or 5xx; what it refuses otherwise would be refused again. Redirects are not
//! followed and no proxy is used: either would hand the address, which often holds a token, to
//! somebody else. The address is in no log line and no error.
//!
//! Start with [`Alerts::start`].

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base::error::tracker::{Occurrence, Tracker};
use base::error::{Code, Coded};
use base::metrics::{Counter, Definition, Kind, MetricError, Registry};
use base::retry::{self, InterruptibleWaiter, Policy};
use base::rng::Rng;
use serde_json::json;

use crate::config::Secret;
use crate::logging::Rfc3339;

/// Most alerts that wait to be posted.
pub const QUEUE_MAX: usize = 100;
/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How posts are tried again.
const POLICY: Policy = Policy {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(10),
    tries: 6,
    jitter_percent: 25,
};

/// The metric of what became of alerts.
pub const ALERTS: Definition = Definition {
    name: "docdb_alerts_total",
    kind: Kind::Counter,
    unit: "alerts",
    help: "Critical errors for the webhook, by what became of them: sent, failed or dropped.",
    labels: &["outcome"],
};

/// What became of alerts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertCounts {
    /// Posted and accepted.
    pub sent: u64,
    /// Given up.
    pub failed: u64,
    /// Not posted because too many waited.
    pub dropped: u64,
}

/// Counters of what became of alerts.
#[derive(Debug, Clone, Default)]
struct Meters {
    sent: Counter,
    failed: Counter,
    dropped: Counter,
}

/// Why a post failed. Says nothing of where it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum PostError {
    #[error("the webhook cannot be reached")]
    Unreachable,
    #[error("the webhook answered status={0}")]
    Status(u16),
}

impl Coded for PostError {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable | Self::Status(429 | 500..=599) => Code::Timeout,
            Self::Status(_) => Code::Unsupported,
        }
    }
}

/// Posts critical errors until it is stopped.
#[derive(Debug)]
pub struct Alerts {
    tracker: Arc<Tracker>,
    shared: Arc<Shared>,
    /// Taken when it is joined.
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    meters: Meters,
    waiter: InterruptibleWaiter,
    /// What is not begun yet is given up.
    giving_up: AtomicBool,
    ended: Mutex<bool>,
    has_ended: Condvar,
}

impl Alerts {
    /// Starts the thread that posts what `tracker` hears of to `url`. `server` is what the alerts
    /// call this server, so that its owner knows which of them it is.
    ///
    /// # Errors
    /// When the system refuses the thread, or the metric is registered as something else.
    pub fn start(
        tracker: &Arc<Tracker>,
        url: &Secret,
        server: &str,
        registry: &Registry,
    ) -> io::Result<Self> {
        Self::start_with(tracker, url, server, registry, (POLICY, TIMEOUT, QUEUE_MAX))
    }

    fn start_with(
        tracker: &Arc<Tracker>,
        url: &Secret,
        server: &str,
        registry: &Registry,
        (policy, timeout, queue_max): (Policy, Duration, usize),
    ) -> io::Result<Self> {
        let meters = Meters::of(registry).map_err(io::Error::other)?;
        let shared = Arc::new(Shared { meters, ..Shared::default() });
        let poster = Poster {
            tracker: Arc::clone(tracker),
            shared: Arc::clone(&shared),
            url: url.clone(),
            server: server.to_owned(),
            agent: agent(timeout),
            policy,
            unheard: tracker.unheard(),
        };
        let events = tracker.listen(queue_max);
        let thread = base::workers::spawn("alerts", move || poster.run(&events))?;
        Ok(Self { tracker: Arc::clone(tracker), shared, thread: Some(thread) })
    }

    /// What became of alerts since the start.
    #[must_use]
    pub fn counts(&self) -> AlertCounts {
        let meters = &self.shared.meters;
        let [sent, failed, dropped] =
            [&meters.sent, &meters.failed, &meters.dropped].map(Counter::get);
        AlertCounts { sent, failed, dropped }
    }

    /// Takes no further alerts, gives those that wait `time` to be posted, then gives them up.
    /// A try that is on its way then is left to end by itself.
    pub fn stop(mut self, time: Duration) -> AlertCounts {
        // Another listener that nobody reads ends the queue of this one.
        drop(self.tracker.listen(0));
        let ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.has_ended.wait_timeout_while(ended, time, |ended| !*ended);
        let (ended, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_done = *ended;
        drop(ended);
        self.shared.giving_up.store(true, Ordering::Release);
        self.shared.waiter.interrupt();
        if let Some(thread) = self.thread.take().filter(|_| is_done)
            && thread.join().is_err()
        {
            tracing::error!("the thread of alerts panicked");
        }
        self.counts()
    }
}

impl Meters {
    fn of(registry: &Registry) -> Result<Self, MetricError> {
        registry.register(&ALERTS)?;
        let counter = |outcome| registry.counter(&ALERTS, &[outcome]);
        Ok(Self {
            sent: counter("sent")?,
            failed: counter("failed")?,
            dropped: counter("dropped")?,
        })
    }
}

/// What the thread needs.
struct Poster {
    tracker: Arc<Tracker>,
    shared: Arc<Shared>,
    url: Secret,
    server: String,
    agent: ureq::Agent,
    policy: Policy,
    /// How many the tracker had no room for when that was last counted.
    unheard: u64,
}

impl Poster {
    fn run(mut self, events: &Receiver<Occurrence>) {
        let _ended = Ended(Arc::clone(&self.shared));
        while let Ok(event) = events.recv() {
            self.deliver(&event);
            // The queue is full only while this thread is busy, so it always comes by here after.
            self.count_dropped();
        }
        self.count_dropped();
    }

    fn count_dropped(&mut self) {
        let unheard = self.tracker.unheard();
        self.shared.meters.dropped.add(unheard - self.unheard);
        self.unheard = unheard;
    }

    fn deliver(&self, event: &Occurrence) {
        let meters = &self.shared.meters;
        if self.shared.giving_up.load(Ordering::Acquire) {
            meters.failed.increment();
            return;
        }
        let body = self.body(event);
        let seed = Rng::new(event.at.0);
        let posted = retry::run(&self.policy, seed, &self.shared.waiter, |_| self.post(&body));
        match posted {
            Ok(()) => meters.sent.increment(),
            Err(error) => {
                meters.failed.increment();
                tracing::warn!(code = event.code.name(), %error, "an alert was not delivered");
            }
        }
    }

    fn body(&self, event: &Occurrence) -> String {
        let body = json!({
            "source": "docdb",
            "server": self.server,
            "version": env!("CARGO_PKG_VERSION"),
            "at": Rfc3339(event.at).to_string(),
            "code": event.code.name(),
            "category": event.category.name(),
            "message": event.message,
        });
        body.to_string()
    }

    fn post(&self, body: &str) -> Result<(), PostError> {
        let request = self.agent.post(self.url.reveal()).content_type("application/json");
        // The library's errors may quote the address.
        let answer = request.send(body).map_err(|_| PostError::Unreachable)?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(PostError::Status(status.as_u16())) }
    }
}

/// Says that the thread has ended, however it did.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.has_ended.notify_all();
    }
}

fn agent(timeout: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(timeout))
        .user_agent(concat!("docdb/", env!("CARGO_PKG_VERSION")))
        .build();
    config.into()
}

#[cfg(test)]
mod tests;
