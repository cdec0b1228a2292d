//! How long the server is away: somebody who asks it without a pause, on a new connection each time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use client::Client;

use crate::server::Addresses;

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(20);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    /// Questions that were answered.
    pub(crate) answered: u64,
    /// Questions that were not while the server was being ended and started.
    pub(crate) while_away: u64,
    /// Questions that were not at any other time: there must be none.
    pub(crate) unexpected: u64,
}

#[derive(Debug)]
struct Shared {
    addresses: Addresses,
    stopping: AtomicBool,
    /// Whether the server is being ended or started.
    away: AtomicBool,
    answers: AtomicU64,
    asked: Mutex<Asked>,
}

/// Somebody who asks.
pub(crate) struct Probe {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Probe {
    pub(crate) fn start(addresses: Addresses) -> Self {
        let shared = Arc::new(Shared {
            addresses,
            stopping: AtomicBool::new(false),
            away: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            asked: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        let thread = base::workers::spawn("probe", move || own.ask()).unwrap();
        Self { shared, thread }
    }

    /// The server is about to be ended.
    pub(crate) fn away(&self) -> Instant {
        self.shared.away.store(true, Ordering::SeqCst);
        Instant::now()
    }

    /// It answers again; how long it took from being told to end to the next answer.
    pub(crate) fn back(&self, since: Instant) -> Duration {
        let answers = self.shared.answers.load(Ordering::SeqCst);
        // Two: the first may have been under way before.
        while self.shared.answers.load(Ordering::SeqCst) < answers + 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let took = since.elapsed();
        self.shared.away.store(false, Ordering::SeqCst);
        took
    }

    pub(crate) fn stop(self) -> Asked {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        *self.shared.asked.lock().unwrap()
    }
}

impl Shared {
    fn ask(&self) {
        for n in 0_u64.. {
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let Addresses { socket, http } = &self.addresses;
            let address = if n.is_multiple_of(2) { socket } else { http };
            let before = self.away.load(Ordering::SeqCst);
            let options = client::Options::new().timeout(PATIENCE);
            let answer = options.connect(address).and_then(|client: Client| {
                client.database("default").collection("default").get("probe").map(drop)
            });
            let is_away = before || self.away.load(Ordering::SeqCst);
            let mut asked = self.asked.lock().unwrap();
            match answer {
                Ok(()) => {
                    asked.answered += 1;
                    self.answers.fetch_add(1, Ordering::SeqCst);
                }
                Err(_) if is_away => asked.while_away += 1,
                Err(error) => {
                    asked.unexpected += 1;
                    eprintln!("soak: not answered: {error}");
                }
            }
            drop(asked);
            std::thread::sleep(PAUSE);
        }
    }
}
