//! The bytes of every command and every kind of answer, as `docs/formats/ipc.md` has them. They
//! must never change while the version of the protocol is 1.

use client::wire::{
    Answer, Call, Change, Changed, CollectionEntry, Command, Cursor, DatabaseEntry, DatabaseState,
    Document, DropMode, Effect, ExecuteMode, Executed, Failure, Found, HealAction, Hello, Id,
    Listing, MetricsFormat, Op, OpResult, OpenMode, Page, Request, Response, ScanCall, Welcome,
};
use uuid::Uuid;

fn uuid() -> Uuid {
    Uuid::from_u128(0x00112233_4455_6677_8899_aabbccddeeff)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks the body of a request behind its header of 26 bytes.
#[track_caller]
fn request(call: Call<'_>, expect: &str) {
    let of_the_server = [
        Command::OpenDb,
        Command::ListDbs,
        Command::DropDb,
        Command::Metrics,
        Command::Logs,
        Command::Ping,
    ];
    let database = if of_the_server.contains(&call.command()) { 0 } else { 2 };
    let mut frame = Vec::new();
    let request = Request::new(0x0102_0304_0506_0708, database, call);
    request.encode(&mut frame).unwrap();
    let (prefix, body) = frame.split_at(4);
    assert_eq!(u32::from_le_bytes(prefix.try_into().unwrap()) as usize, body.len());
    let is_independent =
        matches!(request.call, Call::Execute { mode: ExecuteMode::Independent, .. });
    let flags = u8::from(is_independent);
    let header = format!(
        "0807060504030201{:02x}00000000000000{}{:02x}{flags:02x}",
        database,
        "00".repeat(8),
        request.call.command().number()
    );
    assert_eq!(hex(&body[..26]), header, "the header");
    assert_eq!(hex(&body[26..]), expect.replace([' ', '\n'], ""), "{:?}", request.call);
    assert_eq!(Request::decode(body).unwrap(), request);
}

/// Checks the body of an answer behind its request id.
#[track_caller]
fn answer(response: &Response<'_>, expect: &str) {
    let mut frame = Vec::new();
    response.encode(&mut frame).unwrap();
    let body = &frame[4..];
    assert_eq!(hex(&body[..8]), "0900000000000000", "the request id");
    assert_eq!(hex(&body[8..]), expect.replace([' ', '\n'], ""), "{response:?}");
    assert_eq!(&Response::decode(body).unwrap(), response);
}

#[track_caller]
fn success(command: Command, of: Answer<'_>, expect: &str) {
    answer(&Response::new(9, command, of), expect);
}

#[test]
fn requests_about_databases() {
    request(Call::OpenDb { name: "db", mode: OpenMode::Existing }, "00 0200 6462");
    request(Call::OpenDb { name: "db", mode: OpenMode::OrCreate }, "01 0200 6462");
    request(Call::OpenDb { name: "db", mode: OpenMode::Create }, "02 0200 6462");
    request(Call::CloseDb, "");
    request(Call::ListDbs(Listing { after: "db", limit: 10 }), "0a000000 0200 6462");
    request(Call::DropDb { name: "db" }, "0200 6462");
}

#[test]
fn requests_about_collections() {
    request(Call::CreateCollection { name: "c" }, "0100 63");
    request(Call::DeleteCollection { name: "c", mode: DropMode::IfEmpty }, "00 0100 63");
    request(Call::DeleteCollection { name: "c", mode: DropMode::WithDocuments }, "01 0100 63");
    request(Call::ListCollections(Listing { after: "", limit: 1000 }), "e8030000 0000");
}

#[test]
fn requests_with_operations() {
    let long = 1_700_000_000_000; // 0x018b_cfe5_6800
    let ops = vec![
        Op::create("c", 7, "{}").expires_at(long),
        Op::read("c", "k"),
        Op::update("c", uuid(), "1").if_revision(5),
        Op::upsert("c", 7, "2").if_revision(5).expires_at(long),
        Op::delete("c", 7).if_revision(5),
        Op::delete("c", 7),
        Op::patch("c", 7, "[]").if_revision(5),
    ];
    let bytes = "07000000
        01 02 0100 63 01 0700000000000000 0068e5cf8b010000 02000000 7b7d
        02 00 0100 63 03 01 6b 00000000
        03 01 0100 63 02 00112233445566778899aabbccddeeff 0500000000000000 01000000 31
        05 03 0100 63 01 0700000000000000 0500000000000000 0068e5cf8b010000 01000000 32
        04 01 0100 63 01 0700000000000000 0500000000000000 00000000
        04 00 0100 63 01 0700000000000000 00000000
        07 01 0100 63 01 0700000000000000 0500000000000000 02000000 5b5d";
    request(Call::Execute { ops: ops.clone().into(), mode: ExecuteMode::Atomic }, bytes);
    request(Call::Execute { ops: ops.into(), mode: ExecuteMode::Independent }, bytes);
}

#[test]
fn requests_that_read() {
    let scan = |cursor| Call::Scan(ScanCall { collection: "c", cursor, limit: 16 });
    let all = Cursor::Range { from: None, after: false, to: None, before: false };
    request(scan(all), "10000000 0100 63 00");
    let part = Cursor::Range {
        from: Some(Id::U64(1)),
        after: true,
        to: Some(Id::from("z")),
        before: true,
    };
    request(scan(part), "10000000 0100 63 0f 01 0100000000000000 03 01 7a");
    request(scan(Cursor::Next(&[1, 2, 3])), "10000000 0100 63 10 0300 010203");
    request(
        Call::Changes { after: 3, limit: 16, wait_ms: 1000 },
        "0300000000000000 10000000 e8030000",
    );
    request(Call::Query("{}"), "02000000 7b7d");
    request(Call::Explain("{}"), "02000000 7b7d");
    request(Call::Schema("{}"), "02000000 7b7d");
    request(Call::Logs("{}"), "02000000 7b7d");
}

#[test]
fn requests_of_operations_staff() {
    request(Call::Stats, "");
    let heal = |action| Call::Heal { collection: "c", id: Id::U64(7), action };
    request(heal(HealAction::Heal), "00 0000000000000000 0100 63 01 0700000000000000");
    request(heal(HealAction::Versions), "01 0000000000000000 0100 63 01 0700000000000000");
    request(heal(HealAction::Accept(5)), "02 0500000000000000 0100 63 01 0700000000000000");
    request(Call::HealAll, "");
    request(Call::HealStats, "");
    request(Call::Metrics(MetricsFormat::Prometheus), "00");
    request(Call::Metrics(MetricsFormat::OpenMetrics), "01");
    request(Call::Begin, "");
    request(Call::Commit, "");
    request(Call::Rollback, "");
    request(Call::Validate { collection: "" }, "0000");
    request(Call::Checkpoint, "");
    request(Call::Compact, "");
    request(Call::Backup { name: "b" }, "0100 62");
    request(Call::Ping, "");
}

#[test]
fn answers() {
    success(Command::Ping, Answer::Done, "1b 00");
    success(
        Command::OpenDb,
        Answer::Opened { database: 2, uuid: uuid() },
        "01 00 0200000000000000 00112233445566778899aabbccddeeff",
    );
    success(Command::CreateCollection, Answer::Collection(3), "05 00 03000000");
    let entry = CollectionEntry { number: 3, documents: 4, last_change: 5, name: "c" };
    success(
        Command::ListCollections,
        Answer::Collections { entries: vec![entry], more: true },
        "07 00 01 01000000 03000000 0400000000000000 0500000000000000 0100 63",
    );
    let entry = DatabaseEntry { uuid: uuid(), state: DatabaseState::Damaged, name: "db" };
    success(
        Command::ListDbs,
        Answer::Databases { entries: vec![entry], more: false },
        "08 00 00 01000000 00112233445566778899aabbccddeeff 02 0200 6462",
    );
    success(Command::Begin, Answer::Begun(6), "0e 00 0600000000000000");
    success(Command::Stats, Answer::Text("{}".into()), "04 00 02000000 7b7d");
}

#[test]
fn answers_to_operations() {
    let mut refused = Failure::new(client::ErrorCode::QueueFull, "full");
    refused.retryable = true;
    let written = |effect| OpResult::Written { effect, revision: 5 };
    let results = vec![
        written(Effect::Created),
        written(Effect::Replaced),
        written(Effect::Deleted),
        OpResult::Found(Found { revision: 5, expires_at: Some(1), document: b"{}" }),
        OpResult::Found(Found { revision: 5, expires_at: None, document: b"1" }),
        OpResult::Failed(refused),
    ];
    success(
        Command::Execute,
        Answer::Executed(Executed { lsn: 5, results }),
        "03 00 0500000000000000 06000000
         00 01 0500000000000000
         00 02 0500000000000000
         00 03 0500000000000000
         00 04 0500000000000000 0100000000000000 02000000 7b7d
         00 04 0500000000000000 0000000000000000 01000000 31
         23 01 0400 66756c6c",
    );
}

#[test]
fn answers_of_reading() {
    let found = Found { revision: 5, expires_at: None, document: b"{}" };
    let documents = vec![Document { id: Id::U64(7), found }];
    success(
        Command::Scan,
        Answer::Page(Page { position: 6, next: &[1], documents }),
        "16 00 0600000000000000 0100 01 01000000
         01 0700000000000000 0500000000000000 0000000000000000 02000000 7b7d",
    );
    let change =
        |changed| Change { lsn: 5, transaction: 4, wall_ms: 3, collection: 2, name: "c", changed };
    let changes = vec![
        change(Changed::Put { id: Id::U64(7), expires_at: Some(1), document: b"{}" }),
        change(Changed::Deleted { id: Id::U64(7) }),
        change(Changed::CollectionCreated),
        change(Changed::CollectionDropped),
        change(Changed::PropertySet { property: "p", value: Some(b"{}") }),
        change(Changed::PropertySet { property: "p", value: None }),
    ];
    let head = "0500000000000000 0400000000000000 0300000000000000 02000000 0100 63";
    success(
        Command::Changes,
        Answer::Changes { position: 9, changes },
        &format!(
            "12 00 0900000000000000 06000000
             {head} 01 01 0700000000000000 0100000000000000 02000000 7b7d
             {head} 02 01 0700000000000000
             {head} 03
             {head} 04
             {head} 05 0100 70 01 02000000 7b7d
             {head} 05 0100 70 00 00000000"
        ),
    );
}

#[test]
fn failures() {
    let mut failure = Failure::new(client::ErrorCode::RevisionMismatch, "no");
    failure.operation = Some(2);
    answer(&Response::failed(9, Some(Command::Execute), failure), "03 0f 00 02000000 0200 6e6f");
    let failure = Failure::new(client::ErrorCode::Unsupported, "");
    answer(&Response::failed(9, None, failure), "00 2b 00 ffffffff 0000");
}

#[test]
fn first_frames() {
    let mut bytes = Vec::new();
    Hello::new("key").encode(&mut bytes).unwrap();
    assert_eq!(hex(&bytes), "11000000444f43444249504301000100 03006b6579".replace(' ', ""));
    assert_eq!(Hello::decode(&bytes[4..]).unwrap(), Hello::new("key"));

    for (outcome, expect) in [
        (Ok((1, "docdb 1.2.3")), "444f434442495043 00 0100 0b00 646f63646220312e322e33"),
        (
            Err(Failure::new(client::ErrorCode::QueueFull, "full")),
            "444f434442495043 23 00 ffffffff 0400 66756c6c",
        ),
    ] {
        let welcome = Welcome { outcome };
        let mut bytes = Vec::new();
        welcome.encode(&mut bytes).unwrap();
        assert_eq!(hex(&bytes[4..]), expect.replace(' ', ""));
        assert_eq!(Welcome::decode(&bytes[4..]).unwrap(), welcome);
    }
}

#[test]
fn every_command_has_a_number_and_there_is_no_other() {
    let numbers: Vec<u8> = Command::ALL.iter().map(|command| command.number()).collect();
    assert_eq!(numbers, (1..=27).collect::<Vec<u8>>());
    for number in 0..=u8::MAX {
        let command = Command::from_number(number);
        assert_eq!(command.map(Command::number), (1..=27).contains(&number).then_some(number));
    }
}

/// Bytes that are no request, and what is wrong with them.
#[test]
fn what_is_wrong_is_named_with_its_place() {
    let header = |command: u8, flags: u8| {
        let mut bytes = vec![0; 24];
        bytes[0] = 1;
        bytes.extend_from_slice(&[command, flags]);
        bytes
    };
    let with = |command: u8, rest: &[u8]| [header(command, 0), rest.to_vec()].concat();
    let cases: &[(Vec<u8>, client::ErrorCode, &str)] = &[
        (
            vec![1, 2, 3],
            client::ErrorCode::InvalidRequestId,
            "the frame ends within its request id: need=8 have=3 offset=0",
        ),
        (
            vec![1; 20],
            client::ErrorCode::InvalidQuery,
            "the frame ends within its transaction: need=8 have=4 offset=16",
        ),
        (
            header(28, 0),
            client::ErrorCode::Unsupported,
            "the command is not known here: 28 offset=24",
        ),
        (
            header(27, 1),
            client::ErrorCode::Unsupported,
            "the flags of the request is not known here: 1 offset=25",
        ),
        (
            with(27, &[0]),
            client::ErrorCode::InvalidQuery,
            "the frame goes on behind its end: bytes=1 offset=26",
        ),
        (
            with(3, &[1, 0, 1, 0]),
            client::ErrorCode::PayloadTooLarge,
            "there are too many operations: count=65537 max=65536 offset=26",
        ),
        (
            with(3, &[2, 0, 0, 0, 1]),
            client::ErrorCode::InvalidQuery,
            "the frame ends within its operations: need=20 have=1 offset=26",
        ),
        (
            with(3, &[1, 0, 0, 0, 6, 0, 1, 0, b'c', 3, 0, 0, 0, 0, 0]),
            client::ErrorCode::Unsupported,
            "the type of operation is not known here: 6 offset=30 entry=0",
        ),
        (
            with(3, &[1, 0, 0, 0, 2, 0, 1, 0, b'c', 9, 0, 0, 0, 0, 0]),
            client::ErrorCode::InvalidId,
            "the id cannot have this value: 9 offset=35 entry=0",
        ),
        (
            with(3, &[1, 0, 0, 0, 2, 0, 1, 0, 0xff, 3, 0, 0, 0, 0, 0]),
            client::ErrorCode::InvalidName,
            "the collection is not UTF-8 offset=32 entry=0",
        ),
        (
            with(5, &[200, 0]),
            client::ErrorCode::InvalidName,
            "the name is too long: bytes=200 max=128 offset=28",
        ),
    ];
    for (body, code, text) in cases {
        let error = Request::decode(body).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (*code, *text), "{body:?}");
    }
}

#[test]
fn a_request_names_only_what_its_command_has_a_use_for() {
    let mut out = vec![1, 2];
    let mut request = Request::new(1, 7, Call::Ping);
    assert!(request.encode(&mut out).is_err());
    request = Request::new(1, 7, Call::Checkpoint);
    request.transaction = 3;
    assert!(request.encode(&mut out).is_err());
    assert_eq!(out, [1, 2], "an encoder that refuses leaves its output as it was");
}

#[test]
fn what_is_too_large_for_its_place_is_refused_and_nothing_is_written() {
    let mut out = vec![1];
    let large = vec![b' '; client::wire::BODY_BYTES_MAX];
    let long = "n".repeat(129);
    let op = |op| Call::Execute { ops: vec![op].into(), mode: ExecuteMode::Atomic };
    for call in [
        op(Op::create("c", 1, &large)),
        op(Op::create(&long, 1, "1")),
        op(Op::create("c", "i".repeat(256), "1")),
        Call::CreateCollection { name: &long },
    ] {
        assert!(Request::new(1, 1, call).encode(&mut out).is_err());
        assert_eq!(out, [1]);
    }
    let mismatched = Response::new(1, Command::Ping, Answer::Collection(1));
    assert!(mismatched.encode(&mut out).is_err());
    assert_eq!(out, [1]);
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let long = "ä".repeat(4000);
    let failure = Failure::new(client::ErrorCode::Internal, long.as_str());
    let mut out = Vec::new();
    Response::failed(1, None, failure).encode(&mut out).unwrap();
    let cut = Response::decode(&out[4..]).unwrap().outcome.unwrap_err().message;
    assert_eq!(cut.len(), 4096);
    assert!(long.starts_with(&*cut));
}
