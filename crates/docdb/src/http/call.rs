//! A request as handlers see it: checked parameters, names and ids, and the engine behind it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::HeaderMap;
use base::clock::Instant;
use base::error::Code;
use base::words::{DocId, Name};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::Surface;
use super::body;
use super::connection::UnderWay;
use super::error::{Failure, Result};
use super::id;
use super::parameters::{DATABASE, Query};
use crate::auth::Visitor;
use crate::engine::{Engine, EngineError, How, Reply, Served};
use crate::scheduler::Lane;

/// One request.
pub(super) struct Call {
    pub(super) surface: Arc<Surface>,
    /// Who asks, and may.
    pub(super) visitor: Visitor,
    pub(super) headers: HeaderMap,
    pub(super) query: Query,
    /// What stands in the path, decoded.
    pub(super) path: Vec<(String, String)>,
    /// Locked by nobody else: it is here so that the call can be shared while an answer is awaited.
    pub(super) body: Mutex<Body>,
    /// When nobody waits for the answer any more.
    pub(super) deadline: Option<Instant>,
    /// Of the connection.
    pub(super) lane: Option<Lane>,
    /// The connection itself, when the client asks to have it for a WebSocket, and what counts it as
    /// busy.
    pub(super) upgrade: Option<(WebSocketUpgrade, Option<UnderWay>)>,
    /// What is held of the body; given back when the request is answered.
    pub(super) held: Option<base::memory::Reservation>,
}

impl Call {
    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.surface.engine
    }

    /// How reads are treated: in no order.
    pub(super) fn how(&self) -> How {
        How { lane: None, deadline: self.deadline }
    }

    /// How writes are treated: in the order of their connection.
    pub(super) fn how_in_order(&self) -> How {
        How { lane: self.lane, deadline: self.deadline }
    }

    /// A part of the path.
    pub(super) fn part(&self, name: &str) -> Result<&str> {
        let found = self.path.iter().find(|(known, _)| known == name);
        // The router would not have come here without it.
        let missing = || Failure::new(Code::Internal, "the path lacks a part");
        found.map(|(_, value)| value.as_str()).ok_or_else(missing)
    }

    /// A part of the path that is a name.
    pub(super) fn name(&self, part: &str) -> Result<Name> {
        Name::new(self.part(part)?).map_err(|e| Failure::from(EngineError::from(e)))
    }

    /// Whether the path names a transaction.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.path.iter().any(|(name, _)| name == "transaction")
    }

    /// The database of the path.
    pub(super) fn database(&self) -> Result<Arc<Served>> {
        Ok(self.engine().database(&self.name("database")?)?)
    }

    /// The database of a namespace.
    pub(super) fn namespace_database(&self) -> Result<Arc<Served>> {
        let name = match self.query.get(DATABASE.name) {
            Some(name) => Name::new(name).map_err(|e| Failure::from(EngineError::from(e)))?,
            None => docstore::default_name(),
        };
        Ok(self.engine().database(&name)?)
    }

    /// The collection of the path.
    pub(super) fn collection(&self) -> Result<Name> {
        self.name("collection")
    }

    /// The document of the path.
    pub(super) fn id(&self) -> Result<DocId> {
        id::from_url(self.part("id")?, self.query.id_type()?)
    }

    /// A header, if it is there and is text.
    pub(super) fn header(&self, name: &str) -> Result<Option<&str>> {
        let Some(value) = self.headers.get(name) else { return Ok(None) };
        let bad = |_| Failure::bad(format!("the header {name} is not ASCII"));
        value.to_str().map(Some).map_err(bad)
    }

    /// The whole body.
    pub(super) async fn body(&mut self) -> Result<Bytes> {
        let body = self.take_body();
        let (bytes, held) = body::read(&self.surface, &self.headers, body).await?;
        self.held = Some(held);
        Ok(bytes)
    }

    /// The body itself; whoever asks again gets an empty one.
    pub(super) fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the engine.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Arc<Engine>, Reply<T>),
    ) -> Result<T> {
        Ok(self::ask(|reply| ask(self.engine(), reply)).await?)
    }
}

/// The one place where an answer of the engine, told on some thread of its own, becomes a future.
pub(super) async fn ask<T: Send + 'static>(
    ask: impl FnOnce(Reply<T>),
) -> std::result::Result<T, EngineError> {
    let (tell, told) = oneshot::channel();
    // Whoever asked may have gone away; then nobody is told.
    ask(Reply::new(move |result| drop(tell.send(result))));
    match told.await {
        Ok(result) => result,
        Err(_) => Err(EngineError::new(Code::Internal, "an answer was lost, which is a defect")),
    }
}
