//! Bytes as the body of a client's frame: an error that says what and where, or a request, or a
//! hello, whose encoding is those very bytes. And the same bytes as a stream of frames.

use client::wire::{
    Call, Command, Cursor, DropMode, ExecuteMode, FrameBuffer, HealAction, Hello, Id, Listing,
    MetricsFormat, Next, Op, OpenMode, Request, ScanCall,
};

/// One input.
pub fn run(data: &[u8]) {
    match Request::decode(data) {
        Ok(request) => {
            let mut encoded = Vec::new();
            request.encode(&mut encoded).expect("what was decoded can be encoded");
            assert_eq!(&encoded[4..], data, "two encodings of {request:?}");
            assert_eq!(Request::id_of(data), request.id);
        }
        Err(error) => {
            assert!(error.offset <= data.len(), "{error}");
            assert!(!error.to_string().is_empty() && error.code().number() > 0);
        }
    }
    if let Ok(hello) = Hello::decode(data) {
        let mut encoded = Vec::new();
        hello.encode(&mut encoded).expect("what was decoded can be encoded");
        assert_eq!(&encoded[4..], data, "two encodings of {hello:?}");
    }
    stream(data);
}

/// The input as a stream that comes in pieces: nothing is lost or made up, and memory is bounded.
fn stream(data: &[u8]) {
    let (mut buffer, mut rest, mut bodies) = (FrameBuffer::new(), data, 0);
    loop {
        match buffer.next() {
            Next::Frame(body) => bodies += body.len() + 4,
            Next::TooLarge { body_bytes, .. } => {
                assert!(body_bytes as usize > client::wire::BODY_BYTES_MAX);
                return;
            }
            Next::More if rest.is_empty() => break,
            Next::More => {
                let mut piece = &rest[..rest.len().min(1 + data.len() / 3)];
                let read = buffer.read_from(&mut piece).expect("a slice can be read");
                assert!(read > 0, "no room for what comes");
                rest = &rest[read..];
            }
        }
    }
    assert_eq!(bodies + buffer.len(), data.len());
    assert!(buffer.capacity() <= 2 * data.len().max(16 * 1024));
}

/// A request of each command, and a hello.
pub fn seeds() -> Vec<Vec<u8>> {
    let id = || Id::from("an id");
    let range =
        Cursor::Range { from: Some(Id::U64(1)), after: true, to: Some(id()), before: false };
    let scan = |cursor| Call::Scan(ScanCall { collection: "c", cursor, limit: 10 });
    let ops = vec![
        Op::create("c", 7, "{}").expires_at(9),
        Op::read("c", id()),
        Op::update("c", 7, "1").if_revision(5),
        Op::upsert("c", 7, "2").if_revision(5).expires_at(9),
        Op::delete("c", 7).if_revision(5),
        Op::patch("c", 7, "[]"),
    ];
    let listing = Listing { after: "a", limit: 10 };
    let heal = |action| Call::Heal { collection: "c", id: id(), action };
    let mut calls = vec![
        Call::OpenDb { name: "db", mode: OpenMode::OrCreate },
        Call::Execute { ops: ops.into(), mode: ExecuteMode::Independent },
        Call::CreateCollection { name: "c" },
        Call::DeleteCollection { name: "c", mode: DropMode::WithDocuments },
        Call::ListCollections(listing),
        Call::ListDbs(listing),
        heal(HealAction::Versions),
        heal(HealAction::Accept(5)),
        Call::Metrics(MetricsFormat::OpenMetrics),
        Call::Query("{}"),
        Call::Validate { collection: "c" },
        Call::Changes { after: 1, limit: 10, wait_ms: 100 },
        Call::DropDb { name: "db" },
        scan(range),
        scan(Cursor::Next(b"cursor")),
        Call::Explain("{}"),
        Call::Schema("{}"),
        Call::Logs("{}"),
        Call::Backup { name: "b" },
    ];
    let plain = [
        Call::CloseDb,
        Call::Stats,
        Call::HealAll,
        Call::HealStats,
        Call::Begin,
        Call::Commit,
        Call::Rollback,
        Call::Checkpoint,
        Call::Compact,
        Call::Ping,
    ];
    calls.extend(plain);
    assert!(Command::ALL.iter().all(|command| calls.iter().any(|c| c.command() == *command)));
    let mut seeds: Vec<Vec<u8>> = calls.into_iter().map(body).collect();
    let mut hello = Vec::new();
    Hello::new("key").encode(&mut hello).expect("a short key fits");
    // Once as a body, and once as a stream of two frames.
    seeds.push(hello[4..].to_vec());
    seeds.push([hello.clone(), hello].concat());
    seeds
}

fn body(call: Call<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    for database in [2, 0] {
        if Request::new(1, database, call.clone()).encode(&mut frame).is_ok() {
            return frame.split_off(4);
        }
    }
    frame
}
