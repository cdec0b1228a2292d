//! Export and import: every byte comes back, bad lines are named, nothing else is touched.

use std::io::{self, BufRead, BufReader, Read, Write as Output};
use std::path::Path;
use std::time::Duration;

use base::clock::WallMs;
use base::document::Document;
use base::error::{Code, Coded as _};
use base::memory::Budget;
use base::words::{CollectionId, DocId, Name};
use docstore::{
    DEFAULT_COLLECTION, Database, Expiry, ImportMode, ImportOptions, ImportProgress, ImportReport,
    OnError, ScanRequest, Stored, Write, default_name,
};
use sim::VirtualClock;
use sim::disk::FaultDisk;

use crate::world::{DIR, clock, document, env, id, small};

fn fresh(clock: &VirtualClock) -> Database {
    let env = env(&FaultDisk::new().shared(), clock);
    let budget = Budget::new("test", 1 << 30);
    Database::create(&env, Path::new(DIR), &default_name(), small(), &budget).expect("no faults")
}

fn collection(db: &Database, name: &str) -> CollectionId {
    db.create_collection(&Name::new(name).expect("it is a name")).expect("no faults")
}

fn exported(db: &Database, collection: CollectionId) -> Vec<u8> {
    let mut out = Vec::new();
    let report = db.export(collection, &mut out, &mut |_| ()).expect("no faults");
    assert_eq!(report.bytes, out.len() as u64);
    assert_eq!(report.documents, out.iter().filter(|byte| **byte == b'\n').count() as u64);
    out
}

fn imported(
    db: &Database,
    collection: CollectionId,
    lines: &[u8],
    mode: ImportMode,
) -> ImportReport {
    db.import(collection, &mut &*lines, mode, &mut |_| ()).expect("no faults")
}

fn all(db: &Database, collection: CollectionId) -> Vec<(DocId, Stored)> {
    let page = db.scan(&ScanRequest::all(collection, 10_000)).expect("it can be read");
    assert!(page.next.is_none());
    page.documents
}

#[test]
fn all_kinds_of_ids_and_odd_documents_come_back_byte_by_byte() {
    let clock = clock();
    let db = fresh(&clock);
    let ids = [
        DocId::U64(0),
        DocId::U64(u64::MAX),
        DocId::Uuid(uuid::Uuid::from_u128(7)),
        DocId::string("7").unwrap(),
        DocId::string("00000000-0000-0000-0000-000000000007").unwrap(),
        DocId::string("\"\\/ é\u{2028}😀").unwrap(),
    ];
    let deep = format!("{}\n{}", "[".repeat(128), "]".repeat(128));
    let texts = [
        "null",
        " {\"a\" : 1.500e+0007 , \"id\":\"}\" }\t",
        "{\r\n\t\"a\\n\\u000a\": [1 ,\n-0.0],\n\"\\\"\": \"\\\\\"}\n",
        "123456789012345678901234567890.10",
        "\"\u{2028}\u{7f}\\ud83d\\ude00\"",
        &deep,
    ];
    for (n, (id, text)) in ids.iter().zip(texts).enumerate() {
        let write = Write::create(
            DEFAULT_COLLECTION,
            id.clone(),
            Document::parse(text.as_bytes()).unwrap(),
        );
        let at = Expiry::At(WallMs(1_800_000_000_000 + n as u64));
        db.write(if n % 2 == 0 { write.expires(at) } else { write }).unwrap();
    }
    db.checkpoint().unwrap();
    let lines = exported(&db, DEFAULT_COLLECTION);
    let copy = collection(&db, "copy");
    let report = imported(&db, copy, &lines, ImportMode::Create);
    assert_eq!((report.lines, report.created, report.refused), (6, 6, 0), "{report:?}");
    let (before, after) = (all(&db, DEFAULT_COLLECTION), all(&db, copy));
    assert_eq!(before.len(), 6);
    for ((id, old), (other, new)) in before.into_iter().zip(after) {
        assert_eq!(id, other);
        assert_eq!((old.document, old.expires_at), (new.document, new.expires_at), "{id}");
        assert!(new.revision > old.revision, "an import is a new write");
    }
    let again = exported(&db, copy);
    let without_revisions = |lines: &[u8]| {
        let text = String::from_utf8(lines.to_vec()).unwrap();
        let part = |line: &str| {
            let (head, tail) = line.split_once("\"revision\":").unwrap();
            format!("{head}{}", tail.trim_start_matches(|c: char| c.is_ascii_digit()))
        };
        text.lines().map(part).collect::<Vec<_>>()
    };
    assert_eq!(without_revisions(&again), without_revisions(&lines));
}

/// Does something with every line that is written to it.
struct Each<F: FnMut()>(Vec<u8>, F);

impl<F: FnMut()> Output for Each<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.1)();
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_export_is_of_one_moment_however_long_it_takes() {
    let clock = clock();
    let db = fresh(&clock);
    for n in 0..2100 {
        db.write(Write::create(DEFAULT_COLLECTION, id(n), document(n))).unwrap();
    }
    let expected = exported(&db, DEFAULT_COLLECTION);
    let (mut n, mut calls) = (0, Vec::new());
    let mut out = Each(Vec::new(), || {
        // Together a thousand times as long as a snapshot lives.
        clock.advance(Duration::from_secs(30));
        n += 1;
        if n % 100 == 0 {
            // On the pages that are still to be read.
            db.write(Write::upsert(DEFAULT_COLLECTION, id(2100 - n / 100), document(0))).unwrap();
            db.write(Write::delete(DEFAULT_COLLECTION, id(2100 - n / 2 - 40))).unwrap();
            db.write(Write::create(DEFAULT_COLLECTION, id(5000 + n), document(0))).unwrap();
            db.checkpoint().unwrap();
        }
    });
    let report =
        db.export(DEFAULT_COLLECTION, &mut out, &mut |report| calls.push(*report)).unwrap();
    assert!(out.0 == expected, "it is as it was at the start");
    assert_eq!((calls.len(), calls.last()), (3, Some(&report)));
    assert_eq!(db.stats().unwrap().snapshots, 0, "it is let go");
    let mut broken = Each(Vec::new(), || clock.advance(Duration::from_secs(61)));
    let error = db.export(DEFAULT_COLLECTION, &mut broken, &mut |_| ()).unwrap_err();
    assert_eq!(error.code(), Code::SnapshotExpired);
}

#[test]
fn lines_that_are_refused_are_named_and_the_others_imported() {
    let db = fresh(&clock());
    let schema = Document::parse(br#"{"type":"object"}"#).unwrap();
    db.set_validation(DEFAULT_COLLECTION, Some(schema)).unwrap();
    db.write(Write::create(DEFAULT_COLLECTION, id(1), document(1))).unwrap();
    let lines = concat!(
        "{\"id\":1,\"document\":{}}\n",
        "\n",
        "{\"id\":2,\"document\":{\"a\":1}}\r\n",
        "{\"id\":3,\"document\":[]}\n",
        "{\"id\":4,\"document\":{}\n",
        "{\"id\":-5,\"document\":{}}\n",
        "{\"id\":2,\"document\":{}}\n",
        "{\"id\":6,\"document\":{\"a\":1,\"a\":2}}\n",
        "{\"id\":7,\"document\":{}}",
    );
    let report = imported(&db, DEFAULT_COLLECTION, lines.as_bytes(), ImportMode::Create);
    let codes: Vec<_> = report.errors.iter().map(|e| (e.line, e.error.code())).collect();
    let expected = [
        (1, Code::DocExists),
        (4, Code::InvalidSchema),
        (5, Code::InvalidJson),
        (6, Code::InvalidId),
        (7, Code::DocExists),
        (8, Code::InvalidJson),
    ];
    assert_eq!(codes, expected);
    assert_eq!((report.lines, report.created, report.refused), (9, 2, 6));
    assert_eq!(all(&db, DEFAULT_COLLECTION).len(), 3);
    let report = imported(&db, DEFAULT_COLLECTION, lines.as_bytes(), ImportMode::Upsert);
    let refused: Vec<u64> = report.errors.iter().map(|e| e.line).collect();
    assert_eq!((report.created, report.replaced, report.refused), (0, 4, 4), "{refused:?}");
}

#[test]
fn a_document_that_comes_twice_in_a_batch_is_refused_without_a_revision_that_is_none() {
    let db = fresh(&clock());
    let lines = b"{\"id\":2,\"document\":1}\n{\"id\":2,\"document\":2}\n";
    let report = imported(&db, DEFAULT_COLLECTION, lines, ImportMode::Create);
    let told: Vec<String> = report.errors.iter().map(ToString::to_string).collect();
    let expected = "line 2: a document with this id exists already id=2 \
                    revision=(of an earlier operation of this batch)";
    assert_eq!(told, [expected]);
}

/// Imports with `OnError::Stop`; answers the report, the line that it stopped at, and its code.
fn stopped(db: &Database, lines: &str) -> (ImportReport, Option<(u64, Code)>) {
    let options = ImportOptions { mode: ImportMode::Create, on_error: OnError::Stop };
    match db.import(DEFAULT_COLLECTION, &mut lines.as_bytes(), options, &mut |_| ()) {
        Ok(report) => (report, None),
        Err(stopped) => {
            let line = stopped.line.expect("nothing else can stop it");
            assert_eq!(stopped.report.errors.last().expect("it is named").line, line);
            (stopped.report, Some((line, stopped.error.code())))
        }
    }
}

#[test]
fn an_import_that_stops_at_errors_has_all_lines_before_the_first_and_none_behind() {
    let line = |n: u64| format!("{{\"id\":{n},\"document\":{{}}}}\n");
    let good: Vec<String> = (0..1300).map(line).collect();
    // Malformed, a document that is refused, an id that comes twice, and two of them in a batch.
    let cases = [
        (vec![(700, "{\n")], 700, Code::InvalidJson),
        (vec![(3, "{\"id\":\"x\",\"document\":[]}\n")], 3, Code::InvalidSchema),
        (vec![(1200, "{\"id\":5,\"document\":{}}\n")], 1200, Code::DocExists),
        (vec![(9, "{\"id\":\"x\",\"document\":[]}\n"), (40, "{\n")], 9, Code::InvalidSchema),
        (vec![(0, "[]\n"), (1, "{\n")], 0, Code::InvalidJson),
    ];
    for (bad, at, code) in cases {
        let db = fresh(&clock());
        let schema = Document::parse(br#"{"type":"object"}"#).unwrap();
        db.set_validation(DEFAULT_COLLECTION, Some(schema)).unwrap();
        let mut lines = good.clone();
        bad.iter().for_each(|(at, line)| lines[*at] = (*line).to_owned());
        let (report, stop) = stopped(&db, &lines.concat());
        let number = at as u64 + 1;
        assert_eq!(stop, Some((number, code)));
        assert_eq!((report.lines, report.created, report.refused), (number, number - 1, 1));
        let ids: Vec<DocId> = all(&db, DEFAULT_COLLECTION).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, (0..at as u64).map(DocId::U64).collect::<Vec<_>>());
        // What is behind it goes on from there.
        let rest = imported(
            &db,
            DEFAULT_COLLECTION,
            lines[at + 1..].concat().as_bytes(),
            ImportMode::Upsert,
        );
        assert_eq!(rest.refused + 1, bad.len() as u64);
    }
    let db = fresh(&clock());
    let (report, stop) = stopped(&db, &good.concat());
    assert_eq!((report.created, report.bytes, stop), (1300, good.concat().len() as u64, None));
}

#[test]
fn every_refused_line_is_told_once_in_order_though_a_report_names_only_some() {
    let db = fresh(&clock());
    let lines: String = (0..5000)
        .map(|n| match n % 4 {
            0 => "{\n".to_owned(),
            1 => format!("{{\"id\":{n},\"document\":{n}}}\n"),
            2 => "{\"id\":1,\"document\":0}\n".to_owned(),
            _ => "{\"id\":-1,\"document\":0}\n".to_owned(),
        })
        .collect();
    let mut told = Vec::new();
    let mut note = |progress: ImportProgress<'_>| {
        assert!(progress.refused.len() <= 1000, "no batch is longer");
        told.extend(progress.refused.iter().map(|refused| refused.line));
    };
    let mode = ImportMode::Create;
    let report = db.import(DEFAULT_COLLECTION, &mut lines.as_bytes(), mode, &mut note).unwrap();
    // The first document 1 is created by the line of it.
    let expected: Vec<u64> = (0..5000).filter(|n| n % 4 != 1).map(|n| n + 1).collect();
    assert_eq!(told, expected);
    assert_eq!((report.lines, report.created, report.refused), (5000, 1250, 3750));
    let named: Vec<u64> = report.errors.iter().map(|error| error.line).collect();
    assert_eq!(named, expected[..docstore::IMPORT_ERRORS_MAX]);
}

#[test]
fn an_import_of_many_batches_counts_every_line_once() {
    let db = fresh(&clock());
    for n in (0..2500).step_by(3) {
        db.write(Write::create(DEFAULT_COLLECTION, id(n), document(n))).unwrap();
    }
    let lines: String = (0..2500).map(|n| format!("{{\"id\":{n},\"document\":{n}}}\n")).collect();
    let mut calls = 0;
    let report = db
        .import(DEFAULT_COLLECTION, &mut lines.as_bytes(), ImportMode::Create, &mut |_| calls += 1)
        .unwrap();
    assert_eq!((report.lines, report.created, report.refused), (2500, 1666, 834));
    assert_eq!(calls, 3);
    assert!(report.errors.iter().all(|error| (error.line - 1) % 3 == 0));
    for (n, (id, stored)) in (0..).zip(all(&db, DEFAULT_COLLECTION)) {
        assert_eq!(id, DocId::U64(n));
        let text = if n % 3 == 0 {
            document(n)
        } else {
            Document::parse(n.to_string().as_bytes()).unwrap()
        };
        assert_eq!(stored.document, text);
    }
}

/// Breaks after what it has.
struct Breaks<'a>(&'a [u8]);

impl Read for Breaks<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::Error::other("the line was cut")),
            n => Ok(n),
        }
    }
}

#[test]
fn an_import_that_cannot_go_on_says_how_far_it_came() {
    let db = fresh(&clock());
    let lines: String = (0..1500).map(|n| format!("{{\"id\":{n},\"document\":{n}}}\n")).collect();
    let mut input = BufReader::new(Breaks(lines.as_bytes()));
    let input: &mut dyn BufRead = &mut input;
    let stopped =
        db.import(DEFAULT_COLLECTION, input, ImportMode::Create, &mut |_| ()).unwrap_err();
    assert_eq!(stopped.error.code(), Code::FileRead);
    assert_eq!(stopped.report.created, 1000, "the first batch");
    assert_eq!(all(&db, DEFAULT_COLLECTION).len(), 1000);
    let nowhere = CollectionId(77);
    let mut input = lines.as_bytes();
    let stopped = db.import(nowhere, &mut input, ImportMode::Create, &mut |_| ()).unwrap_err();
    assert_eq!(stopped.error.code(), Code::CollectionNotFound);
    assert_eq!((stopped.report.created, stopped.report.refused), (0, 0));
}
