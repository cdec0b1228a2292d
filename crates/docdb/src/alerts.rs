//! Alerts: what is wrong with the server, told to somebody when it begins and when it ends, as JSON
//! posted to the webhook that the configuration names.
//!
//! ```json
//! {"source":"docdb","server":"/var/lib/docdb","version":"0.1.0","at":"2027-01-15T08:00:00.000Z",
//!  "event":"raised","condition":"log_poisoned","subject":"orders","code":"…","times":1,
//!  "message":"…"}
//! ```
//!
//! One thread of its own hears of critical errors, looks every [`LOOK_EVERY`] what else is wrong
//! ([`condition`]), decides what is news ([`ledger`]) and posts it, one alert after another. Nobody
//! waits for it: at most [`QUEUE_MAX`] errors wait to be heard, and further ones are counted. A post
//! is tried again while the other side cannot be reached or says 429 or 5xx; what it refuses
//! otherwise would be refused again. Redirects are not followed and no proxy is used: either would
//! hand the address, which often holds a token, to somebody else. The address is in no log line and
//! no error.
//!
//! Without a webhook the same is seen in the log and in [`STANDING`].
//!
//! Start with [`Alerts::start`].

mod condition;
mod ledger;
mod post;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base::clock::{ClockRef, Instant};
use base::error::tracker::{Occurrence, Tracker};
use base::metrics::{Counter, Definition, Gauge, Kind, MetricError, Registry};
use base::retry::{InterruptibleWaiter, Policy};

use crate::config::Secret;

pub use condition::{Condition, Finding, Look, Subject};
pub use ledger::{NOTICES_MAX, QUIET, WINDOW};

use ledger::{Event, Ledger, Notice};
use post::Poster;

/// Most critical errors that wait to be heard.
pub const QUEUE_MAX: usize = 100;
/// How often it looks what is wrong.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
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
    help: "Alerts for the webhook by what became of them: sent, failed or, of a flood, dropped.",
    labels: &["outcome"],
};
/// The metric of what is wrong.
pub const STANDING: Definition = Definition {
    name: "docdb_standing_alerts",
    kind: Kind::Gauge,
    unit: "alerts",
    help: "Conditions that were raised and are not resolved, by kind.",
    labels: &["condition"],
};

/// All of them.
pub const METRICS: &[Definition] = &[ALERTS, STANDING];

/// What became of alerts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertCounts {
    /// Posted and accepted.
    pub sent: u64,
    /// Given up.
    pub failed: u64,
    /// Never tried, because there were too many.
    pub dropped: u64,
}

/// Where alerts come from and what they are called by.
pub struct Source {
    /// Who hears of critical errors.
    pub tracker: Arc<Tracker>,
    /// Says what is wrong now.
    pub look: Box<dyn FnMut() -> Look + Send>,
    /// By whose time an error has been quiet.
    pub clock: ClockRef,
    /// What the alerts call this server, so that its owner knows which of them it is.
    pub server: String,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Counters of what became of alerts, and of what stands.
#[derive(Debug, Default)]
struct Meters {
    sent: Counter,
    failed: Counter,
    dropped: Counter,
    standing: Vec<(Condition, Gauge)>,
}

/// Watches and posts until it is stopped.
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

/// How it works, which tests shorten.
#[derive(Debug, Clone, Copy)]
struct Pace {
    policy: Policy,
    timeout: Duration,
    queue_max: usize,
    look_every: Duration,
}

impl Alerts {
    /// Starts the thread. Without a `webhook` nothing is posted.
    ///
    /// # Errors
    /// When the system refuses the thread, or a metric is registered as something else.
    pub fn start(
        source: Source,
        webhook: Option<&Secret>,
        registry: &Registry,
    ) -> io::Result<Self> {
        let pace =
            Pace { policy: POLICY, timeout: TIMEOUT, queue_max: QUEUE_MAX, look_every: LOOK_EVERY };
        Self::start_with(source, webhook, registry, pace)
    }

    fn start_with(
        source: Source,
        webhook: Option<&Secret>,
        registry: &Registry,
        pace: Pace,
    ) -> io::Result<Self> {
        let meters = Meters::of(registry).map_err(io::Error::other)?;
        let shared = Arc::new(Shared { meters, ..Shared::default() });
        let tracker = Arc::clone(&source.tracker);
        let events = tracker.listen(pace.queue_max);
        let now = source.clock.now();
        let watcher = Watcher {
            poster: webhook.map(|url| Poster::new(url, &source.server, pace.timeout, pace.policy)),
            shared: Arc::clone(&shared),
            ledger: Ledger::new(now),
            unheard: tracker.unheard(),
            untold: 0,
            looked: None,
            look_every: pace.look_every,
            source,
        };
        let thread = base::workers::spawn("alerts", move || watcher.run(&events))?;
        Ok(Self { tracker, shared, thread: Some(thread) })
    }

    /// What became of alerts since the start.
    #[must_use]
    pub fn counts(&self) -> AlertCounts {
        let meters = &self.shared.meters;
        let [sent, failed, dropped] =
            [&meters.sent, &meters.failed, &meters.dropped].map(Counter::get);
        AlertCounts { sent, failed, dropped }
    }

    /// Hears of no further errors, gives those that wait `time` to be posted, then gives them up.
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
        for definition in METRICS {
            registry.register(definition)?;
        }
        let counter = |outcome| registry.counter(&ALERTS, &[outcome]);
        let gauge = |condition: Condition| -> Result<_, MetricError> {
            Ok((condition, registry.gauge(&STANDING, &[condition.name()])?))
        };
        Ok(Self {
            sent: counter("sent")?,
            failed: counter("failed")?,
            dropped: counter("dropped")?,
            standing: Condition::ALL.into_iter().map(gauge).collect::<Result<_, MetricError>>()?,
        })
    }
}

/// What the thread does.
struct Watcher {
    source: Source,
    /// None when nobody is told.
    poster: Option<Poster>,
    shared: Arc<Shared>,
    ledger: Ledger,
    /// How many errors the tracker had no room for when that was last counted.
    unheard: u64,
    /// The same of the ledger.
    untold: u64,
    /// When it looked last.
    looked: Option<Instant>,
    look_every: Duration,
}

impl Watcher {
    fn run(mut self, events: &Receiver<Occurrence>) {
        let _ended = Ended(Arc::clone(&self.shared));
        loop {
            match events.recv_timeout(self.look_every) {
                Ok(error) => {
                    let notice = self.ledger.happened(self.source.clock.now(), &error);
                    notice.iter().for_each(|notice| self.tell(notice));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look();
            // The queue is full only while this thread is busy, so it always comes by here after.
            self.count();
        }
        self.count();
    }

    /// Looks what is wrong, when it is time: errors alone do not make it look more often.
    fn look(&mut self) {
        let now = self.source.clock.now();
        if self.looked.is_some_and(|before| now.since(before) < self.look_every) {
            return;
        }
        self.looked = Some(now);
        let look = (self.source.look)();
        let notices = self.ledger.looked(now, self.source.clock.wall(), look);
        notices.iter().for_each(|notice| self.tell(notice));
    }

    fn count(&mut self) {
        let meters = &self.shared.meters;
        let (unheard, untold) = (self.source.tracker.unheard(), self.ledger.untold());
        meters.dropped.add((unheard - self.unheard) + (untold - self.untold));
        (self.unheard, self.untold) = (unheard, untold);
        for (condition, gauge) in &meters.standing {
            gauge.set_count(self.ledger.count(*condition));
        }
    }

    fn tell(&self, notice: &Notice) {
        let (condition, subject) = (notice.subject.condition.name(), &*notice.subject.of);
        match notice.event {
            // Of a critical error the tracker has said so itself.
            Event::Raised if notice.subject.condition == Condition::CriticalError => {}
            Event::Raised => {
                tracing::error!(condition, subject, message = %notice.message, "raised");
            }
            Event::Resolved => {
                tracing::info!(condition, subject, times = notice.times, "resolved");
            }
        }
        let Some(poster) = &self.poster else { return };
        let meters = &self.shared.meters;
        if self.shared.giving_up.load(Ordering::Acquire) {
            meters.failed.increment();
            return;
        }
        match poster.post(notice, &self.shared.waiter) {
            Ok(()) => meters.sent.increment(),
            Err(error) => {
                meters.failed.increment();
                tracing::warn!(condition, subject, %error, "an alert was not delivered");
            }
        }
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

#[cfg(test)]
mod tests;
