//! Properties of collections, validation and search schemas among them, go with a backup; lines of
//! an export are documents and nothing else.

use docstore::ImportMode;

use super::*;

fn value(text: &str) -> Option<Document> {
    Some(Document::parse(text.as_bytes()).expect("it is JSON"))
}

/// Collections with every kind of property, some of them changed and taken away again.
fn furnished(db: &Database) -> Vec<CollectionId> {
    let mut all = vec![DEFAULT_COLLECTION];
    all.extend(
        ["books", "people", "empty"]
            .map(|text| db.create_collection(&name(text)).expect("no faults")),
    );
    let set = |collection, property, text: &str| {
        db.set_property(collection, &name(property), value(text)).expect("no faults");
    };
    let long = format!("[{}1]", "\"field\",".repeat(20_000));
    for collection in &all {
        set(*collection, "search", r#"{"attributes":{"title":{"type":"string"}}}"#);
        set(*collection, "x-owner.note", " {\"kept\" : 1.50e+1,\n\"as\":\"it is\"} ");
    }
    set(all[1], "search", &long);
    set(all[2], "search", "null");
    set(all[2], "gone", "1");
    db.set_property(all[2], &name("gone"), None).expect("no faults");
    let schema = value(r#"{"type":"object","required":["n"]}"#);
    db.set_validation(all[1], schema.clone()).expect("no faults");
    db.set_validation(all[3], schema).expect("no faults");
    db.set_validation(all[3], value("true")).expect("no faults");
    all
}

#[test]
fn every_property_and_schema_survives_backup_and_restore() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock, small());
    let all = furnished(&db);
    for collection in &all {
        db.write(Write::upsert(*collection, id(1), document(1))).unwrap();
    }
    db.backup(&to(&disk)).unwrap();
    let is_same = |copy: &Database| {
        assert_eq!(copy.collections().unwrap(), db.collections().unwrap());
        for record in db.collections().unwrap() {
            for (property, value) in &record.properties {
                let found = copy.property(record.collection, property).unwrap();
                assert_eq!(found.as_ref().map(Document::as_bytes), Some(value.as_bytes()));
            }
            let refused = copy.write(Write::upsert(record.collection, id(2), value_of("{}")));
            let refused = refused.err().map(|error| error.code());
            let is_validated = record.collection == all[1];
            assert_eq!(refused, is_validated.then_some(Code::InvalidSchema));
        }
    };
    is_same(&restored(&disk.fork(), &clock).unwrap().0);
    // Properties alone are changed: no file of documents is.
    db.set_property(all[0], &name("search"), None).unwrap();
    db.set_property(all[2], &name("search"), value("{\"newer\":true}")).unwrap();
    db.create_collection(&name("later")).unwrap();
    let report = db.backup(&to(&disk)).unwrap();
    assert_eq!(report.copied_files, 0, "{report:?}");
    let (copy, _) = restored(&disk, &clock).unwrap();
    is_same(&copy);
    // What was restored is backed up and restored again.
    let second = BackupDir::new(&disk.shared(), Path::new("/second"));
    copy.backup(&second).unwrap();
    let (store, dir) = (env(&disk.shared(), &clock), Path::new("/third"));
    let third =
        Database::restore(&store, &second, dir, &name("third"), small(), &budget()).unwrap().0;
    assert_eq!(third.collections().unwrap(), copy.collections().unwrap());
}

fn value_of(text: &str) -> Document {
    Document::parse(text.as_bytes()).expect("it is JSON")
}

#[test]
fn an_export_is_documents_alone_and_an_import_changes_no_property() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock, small());
    let all = furnished(&db);
    db.write(Write::upsert(all[1], id(1), document(1))).unwrap();
    let mut lines = Vec::new();
    let report = db.export(all[1], &mut lines, &mut |_| ()).unwrap();
    assert_eq!((report.documents, lines.iter().filter(|byte| **byte == b'\n').count()), (1, 1));
    let before = db.collections().unwrap();
    let copy = db.create_collection(&name("copy")).unwrap();
    db.import(copy, &mut lines.as_slice(), ImportMode::Create, &mut |_| ()).unwrap();
    db.import(all[2], &mut lines.as_slice(), ImportMode::Create, &mut |_| ()).unwrap();
    for record in db.collections().unwrap() {
        let was = before.iter().find(|old| old.collection == record.collection);
        assert_eq!(record.properties, was.map_or(vec![], |old| old.properties.clone()));
    }
}
