//! Files of an index that are not what was written: the damage is found and named, no answer is wrong, what does not need
//! the damaged part goes on, and the index is made again from the documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::error::{Code, Coded};
use base::rng::Rng;
use base::words::Lsn;
use search::exhaustive::Answer;
use search::index::{Index, IndexError, Options, Rebuild, Step, inspect};
use search::query::{Query, RankBy, Search};
use search::storage::{Name, Store, StoreRef, list_all};
use sim::seed;

use crate::stores::Objects;
use crate::world::{PLACE, World, backing, environment, is_same, open, options, parse};

/// Places that are hit in each file, beside its first and its last bytes.
const HITS: u64 = 4;
/// Documents of the first segment, so many that its index of vectors is asked, and after the second.
const ROWS: [usize; 2] = [720, 740];

/// An index whose files are all written, and everything that its store has.
struct Written {
    world: World,
    objects: BTreeMap<String, Vec<u8>>,
    /// With what looking at all documents answers.
    queries: Vec<(Query, Answer)>,
}

fn all(store: &dyn Store) -> BTreeMap<String, Vec<u8>> {
    let listed = list_all(store, &PLACE.folder().expect("a name"), 100).expect("a list");
    let content = |name: &Name| store.get(name).expect("good weather").expect("it was listed");
    listed.iter().map(|one| (one.name.as_str().to_owned(), content(&one.name).to_vec())).collect()
}

/// Two segments, both with dead rows.
fn written() -> Written {
    let mut world = World::new(41, 5000);
    let store: StoreRef = Arc::new(Objects::default());
    let roomy = Options { memtable_bytes: 1 << 30, unindexed_bytes_max: 1 << 30, ..options() };
    let environment = || environment(&world.clock, 1);
    let with = (world.shape.schema.clone(), roomy);
    let index = Index::create(backing(&store), PLACE, (with.0, Lsn::ZERO), with.1, environment());
    let index = index.expect("an index");
    for rows in ROWS {
        while world.documents.len() < rows {
            let changes = world.write();
            index.apply(world.prepared(&changes), Lsn::ZERO);
        }
        index.flush_all().expect("a flush");
    }
    for _ in 0..2 {
        let changes = world.write();
        index.apply(world.prepared(&changes), Lsn::ZERO);
        index.flush_all().expect("a flush");
    }
    assert_eq!(index.status().segments, 4);
    // What is left is what the newest manifest names.
    for _ in 0..2 {
        world.clock.advance(options().grace);
        index.sweep_step().expect("a sweep");
    }
    let mut queries: Vec<Query> = (0..14).map(|_| parse(&world.query())).collect();
    for text in [
        r#"{"rank_by":["v","ANN",[1,-2]],"limit":10}"#,
        r#"{"rank_by":["v","ANN",[-3,4]],"limit":10}"#,
        r#"{"rank_by":["w","kNN",[1,-2,0]],"limit":10}"#,
        r#"{"rank_by":["t","BM25","quick foxes zebra"],"limit":10}"#,
        r#"{"filters":["u","ContainsTokenSequence","quick fox"],"limit":10}"#,
        r#"{"filters":["And",[["n","Gte",0],["s","Glob","*e*"]]],"rank_by":["f","desc"]}"#,
        r#"{"aggregate_by":{"c":["Count"],"s":["Sum","n"]},"group_by":["s"]}"#,
    ] {
        queries.push(parse(text));
    }
    let expect = |query: Query| (world.expect(&query), query);
    let queries = queries.into_iter().map(expect).map(|(answer, query)| (query, answer));
    Written { objects: all(&*store), queries: queries.collect(), world }
}

impl Written {
    /// The store with a byte of an object changed.
    fn hit(&self, object: &str, at: usize, mask: u8) -> StoreRef {
        let mut objects = self.objects.clone();
        objects.get_mut(object).expect("it is one of them")[at] ^= mask;
        Arc::new(Objects::of(objects))
    }

    /// Asks everything: how many answers were right, how many of those got around the damage and said so, and how many
    /// errors named the segment.
    fn ask(&self, index: &Index, segment: &str) -> (u64, u64, u64) {
        let snapshot = index.snapshot();
        let (mut right, mut around, mut errors) = (0, 0, 0);
        for (query, expect) in &self.queries {
            match snapshot.query(query, self.world.now()) {
                Ok(found) => {
                    let explained = format!("{query:?} {}", found.performance);
                    if is_approximate(query) {
                        is_near(&found.answer, expect, &explained);
                    } else {
                        is_same(&found, expect, &explained);
                    }
                    assert!(found.performance.damaged().all(|part| part == segment));
                    right += 1;
                    around += u64::from(found.performance.damaged().next().is_some());
                }
                Err(error) => {
                    is_named(&error, segment);
                    errors += 1;
                }
            }
        }
        (right, around, errors)
    }
}

fn is_approximate(query: &Query) -> bool {
    matches!(&query.rank_by, Some(RankBy::Nearest(nearest)) if nearest.search == Search::Approximate)
}

/// Most rows are as near as those that are nearest; many are as near as each other.
fn is_near(found: &Answer, expect: &Answer, explained: &str) {
    let farthest = expect.rows.last().and_then(|row| row.dist);
    let near = found.rows.iter().filter(|row| row.dist <= farthest).count();
    assert_eq!(found.work.matched, expect.work.matched, "{explained}");
    assert!(near * 10 >= expect.rows.len() * 8, "{near} of {}: {explained}", expect.rows.len());
}

/// Whether an error says that this segment is damaged.
fn is_named(error: &IndexError, segment: &str) {
    let named = matches!(error, IndexError::Segment { segment: found, .. } if **found == *segment);
    assert!(named && error.code() == Code::CorruptRecord, "{error} for {segment}");
}

/// The places that are hit in a file of so many bytes.
fn places(rng: &mut Rng, len: usize) -> BTreeSet<usize> {
    let hits = HITS * seed::times();
    let some = (0..hits).map(|_| rng.index(len));
    [0, 9, len - 1, len - 5].into_iter().filter(|at| *at < len).chain(some).collect()
}

/// What became of a kind of file.
#[derive(Debug, Default)]
struct Counts {
    hits: u64,
    /// Where the index was not opened.
    at_open: u64,
    /// Answers that were right, of them those that got around the damage, and errors.
    right: u64,
    around: u64,
    errors: u64,
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_named_and_changes_no_answer() {
    let written = written();
    let mut rng = Rng::new(1);
    let mut kinds: BTreeMap<String, Counts> = BTreeMap::new();
    let segments = PLACE.segments().expect("a name");
    for (object, content) in &written.objects {
        let Some(below) = object.strip_prefix(segments.as_str()) else { continue };
        let (segment, file) = below.trim_start_matches('/').split_once('/').expect("a file");
        let kind = if file.starts_with("dead-") { "dead" } else { file };
        let counts = kinds.entry(kind.to_owned()).or_default();
        for at in places(&mut rng, content.len()) {
            let store = written.hit(object, at, 1 << rng.below(8));
            counts.hits += 1;
            match open(&store, &written.world.clock, 5, &[]) {
                Err(error) => {
                    is_named(&error, segment);
                    counts.at_open += 1;
                }
                Ok(index) => {
                    let (right, around, errors) = written.ask(&index, segment);
                    counts.right += right;
                    counts.around += around;
                    counts.errors += errors;
                    // Whoever looks at all of it finds it, wherever it is.
                    let error = index.verify().expect_err("damaged");
                    is_named(&error, segment);
                }
            }
        }
    }
    println!("{kinds:#?}");
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    let sum = |of: fn(&Counts) -> u64| kinds.values().map(of).sum::<u64>();
    assert!(sum(|counts| counts.hits) > 150 && sum(|counts| counts.at_open) > 50);
    assert!(sum(|counts| counts.right) > 500 && sum(|counts| counts.errors) > 50);
    assert!(sum(|counts| counts.around) <= sum(|counts| counts.right));
}

#[test]
fn a_merge_of_a_damaged_segment_fails_with_its_name_and_a_rebuild_restores_the_index() {
    let mut written = written();
    let mut rng = Rng::new(2);
    let segments = PLACE.segments().expect("a name");
    let objects: Vec<(String, usize)> =
        written.objects.iter().map(|(name, content)| (name.clone(), content.len())).collect();
    let (mut named, mut restored) = (0, 0);
    for (object, len) in objects {
        let Some(below) = object.strip_prefix(segments.as_str()) else { continue };
        let (segment, _) = below.trim_start_matches('/').split_once('/').expect("a file");
        let store = written.hit(&object, len / 2 + rng.index(len / 2), 0x40);
        let found = inspect(&store, PLACE).expect("a manifest").expect("there is one");
        let wrong: Vec<&IndexError> =
            found.verdicts.iter().filter_map(|verdict| verdict.as_ref().err()).collect();
        assert_eq!(wrong.len(), 1, "{object}: {wrong:?}");
        is_named(wrong[0], segment);
        let merging = Options { segments_max: 1, ..options() };
        let world = &written.world;
        let environment = || environment(&world.clock, 6);
        let schema = world.shape.schema.clone();
        let opened =
            Index::open(backing(&store), PLACE, schema.clone(), merging.clone(), environment());
        let index = match opened {
            Ok(index) => {
                let index = index.expect("there is one");
                match merged(&index) {
                    Err(error) => {
                        is_named(&error, segment);
                        named += 1;
                    }
                    // What a merge does not read is gone with its inputs.
                    Ok(()) => written.world.check(&index, 3),
                }
                let mut rebuild = index.rebuild(schema);
                rebuild.add(written.world.prepared_documents()).expect("in order");
                rebuild.documents_end(written.world.position());
                index.adopt(&mut rebuild).expect("it has all changes");
                index
            }
            Err(error) => {
                is_named(&error, segment);
                let mut rebuild =
                    Rebuild::new(backing(&store), PLACE, schema, merging, environment());
                rebuild.add(written.world.prepared_documents()).expect("in order");
                rebuild.documents_end(written.world.position());
                rebuild.finish().expect("a store that takes it")
            }
        };
        index.verify().expect("all of it is new");
        written.world.check(&index, 5);
        restored += 1;
    }
    println!("{restored} rebuilds, {named} merges that failed");
    assert!(restored >= 24 && named > 5, "{restored} {named}");
}

/// Merges until there is nothing to merge.
fn merged(index: &Index) -> search::index::Result<()> {
    while index.compact_step()? == Step::Done {}
    Ok(())
}

#[test]
fn a_damaged_manifest_is_no_index_and_a_rebuild_goes_on_behind_it() {
    let mut written = written();
    let manifests = PLACE.manifests().expect("a name");
    let newest = written.objects.keys().rfind(|name| name.starts_with(manifests.as_str()));
    let newest = newest.expect("there is one").clone();
    let mut rng = Rng::new(3);
    for at in places(&mut rng, written.objects[&newest].len()) {
        let store = written.hit(&newest, at, 1 << rng.below(8));
        if inspect(&store, PLACE).is_err_and(|error| error.code() == Code::Unsupported) {
            // Of its format version, and then it could be one of a later docdb.
            continue;
        }
        let world = &written.world;
        let environment = || environment(&world.clock, 7);
        let schema = world.shape.schema.clone();
        let found = Index::open(backing(&store), PLACE, schema.clone(), options(), environment());
        assert!(found.expect("no error").is_none(), "byte {at}");
        let mut rebuild = Rebuild::new(backing(&store), PLACE, schema, options(), environment());
        rebuild.add(written.world.prepared_documents()).expect("in order");
        rebuild.documents_end(written.world.position());
        let index = rebuild.finish().expect("the next number is free");
        written.world.check(&index, 3);
    }
}
