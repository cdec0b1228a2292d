//! Backups and restores of whole databases.

use base::document::Document;
use base::words::{DocId, Name};
use docstore::data::Parity;
use docstore::{DEFAULT_COLLECTION, Database, Write, default_name};
use serde_json::json;

use super::*;

#[test]
fn a_backup_is_taken_added_to_checked_and_restored() {
    let root = root();
    let (data, to) = (below(&root, "data"), below(&root, "backup"));
    filled(&data, &numbered(0, 500));
    let text = done(&["backup", &to, "--data-dir", &data]);
    assert!(text.contains("\ncollection default: 500 documents\n"), "{text}");
    assert!(text.lines().last().is_some_and(|line| line.ends_with(", kept 0 (0 bytes)")), "{text}");
    let again = parsed(&done(&["backup", &to, "--data-dir", &data, "--json"]));
    assert_eq!((&again["copied_files"], &again["name"]), (&json!(0), &json!("default")));
    assert_eq!(again["kept_bytes"], again["bytes"]);
    filled(&data, &numbered(500, 510));
    let third = parsed(&done(&["backup", &to, "--data-dir", &data, "--json"]));
    assert_eq!(third["collections"], json!([{ "name": "default", "documents": 510 }]));
    assert!(third["lsn"].as_u64() > again["lsn"].as_u64(), "{third}");

    let checked = done(&["backup", "--check", &to]);
    assert!(checked.ends_with("verdict    every byte is as it was written\n"), "{checked}");
    let checked = parsed(&done(&["backup", "--check", "--json", &to]));
    assert_eq!((&checked["lsn"], &checked["damaged_copies"]), (&third["lsn"], &json!([])));

    // On another machine: there is no data directory yet.
    let other = below(&root, "other");
    let text = done(&["restore", &to, "--data-dir", &other]);
    assert!(text.contains("\nrestored   510 documents as default "), "{text}");
    let lines = |data: &str| done(&["export", "--data-dir", data]);
    assert_eq!(lines(&other), lines(&data), "ids, revisions and documents");
    let output = docdb(&["restore", &to, "--data-dir", &other]);
    assert_eq!(code(&output), 1);
    let said = err(&output);
    assert!(said.contains("under another name (--database)"), "{said}");
    assert!(said.ends_with(" code=DbExists\n"), "{said}");
    let json =
        parsed(&done(&["restore", &to, "--data-dir", &other, "--database", "monday", "--json"]));
    assert_eq!((&json["documents"], &json["name"]), (&json!(510), &json!("monday")));
    assert_eq!(json["backup"]["lsn"], third["lsn"]);
    assert_ne!(json["database"], json["backup"]["database"]);
    assert_eq!(done(&["export", "--data-dir", &other, "--database", "monday"]), lines(&data));
    for dir in RealDisk::shared().list(Path::new(&other)).unwrap() {
        if dir.name.starts_with("db-") {
            done(&["verify", &format!("{other}/{}", dir.name)]);
        }
    }
}

#[test]
fn properties_and_schemas_of_collections_are_restored() {
    let root = root();
    let (data, to, other) = (below(&root, "data"), below(&root, "backup"), below(&root, "other"));
    let store = held(&data);
    let db = store.database(&default_name()).unwrap();
    let books = db.create_collection(&Name::new("books").unwrap()).unwrap();
    let document = |text: &str| Document::parse(text.as_bytes()).unwrap();
    db.set_validation(books, Some(document(r#"{"type":"object"}"#))).unwrap();
    let search = Name::new("search").unwrap();
    db.set_property(books, &search, Some(document(r#"{"title":"text"}"#))).unwrap();
    store.close().unwrap();
    drop((db, store));
    done(&["backup", &to, "--data-dir", &data]);
    done(&["restore", &to, "--data-dir", &other]);
    let output = fed(
        &["import", "--data-dir", &other, "--collection", "books"],
        b"{\"id\":1,\"document\":[]}",
    );
    assert_eq!(code(&output), 6);
    assert!(err(&output).contains("code=InvalidSchema"), "{}", err(&output));
    let db = held(&other).database(&default_name()).unwrap();
    assert_eq!(db.property(books, &search).unwrap(), Some(document(r#"{"title":"text"}"#)));
}

#[test]
fn a_damaged_backup_is_refused_by_the_name_of_the_file_and_nothing_is_made() {
    let root = root();
    let (data, to, other) = (below(&root, "data"), below(&root, "backup"), below(&root, "other"));
    filled(&data, &numbered(0, 100));
    done(&["backup", &to, "--data-dir", &data]);
    let copy = files(&to, "BACKUP.1").remove(0);
    flip(&copy, 40);
    let output = docdb(&["backup", "--check", &to]);
    assert_eq!(code(&output), 4, "{}", err(&output));
    assert!(err(&output).contains("BACKUP.1` is damaged; another copy"), "{}", err(&output));
    let damaged = files(&to, ".data").remove(0);
    flip(&damaged, 5000);
    for args in [&["backup", "--check", &to][..], &["restore", &to, "--data-dir", &other]] {
        let output = docdb(args);
        assert_eq!(code(&output), 1, "{args:?}");
        let said = err(&output);
        assert!(said.contains(damaged.to_str().unwrap()), "{said}");
        assert!(said.ends_with(" code=CorruptRecord\n") && out(&output).is_empty(), "{said}");
    }
    assert_eq!(files(&other, "").len(), 1, "a lock and no database");
    // The next backup copies the file again, and writes the catalog again.
    done(&["backup", &to, "--data-dir", &data]);
    done(&["backup", "--check", &to]);
    done(&["restore", &to, "--data-dir", &other]);
    // What was never finished, and what is none.
    for copy in ["BACKUP.0", "BACKUP.1", "BACKUP.2"] {
        RealDisk::shared().remove_file(&Path::new(&to).join(copy)).unwrap();
    }
    let output = docdb(&["restore", &to, "--data-dir", &other, "--database", "more"]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("no backup was finished in this directory"), "{}", err(&output));
    let file = damaged.to_str().unwrap();
    let output = docdb(&["backup", "--check", file]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("there is a file and no backup at"), "{}", err(&output));
}

#[test]
fn a_directory_takes_backups_of_one_database_alone() {
    let root = root();
    let (one, two, to) = (below(&root, "one"), below(&root, "two"), below(&root, "backup"));
    filled(&one, &numbered(0, 5));
    filled(&two, &numbered(0, 7));
    done(&["backup", &to, "--data-dir", &one]);
    let output = docdb(&["backup", &to, "--data-dir", &two]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("is that of another database"), "{}", err(&output));
    assert!(done(&["backup", "--check", &to]).contains("default: 5 documents"));
}

#[test]
fn documents_that_are_lost_are_named_and_the_exit_code_says_so() {
    let root = root();
    let (data, to, other) = (below(&root, "data"), below(&root, "backup"), below(&root, "other"));
    let log = wal::Options {
        segment_bytes_first: 4096,
        segment_bytes_max: 4096,
        keep_segments: 0,
        ..wal::Options::default()
    };
    let options = Options { log, parity: Parity::Off, ..Options::default() };
    let budget = Budget::new("test", 1 << 30);
    let store = Store::open(&env(), Path::new(&data), options, budget).unwrap();
    let db: Database = store.database(&default_name()).unwrap();
    // Short enough to be stored as they are.
    let document = |n: u64| format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(200));
    // Without parity the log is kept until the data is elsewhere as well: it goes with the segments.
    for n in 0..60 {
        let document = Document::parse(document(n).as_bytes()).unwrap();
        db.write(Write::upsert(DEFAULT_COLLECTION, DocId::U64(n), document)).unwrap();
    }
    let dir = db.path().to_str().unwrap().to_owned();
    store.close().unwrap();
    drop((db, store));
    let mut segments = files(&format!("{dir}/log"), ".wal");
    segments.pop();
    assert!(!segments.is_empty());
    segments.iter().for_each(|path| RealDisk::shared().remove_file(path).unwrap());
    let path = files(&dir, ".data").remove(0);
    let bytes = bytes_of(path.to_str().unwrap());
    let place = bytes.windows(6).position(|window| window == b"\"n\":7,").unwrap();
    flip(&path, place as u64 + 40);
    let output = docdb(&["backup", &to, "--data-dir", &data]);
    assert_eq!(code(&output), 5, "{}{}", out(&output), err(&output));
    assert!(err(&output).contains("id=7 revision="), "{}", err(&output));
    assert!(out(&output).contains("collection default: 59 documents"), "{}", out(&output));
    assert_eq!(code(&docdb(&["backup", "--check", &to])), 5);
    let output = docdb(&["restore", &to, "--data-dir", &other, "--json"]);
    assert_eq!(code(&output), 5);
    let json = parsed(&out(&output));
    assert_eq!((&json["documents"], &json["backup"]["lost"][0]["id"]), (&json!(59), &json!("7")));
}
