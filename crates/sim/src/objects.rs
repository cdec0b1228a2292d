//! An object store in memory that fails as those of providers do.
//!
//! [`FaultStore`] keeps objects by name, created once each. [`Weather`] says how often a call goes wrong and how, and
//! [`FaultStore::down_for`] takes the store away for a while of virtual time. The same seed, weather and calls give the
//! same run.
//!
//! # The fault model
//!
//! - A call may fail before anything happened (`Unavailable`: a 5xx, a connection refused).
//! - A creation or deletion may happen while its answer is lost (`Timeout`), and a creation whose answer was lost may
//!   also happen **later**, after other calls, as a request does that was stuck on its way.
//! - Content sent in parts may break off: nothing has a name then, and the parts are counted as abandoned.
//! - A list may show the store as it was some calls ago; reads by name never lag.
//! - A read may take long: the virtual clock moves.
//!
//! Not modelled: objects that change or vanish by themselves. Damage is done by hand with [`FaultStore::damage`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::{Clock, Instant};
use base::rng::Rng;

use crate::clock::VirtualClock;

/// How a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There is an object of this name.
    Exists,
    /// Nothing happened.
    Unavailable,
    /// It may have happened, or may happen later.
    Timeout,
}

/// How often what goes wrong, in a thousand calls that it can happen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weather {
    /// A call fails and nothing happened.
    pub unavailable: u64,
    /// A change happens and its answer is lost.
    pub lost_answer: u64,
    /// A creation's answer is lost and it happens later.
    pub late: u64,
    /// Content in several parts breaks off.
    pub torn: u64,
    /// A list shows the past.
    pub stale: u64,
    /// A read takes [`SLOW`].
    pub slow: u64,
}

/// How long a slow read takes.
pub const SLOW: Duration = Duration::from_secs(5);
/// Of how many changes a stale list may not know.
const STALE_CHANGES_MAX: u64 = 8;
/// After how many calls a late creation happens, at most.
const LATE_CALLS_MAX: u64 = 12;

/// What was asked of a store so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// Creations, also those that failed.
    pub puts: u64,
    /// Reads of ranges or wholes.
    pub gets: u64,
    /// Lists.
    pub lists: u64,
    /// Deletions, by object.
    pub deletes: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Parts that were sent for objects which never came to be.
    pub abandoned_parts: u64,
}

#[derive(Debug)]
struct Late {
    due: u64,
    name: String,
    content: Arc<[u8]>,
}

#[derive(Debug)]
struct Core {
    objects: BTreeMap<String, Arc<[u8]>>,
    /// Every change of a name: what was there before.
    changes: Vec<(String, Option<Arc<[u8]>>)>,
    late: Vec<Late>,
    weather: Weather,
    rng: Rng,
    calls: Calls,
    down_until: Instant,
    clock: VirtualClock,
}

/// An object store in memory. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct FaultStore {
    core: Arc<Mutex<Core>>,
}

impl FaultStore {
    /// An empty store in good weather.
    #[must_use]
    pub fn new(seed: u64, clock: VirtualClock) -> Self {
        let core = Core {
            objects: BTreeMap::new(),
            changes: Vec::new(),
            late: Vec::new(),
            weather: Weather::default(),
            rng: Rng::new(seed),
            calls: Calls::default(),
            down_until: Instant(0),
            clock,
        };
        Self { core: Arc::new(Mutex::new(core)) }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how often what goes wrong from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.core().weather = weather;
    }

    /// Takes the store away for so long: every call fails and nothing happens.
    pub fn down_for(&self, time: Duration) {
        let mut core = self.core();
        core.down_until = core.clock.now().after(time);
    }

    /// Lets every late creation happen now.
    pub fn settle(&self) {
        self.core().deliver(u64::MAX);
    }

    /// What was asked so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.core().calls
    }

    /// All names and contents, without a call that is counted or can fail.
    #[must_use]
    pub fn peek(&self) -> BTreeMap<String, Vec<u8>> {
        let core = self.core();
        core.objects.iter().map(|(name, content)| (name.clone(), content.to_vec())).collect()
    }

    /// Replaces the content of an object, as rot or a hand would.
    pub fn damage(&self, name: &str, content: Vec<u8>) {
        self.core().objects.insert(name.to_owned(), content.into());
    }

    /// Creates an object of these parts unless there is one.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub fn put_new(&self, name: &str, parts: &[&[u8]]) -> Result<(), Failure> {
        let mut core = self.core();
        core.calls.puts += 1;
        core.begin()?;
        let weather = core.weather;
        if parts.len() > 1 && core.rng.chance(weather.torn) {
            let sent = 1 + core.rng.below(parts.len() as u64 - 1);
            core.calls.abandoned_parts += sent;
            return Err(Failure::Unavailable);
        }
        let content: Arc<[u8]> = parts.concat().into();
        if core.rng.chance(weather.late) {
            let due = core.total() + 1 + core.rng.below(LATE_CALLS_MAX);
            core.late.push(Late { due, name: name.to_owned(), content });
            return Err(Failure::Timeout);
        }
        let created = core.create(name, content);
        if core.rng.chance(weather.lost_answer) {
            return Err(Failure::Timeout);
        }
        if created { Ok(()) } else { Err(Failure::Exists) }
    }

    /// The bytes of an object, `None` when there is none. One call, however much of it the caller then uses.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub fn get(&self, name: &str) -> Result<Option<Arc<[u8]>>, Failure> {
        let mut core = self.core();
        core.calls.gets += 1;
        core.begin()?;
        let slow = core.weather.slow;
        if core.rng.chance(slow) {
            core.clock.advance(SLOW);
        }
        Ok(core.objects.get(name).cloned())
    }

    /// Counts bytes that a caller of [`FaultStore::get`] used.
    pub fn count_read(&self, bytes: u64) {
        self.core().calls.bytes_read += bytes;
    }

    /// Names that begin with `prefix` and come after `after`, with their lengths; at most `limit`.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, Failure> {
        let mut core = self.core();
        core.calls.lists += 1;
        core.begin()?;
        let mut shown = core.objects.clone();
        let stale = core.weather.stale;
        if core.rng.chance(stale) {
            let forgotten = 1 + core.rng.index(usize::try_from(STALE_CHANGES_MAX).unwrap_or(1));
            for (name, before) in core.changes.iter().rev().take(forgotten) {
                match before {
                    Some(content) => _ = shown.insert(name.clone(), Arc::clone(content)),
                    None => _ = shown.remove(name),
                }
            }
        }
        let found =
            shown.into_iter().filter(|(name, _)| name.starts_with(prefix) && name.as_str() > after);
        Ok(found.take(limit).map(|(name, content)| (name, content.len() as u64)).collect())
    }

    /// Deletes an object, if there is one.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub fn delete(&self, name: &str) -> Result<(), Failure> {
        let mut core = self.core();
        core.calls.deletes += 1;
        core.begin()?;
        if let Some(content) = core.objects.remove(name) {
            core.changes.push((name.to_owned(), Some(content)));
        }
        let lost = core.weather.lost_answer;
        if core.rng.chance(lost) { Err(Failure::Timeout) } else { Ok(()) }
    }
}

impl Core {
    fn total(&self) -> u64 {
        let Calls { puts, gets, lists, deletes, .. } = self.calls;
        puts + gets + lists + deletes
    }

    /// What happens to every call: late creations arrive, and the store may not be there.
    fn begin(&mut self) -> Result<(), Failure> {
        self.deliver(self.total());
        let unavailable = self.weather.unavailable;
        if self.clock.now() < self.down_until || self.rng.chance(unavailable) {
            return Err(Failure::Unavailable);
        }
        Ok(())
    }

    fn deliver(&mut self, now: u64) {
        let (due, later): (Vec<Late>, Vec<Late>) =
            std::mem::take(&mut self.late).into_iter().partition(|late| late.due <= now);
        self.late = later;
        for late in due {
            self.create(&late.name, late.content);
        }
    }

    fn create(&mut self, name: &str, content: Arc<[u8]>) -> bool {
        if self.objects.contains_key(name) {
            return false;
        }
        self.objects.insert(name.to_owned(), content);
        self.changes.push((name.to_owned(), None));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(weather: Weather) -> FaultStore {
        let store = FaultStore::new(1, VirtualClock::default());
        store.set_weather(weather);
        store
    }

    #[test]
    fn in_good_weather_it_is_a_store() {
        let store = store(Weather::default());
        assert_eq!(store.put_new("a/1", &[b"one"]), Ok(()));
        assert_eq!(store.put_new("a/1", &[b"two"]), Err(Failure::Exists));
        assert_eq!(store.put_new("a/2", &[b"t", b"wo"]), Ok(()));
        assert_eq!(store.get("a/2").unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(store.list("a/", "a/1", 9), Ok(vec![("a/2".to_owned(), 3)]));
        assert_eq!((store.delete("a/1"), store.delete("a/1")), (Ok(()), Ok(())));
        assert_eq!(store.get("a/1"), Ok(None));
        let calls = store.calls();
        assert_eq!((calls.puts, calls.gets, calls.lists, calls.deletes), (3, 2, 1, 2));
    }

    #[test]
    fn a_lost_answer_has_happened_and_a_late_one_happens() {
        let lost = store(Weather { lost_answer: 1000, ..Weather::default() });
        assert_eq!(lost.put_new("a", &[b"x"]), Err(Failure::Timeout));
        assert_eq!(lost.peek().len(), 1);
        let late = store(Weather { late: 1000, ..Weather::default() });
        assert_eq!(late.put_new("a", &[b"x"]), Err(Failure::Timeout));
        assert_eq!(late.peek().len(), 0);
        late.set_weather(Weather::default());
        let tries = (0..LATE_CALLS_MAX + 1).filter(|_| late.get("a").unwrap().is_some()).count();
        assert!(tries > 0, "it never arrived");
    }

    #[test]
    fn what_is_created_meanwhile_beats_a_late_creation() {
        let store = store(Weather { late: 1000, ..Weather::default() });
        store.put_new("a", &[b"late"]).unwrap_err();
        store.set_weather(Weather::default());
        store.put_new("a", &[b"now"]).unwrap();
        store.settle();
        assert_eq!(store.peek()["a"], b"now");
    }

    #[test]
    fn a_torn_upload_leaves_no_object_and_abandoned_parts() {
        let store = store(Weather { torn: 1000, ..Weather::default() });
        assert_eq!(store.put_new("a", &[b"1", b"2", b"3"]), Err(Failure::Unavailable));
        assert!(store.peek().is_empty() && store.calls().abandoned_parts > 0);
        assert_eq!(store.put_new("b", &[b"one part cannot tear"]), Ok(()));
    }

    #[test]
    fn a_stale_list_shows_the_past_and_reads_do_not() {
        let store = store(Weather { stale: 1000, ..Weather::default() });
        store.put_new("a", &[b"x"]).unwrap();
        assert_eq!(store.list("", "", 9), Ok(vec![]));
        assert!(store.get("a").unwrap().is_some());
    }

    #[test]
    fn a_store_that_is_down_comes_back_with_time() {
        let clock = VirtualClock::default();
        let store = FaultStore::new(1, clock.clone());
        store.down_for(Duration::from_secs(3600));
        assert_eq!(store.put_new("a", &[b"x"]), Err(Failure::Unavailable));
        clock.advance(Duration::from_secs(3600));
        assert_eq!(store.put_new("a", &[b"x"]), Ok(()));
        store.set_weather(Weather { slow: 1000, ..Weather::default() });
        let before = clock.now();
        store.get("a").unwrap();
        assert_eq!(clock.now().since(before), SLOW);
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let weather = Weather {
            unavailable: 200,
            lost_answer: 200,
            late: 200,
            torn: 200,
            stale: 200,
            slow: 100,
        };
        let run = |seed: u64| {
            let store = FaultStore::new(seed, VirtualClock::default());
            store.set_weather(weather);
            let puts = (0..100).map(|n| store.put_new(&format!("{}", n % 30), &[b"a", b"b"]));
            let puts: Vec<_> = puts.collect();
            let lists: Vec<_> = (0..20).map(|_| store.list("", "", 100)).collect();
            (puts, lists, store.peek())
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
