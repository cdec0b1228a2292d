//! Manifests and segments on a store that fails in every way: nothing that was answered is lost, nothing is there twice,
//! and no orphan stays for ever.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::clock::{Clock, WallMs};
use base::io::MemDisk;
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, Lsn};
use search::manifest::{
    Chain, Contents, Dead, Manifest, ManifestError, Newest, Place, Record, Segment, SegmentFile,
    Sweep, WriterId, decode,
};
use search::storage::{StoreErrorKind, StoreRef, Ulid, put_unique};
use sim::VirtualClock;
use sim::objects::{FaultStore, Weather};
use sim::seed::Seeds;

use crate::stores::Faulty;

const GRACE: Duration = Duration::from_secs(3600);

fn place() -> Place {
    Place { database: DatabaseId::from_bytes([0xDB; 16]), collection: CollectionId(1) }
}

fn contents(applied: u64, segments: &[Segment]) -> Contents {
    Contents { applied: Lsn(applied), schema: b"schema"[..].into(), segments: segments.into() }
}

fn writer(rng: &mut Rng) -> WriterId {
    let (low, high) = (rng.next_u64(), rng.next_u64());
    WriterId((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
}

/// Two writers of one index on one store: one goes on, the other is fenced. Any store will do.
pub(crate) fn two_writers(store: StoreRef) {
    let open = |n: u8| Chain::open(Arc::clone(&store), place(), WriterId([n; 16]), None).unwrap();
    let (mut first, _) = open(1);
    first.publish(contents(1, &[]), WallMs(1)).unwrap();
    let (mut second, newest) = open(2);
    assert!(matches!(newest, Newest::Manifest(manifest) if manifest.number == 1));
    second.claim(WallMs(2)).unwrap();
    let fenced = first.publish(contents(2, &[]), WallMs(3)).unwrap_err();
    assert!(matches!(fenced, ManifestError::Fenced { by: WriterId(by), .. } if by == [2; 16]));
    assert_eq!(second.publish(contents(3, &[]), WallMs(4)).unwrap().number, 3);
    assert_eq!(search::manifest::remove_all(&*store, &place()).unwrap(), 3);
}

/// An index that is all manifests: it flushes, merges, deletes rows, sweeps, and crashes.
struct Index {
    inner: FaultStore,
    store: StoreRef,
    clock: VirtualClock,
    disk: base::io::DiskRef,
    rng: Rng,
    chain: Chain,
    segments: Vec<Segment>,
    applied: u64,
    /// What was answered: applied LSN by number.
    answered: BTreeMap<u64, u64>,
}

fn is_passing(error: &ManifestError) -> bool {
    matches!(error, ManifestError::Store(error)
        if matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::Timeout))
}

impl Index {
    fn start(seed: u64, weather: Weather) -> Self {
        let clock = VirtualClock::new(WallMs(1_700_000_000_000));
        let inner = FaultStore::new(seed, clock.clone());
        let store: StoreRef = Arc::new(Faulty::new(inner.clone(), clock.clone(), 2));
        let disk = MemDisk::shared();
        let mut rng = Rng::new(seed ^ 0xABCD);
        let chain = Self::opened(&store, &disk, &mut rng).unwrap();
        inner.set_weather(weather);
        let segments = Vec::new();
        Self {
            inner,
            store,
            clock,
            disk,
            rng,
            chain,
            segments,
            applied: 0,
            answered: BTreeMap::new(),
        }
    }

    fn opened(
        store: &StoreRef,
        disk: &base::io::DiskRef,
        rng: &mut Rng,
    ) -> Result<Chain, ManifestError> {
        let record = Record::open(disk, std::path::Path::new("/record"))?;
        Chain::open(Arc::clone(store), place(), writer(rng), Some(record)).map(|(chain, _)| chain)
    }

    /// A new process on the same data directory.
    fn reopen(&mut self) {
        let chain = loop {
            match Self::opened(&self.store, &self.disk, &mut self.rng) {
                Ok(chain) => break chain,
                Err(error) => assert!(is_passing(&error), "{error}"),
            }
        };
        let (applied, segments) = chain.newest().map_or((0, Vec::new()), |newest| {
            (newest.contents.applied.0, newest.contents.segments.to_vec())
        });
        let answered = self.answered.values().max().copied().unwrap_or_default();
        assert!(applied >= answered, "answered {answered}, found {applied}");
        (self.chain, self.applied, self.segments) = (chain, applied, segments);
    }

    fn ulid(&mut self) -> Ulid {
        Ulid::new(self.clock.wall(), &mut self.rng)
    }

    /// Puts an object until it is there.
    fn put(&self, name: &search::storage::Name, len: usize) -> Result<(), ManifestError> {
        Ok(put_unique(&*self.store, name, &vec![7; len])?)
    }

    fn segment(&mut self, first: u64, last: u64) -> Result<Segment, ManifestError> {
        let id = self.ulid();
        let file = |name: &str, len| SegmentFile {
            name: name.to_owned(),
            len,
            identity: id.bytes(),
            opening: Vec::new(),
        };
        let files = vec![file("attrs.idx", 250), file("text.idx", 30)];
        for file in &files {
            let len = usize::try_from(file.len).unwrap();
            self.put(&place().file(id, &file.name)?, len)?;
        }
        Ok(Segment { id, first: Lsn(first), last: Lsn(last), rows: 9, dead: None, files })
    }

    /// One change of what the index consists of, published or not.
    fn step(&mut self) -> Result<(), ManifestError> {
        let mut segments = self.segments.clone();
        let mut applied = self.applied;
        match self.rng.below(4) {
            0 if segments.len() > 1 => {
                let at = self.rng.index(segments.len() - 1);
                let (first, last) = (segments[at].first.0, segments[at + 1].last.0);
                let merged = self.segment(first, last)?;
                segments.splice(at..at + 2, [merged]);
            }
            1 if !segments.is_empty() => {
                let (at, id) = (self.rng.index(segments.len()), self.ulid());
                self.put(&place().dead(segments[at].id, id)?, 40)?;
                segments[at].dead = Some(Dead { id, len: 40, rows: 3 });
            }
            _ => {
                let made = self.segment(applied + 1, applied + 5)?;
                segments.push(made);
                applied += 5;
            }
        }
        let published = self.chain.publish(contents(applied, &segments), self.clock.wall())?;
        assert_eq!(self.answered.insert(published.number, applied), None, "a number twice");
        (self.segments, self.applied) = (segments, applied);
        Ok(())
    }

    /// The newest manifest that is really there, and that all it names is.
    fn check(&self) -> Option<Manifest> {
        let objects = self.inner.peek();
        let (number, bytes) = (1..)
            .map(|number| (number, place().manifest(1, number).unwrap()))
            .skip_while(|(_, name)| !objects.contains_key(name.as_str()))
            .take_while(|(_, name)| objects.contains_key(name.as_str()))
            .map(|(number, name)| (number, objects[name.as_str()].clone()))
            .take(objects.len())
            .last()?;
        let manifest = decode(place(), 1, number, &bytes).unwrap();
        for segment in &*manifest.contents.segments {
            let files = segment.files.iter().map(|file| place().file(segment.id, &file.name));
            let dead = segment.dead.map(|dead| place().dead(segment.id, dead.id));
            for name in files.chain(dead).map(Result::unwrap) {
                assert!(objects.contains_key(name.as_str()), "{name} is gone from under {number}");
            }
        }
        Some(manifest)
    }

    fn sweep(&mut self) -> Result<(), ManifestError> {
        let now = self.clock.wall();
        self.chain.sweep(&Sweep { now, grace: GRACE, ..Sweep::default() }).map(|_| ())
    }

    /// Lets time pass and calls be made, with crashes, for so many steps.
    fn live(&mut self, steps: u64) {
        for _ in 0..steps {
            self.clock.advance(Duration::from_secs(self.rng.below(1200)));
            let done = match self.rng.below(10) {
                0 => {
                    self.reopen();
                    self.chain.claim(self.clock.wall())
                }
                1 | 2 => self.sweep(),
                _ => self.step(),
            };
            match done {
                Ok(()) => {}
                Err(error) if is_passing(&error) => {}
                // A try of the process before was under way when this one began: it starts again from there.
                Err(ManifestError::Fenced { .. }) => self.reopen(),
                Err(other) => panic!("{other}"),
            }
            if self.inner.peek().keys().any(|name| name.contains("/manifest/")) {
                self.check();
            }
        }
    }

    /// In good weather, everything comes right.
    fn end(mut self) {
        self.inner.set_weather(Weather::default());
        self.inner.settle();
        self.reopen();
        self.step().unwrap();
        self.clock.advance(2 * GRACE);
        self.step().unwrap();
        self.clock.advance(2 * GRACE);
        self.sweep().unwrap();
        let newest = self.check().unwrap();
        assert_eq!(newest.contents.applied.0, self.applied);
        let named: usize = newest
            .contents
            .segments
            .iter()
            .map(|s| s.files.len() + usize::from(s.dead.is_some()))
            .sum();
        assert_eq!(self.inner.peek().len(), named + 1, "orphans: {:?}", self.inner.peek().keys());
    }
}

#[test]
fn in_any_weather_nothing_is_lost_nothing_is_twice_and_no_orphan_stays() {
    Seeds::from_env(1, 60).each(|seed| {
        let mut rng = Rng::new(seed);
        let mut often = |most: u64| if rng.chance(600) { rng.below(most) } else { 0 };
        let weather = Weather {
            unavailable: often(300),
            lost_answer: often(300),
            late: often(300),
            torn: often(300),
            stale: often(300),
            slow: often(100),
        };
        let mut index = Index::start(seed, weather);
        index.live(60);
        index.end();
    });
}

#[test]
fn a_store_that_is_away_for_an_hour_loses_nothing() {
    let mut index = Index::start(7, Weather::default());
    index.live(20);
    let before = index.check().unwrap();
    index.inner.down_for(Duration::from_secs(3600));
    for _ in 0..20 {
        let error = index.step().unwrap_err();
        assert!(is_passing(&error), "{error}");
    }
    assert_eq!(index.check().unwrap(), before);
    index.clock.advance(Duration::from_secs(3600));
    index.live(20);
    index.end();
}

#[test]
fn two_writers_on_a_store_that_fails_never_both_publish_a_number() {
    Seeds::from_env(1, 60).each(|seed| {
        let clock = VirtualClock::default();
        let inner = FaultStore::new(seed, clock.clone());
        let store: StoreRef = Arc::new(Faulty::new(inner.clone(), clock.clone(), 3));
        let mut rng = Rng::new(seed);
        let mut open = |store: &StoreRef| {
            Chain::open(Arc::clone(store), place(), writer(&mut rng), None).unwrap().0
        };
        let mut chains = [open(&store), open(&store)];
        inner.set_weather(Weather {
            lost_answer: 200,
            late: 200,
            unavailable: 100,
            ..Weather::default()
        });
        let mut answered = BTreeMap::new();
        let mut fenced = [false; 2];
        for n in 0..40 {
            let who = usize::from(n % 2 == 1);
            match chains[who].publish(contents(n, &[]), WallMs(n)) {
                Ok(manifest) => {
                    assert!(!fenced[who], "it was fenced before");
                    assert_eq!(answered.insert(manifest.number, manifest), None);
                }
                Err(ManifestError::Fenced { .. }) => fenced[who] = true,
                Err(error) => assert!(is_passing(&error), "{error}"),
            }
        }
        assert!(fenced != [true, true], "the one that published last is not fenced");
        for (number, manifest) in &answered {
            let name = place().manifest(1, *number).unwrap();
            let there = decode(place(), 1, *number, &inner.peek()[name.as_str()]).unwrap();
            assert_eq!(there, **manifest, "what was answered is what is there");
        }
    });
}

#[test]
fn a_local_store_has_room_for_two_writers_as_little_as_any() {
    let disk = MemDisk::shared();
    let store = search::storage::LocalStore::open(disk, std::path::Path::new("/s")).unwrap();
    two_writers(Arc::new(store));
}
