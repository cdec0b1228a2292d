//! The typed calls over HTTP: the requests that are made, and what is made of the answers.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use client::wire::Effect;
use client::{Client, ErrorCode, ErrorKind, Id, Op, Options, Outcome};

use crate::fake::start;

/// One request that is expected, and its answer.
struct Exchange {
    request: &'static str,
    headers: &'static [&'static str],
    body: &'static str,
    answer: &'static str,
}

fn exchange(request: &'static str, body: &'static str, answer: &'static str) -> Exchange {
    Exchange { request, headers: &[], body, answer }
}

/// Runs `work` against a server that expects these requests, over one connection, in this order.
fn check(exchanges: Vec<Exchange>, work: impl FnOnce(&Client)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = start(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        for exchange in exchanges {
            serve(&mut reader, &mut stream, &exchange);
        }
    });
    let options = Options::new().timeout(Duration::from_secs(20)).key("k3y");
    work(&options.connect(&address).unwrap());
    server.join().unwrap();
}

fn serve(reader: &mut impl BufRead, stream: &mut impl Write, exchange: &Exchange) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), format!("{} HTTP/1.1", exchange.request));
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim_end().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        headers.push(header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), exchange.body);
    for expected in exchange.headers.iter().chain(&["authorization: bearer k3y"]) {
        assert!(headers.iter().any(|header| header == expected), "{expected}: {headers:?}");
    }
    let (head, body) = exchange.answer.split_once('|').unwrap();
    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).unwrap();
}

const DOCUMENTS: &str = "/v1/databases/shop/collections/books/documents";

#[test]
fn documents_go_to_their_own_addresses_with_their_bytes_unchanged() {
    let created = "201 Created|{\"id\":1,\"revision\":5}";
    let ok = "200 OK|{\"id\":1,\"revision\":6}";
    let at =
        |verb: &str, rest: &str| -> &'static str { format!("{verb} {DOCUMENTS}{rest}").leak() };
    let exchanges = vec![
        exchange(at("POST", "/1"), "{\"a\":  1.50}", created),
        Exchange { headers: &["if-match: *"], ..exchange(at("PUT", "/1"), "2", ok) },
        Exchange { headers: &["if-match: \"6\""], ..exchange(at("PUT", "/1"), "3", ok) },
        exchange(at("PUT", "/a%2Fb"), "4", created),
        exchange(at("PATCH", "/1"), "[]", ok),
        exchange(at("GET", "/1?id_type=string"), "", "200 OK\r\netag: \"7\"|{\"a\":  1.50}"),
        exchange(
            at("GET", "/2"),
            "",
            "404 Not Found|{\"error\":{\"code\":\"DocNotFound\",\"message\":\"no\"}}",
        ),
        Exchange { headers: &["if-match: \"7\""], ..exchange(at("DELETE", "/1"), "", ok) },
    ];
    check(exchanges, |client| {
        let books = client.database("shop").collection("books");
        let made = books.create(1, "{\"a\":  1.50}").unwrap();
        assert_eq!((made.revision, made.effect), (5, Some(Effect::Created)));
        assert_eq!(books.update(1, "2").unwrap().effect, Some(Effect::Replaced));
        books.update_if(1, 6, "3").unwrap();
        assert_eq!(books.upsert("a/b", "4").unwrap().effect, Some(Effect::Created));
        books.patch(1, "[]").unwrap();
        let found = books.get("1").unwrap().unwrap();
        assert_eq!((found.id, found.revision), (Id::from("1".to_owned()), 7));
        assert_eq!(found.bytes, b"{\"a\":  1.50}");
        assert_eq!(books.get(2).unwrap(), None);
        assert_eq!(books.delete_if(1, 7).unwrap().effect, Some(Effect::Deleted));
    });
}

#[test]
fn a_batch_is_one_request_and_says_which_operation_is_at_fault() {
    let body = "{\"operations\":[\
        {\"op\":\"put\",\"collection\":\"c\",\"id\":\"1\",\"id_type\":\"u64\",\"document\":{ },\
        \"expires_at\":\"1970-01-01T00:00:00.001Z\"},\
        {\"op\":\"delete\",\"collection\":\"c\",\"id\":\"x\",\"id_type\":\"string\",\"if_revision\":3}]}";
    let batch = "POST /v1/databases/shop/batch";
    let done =
        "200 OK|{\"lsn\":9,\"results\":[{\"id\":1,\"revision\":8},{\"id\":\"x\",\"revision\":9}]}";
    let refused = "412 Precondition Failed|{\"error\":{\"code\":\"RevisionMismatch\",\
        \"message\":\"other\",\"retryable\":false,\"operation\":1}}";
    check(vec![exchange(batch, body, done), exchange(batch, body, refused)], |client| {
        let db = client.database("shop");
        let ops = [Op::upsert("c", 1, "{ }").expires_at(1), Op::delete("c", "x").if_revision(3)];
        let results = db.batch(&ops).unwrap();
        let revisions = results.iter().map(|result| match result {
            Ok(Outcome::Written(written)) => (written.revision, written.effect),
            other => panic!("{other:?}"),
        });
        let expect = [(8, None), (9, Some(Effect::Deleted))];
        assert_eq!(revisions.collect::<Vec<_>>(), expect);
        let error = db.batch(&ops).unwrap_err();
        assert!(error.is(ErrorCode::RevisionMismatch));
        assert_eq!(error.operation(), Some(1));
    });
}

#[test]
fn scans_and_feeds_go_on_where_they_were() {
    let first = "200 OK|{\"documents\":[{\"id\":\"1\",\"id_type\":\"u64\",\"revision\":2,\
        \"document\":{\"a\": 1e0}}],\"next\":\"c/1\"}";
    let last = "200 OK|{\"documents\":[{\"id\":\"k\",\"id_type\":\"string\",\"revision\":3,\
        \"document\":2}],\"next\":null}";
    let changes = "200 OK|{\"changes\":[{\"lsn\":4,\"op\":\"put\",\"collection\":\"books\",\"id\":7,\
        \"revision\":4,\"document\":[]},{\"lsn\":5,\"op\":\"delete\",\"collection\":\"books\",\
        \"id\":7,\"revision\":5}],\"position\":6}";
    let at = |query: &str| -> &'static str { format!("GET {DOCUMENTS}?{query}").leak() };
    let exchanges = vec![
        exchange(at("limit=1&ids=text&from=1&from_type=u64"), "", first),
        exchange(at("limit=1&ids=text&cursor=c%2F1"), "", last),
        exchange(
            "GET /v1/databases/shop/changes?after=3&limit=1000&ids=text&wait_ms=0",
            "",
            changes,
        ),
        exchange(
            "GET /v1/databases/shop/changes?after=6&limit=1000&ids=text&wait_ms=50",
            "",
            "200 OK|{\"changes\":[]}",
        ),
    ];
    check(exchanges, |client| {
        let db = client.database("shop");
        let found: Vec<_> = db
            .collection("books")
            .scan_range(Id::U64(1)..)
            .page(1)
            .map(|document| document.unwrap())
            .collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].bytes, b"{\"a\": 1e0}");
        assert_eq!(found[1].id, Id::from("k".to_owned()));
        let mut feed = db.changes(3);
        assert_eq!(feed.poll(Duration::ZERO).unwrap().unwrap().lsn, 4);
        assert_eq!(feed.poll(Duration::ZERO).unwrap().unwrap().lsn, 5);
        assert_eq!(feed.poll(Duration::from_millis(50)).unwrap(), None);
        assert_eq!(feed.position(), 6);
    });
}

#[test]
fn a_server_that_closes_leaves_the_outcome_of_a_write_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = start(move || {
        for _ in 0..2 {
            let (stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap();
        }
    });
    let client = Client::connect(&address).unwrap();
    let books = client.database("shop").collection("books");
    let error = books.upsert(1, "1").unwrap_err();
    assert!(error.is_outcome_unknown() && !error.is_retryable(), "{error}");
    let error = books.get(1).unwrap_err();
    assert!(!error.is_outcome_unknown(), "{error}");
    server.join().unwrap();
}

#[test]
fn errors_that_are_not_of_docdb_say_so() {
    let exchanges = vec![
        exchange("GET /health/live", "", "502 Bad Gateway|<html>"),
        exchange("GET /health/live", "", "302 Found\r\nlocation: http://127.0.0.1:1/|"),
        exchange("GET /v1/stats", "", "200 OK|not JSON"),
    ];
    check(exchanges, |client| {
        for error in
            [client.ping().unwrap_err(), client.ping().unwrap_err(), client.stats().unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        }
    });
}

#[test]
fn nobody_listening_is_told_and_may_be_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::connect(&address).unwrap().database("d").stats().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert!(error.is_retryable(), "{error}");
}

#[cfg(not(feature = "tls"))]
#[test]
fn https_needs_the_feature_tls() {
    let error = Client::connect("https://127.0.0.1:1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
}
