//! Bytes as the body of a server's frame: an error, or an answer, or a welcome, whose encoding is
//! those very bytes.

use client::ErrorCode;
use client::wire::{
    Answer, Change, Changed, CollectionEntry, Command, DatabaseEntry, DatabaseState, Document,
    Effect, Executed, Failure, Found, Id, OpResult, Page, Response, Welcome,
};

/// Longest message that an encoder does not cut.
const MESSAGE_BYTES_MAX: usize = 4096;

/// One input.
pub fn run(data: &[u8]) {
    match Response::decode(data) {
        Ok(response) => {
            let mut encoded = Vec::new();
            response.encode(&mut encoded).expect("what was decoded can be encoded");
            let is_cut = encoded.len() - 4 < data.len() && data.len() > MESSAGE_BYTES_MAX;
            assert!(is_cut || &encoded[4..] == data, "two encodings of {response:?}");
            assert_eq!(Response::id_of(data), Some(response.id));
        }
        Err(error) => assert!(error.offset <= data.len(), "{error}"),
    }
    if let Ok(welcome) = Welcome::decode(data) {
        let mut encoded = Vec::new();
        welcome.encode(&mut encoded).expect("what was decoded can be encoded");
        let is_cut = encoded.len() - 4 < data.len() && data.len() > MESSAGE_BYTES_MAX;
        assert!(is_cut || &encoded[4..] == data, "two encodings of {welcome:?}");
    }
}

/// Answers of each shape, a failure, and both kinds of welcome.
pub fn seeds() -> Vec<Vec<u8>> {
    let found = Found { revision: 5, expires_at: Some(9), document: b"{}" };
    let failure = || Failure::new(ErrorCode::QueueFull, "full");
    let results = vec![
        OpResult::Written { effect: Effect::Created, revision: 5 },
        OpResult::Found(found),
        OpResult::Failed(failure()),
    ];
    let document = Document { id: Id::from("an id"), found };
    let change =
        |changed| Change { lsn: 5, transaction: 5, wall_ms: 9, collection: 1, name: "c", changed };
    let changes = vec![
        change(Changed::Put { id: Id::U64(7), expires_at: None, document: b"{}" }),
        change(Changed::Deleted { id: Id::U64(7) }),
        change(Changed::CollectionCreated),
        change(Changed::PropertySet { property: "p", value: Some(b"{}") }),
    ];
    let uuid = uuid::Uuid::from_u128(7);
    let collection = CollectionEntry { number: 1, documents: 2, last_change: 3, name: "c" };
    let database = DatabaseEntry { uuid, state: DatabaseState::Open, name: "db" };
    let answers = [
        (Command::Ping, Answer::Done),
        (Command::OpenDb, Answer::Opened { database: 1, uuid }),
        (Command::Execute, Answer::Executed(Executed { lsn: 5, results })),
        (Command::CreateCollection, Answer::Collection(1)),
        (Command::ListCollections, Answer::Collections { entries: vec![collection], more: true }),
        (Command::ListDbs, Answer::Databases { entries: vec![database], more: false }),
        (Command::Begin, Answer::Begun(3)),
        (Command::Changes, Answer::Changes { position: 9, changes }),
        (Command::Scan, Answer::Page(Page { position: 9, next: b"n", documents: vec![document] })),
        (Command::Stats, Answer::Text("{}".into())),
    ];
    let answers = answers.into_iter().map(|(command, answer)| Response::new(1, command, answer));
    let failed = Response::failed(1, Some(Command::Execute), failure());
    let mut seeds: Vec<Vec<u8>> = answers
        .chain([failed])
        .map(|response| {
            let mut frame = Vec::new();
            response.encode(&mut frame).expect("a small answer fits a frame");
            frame.split_off(4)
        })
        .collect();
    for outcome in [Ok((1, "docdb 1")), Err(failure())] {
        let mut frame = Vec::new();
        Welcome { outcome }.encode(&mut frame).expect("a small welcome fits a frame");
        seeds.push(frame.split_off(4));
    }
    seeds
}
