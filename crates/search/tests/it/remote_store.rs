//! The remote store against servers: ours, which does what it is told, right or wrong, and moto, where the environment
//! names one (`cargo xtask ci stores` starts it).
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base::clock::WallMs;
use base::error::Coded;
use base::retry::Policy;
use base::rng::Rng;
use search::storage::{
    RemoteOptions, RemoteStore, Source, Store, StoreErrorKind, WHOLE_BYTES_MAX, probe, put_unique,
};

use crate::s3::{Manners, S3};
use crate::stores::{exercise, name};

/// Where a moto server is, as `127.0.0.1:5000`.
const MOTO: &str = "TESTS_S3_ENDPOINT";
const TRIES: u32 = 4;

fn options(endpoint: &str) -> RemoteOptions {
    let settings = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
    ];
    let retry = Policy { first: Duration::from_millis(1), tries: TRIES, ..Policy::DEFAULT };
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    RemoteOptions { settings, retry, ..RemoteOptions::default() }
}

fn open(server: &S3) -> RemoteStore {
    let options = options(&format!("http://{}", server.address));
    RemoteStore::open("s3://bucket/docdb", &options).unwrap()
}

fn probed(store: &RemoteStore) -> Result<(), String> {
    let probed = probe(store, &name("probe"), WallMs(1), &mut Rng::new(1));
    probed.map_err(|error| {
        assert_eq!(error.kind(), StoreErrorKind::Unfit, "{error}");
        error.to_string()
    })
}

#[test]
fn a_bucket_does_what_every_store_does_below_its_prefix() {
    let server = S3::start(Manners::Good);
    let store = open(&server);
    let other = name("elsewhere");
    let beside = options(&format!("http://{}", server.address));
    let beside = RemoteStore::open("s3://bucket", &beside).unwrap();
    beside.put_new(&other, &b"not ours".to_vec()).unwrap();
    exercise(&store);
    assert_eq!(server.objects().keys().collect::<Vec<_>>(), ["elsewhere"]);
    assert_eq!(store.get(&other).unwrap(), None);
}

#[test]
fn long_content_goes_in_parts_and_comes_back_whole() {
    let server = S3::start(Manners::Good);
    let store = open(&server);
    let len = usize::try_from(WHOLE_BYTES_MAX).unwrap() + 12_345;
    let content: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let (long, other) = (name("long"), name("other"));
    server.refuse(&[503, 503]);
    store.put_new(&long, &content).unwrap();
    assert_eq!(server.objects()["docdb/long"], content);
    assert_eq!(store.get(&long).unwrap_err().kind(), StoreErrorKind::Damaged, "too long for one");
    let wanted = [(long.clone(), 0..5), (long.clone(), len as u64 - 5..len as u64)];
    assert_eq!(store.get_ranges(&wanted).unwrap()[1], content[len - 5..]);
    let again = store.put_new(&long, &content).unwrap_err();
    assert_eq!(again.kind(), StoreErrorKind::AlreadyExists);
    // The source breaks off: nothing has a name, and no parts are left.
    let error = store.put_new(&other, &Broken(content.len() as u64)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Read, "{error}");
    assert_eq!((server.objects().len(), server.open_uploads()), (1, 0));
}

/// Content that cannot be read behind its first part.
#[derive(Debug)]
struct Broken(u64);

impl Source for Broken {
    fn len(&self) -> u64 {
        self.0
    }

    fn read(&self, range: std::ops::Range<u64>) -> std::io::Result<bytes::Bytes> {
        let len = usize::try_from(range.end - range.start).unwrap();
        if range.start > 0 {
            Err(std::io::ErrorKind::InvalidData.into())
        } else {
            Ok(vec![0; len].into())
        }
    }
}

#[test]
fn failures_that_may_pass_are_tried_again_and_others_are_not() {
    let server = S3::start(Manners::Good);
    let store = open(&server);
    let object = name("a");
    for (statuses, tries, kind) in [
        (&[503, 500, 429][..], 4, None),
        (&[503, 503, 503, 503][..], 4, Some(StoreErrorKind::Unavailable)),
        (&[400][..], 1, Some(StoreErrorKind::Write)),
        (&[403][..], 1, Some(StoreErrorKind::Denied)),
    ] {
        server.refuse(statuses);
        let before = server.count("PUT");
        let answer = store.put_new(&object, &b"x".to_vec()).map_err(|error| error.kind());
        assert_eq!(answer.err(), kind, "{statuses:?}");
        assert_eq!(server.count("PUT") - before, tries, "{statuses:?}");
        server.refuse(&[]);
        store.delete(std::slice::from_ref(&object)).unwrap();
    }
    store.interrupt();
    server.refuse(&[503, 503]);
    let error = store.get(&object).unwrap_err();
    assert_eq!((error.kind(), server.count("GET")), (StoreErrorKind::Unavailable, 1));
    assert!(error.retryable());
}

#[test]
fn a_creation_whose_answer_was_lost_meets_its_own_object() {
    let server = S3::start(Manners::Good);
    let store = open(&server);
    server.lose_answers(1);
    let error = store.put_new(&name("a"), &b"mine".to_vec()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::AlreadyExists);
    assert_eq!(server.objects()["docdb/a"], b"mine");
    server.lose_answers(1);
    put_unique(&store, &name("b"), &b"mine".to_vec()).unwrap();
    assert_eq!(store.get(&name("b")).unwrap().unwrap(), "mine");
}

#[test]
fn a_store_that_nobody_is_at_is_not_available() {
    // A port that was just free.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = options(&format!("http://{free}"));
    let store = RemoteStore::open("s3://bucket", &options).unwrap();
    let error = store.get(&name("a")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

#[test]
fn a_bucket_that_keeps_to_the_condition_passes_the_probe_and_nothing_is_left_of_it() {
    let server = S3::start(Manners::Good);
    assert_eq!(probed(&open(&server)), Ok(()));
    assert!(server.objects().is_empty());
    assert_eq!(probed(&open(&server)), Ok(()), "and again");
}

#[test]
fn a_bucket_that_overwrites_is_refused_and_the_reason_named() {
    let error = probed(&open(&S3::start(Manners::Careless))).unwrap_err();
    assert!(error.contains("If-None-Match is ignored"), "{error}");
}

#[test]
fn a_bucket_where_two_creators_can_win_is_refused_and_the_reason_named() {
    let error = probed(&open(&S3::start(Manners::Racy))).unwrap_err();
    assert!(error.contains("two that create an object at once both succeed"), "{error}");
}

/// Makes a bucket at a server that asks for no signature.
fn make_bucket(address: &str, bucket: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("PUT /{bucket} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn moto_does_what_every_store_does() {
    let Some(address) = std::env::var_os(MOTO) else {
        eprintln!("SKIPPED: {MOTO} names no server; `cargo xtask ci stores` starts one");
        return;
    };
    let address = address.into_string().unwrap();
    let bucket = format!("docdb-{}", std::process::id());
    make_bucket(&address, &bucket);
    let url = format!("s3://{bucket}/some/prefix");
    let store = RemoteStore::open(&url, &options(&format!("http://{address}"))).unwrap();
    exercise(&store);
    probed(&store).unwrap();
    let long = vec![7; usize::try_from(WHOLE_BYTES_MAX).unwrap() * 2 + 1];
    store.put_new(&name("long"), &long).unwrap();
    assert_eq!(store.len_of(&name("long")).unwrap(), Some(long.len() as u64));
    let end = long.len() as u64;
    assert_eq!(store.get_ranges(&[(name("long"), end - 9..end)]).unwrap(), [vec![7; 9]]);
    assert_eq!(
        store.put_new(&name("long"), &long).unwrap_err().kind(),
        StoreErrorKind::AlreadyExists
    );
    crate::manifests::two_writers(std::sync::Arc::new(store));
}
