//! Tests of the store in a directory; what a crash leaves is in `tests/it/local_store.rs`.

use base::io::MemDisk;

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn open() -> (DiskRef, LocalStore) {
    let disk = MemDisk::shared();
    let store = LocalStore::open(disk.clone(), Path::new("/store")).unwrap();
    (disk, store)
}

fn put(store: &LocalStore, text: &str, content: &[u8]) -> Result<(), StoreErrorKind> {
    store.put_new(&name(text), &content.to_vec()).map_err(|error| error.kind())
}

fn listed(store: &LocalStore, folder: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let after = after.map(name);
    let listed = store.list_after(&name(folder), after.as_ref(), limit).unwrap();
    listed.into_iter().map(|listed| listed.name.to_string()).collect()
}

#[test]
fn an_object_is_created_once_and_read_by_ranges() {
    let (_, store) = open();
    put(&store, "a/b", b"0123456789").unwrap();
    assert_eq!(put(&store, "a/b", b"other"), Err(StoreErrorKind::AlreadyExists));
    put(&store, "a/empty", b"").unwrap();
    assert_eq!(store.get(&name("a/b")).unwrap().unwrap(), "0123456789");
    assert_eq!(store.get(&name("a/empty")).unwrap().unwrap(), "");
    assert_eq!(store.get(&name("a/c")).unwrap(), None);
    assert_eq!(store.get(&name("a")).unwrap(), None, "a folder is no object");
    assert_eq!(store.len_of(&name("a/b")).unwrap(), Some(10));
    let wanted = [(name("a/b"), 2..5), (name("a/empty"), 0..0), (name("a/b"), 9..10)];
    assert_eq!(store.get_ranges(&wanted).unwrap(), ["234", "", "9"]);
    for (range, object, kind) in [
        (5..11, "a/b", StoreErrorKind::Damaged),
        (u64::MAX - 1..u64::MAX, "a/b", StoreErrorKind::Damaged),
        (0..1, "a/c", StoreErrorKind::NotFound),
    ] {
        let error = store.get_ranges(&[(name(object), range)]).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn lists_are_in_the_order_of_whole_names_and_go_on_where_they_ended() {
    let (_, store) = open();
    // `-` and `.` come before `/`, digits after it.
    let mut names =
        ["f/a-b", "f/a.b", "f/a/c", "f/a/d", "f/a/d1/x", "f/a0", "f/b", "f/b1/x", "f/z/y/x"];
    for object in names.iter().rev() {
        put(&store, object, b"x").unwrap();
    }
    put(&store, "g/a", b"x").unwrap();
    names.sort_unstable();
    assert_eq!(listed(&store, "f", None, 100), names);
    for (at, after) in names.iter().enumerate() {
        assert_eq!(listed(&store, "f", Some(after), 100), names[at + 1..], "after {after}");
        assert_eq!(
            listed(&store, "f", Some(after), 1),
            names[at + 1..].iter().take(1).copied().collect::<Vec<_>>()
        );
    }
    assert_eq!(listed(&store, "f", Some("f/a"), 100).len(), names.len());
    assert_eq!(listed(&store, "f/a", None, 100), ["f/a/c", "f/a/d", "f/a/d1/x"]);
    assert!(listed(&store, "nothing", None, 100).is_empty());
}

#[test]
fn deleting_leaves_no_empty_folders_and_may_be_repeated() {
    let (disk, store) = open();
    for object in ["a/b/c", "a/b/d", "e"] {
        put(&store, object, b"x").unwrap();
    }
    let gone = [name("a/b/c"), name("a/b/d"), name("a/never")];
    store.delete(&gone).unwrap();
    store.delete(&gone).unwrap();
    store.delete(&[]).unwrap();
    assert_eq!(disk.stat(Path::new("/store/a")).unwrap(), None);
    assert_eq!(store.get(&name("e")).unwrap().unwrap(), "x");
    put(&store, "a/b/c", b"again").unwrap();
    assert_eq!(store.get(&name("a/b/c")).unwrap().unwrap(), "again");
}

#[test]
fn a_second_process_is_refused_and_leftovers_are_swept_at_open() {
    let (disk, store) = open();
    put(&store, "a", b"x").unwrap();
    let error = LocalStore::open(disk.clone(), Path::new("/store")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    disk.open(Path::new("/store/.parts/77"), Open::CreateNew).unwrap();
    drop(store);
    let store = LocalStore::open(disk.clone(), Path::new("/store")).unwrap();
    assert!(disk.list(Path::new("/store/.parts")).unwrap().is_empty());
    assert_eq!(store.get(&name("a")).unwrap().unwrap(), "x");
}

#[test]
fn of_many_creators_of_one_name_one_wins_and_its_content_is_there() {
    let (_, store) = open();
    let put = |creator: usize| put(&store, "a/race", format!("creator {creator}").as_bytes());
    let results = base::workers::parallel::map("race", 8, 8, put);
    let winners: Vec<usize> = (0..8).filter(|creator| results[*creator].is_ok()).collect();
    let losers = results.iter().filter(|r| **r == Err(StoreErrorKind::AlreadyExists)).count();
    assert_eq!((winners.len(), losers), (1, 7), "{results:?}");
    let content = store.get(&name("a/race")).unwrap().unwrap();
    assert_eq!(content, format!("creator {}", winners[0]));
}
