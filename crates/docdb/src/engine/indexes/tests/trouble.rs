//! What goes wrong beside an index or in it: defects, logs that cannot be read, histories that are gone, files that
//! are to be removed and are used again.

use std::collections::BTreeMap as Map;

use base::io::read_full_at;
use search::manifest::Place;

use super::super::contain::contained;
use super::super::database::Indexes;
use super::super::follow::Readable;
use super::super::removal::Removal;
use super::super::state::{Progress, Shown, Why};
use super::*;

fn indexes(world: &World) -> Arc<Indexes> {
    world.engine.indexes.shared.of(world.database().id()).expect("it is open")
}

/// All files below a directory, but those of indexes.
fn saved(world: &World) -> Map<PathBuf, Vec<u8>> {
    let mut files = Map::new();
    _ = walk(&world.disk, world.options.dir.clone(), &mut |path| {
        if !path.starts_with(world.options.dir.join(SEARCH_DIR)) {
            let file = world.disk.open(&path, Open::Read).unwrap();
            let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
            read_full_at(&*file, &mut bytes, 0).unwrap();
            files.insert(path, bytes);
        }
        ControlFlow::Continue(())
    });
    files
}

/// Puts files back as they were; others go.
fn put_back(world: &World, files: &Map<PathBuf, Vec<u8>>) {
    for path in saved(world).into_keys() {
        world.disk.remove_file(&path).unwrap();
    }
    for (path, bytes) in files {
        let file = world.disk.open(path, Open::CreateNew).unwrap();
        write_all_at(&*file, bytes, 0).unwrap();
    }
}

#[test]
fn an_index_that_knows_of_changes_which_the_database_has_not_is_removed_and_made_again() {
    let mut world = World::new(|options| options.search.index.flush_after = Duration::ZERO);
    let books = world.make("books");
    world.upsert("books", 0..20, 1);
    world.ready(books);
    let mut before = Map::new();
    world = world.restart(|world| before = saved(world));
    world.upsert("books", 100..150, 5);
    world.ready(books);
    until("it is flushed", || {
        let live = indexes(&world).live(books)?;
        (live.index.applied() >= world.database().position()).then_some(())
    });
    world = world.restart(|world| put_back(world, &before));
    // The same positions once more, for something else.
    world.upsert("books", 200..250, 7);
    let snapshot = world.ready(books);
    assert_eq!((world.ids(&snapshot, 5), world.ids(&snapshot, 7)), (vec![], range(200..250)));
    assert_eq!(world.builds(), 1);
}

#[test]
fn a_defect_in_the_work_on_an_index_has_it_made_again() {
    let world = World::new(|_| {});
    let books = world.make("books");
    world.upsert("books", 0..20, 1);
    world.ready(books);
    let panicked = contained(|| -> () { panic!("a defect") }).unwrap_err();
    indexes(&world).defective(books, &panicked);
    assert_eq!(world.ids(&world.ready(books), 1), range(0..20));
    assert_eq!(world.builds(), 2);
}

#[test]
fn where_the_log_cannot_be_read_documents_tell_what_it_does_not() {
    let world = World::new(|_| {});
    let books = world.make("books");
    // Made before there is anything, so that its files lack what comes.
    world.ready(books);
    world.upsert("books", 0..20, 1);
    world.ready(books);
    for (log, builds) in [(Readable::Perhaps, 1), (Readable::No, 2)] {
        let indexes = indexes(&world);
        lock(&indexes.following).begin_again(&indexes, log).unwrap();
        assert_eq!(world.ids(&world.ready(books), 1), range(0..20));
        assert_eq!(world.builds(), builds, "{log:?}");
    }
}

#[test]
fn files_at_the_place_of_a_namespace_that_is_followed_are_not_removed() {
    let world = World::new(|options| options.search.index.flush_after = Duration::ZERO);
    let books = world.make("books");
    world.upsert("books", 0..20, 1);
    world.ready(books);
    until("there are files", || (!world.files(books).is_empty()).then_some(()));
    let shared = Arc::clone(&world.engine.indexes.shared);
    let database = world.database().id();
    shared.remove(Removal::Index(Place { database, collection: books }));
    shared.remove(Removal::Database(database));
    until("both were looked at", || lock(&shared.removals).is_empty().then_some(()));
    assert!(!world.files(books).is_empty());
    // Taken away and declared again: its files of before may go or not, it is made anew.
    let served = world.served();
    ask(|reply| world.engine.remove_search_schema(&served, name("books"), reply)).unwrap();
    let asked = SchemaChange {
        declaration: Some(Bytes::from_static(SCHEMA.as_bytes())),
        ..SchemaChange::default()
    };
    let asker = crate::engine::namespaces::Asker::default();
    let (how, waiting) = (How::default(), asker.waiting());
    let change = |reply| {
        world.engine.change_search_schema(&served, name("books"), asked, how, waiting, reply);
    };
    ask(change).unwrap();
    assert_eq!(world.ids(&world.ready(books), 1), range(0..20));
    until("nothing is to be removed", || lock(&shared.removals).is_empty().then_some(()));
    assert_eq!(world.ids(&world.ready(books), 1), range(0..20));
    drop((served, shared));
    let world = world.restart(|_| {});
    assert_eq!(world.ids(&world.ready(books), 1), range(0..20));
    assert_eq!(world.builds(), 0, "its files are whole");
}

#[test]
fn writes_wait_for_an_index_that_is_made_and_cannot_keep_up() {
    let world = World::new(|options| {
        options.store.stall_max = Duration::from_millis(50);
        options.search.lag_changes_max = 10;
    });
    let books = world.make("books");
    world.upsert("books", 0..20, 1);
    world.ready(books);
    let indexes = indexes(&world);
    // Nobody makes it, whatever is shown.
    let _builds = lock(&indexes.builds);
    let progress = Arc::new(Progress::default());
    let why = Why::of_course("it is new");
    indexes.show(books, Some(Shown::Building(Arc::clone(&progress), why)));
    world.upsert("books", 20..25, 1);
    progress.position.store(world.database().durable().0 - 10, Ordering::Relaxed);
    world.upsert("books", 25..26, 1);
    let refused = world.execute(vec![upsert("books", 26, 1)]).unwrap_err();
    assert_eq!(refused.code, Code::QueueFull);
    world.upsert("default", 0..20, 1);
}

#[test]
fn a_flush_that_fails_is_told_until_one_does_not() {
    let world = World::new(|_| {});
    let books = world.make("books");
    world.upsert("books", 0..20, 1);
    world.ready(books);
    let live = indexes(&world).live(books).expect("it is ready");
    let degraded = crate::engine::Verdict::Degraded;
    until("it is told", || {
        live.flush_failure.note(Some("the disk is full".into()));
        let health = world.engine.health_of(&world.served());
        let (of, why) = health.indexes?.troubled.pop()?;
        (health.verdict == degraded && of == books && why.contains("full")).then_some(())
    });
    // The next look at it has nothing to complain of.
    until("it is well", || {
        let health = world.engine.health_of(&world.served());
        health.indexes?.troubled.is_empty().then_some(())
    });
}
