//! The typed calls over the socket, against a server that keeps documents in a map.

use std::collections::BTreeMap;
use std::time::Duration;

use client::wire::{
    Action, Answer, Call, Change, Changed, Command, Cursor, Document, Effect, Executed, Failure,
    Found, Id, OpResult, OpenMode, Page, Request, Response,
};
use client::{Client, ErrorCode, Event, Op, Outcome};

use crate::fake::{Listening, Peer, listen, options};

/// What the server has: one collection, each write one more than the revision before.
#[derive(Default)]
struct Store {
    documents: BTreeMap<Id<'static>, (u64, Vec<u8>)>,
    lsn: u64,
    opened: Vec<String>,
}

impl Store {
    fn op(&mut self, op: &Op<'_>) -> OpResult<'static> {
        let id = op.id.clone().into_owned();
        let current = self.documents.get(&id).map(|(revision, _)| *revision);
        let failed = |code| OpResult::Failed(Failure::new(code, format!("id={}", op.id)));
        let (document, wanted) = match op.action {
            Action::Read => {
                return match self.documents.get(&id) {
                    Some((revision, document)) => {
                        let document: &'static [u8] = document.clone().leak();
                        OpResult::Found(Found { revision: *revision, expires_at: None, document })
                    }
                    None => failed(ErrorCode::DocNotFound),
                };
            }
            Action::Create { .. } if current.is_some() => return failed(ErrorCode::DocExists),
            Action::Create { document, .. } => (Some(document), None),
            Action::Upsert { document, if_revision, .. } => (Some(document), if_revision),
            Action::Update { .. } | Action::Delete { .. } | Action::Patch { .. }
                if current.is_none() =>
            {
                return failed(ErrorCode::DocNotFound);
            }
            Action::Update { document, if_revision, .. } => (Some(document), if_revision),
            Action::Delete { if_revision } => (None, if_revision),
            Action::Patch { patch, if_revision } => (Some(patch), if_revision),
        };
        if wanted.is_some() && wanted != current {
            return failed(ErrorCode::RevisionMismatch);
        }
        self.lsn += 1;
        let effect = match (document, current) {
            (None, _) => Effect::Deleted,
            (Some(_), None) => Effect::Created,
            (Some(_), Some(_)) => Effect::Replaced,
        };
        match document {
            Some(document) => self.documents.insert(id, (self.lsn, document.to_vec())),
            None => self.documents.remove(&id),
        };
        OpResult::Written { effect, revision: self.lsn }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "no test here asks for the others")]
    fn answer(&mut self, request: &Request<'_>) -> Answer<'_> {
        match &request.call {
            Call::OpenDb { name, mode } => {
                self.opened.push(format!("{name} {mode:?}"));
                let database = self.opened.len() as u64;
                Answer::Opened { database, uuid: uuid::Uuid::nil() }
            }
            Call::Execute { ops, .. } => {
                let results = ops.iter().map(|op| self.op(op)).collect();
                Answer::Executed(Executed { lsn: self.lsn, results })
            }
            Call::Scan(scan) => self.page(&scan.cursor, scan.limit as usize),
            Call::Changes { after, .. } => self.changes(*after),
            Call::Begin => Answer::Begun(9),
            Call::Commit => {
                let results = vec![OpResult::Written { effect: Effect::Created, revision: 44 }];
                Answer::Executed(Executed { lsn: 44, results })
            }
            Call::Stats => Answer::Text(r#"{"documents":3}"#.into()),
            Call::CreateCollection { .. } => Answer::Collection(2),
            Call::CloseDb | Call::Rollback => Answer::Done,
            other => panic!("{other:?}"),
        }
    }

    fn page(&self, cursor: &Cursor<'_>, limit: usize) -> Answer<'_> {
        let skip = match cursor {
            Cursor::Range { .. } => 0,
            Cursor::Next(cursor) => usize::from(cursor[0]),
        };
        let document = |(id, (revision, document)): (&Id<'static>, &(u64, Vec<u8>))| Document {
            id: id.clone(),
            found: Found {
                revision: *revision,
                expires_at: None,
                document: document.clone().leak(),
            },
        };
        let documents: Vec<_> =
            self.documents.iter().skip(skip).take(limit).map(document).collect();
        let end = skip + documents.len();
        let next: &'static [u8] =
            if end < self.documents.len() { vec![u8::try_from(end).unwrap()].leak() } else { &[] };
        Answer::Page(Page { position: self.lsn, next, documents })
    }

    fn changes(&self, after: u64) -> Answer<'_> {
        let change = |(id, (lsn, document)): (&Id<'static>, &(u64, Vec<u8>))| Change {
            lsn: *lsn,
            transaction: *lsn,
            wall_ms: 1,
            collection: 1,
            name: "c",
            changed: Changed::Put {
                id: id.clone(),
                expires_at: None,
                document: document.clone().leak(),
            },
        };
        let mut changes: Vec<_> = self.documents.iter().map(change).collect();
        changes.retain(|change| change.lsn > after);
        changes.sort_by_key(|change| change.lsn);
        changes.truncate(2);
        let position = changes.last().map_or(self.lsn, |change| change.lsn);
        Answer::Changes { position, changes }
    }
}

/// Answers until the client goes; then says which databases were opened, and which commands came
/// within a transaction.
fn serve(peer: &mut Peer) -> (Vec<String>, Vec<Command>) {
    peer.welcome();
    let (mut store, mut within) = (Store::default(), Vec::new());
    while let Some(body) = peer.frame() {
        let request = Request::decode(&body).unwrap();
        if request.transaction != 0 {
            assert_eq!(request.transaction, 9);
            within.push(request.call.command());
        }
        let (id, command) = (request.id, request.call.command());
        peer.answer(&Response::new(id, command, store.answer(&request)));
    }
    (store.opened, within)
}

fn client() -> (Client, Listening) {
    let listening = listen(vec![Box::new(|peer| drop(serve(peer)))]);
    (options().connect(&listening.path).unwrap(), listening)
}

#[test]
fn documents_are_made_read_changed_and_removed() {
    let (client, listening) = client();
    let books = client.database("shop").collection("books");
    let made = books.create(1, r#"{"title": "Emma"}"#).unwrap();
    assert_eq!((made.revision, made.effect), (1, Some(Effect::Created)));
    assert!(books.create(1, "{}").unwrap_err().is(ErrorCode::DocExists));
    let book = books.get(1).unwrap().unwrap();
    assert_eq!(book.bytes, br#"{"title": "Emma"}"#);
    let title: BTreeMap<String, String> = book.json().unwrap();
    assert_eq!(title["title"], "Emma");
    assert!(books.update_if(1, 9, "1").unwrap_err().is(ErrorCode::RevisionMismatch));
    assert_eq!(books.update_if(1, book.revision, "1").unwrap().effect, Some(Effect::Replaced));
    assert_eq!(books.upsert("1", "2").unwrap().effect, Some(Effect::Created));
    assert!(books.patch("x", "[]").unwrap_err().is(ErrorCode::DocNotFound));
    assert_eq!(books.delete(1).unwrap().effect, Some(Effect::Deleted));
    assert_eq!(books.get(1).unwrap(), None);
    assert!(books.delete_if("1", 1).unwrap_err().is(ErrorCode::RevisionMismatch));
    drop((client, books));
    listening.server.join().unwrap();
}

#[test]
fn independent_operations_are_answered_each_for_itself() {
    let (client, listening) = client();
    let ops =
        [Op::create("c", 1, "1"), Op::create("c", 1, "2"), Op::read("c", 1), Op::read("c", 2)];
    let results = client.database("shop").independent(&ops).unwrap();
    assert!(matches!(&results[0], Ok(Outcome::Written(written)) if written.revision == 1));
    assert!(results[1].as_ref().unwrap_err().is(ErrorCode::DocExists));
    assert!(matches!(&results[2], Ok(Outcome::Found(document)) if document.bytes == b"1"));
    assert!(results[3].as_ref().unwrap_err().is(ErrorCode::DocNotFound));
    drop(client);
    listening.server.join().unwrap();
}

#[test]
fn a_scan_reads_all_pages_and_a_feed_all_changes() {
    let (client, listening) = client();
    let db = client.database("shop");
    let c = db.collection("c");
    for id in 0..5_u64 {
        c.upsert(id, id.to_string()).unwrap();
    }
    let ids: Vec<_> = c.scan().page(2).map(|document| document.unwrap().id).collect();
    assert_eq!(ids, (0..5).map(Id::U64).collect::<Vec<_>>());

    let mut feed = db.changes(1);
    let mut seen = Vec::new();
    while let Some(change) = feed.poll(Duration::ZERO).unwrap() {
        let Event::Put(document) = change.event else { panic!("{change:?}") };
        seen.push(document.revision);
        assert_eq!(feed.position(), change.lsn);
    }
    assert_eq!(seen, [2, 3, 4, 5]);
    assert_eq!(feed.position(), 5);
    c.upsert(7, "7").unwrap();
    assert_eq!(feed.next().unwrap().unwrap().lsn, 6);
    drop((client, db, c, feed));
    listening.server.join().unwrap();
}

#[test]
fn a_transaction_is_committed_or_rolled_back_when_it_is_dropped() {
    let expect = [Command::Execute, Command::Execute, Command::Commit, Command::Rollback];
    let listening = listen(vec![Box::new(move |peer| {
        let (opened, within) = serve(peer);
        assert_eq!(opened, ["shop Existing"]);
        assert_eq!(within, expect);
    })]);
    let client = options().connect(&listening.path).unwrap();
    let db = client.database("shop");
    let transaction = db.begin().unwrap();
    assert_eq!(transaction.get("c", 1).unwrap(), None);
    transaction.write(Op::create("c", 1, "1")).unwrap();
    assert_eq!(transaction.commit().unwrap()[0].revision, 44);
    drop(db.begin().unwrap());
    drop((client, db));
    listening.server.join().unwrap();
}

#[test]
fn databases_are_opened_once_for_a_connection_as_they_are_asked_for() {
    let listening = listen(vec![Box::new(|peer| {
        let expect = ["a Create", "b Existing", "a Existing"];
        assert_eq!(serve(peer).0, expect);
    })]);
    let client = options().connect(&listening.path).unwrap();
    let a = client.create_database("a").unwrap();
    assert_eq!(a.stats().unwrap()["documents"], 3);
    a.create_collection("c").unwrap();
    client.database("b").stats().unwrap();
    client.close_database("a").unwrap();
    a.stats().unwrap();
    assert_eq!(client.close_database("never opened"), Ok(()));
    drop((client, a));
    listening.server.join().unwrap();
}

#[test]
fn a_scan_does_not_go_on_over_another_connection() {
    let serve_one_page: fn(&mut Peer) = |peer| {
        peer.welcome();
        let mut store = Store::default();
        for id in 0..4 {
            store.op(&Op::create("c", id, "1"));
        }
        for _ in 0..2 {
            let body = peer.frame().unwrap();
            let request = Request::decode(&body).unwrap();
            let (id, command) = (request.id, request.call.command());
            peer.answer(&Response::new(id, command, store.answer(&request)));
        }
    };
    let second: fn(&mut Peer) = |peer| {
        assert_eq!(serve(peer).0, [format!("shop {:?}", OpenMode::Existing)]);
    };
    let listening = listen(vec![Box::new(serve_one_page), Box::new(second)]);
    let client = options().connect(&listening.path).unwrap();
    let mut scan = client.database("shop").collection("c").scan().page(2);
    assert!(scan.next().unwrap().is_ok());
    assert!(scan.next().unwrap().is_ok());
    // The end of the first connection may be noticed by this call, or before it.
    let error = scan.next().unwrap().unwrap_err();
    let is_told =
        error.is(ErrorCode::SnapshotExpired) || error.kind() == client::ErrorKind::Connection;
    assert!(is_told, "{error}");
    assert!(scan.next().is_none());
    client.database("shop").stats().unwrap();
    drop((client, scan));
    listening.server.join().unwrap();
}
