//! `docdb inspect search` on an index in a directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use base::clock::SystemClock;
use base::document::Document;
use base::io::{Open, RealDisk};
use base::metrics::Registry;
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use search::index::{Backing, Environment, Index, Options, Prepared};
use search::json::Json;
use search::manifest::Place;
use search::metrics::Metrics;
use search::schema::{Schema, Undeclared};
use search::storage::LocalStore;
use search::storage::cache::{Blocks, MemoryCache};
use serde_json::Value;
use tempfile::TempDir;

fn docdb(args: &[&str], path: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.args(args).arg(path).stdin(std::process::Stdio::null());
    command.output().expect("the binary was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("we write UTF-8")
}

/// An index of 30 documents in two segments, of which some rows of the first are dead, and its directory.
fn made() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = LocalStore::open(RealDisk::shared(), root.path()).expect("an empty directory");
    let place = Place { database: DatabaseId::from_bytes([9; 16]), collection: CollectionId(4) };
    let request = br#"{"n":"int","t":{"type":"string","full_text_search":true}}"#;
    let request = Json::parse(request).expect("JSON");
    let schema = Schema::new(Undeclared::Refuse).declare(request, None).expect("a schema").schema;
    let backing = Backing {
        store: Arc::new(store),
        blocks: Blocks::new(Box::new(MemoryCache::new(1 << 20)), 0),
    };
    let environment = Environment {
        clock: SystemClock::shared(),
        rng: Rng::new(1),
        metrics: Arc::new(Metrics::new(&Registry::new()).expect("metrics")),
        record: None,
    };
    let index = Index::create(backing, place, (schema, Lsn::ZERO), Options::default(), environment);
    let index = index.expect("an index");
    let preparer = index.preparer();
    for (first, replaces) in [(1, 0), (21, 1)] {
        for n in 0..20 - replaces * 10 {
            let document = format!("{{\"n\":{n},\"t\":\"some words\"}}");
            let document = Document::parse(document.as_bytes()).expect("a document");
            // The second ones replace the first ones.
            let lsns = (Lsn(first + n), Lsn(replaces * (n + 1)));
            let put = Prepared::put(&preparer, &DocId::U64(n), lsns, None, &document);
            index.apply(vec![put.expect("it fits")], Lsn::ZERO);
        }
        index.flush_all().expect("a flush");
    }
    let dir = root.path().join(place.database.to_string()).join("4");
    (root, dir)
}

#[test]
fn an_index_can_be_looked_at_and_says_which_of_its_segments_is_damaged() {
    let (_root, dir) = made();
    let json = |dir: &Path| -> Value {
        let output = docdb(&["inspect", "search", "--json"], dir);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("it is JSON")
    };
    let found = json(&dir);
    assert_eq!((&found["applied_lsn"], &found["collection"]), (&30.into(), &4.into()));
    assert_eq!(found["sound"], true, "{found}");
    assert_eq!(found["segments"][0]["dead_rows"], 10);
    assert_eq!(found["segments"][1]["rows"], 10);
    assert_eq!(found["schema"]["version"], 1);
    let out = text(&docdb(&["inspect", "search"], &dir).stdout);
    assert!(out.contains("20 rows, 10 of them dead, LSN 1 to 20"), "{out}");
    assert!(out.ends_with("verdict    sound\n"), "{out}");

    let id = found["segments"][1]["id"].as_str().expect("a ULID");
    let path = dir.join("segments").join(id).join("attrs.idx");
    let file = RealDisk::shared().open(&path, Open::Write).expect("it is there");
    base::io::write_all_at(&*file, b"x", 40).expect("it is inside");
    let found = json(&dir);
    assert_eq!((&found["sound"], &found["segments"][0]["sound"]), (&false.into(), &true.into()));
    let damage = found["segments"][1]["damage"].as_str().expect("what is wrong");
    assert!(damage.contains("damaged") && damage.contains(id), "{damage}");
    let out = text(&docdb(&["inspect", "search"], &dir).stdout);
    assert!(out.contains("verdict    sound\n") && out.contains(damage), "{out}");
}

#[test]
fn what_is_no_index_exits_with_1_and_is_left_as_it_is() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let none = root.path().join("00112233-4455-6677-8899-aabbccddeeff/7");
    for path in [root.path(), &none] {
        let output = docdb(&["inspect", "search"], path);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(!text(&output.stderr).is_empty());
    }
    assert_eq!(RealDisk::shared().list(root.path()).expect("a directory"), []);
}
