//! Whatever is encoded decodes to the same, in any order of frames and any pieces; and no bytes
//! make a decoder panic.

use client::wire::{
    Action, Answer, Call, Command, Cursor, Effect, ExecuteMode, Executed, Failure, Found,
    FrameBuffer, Hello, Id, Next, Op, OpResult, Request, Response, ScanCall, Welcome,
};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

/// An operation that owns what it is made of.
#[derive(Debug, Clone)]
struct OwnOp {
    kind: u8,
    collection: String,
    id: Id<'static>,
    revision: Option<u64>,
    expiry: Option<u64>,
    payload: Vec<u8>,
}

impl OwnOp {
    fn op(&self) -> Op<'_> {
        let (document, if_revision, expires_at) =
            (self.payload.as_slice(), self.revision, self.expiry);
        let action = match self.kind {
            0 => Action::Create { document, expires_at },
            1 => Action::Read,
            2 => Action::Update { document, if_revision, expires_at },
            3 => Action::Upsert { document, if_revision, expires_at },
            4 => Action::Delete { if_revision },
            _ => Action::Patch { patch: document, if_revision },
        };
        Op { collection: &self.collection, id: self.id.as_borrowed(), action }
    }
}

fn ids() -> impl Strategy<Value = Id<'static>> {
    prop_oneof![
        any::<u64>().prop_map(Id::U64),
        any::<u128>().prop_map(|n| Id::Uuid(Uuid::from_u128(n))),
        "\\PC{0,20}".prop_map(Id::from),
    ]
}

fn ops() -> impl Strategy<Value = OwnOp> {
    let fields = (
        0..6_u8,
        "[a-z]{0,8}",
        ids(),
        any::<Option<u64>>(),
        any::<Option<u64>>(),
        vec(any::<u8>(), 0..50),
    );
    fields.prop_map(|(kind, collection, id, revision, expiry, payload)| OwnOp {
        kind,
        collection,
        id,
        revision,
        expiry: expiry.map(|at| at.max(1)),
        payload,
    })
}

fn encoded(request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(&mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn operations_come_back_as_they_were(
        ops in vec(ops(), 0..20),
        id: u64,
        database: u64,
        transaction: u64,
        is_atomic: bool,
    ) {
        let mode = if is_atomic { ExecuteMode::Atomic } else { ExecuteMode::Independent };
        let ops: Vec<Op<'_>> = ops.iter().map(OwnOp::op).collect();
        let request =
            Request { id, database, transaction, call: Call::Execute { ops: ops.into(), mode } };
        let bytes = encoded(&request);
        prop_assert_eq!(Request::decode(&bytes[4..]), Ok(request));
        prop_assert_eq!(Request::id_of(&bytes[4..]), id);
    }

    #[test]
    fn scans_come_back_as_they_were(
        from in proptest::option::of(ids()),
        to in proptest::option::of(ids()),
        after: bool,
        before: bool,
        limit: u32,
        cursor in proptest::option::of(vec(any::<u8>(), 0..1024)),
    ) {
        let cursor = match &cursor {
            Some(cursor) => Cursor::Next(cursor),
            None => {
                let (after, before) = (after && from.is_some(), before && to.is_some());
                Cursor::Range { from, after, to, before }
            }
        };
        let call = Call::Scan(ScanCall { collection: "c", cursor, limit });
        let request = Request::new(1, 2, call);
        let bytes = encoded(&request);
        prop_assert_eq!(Request::decode(&bytes[4..]), Ok(request));
    }

    #[test]
    fn results_come_back_as_they_were(
        lsn: u64,
        documents in vec((any::<u64>(), 1_u64.., vec(any::<u8>(), 0..50)), 0..10),
        status in 1_u8..,
        message in "\\PC{0,30}",
    ) {
        let found = documents.iter().map(|(revision, expires_at, document)| {
            let expires_at = Some(*expires_at).filter(|at| at % 2 == 0);
            OpResult::Found(Found { revision: *revision, expires_at, document })
        });
        let failure =
            Failure { status, retryable: lsn % 2 == 0, operation: None, message: message.into() };
        let written = OpResult::Written { effect: Effect::Replaced, revision: lsn };
        let results = found.chain([written, OpResult::Failed(failure.clone())]).collect();
        let answer = Answer::Executed(Executed { lsn, results });
        for response in [
            Response::new(lsn, Command::Execute, answer.clone()),
            Response::failed(lsn, Some(Command::Query), failure.clone()),
        ] {
            let mut bytes = Vec::new();
            response.encode(&mut bytes).unwrap();
            prop_assert_eq!(Response::decode(&bytes[4..]), Ok(response));
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic_and_what_decodes_has_one_encoding(
        command in 0_u8..30,
        bytes in vec(any::<u8>(), 0..80),
    ) {
        let _ = Hello::decode(&bytes);
        let _ = Welcome::decode(&bytes);
        let header = [&[1; 8][..], &[0; 16], &[command, 0]].concat();
        for body in [bytes.clone(), [&header, &bytes[..]].concat()] {
            if let Ok(request) = Request::decode(&body) {
                prop_assert_eq!(&encoded(&request)[4..], &body[..]);
            }
        }
        let header = [&[1; 8][..], &[command, 0]].concat();
        for body in [bytes.clone(), [&header, &bytes[..]].concat()] {
            if let Ok(response) = Response::decode(&body) {
                let mut again = Vec::new();
                response.encode(&mut again).unwrap();
                prop_assert_eq!(&again[4..], &body[..]);
            }
        }
    }

    #[test]
    fn frames_come_out_of_a_stream_in_pieces_of_any_size(
        sizes in vec(0..3000_usize, 1..20),
        pieces in vec(1..5000_usize, 1..20),
    ) {
        let mut stream = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            stream.extend_from_slice(&u32::try_from(*size).unwrap().to_le_bytes());
            stream.resize(stream.len() + size, u8::try_from(number).unwrap());
        }
        let (mut buffer, mut found, mut rest) = (FrameBuffer::new(), Vec::new(), &stream[..]);
        for piece in pieces.iter().cycle() {
            while let Next::Frame(body) = buffer.next() {
                prop_assert!(body.iter().all(|byte| usize::from(*byte) == found.len()));
                found.push(body.len());
            }
            if rest.is_empty() {
                break;
            }
            let mut piece = &rest[..(*piece).min(rest.len())];
            let read = buffer.read_from(&mut piece).unwrap();
            rest = &rest[read..];
        }
        prop_assert_eq!(found, sizes);
        prop_assert!(buffer.is_empty());
    }
}
