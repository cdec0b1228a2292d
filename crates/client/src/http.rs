//! The typed calls over HTTP. One request for each call; the HTTP library keeps connections and
//! uses them again, and sends nothing twice. The API key goes into the header `Authorization`.

mod events;
mod shapes;
mod url;

use std::fmt;
use std::ops::Bound;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request, StatusCode, header};
use uuid::Uuid;

use crate::code::ErrorCode;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::surface::{Job, LogEvent, Next, OpenTransaction, Page, Range, Results, Search, Surface};
use crate::values::{
    Change, CollectionInfo, DatabaseInfo, DatabaseState, Effect, Id, Outcome, Written,
};
use crate::wire::{Action, DropMode, ExecuteMode, HealAction, MetricsFormat, Op, OpenMode};

use shapes::{Batch, BatchBody, ChangesBody, ErrorBody, ScanBody, WrittenShape};
use url::{Target, id_type, rfc3339};

/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A server, by its address.
#[derive(Clone)]
pub(crate) struct Http {
    agent: Agent,
    base: String,
    authorization: Option<String>,
    timeout: Duration,
}

/// The key is a secret.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("base", &self.base).finish_non_exhaustive()
    }
}

/// An answer that is no error.
struct Answer {
    status: StatusCode,
    revision: Option<u64>,
    body: Vec<u8>,
}

impl Answer {
    fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::protocol(format!("the answer is malformed: {error}")))
    }
}

/// A request without its address.
struct Sent<'a> {
    method: Method,
    if_match: Option<String>,
    accept: Option<&'static str>,
    body: Option<&'a [u8]>,
    /// Longer than the timeout, for what waits on purpose.
    wait: Duration,
}

impl<'a> Sent<'a> {
    const fn new(method: Method) -> Self {
        Self { method, if_match: None, accept: None, body: None, wait: Duration::ZERO }
    }

    const fn with(method: Method, body: &'a [u8]) -> Self {
        Self { method, if_match: None, accept: None, body: Some(body), wait: Duration::ZERO }
    }
}

impl Http {
    pub(crate) fn new(base: String, options: &Options) -> Result<Self> {
        if base.starts_with("https://") && !cfg!(feature = "tls") {
            let message = "this client was built without the feature `tls`, which https needs";
            return Err(Error::argument(message));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would hand the key, and the write, to somebody else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("docdb-client/", env!("CARGO_PKG_VERSION")));
        #[cfg(feature = "tls")]
        let config = match trusted(options)? {
            Some(tls) => config.tls_config(tls),
            None => config,
        };
        let authorization = (!options.key.is_empty()).then(|| format!("Bearer {}", options.key));
        Ok(Self { agent: config.build().into(), base, authorization, timeout: options.timeout })
    }

    fn send(&self, target: &Target, sent: &Sent<'_>) -> Result<Answer> {
        let only_reads = sent.method == Method::GET;
        let uri = format!("{}{}", self.base, target.as_str());
        let mut request = Request::builder().method(sent.method.clone()).uri(uri);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(if_match) = &sent.if_match {
            request = request.header(header::IF_MATCH, if_match);
        }
        if let Some(accept) = sent.accept {
            request = request.header(header::ACCEPT, accept);
        }
        if sent.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let bad = |error: ureq::http::Error| Error::argument(error.to_string());
        let request = request.body(sent.body.unwrap_or_default()).map_err(bad)?;
        let timeout = self.timeout.saturating_add(sent.wait);
        let agent = &self.agent;
        let request = agent.configure_request(request).timeout_global(Some(timeout)).build();
        let failed = |error: ureq::Error| failure(&error, timeout).of_request(only_reads);
        let response = agent.run(request).map_err(failed)?;
        let (parts, body) = response.into_parts();
        let body = body.into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(failed)?;
        if !parts.status.is_success() {
            return Err(refusal(parts.status, &body).of_request(only_reads));
        }
        let etag = parts.headers.get(header::ETAG).and_then(|value| value.to_str().ok());
        let revision = etag.and_then(|etag| etag.trim_matches('"').parse().ok());
        Ok(Answer { status: parts.status, revision, body })
    }

    fn get<T: for<'a> Deserialize<'a>>(&self, target: &Target) -> Result<T> {
        self.send(target, &Sent::new(Method::GET))?.json()
    }

    /// One operation on one document, below `root`: a database, or a transaction of one.
    fn operation(&self, root: &Target, op: &Op<'_>) -> Result<Outcome> {
        let target = root.clone().segment("collections").segment(op.collection);
        let mut target = target.segment("documents").document(&op.id);
        let if_match = |revision: Option<u64>| revision.map(|revision| format!("\"{revision}\""));
        let expiry;
        let sent = match op.action {
            Action::Read => {
                let answer = self.send(&target, &Sent::new(Method::GET))?;
                let missing = || Error::protocol("the document came without its revision");
                let revision = answer.revision.ok_or_else(missing)?;
                return Ok(shapes::found(&op.id, revision, answer.body));
            }
            Action::Create { document, expires_at } => {
                expiry = expires_at;
                Sent::with(Method::POST, document)
            }
            Action::Update { document, if_revision, expires_at } => {
                expiry = expires_at;
                let if_match = if_match(if_revision).or_else(|| Some("*".to_owned()));
                Sent { if_match, ..Sent::with(Method::PUT, document) }
            }
            Action::Upsert { document, if_revision, expires_at } => {
                expiry = expires_at;
                Sent { if_match: if_match(if_revision), ..Sent::with(Method::PUT, document) }
            }
            Action::Delete { if_revision } => {
                expiry = None;
                Sent { if_match: if_match(if_revision), ..Sent::new(Method::DELETE) }
            }
            Action::Patch { patch, if_revision } => {
                expiry = None;
                Sent { if_match: if_match(if_revision), ..Sent::with(Method::PATCH, patch) }
            }
        };
        if let Some(at) = expiry {
            target = target.with("expires_at", &rfc3339(at));
        }
        let answer = self.send(&target, &sent)?;
        let mut written = answer.json::<WrittenShape>()?.written(&op.action);
        if matches!(op.action, Action::Upsert { .. }) {
            let is_new = answer.status == StatusCode::CREATED;
            written.effect = Some(if is_new { Effect::Created } else { Effect::Replaced });
        }
        Ok(Outcome::Written(written))
    }

    fn batch(&self, root: &Target, ops: &[Op<'_>]) -> Result<Results> {
        let body = Batch::new(ops)?.json()?;
        let target = root.clone().segment("batch");
        let answer = self.send(&target, &Sent::with(Method::POST, &body))?;
        let BatchBody { results } = answer.json()?;
        if results.len() != ops.len() {
            return Err(Error::protocol("not one result for each operation").of_request(false));
        }
        let written =
            |(shape, op): (&WrittenShape, &Op<'_>)| Ok(Outcome::Written(shape.written(&op.action)));
        Ok(results.iter().zip(ops).map(written).collect())
    }

    fn page(
        &self,
        root: &Target,
        collection: &str,
        range: &Range,
        next: Option<&Next>,
    ) -> Result<Page> {
        let target = root.clone().segment("collections").segment(collection).segment("documents");
        let mut target = target.with("limit", &range.page.to_string()).with("ids", "text");
        if let Some(next) = next {
            target = target.with("cursor", &String::from_utf8_lossy(&next.cursor));
        } else {
            target = bound(target, &range.from, ["from", "after"]);
            target = bound(target, &range.to, ["to", "before"]);
        }
        let answer = self.send(&target, &Sent::new(Method::GET))?;
        let ScanBody { documents, next } = answer.json()?;
        let documents = documents.into_iter().map(shapes::DocumentShape::document);
        let next = next.filter(|cursor| !cursor.is_empty());
        let next = next.map(|cursor| Next { cursor: cursor.into_bytes(), connection: 0 });
        Ok(Page { documents: documents.collect::<Result<_>>()?, next })
    }
}

/// The certificates that the options trust, if they say any.
#[cfg(feature = "tls")]
fn trusted(options: &Options) -> Result<Option<ureq::tls::TlsConfig>> {
    use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
    let Some(pem) = &options.ca else { return Ok(None) };
    let mut trusted = Vec::new();
    for item in parse_pem(pem) {
        let item = item.map_err(|error| Error::argument(format!("no certificate: {error}")))?;
        if let PemItem::Certificate(certificate) = item {
            trusted.push(certificate);
        }
    }
    if trusted.is_empty() {
        return Err(Error::argument("there is no certificate in what is to be trusted"));
    }
    Ok(Some(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&trusted)).build()))
}

fn database(db: &str) -> Target {
    Target::new("/v1/databases").segment(db)
}

/// The end of a range, under the name for an id that is inside or one that is outside.
fn bound(target: Target, bound: &Bound<Id>, [inside, outside]: [&str; 2]) -> Target {
    let (name, id) = match bound {
        Bound::Included(id) => (inside, id),
        Bound::Excluded(id) => (outside, id),
        Bound::Unbounded => return target,
    };
    let with_type = format!("{name}_type");
    target.with(name, &id.to_string()).with(&with_type, id_type(id))
}

/// Why there is no answer.
fn failure(error: &ureq::Error, timeout: Duration) -> Error {
    use std::io::ErrorKind;
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are the connection's")]
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed => Error::not_connected(format!("cannot connect: {error}")),
        ureq::Error::Timeout(_) => Error::timed_out(timeout),
        ureq::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused => {
            Error::not_connected(format!("cannot connect: {io}"))
        }
        // A certificate that is not trusted, or no TLS at all: trying again changes nothing.
        ureq::Error::Io(io) if io.kind() == ErrorKind::InvalidData => {
            Error::protocol(format!("no TLS connection: {io}"))
        }
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Error::argument(error.to_string()),
        ureq::Error::Protocol(_) => Error::protocol(error.to_string()),
        _ => Error::lost(format!("the connection is lost: {error}")),
    }
}

/// An answer that is an error.
fn refusal(status: StatusCode, body: &[u8]) -> Error {
    match serde_json::from_slice::<ErrorBody<'_>>(body) {
        Ok(ErrorBody { error }) => {
            let code = ErrorCode::from_name(&error.code);
            let message = match code {
                Some(_) => error.message,
                None => format!("{}: {}", error.code, error.message).into(),
            };
            Error::server(code, 0, &message).retry(error.retryable).at(error.operation)
        }
        Err(_) => Error::protocol(format!("the server answered {status} without saying why")),
    }
}

#[derive(Debug, Deserialize)]
struct DatabasesBody {
    databases: Vec<DatabaseShape>,
}

#[derive(Debug, Deserialize)]
struct DatabaseShape {
    name: String,
    uuid: String,
    state: String,
}

impl DatabaseShape {
    fn info(self) -> Result<DatabaseInfo> {
        let uuid = Uuid::try_parse(&self.uuid);
        let uuid = uuid.map_err(|_| Error::protocol(format!("no UUID: `{}`", self.uuid)))?;
        let state = match self.state.as_str() {
            "open" => DatabaseState::Open,
            "damaged" => DatabaseState::Damaged,
            _ => DatabaseState::Closed,
        };
        Ok(DatabaseInfo { name: self.name, uuid, state })
    }
}

#[derive(Debug, Deserialize)]
struct CollectionsBody {
    collections: Vec<CollectionShape>,
}

#[derive(Debug, Deserialize)]
struct CollectionShape {
    name: String,
    number: u32,
}

#[derive(Debug, Deserialize)]
struct BegunBody {
    transaction: String,
}

fn named(name: &str) -> Vec<u8> {
    serde_json::json!({ "name": name }).to_string().into_bytes()
}

/// A search of logs as a query.
fn asking(mut target: Target, request: &Value) -> Target {
    let members = request.as_object().into_iter().flatten();
    for (name, value) in members.filter(|(name, value)| *name != "op" && !value.is_null()) {
        let shown = value.to_string();
        target = target.with(name, value.as_str().unwrap_or(&shown));
    }
    target
}

impl Surface for Http {
    fn ping(&self) -> Result<()> {
        self.send(&Target::new("/health/live"), &Sent::new(Method::GET)).map(drop)
    }

    fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        let DatabasesBody { databases } = self.get(&Target::new("/v1/databases"))?;
        databases.into_iter().map(DatabaseShape::info).collect()
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<()> {
        if mode != OpenMode::Create {
            let target = database(name);
            let described = self.send(&target, &Sent::new(Method::GET)).map(drop);
            match described {
                Err(error) if mode == OpenMode::OrCreate && error.is(ErrorCode::DbNotFound) => {}
                described => return described,
            }
        }
        let body = named(name);
        let made = self.send(&Target::new("/v1/databases"), &Sent::with(Method::POST, &body));
        match made {
            // Somebody else was faster, which is as good.
            Err(error) if mode == OpenMode::OrCreate && error.is(ErrorCode::DbExists) => Ok(()),
            made => made.map(drop),
        }
    }

    /// HTTP holds on to nothing.
    fn close(&self, _name: &str) -> Result<()> {
        Ok(())
    }

    fn drop_database(&self, name: &str) -> Result<()> {
        self.send(&database(name), &Sent::new(Method::DELETE)).map(drop)
    }

    fn metrics(&self, format: MetricsFormat) -> Result<String> {
        let accept = match format {
            MetricsFormat::Prometheus => "text/plain",
            MetricsFormat::OpenMetrics => "application/openmetrics-text",
        };
        let sent = Sent { accept: Some(accept), ..Sent::new(Method::GET) };
        let answer = self.send(&Target::new("/metrics"), &sent)?;
        String::from_utf8(answer.body).map_err(|_| Error::protocol("the metrics are not UTF-8"))
    }

    fn server_stats(&self) -> Result<Value> {
        self.get(&Target::new("/v1/stats"))
    }

    fn tail_logs(&self, request: &Value, tell: &mut dyn FnMut(LogEvent) -> bool) -> Result<()> {
        let target = asking(Target::new("/v1/logs/tail"), request);
        let uri = format!("{}{}", self.base, target.as_str());
        let mut asked = Request::builder().method(Method::GET).uri(uri);
        asked = asked.header(header::ACCEPT, "text/event-stream");
        if let Some(authorization) = &self.authorization {
            asked = asked.header(header::AUTHORIZATION, authorization);
        }
        let asked = asked.body(()).map_err(|error| Error::argument(error.to_string()))?;
        // It goes on for as long as its reader wants; only its beginning has a time.
        let asked = self.agent.configure_request(asked).timeout_recv_response(Some(self.timeout));
        let failed = |error: ureq::Error| failure(&error, self.timeout).of_request(true);
        let response = self.agent.run(asked.build()).map_err(failed)?;
        let (parts, body) = response.into_parts();
        if !parts.status.is_success() {
            let body = body.into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
            return Err(refusal(parts.status, &body.map_err(failed)?));
        }
        events::read(body.into_reader(), tell)
    }

    fn logs(&self, request: &Value) -> Result<Value> {
        let path = match request["op"].as_str() {
            Some("ingest") => {
                let body = request["entries"].to_string().into_bytes();
                let target = Target::new("/v1/logs/ingest");
                return self.send(&target, &Sent::with(Method::POST, &body))?.json();
            }
            Some("search") => "/v1/logs",
            Some("histogram") => "/v1/logs/histogram",
            Some("top") => "/v1/logs/top",
            _ => return Err(Error::argument("op is search, histogram, top or ingest")),
        };
        self.get(&asking(Target::new(path), request))
    }

    fn collections(&self, db: &str) -> Result<Vec<CollectionInfo>> {
        let CollectionsBody { collections } = self.get(&database(db).segment("collections"))?;
        let info =
            |shape: CollectionShape| CollectionInfo { name: shape.name, number: shape.number };
        Ok(collections.into_iter().map(info).collect())
    }

    fn create_collection(&self, db: &str, name: &str) -> Result<()> {
        let body = named(name);
        let target = database(db).segment("collections");
        self.send(&target, &Sent::with(Method::POST, &body)).map(drop)
    }

    fn drop_collection(&self, db: &str, name: &str, mode: DropMode) -> Result<()> {
        let mut target = database(db).segment("collections").segment(name);
        if mode == DropMode::WithDocuments {
            target = target.with("force", "true");
        }
        self.send(&target, &Sent::new(Method::DELETE)).map(drop)
    }

    fn execute(&self, db: &str, ops: &[Op<'_>], mode: ExecuteMode) -> Result<Results> {
        let root = database(db);
        match (mode, ops) {
            (ExecuteMode::Atomic, [op]) => Ok(vec![Ok(self.operation(&root, op)?)]),
            (ExecuteMode::Atomic, ops) => self.batch(&root, ops),
            (ExecuteMode::Independent, ops) => {
                Ok(ops.iter().map(|op| self.operation(&root, op)).collect())
            }
        }
    }

    fn scan(&self, db: &str, collection: &str, range: &Range, next: Option<&Next>) -> Result<Page> {
        self.page(&database(db), collection, range, next)
    }

    fn changes(
        &self,
        db: &str,
        after: u64,
        limit: u32,
        wait: Duration,
    ) -> Result<(u64, Vec<Change>)> {
        let target = database(db).segment("changes").with("after", &after.to_string());
        let target = target.with("limit", &limit.to_string()).with("ids", "text");
        let target = target.with("wait_ms", &wait.as_millis().to_string());
        let answer = self.send(&target, &Sent { wait, ..Sent::new(Method::GET) })?;
        let ChangesBody { changes, position } = answer.json()?;
        let changes = changes.into_iter().map(shapes::ChangeShape::change);
        let changes: Vec<Change> = changes.collect::<Result<_>>()?;
        let last = changes.last().map_or(after, |change| change.lsn);
        Ok((position.unwrap_or(last).max(last), changes))
    }

    fn begin(&self, db: &str) -> Result<Box<dyn OpenTransaction>> {
        let transactions = database(db).segment("transactions");
        let answer = self.send(&transactions, &Sent::with(Method::POST, b"{}"))?;
        let BegunBody { transaction } = answer.json()?;
        Ok(Box::new(Begun { http: self.clone(), root: transactions.segment(&transaction) }))
    }

    fn job(&self, db: &str, job: Job) -> Result<Value> {
        let (method, name) = match job {
            Job::Stats => (Method::GET, "stats"),
            Job::HealStats => (Method::GET, "heal"),
            Job::HealAll => (Method::POST, "heal"),
            Job::Validate => (Method::POST, "validate"),
            Job::Checkpoint => (Method::POST, "checkpoint"),
            Job::Compact => (Method::POST, "compact"),
        };
        self.send(&database(db).segment(name), &Sent::new(method))?.json()
    }

    fn heal(&self, db: &str, collection: &str, id: &Id, action: HealAction) -> Result<Value> {
        let mut body = serde_json::json!({
            "collection": collection, "id": id.to_string(), "id_type": id_type(id),
        });
        match action {
            HealAction::Heal => {}
            HealAction::Versions => body["versions"] = Value::Bool(true),
            HealAction::Accept(revision) => body["accept"] = revision.into(),
        }
        let body = body.to_string().into_bytes();
        self.send(&database(db).segment("heal"), &Sent::with(Method::POST, &body))?.json()
    }

    fn backup(&self, db: &str, name: &str) -> Result<Value> {
        let body = serde_json::json!({ "name": name }).to_string().into_bytes();
        self.send(&database(db).segment("backup"), &Sent::with(Method::POST, &body))?.json()
    }

    fn search(&self, db: &str, collection: &str, search: Search<'_>) -> Result<String> {
        let target = database(db).segment("collections").segment(collection);
        let schema = || target.clone().segment("schema");
        let (target, sent) = match search {
            Search::Query(json) => {
                (target.segment("query"), Sent::with(Method::POST, json.as_bytes()))
            }
            Search::Explain(json) => {
                (target.segment("explain"), Sent::with(Method::POST, json.as_bytes()))
            }
            Search::Schema => (schema(), Sent::new(Method::GET)),
            Search::Infer => (schema().with("infer", "true"), Sent::new(Method::GET)),
            Search::SetSchema(json) => (schema(), Sent::with(Method::PUT, json.as_bytes())),
            Search::RemoveSchema => (schema(), Sent::new(Method::DELETE)),
        };
        let answer = self.send(&target, &sent)?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// A transaction: its operations go to addresses below its own.
#[derive(Debug)]
struct Begun {
    http: Http,
    root: Target,
}

impl OpenTransaction for Begun {
    fn execute(&self, ops: &[Op<'_>]) -> Result<Results> {
        Ok(ops.iter().map(|op| self.http.operation(&self.root, op)).collect())
    }

    fn scan(&self, collection: &str, range: &Range, next: Option<&Next>) -> Result<Page> {
        self.http.page(&self.root, collection, range, next)
    }

    fn commit(&self) -> Result<Vec<Written>> {
        let target = self.root.clone().segment("commit");
        let answer = self.http.send(&target, &Sent::with(Method::POST, b"{}"))?;
        let BatchBody { results } = answer.json()?;
        Ok(results.iter().map(|shape| shape.written(&Action::Read)).collect())
    }

    fn rollback(&self) -> Result<()> {
        self.http.send(&self.root, &Sent::new(Method::DELETE)).map(drop)
    }
}
