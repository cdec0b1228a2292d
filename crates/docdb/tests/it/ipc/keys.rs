//! Keys over the socket: in the hello, for every command, and for as long as they last.

use base::clock::{Clock as _, SystemClock};
use base::io::RealDisk;
use client::wire::{
    Answer, Call, Command, Cursor, DropMode, ExecuteMode, HealAction, Listing, OpenMode, ScanCall,
};
use client::{Client, Connection, ErrorCode, Id, MetricsFormat, Op, Options};
use docdb::auth::{KeyFile, Wanted};

use super::{PATIENCE, Server, server};

fn file(server: &Server) -> KeyFile {
    KeyFile::new(&RealDisk::shared(), &server.path.parent().unwrap().join("data"))
}

/// Makes a key that allows this, and has the server know it.
pub(crate) fn key(server: &Server, label: &str, grants: &[&str]) -> String {
    let grants = grants.iter().map(|grant| grant.parse().unwrap()).collect();
    let wanted = Wanted { label: label.to_owned(), expires: None, grants };
    let made = file(server).add(wanted, SystemClock::new().wall()).unwrap();
    server.auth.reload().unwrap();
    made.secret.reveal().to_owned()
}

fn connect(server: &Server, key: &str) -> client::Result<Client> {
    Options::new().timeout(PATIENCE).key(key).connect(server.address())
}

#[test]
fn a_hello_without_a_key_that_works_is_refused_once_there_are_keys() {
    let server = server();
    assert!(connect(&server, "").is_ok() && connect(&server, "docdb_anything").is_ok());
    let good = key(&server, "one", &["*=admin"]);
    for bad in ["", "docdb_anything", &good[1..]] {
        let error = connect(&server, bad).unwrap_err();
        assert!(error.is(ErrorCode::Unauthenticated), "{error}");
        assert!(!error.is_retryable() && !error.to_string().contains(&good), "{error}");
    }
    connect(&server, &good).unwrap().ping().unwrap();
    let mut shell = std::process::Command::new(env!("CARGO_BIN_EXE_docdb"));
    shell.env_clear().args(["shell", "-c", ".ping", "--connect", server.address()]);
    let output = shell.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("code=Unauthenticated") && said.contains("--key-file"), "{said}");
    assert!(shell.env("DOCDBSH_KEY", &good).status().unwrap().success());
}

#[test]
fn a_connection_does_not_outlive_its_key() {
    let server = server();
    let before = connect(&server, "").unwrap();
    before.ping().unwrap();
    let first = connect(&server, &key(&server, "first", &["default=write"])).unwrap();
    let refused = |client: &Client| client.database("default").stats().unwrap_err();
    assert!(refused(&before).is(ErrorCode::Unauthenticated), "it had no key");
    first.database("default").stats().unwrap();
    key(&server, "second", &["*=admin"]);
    file(&server).remove("first").unwrap();
    server.auth.reload().unwrap();
    assert!(refused(&first).is(ErrorCode::Unauthenticated));
    file(&server).remove("second").unwrap();
    server.auth.reload().unwrap();
    first.database("default").stats().unwrap();
}

#[test]
fn a_database_is_opened_by_who_may_read_it_and_made_by_who_administers_the_server() {
    let server = server();
    let admin = connect(&server, &key(&server, "admin", &["*=admin"])).unwrap();
    admin.create_database("orders").unwrap();
    let reader = connect(&server, &key(&server, "reader", &["orders=read", "new=admin"])).unwrap();
    reader.open_database("orders").unwrap();
    reader.open_or_create_database("orders").unwrap();
    let forbidden = |result: client::Result<client::Database>| {
        let error = result.unwrap_err();
        assert!(error.is(ErrorCode::Forbidden), "{error}");
    };
    forbidden(reader.open_database("default"));
    forbidden(reader.open_database("none"));
    forbidden(reader.open_or_create_database("new"));
    forbidden(reader.create_database("new"));
    assert!(reader.drop_database("orders").unwrap_err().is(ErrorCode::Forbidden));
    assert!(reader.open_database("new").unwrap_err().is(ErrorCode::DbNotFound));
    assert!(reader.databases().unwrap_err().is(ErrorCode::Forbidden));
    admin.drop_database("orders").unwrap();
}

/// One call of every command, and what it needs: on the database, or of the whole server with `*`.
fn calls() -> Vec<(Call<'static>, Option<&'static str>)> {
    let execute =
        |op: Op<'static>| Call::Execute { ops: vec![op].into(), mode: ExecuteMode::Atomic };
    let listing = Listing { after: "", limit: 10 };
    let all = Cursor::Range { from: None, after: false, to: None, before: false };
    let scan = ScanCall { collection: "default", cursor: all, limit: 1 };
    vec![
        (Call::Ping, None),
        (execute(Op::read("default", 1)), Some("read")),
        (Call::Stats, Some("read")),
        (Call::ListCollections(listing), Some("read")),
        (Call::HealStats, Some("read")),
        (Call::Query("{}"), Some("read")),
        (Call::Explain("{}"), Some("read")),
        (Call::Changes { after: 0, limit: 1, wait_ms: 0 }, Some("read")),
        (Call::Scan(scan), Some("read")),
        (execute(Op::upsert("default", 1, "1")), Some("write")),
        (Call::CreateCollection { name: "c" }, Some("write")),
        (Call::DeleteCollection { name: "c", mode: DropMode::IfEmpty }, Some("write")),
        (Call::Begin, Some("write")),
        (Call::Commit, Some("write")),
        (Call::Rollback, Some("write")),
        (
            Call::Heal { collection: "default", id: Id::U64(1), action: HealAction::Versions },
            Some("admin"),
        ),
        (Call::HealAll, Some("admin")),
        (Call::Validate { collection: "" }, Some("admin")),
        (Call::Checkpoint, Some("admin")),
        (Call::Compact, Some("admin")),
        (Call::Schema("{}"), Some("admin")),
        (Call::Backup { name: "b" }, Some("admin")),
        (Call::ListDbs(listing), Some("*=read")),
        (Call::Metrics(MetricsFormat::Prometheus), Some("*=read")),
        (Call::Logs("{\"op\":\"search\"}"), Some("*=read")),
        (Call::DropDb { name: "other" }, Some("*=admin")),
        (Call::OpenDb { name: "default", mode: OpenMode::Existing }, Some("read")),
        (Call::CloseDb, None),
    ]
}

/// The error of a call on `default`, if there is one. Each has a connection of its own: none closes
/// what another one needs.
fn error_of(
    server: &Server,
    key: &str,
    call: Call<'static>,
    needs: Option<&str>,
) -> Option<ErrorCode> {
    let (connection, database) = opened(server, key);
    let of_server = needs.is_some_and(|needs| needs.starts_with('*'))
        || matches!(call, Call::Ping | Call::OpenDb { .. });
    let transaction = u64::from(matches!(call, Call::Commit | Call::Rollback));
    let database = if of_server { 0 } else { database };
    let reply = connection.call(database, transaction, call).unwrap();
    reply.answer().err().and_then(|error| error.code())
}

/// A connection on which `default` is open, and its number.
fn opened(server: &Server, key: &str) -> (Connection, u64) {
    let options = Options::new().timeout(PATIENCE).key(key);
    let connection = Connection::connect(&server.path, &options).unwrap();
    let open = Call::OpenDb { name: "default", mode: OpenMode::Existing };
    let reply = connection.call(0, 0, open).unwrap();
    let Ok(Answer::Opened { database, .. }) = reply.answer() else { panic!("it may be opened") };
    (connection, database)
}

#[test]
fn every_command_asks_for_a_key_that_allows_it_and_for_no_more() {
    let server = server();
    let scopes = ["read", "write", "admin"];
    let grants = ["default=read", "default=write", "default=admin", "*=read", "*=admin"];
    let keys = grants.map(|grant| key(&server, grant, &[grant]));
    let mut seen = std::collections::BTreeSet::new();
    for (call, needs) in calls() {
        seen.insert(call.command());
        for (grant, key) in grants.iter().zip(&keys) {
            let (of, scope) = grant.split_once('=').unwrap();
            let rank = |scope: &str| scopes.iter().position(|known| *known == scope).unwrap();
            let may = match needs {
                None => true,
                Some(needs) => match needs.split_once('=') {
                    Some((_, least)) => of == "*" && rank(scope) >= rank(least),
                    None => rank(scope) >= rank(needs),
                },
            };
            let error = error_of(&server, key, call.clone(), needs);
            let is_forbidden = error == Some(ErrorCode::Forbidden);
            assert_eq!(is_forbidden, !may, "{:?} by {grant}: {error:?}", call.command());
        }
    }
    assert_eq!(seen.len(), Command::ALL.len(), "every command is asked");
}

#[test]
fn a_read_within_a_transaction_is_part_of_writing() {
    let server = server();
    let (connection, database) = opened(&server, &key(&server, "reader", &["default=read"]));
    let read = |transaction| {
        let ops = vec![Op::read("default", 1)].into();
        let call = Call::Execute { ops, mode: ExecuteMode::Atomic };
        let reply = connection.call(database, transaction, call).unwrap();
        reply.answer().err().and_then(|error| error.code())
    };
    assert_eq!(read(7), Some(ErrorCode::Forbidden));
    assert_ne!(read(0), Some(ErrorCode::Forbidden));
}
