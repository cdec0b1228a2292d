//! Random operations on an index and on a plain map: they never say anything different.
//!
//! An operation changes many documents at once, so that collections have several blocks.

use std::collections::BTreeMap;
use std::ops::Bound;

use base::clock::WallMs;
use base::words::{CollectionId, DocId, Lsn};
use docstore::index::{Entry, Found, Index, Merge, Step, Target};
use docstore::{FileNumber, Location};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Ids of each kind.
const IDS: u32 = 12_000;
const COLLECTIONS: u32 = 3;
/// Times at which documents expire.
const TIMES: u64 = 50;

/// A kind of ids, by number.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Dense,
    Spread,
    Uuid,
    Text,
}

const KINDS: [Kind; 4] = [Kind::Dense, Kind::Spread, Kind::Uuid, Kind::Text];

impl Kind {
    fn id(self, n: u32) -> DocId {
        let mixed = u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        match self {
            Self::Dense => DocId::U64(u64::from(n)),
            Self::Spread => DocId::U64(mixed),
            Self::Uuid => DocId::Uuid(uuid::Uuid::from_u64_pair(mixed, u64::from(n))),
            Self::Text => {
                let length = usize::try_from(n % 61).unwrap();
                DocId::string(&format!("{}{n}", "x".repeat(length % 55))).unwrap()
            }
        }
    }
}

/// Some ids of a kind: every `stride`th from `first` on.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    collection: u32,
    kind: Kind,
    first: u32,
    stride: u32,
    count: u32,
}

impl Chosen {
    fn ids(self) -> impl Iterator<Item = DocId> {
        let numbers = (0..self.count).map(move |n| (self.first + n * self.stride) % IDS);
        numbers.map(move |n| self.kind.id(n))
    }

    fn collection(self) -> CollectionId {
        CollectionId(self.collection)
    }
}

#[derive(Debug, Clone)]
enum Operation {
    /// Some of them with an expiry.
    Put(Chosen, Option<u64>),
    Delete(Chosen),
    Relocate(Chosen),
    Drop(u32),
    Freeze,
    /// Begins a merge, in the place of one that was under way.
    Begin(Target),
    /// Goes on with it, and installs it when it is done.
    Step(usize),
    Range {
        collection: u32,
        from: Bound<(Kind, u32)>,
        to: Bound<(Kind, u32)>,
    },
}

fn kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(&KINDS[..])
}

fn chosen() -> impl Strategy<Value = Chosen> {
    let count = prop_oneof![1..10u32, 1..5_000u32];
    (0..COLLECTIONS, kind(), 0..IDS, 1..7u32, count).prop_map(
        |(collection, kind, first, stride, count)| Chosen {
            collection,
            kind,
            first,
            stride,
            count,
        },
    )
}

fn bound() -> impl Strategy<Value = Bound<(Kind, u32)>> {
    prop_oneof![
        1 => Just(Bound::Unbounded),
        2 => (kind(), 0..IDS).prop_map(Bound::Included),
        2 => (kind(), 0..IDS).prop_map(Bound::Excluded),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let target = prop_oneof![Just(Target::Base), Just(Target::Layer)];
    prop_oneof![
        8 => (chosen(), proptest::option::of(0..TIMES)).prop_map(|(s, at)| Operation::Put(s, at)),
        4 => chosen().prop_map(Operation::Delete),
        1 => chosen().prop_map(Operation::Relocate),
        1 => (0..COLLECTIONS).prop_map(Operation::Drop),
        4 => Just(Operation::Freeze),
        3 => target.prop_map(Operation::Begin),
        4 => (1..20_000usize).prop_map(Operation::Step),
        3 => (0..COLLECTIONS, bound(), bound())
            .prop_map(|(collection, from, to)| Operation::Range { collection, from, to }),
    ]
}

#[derive(Default)]
struct World {
    index: Index,
    model: BTreeMap<(CollectionId, DocId), Entry>,
    dropped: Vec<CollectionId>,
    merge: Option<Merge>,
    lsn: u64,
}

impl World {
    fn next(&mut self, expires_at: Option<u64>) -> Entry {
        self.lsn += 1;
        let location = Location { file: FileNumber(1), offset: u32::try_from(self.lsn).unwrap() };
        Entry { lsn: Lsn(self.lsn), location, expires_at: expires_at.map(WallMs) }
    }

    fn run(&mut self, operation: &Operation) {
        match *operation {
            Operation::Put(some, at) => self.put(some, at),
            Operation::Delete(some) => {
                for id in some.ids() {
                    let lsn = self.next(None).lsn;
                    let before = self.index.delete(some.collection(), &id, lsn);
                    assert_eq!(before, self.model.remove(&(some.collection(), id)));
                }
            }
            Operation::Relocate(some) => self.relocate(some),
            Operation::Drop(collection) => {
                let collection = CollectionId(collection);
                self.index.drop_collection(collection);
                self.model.retain(|(c, _), _| *c != collection);
                self.dropped.push(collection);
            }
            Operation::Freeze => drop(self.index.freeze()),
            Operation::Begin(target) => self.merge = self.index.merge(target),
            Operation::Step(changes) => match self.merge.take().map(|merge| merge.step(changes)) {
                Some(Step::More(merge)) => self.merge = Some(merge),
                Some(Step::Done(merged)) => self.index.install(merged).expect("the only merge"),
                None => {}
            },
            Operation::Range { collection, from, to } => {
                self.range(CollectionId(collection), from, to);
            }
        }
    }

    fn put(&mut self, some: Chosen, at: Option<u64>) {
        if self.dropped.contains(&some.collection()) {
            return;
        }
        for (n, id) in (0..).zip(some.ids()) {
            // Every other one expires, one after the other.
            let at = at.filter(|_| n % 2 == 0).map(|at| (at + n) % TIMES);
            let entry = self.next(at);
            let before = self.index.put(some.collection(), &id, entry);
            assert_eq!(before, self.model.insert((some.collection(), id), entry));
        }
    }

    fn relocate(&mut self, some: Chosen) {
        for id in some.ids() {
            let to = self.next(None).location;
            let Some(entry) = self.model.get_mut(&(some.collection(), id.clone())) else {
                continue;
            };
            let from = entry.location;
            assert!(self.index.relocate(some.collection(), &id, entry.lsn, from, to));
            entry.location = to;
        }
    }

    fn range(&self, collection: CollectionId, from: Bound<(Kind, u32)>, to: Bound<(Kind, u32)>) {
        let id = |(kind, n): (Kind, u32)| kind.id(n);
        let (from, to) = (from.map(id), to.map(id));
        let is_inside = |id: &DocId| {
            (match &from {
                Bound::Unbounded => true,
                Bound::Included(from) => id >= from,
                Bound::Excluded(from) => id > from,
            }) && (match &to {
                Bound::Unbounded => true,
                Bound::Included(to) => id <= to,
                Bound::Excluded(to) => id < to,
            })
        };
        let in_model = self.model.iter().filter(|((c, id), _)| *c == collection && is_inside(id));
        let in_index = self.index.range(collection, from.as_ref(), to.as_ref());
        assert!(in_index.eq(in_model.map(|((_, id), entry)| (id.clone(), *entry))));
    }

    /// Compares everything.
    fn check(&self) {
        for collection in (0..COLLECTIONS).map(CollectionId) {
            self.range(collection, Bound::Unbounded, Bound::Unbounded);
            let mine = || self.model.iter().filter(move |((c, _), _)| *c == collection);
            assert_eq!(self.index.counts(collection).live, mine().count() as u64);
            for now in [0, TIMES / 2, TIMES] {
                let is_expired = |e: &Entry| e.expires_at.is_some_and(|at| at.0 <= now);
                let expired: Vec<_> = mine().filter(|(_, entry)| is_expired(entry)).collect();
                let live = (mine().count() - expired.len()) as u64;
                assert_eq!(self.index.live_at(collection, WallMs(now)), live);
                let page = self.index.expired(collection, WallMs(now), None, usize::MAX);
                let found = page.documents.iter().map(|(id, entry)| (id, entry));
                assert!(found.eq(expired.iter().map(|((_, id), entry)| (id, *entry))));
            }
            for id in KINDS.iter().flat_map(|kind| (0..IDS).step_by(7).map(|n| kind.id(n))) {
                let found = self.index.get(collection, &id).and_then(Found::live);
                assert_eq!(found.as_ref(), self.model.get(&(collection, id)));
            }
        }
    }
}

proptest! {
    // The same cases in every run: PROPTEST_CASES asks for more of them and PROPTEST_RNG_SEED for
    // others. What one finds becomes a named case in `index.rs`, so no file of seeds is kept.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 4,
        rng_seed: match ProptestConfig::default().rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            chosen @ RngSeed::Fixed(_) => chosen,
        },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_index_says_what_a_map_says(operations in prop::collection::vec(operation(), 1..30)) {
        let mut world = World::default();
        for operation in &operations {
            world.run(operation);
        }
        world.check();
        world.index.freeze();
        for target in [Target::Layer, Target::Base] {
            if let Some(merge) = world.index.merge(target) {
                world.index.install(merge.run()).expect("the only merge");
            }
            world.check();
        }
        for collection in (0..COLLECTIONS).map(CollectionId) {
            prop_assert_eq!(world.index.counts(collection).tombstones, 0);
        }
    }
}
