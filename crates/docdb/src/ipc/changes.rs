//! The change feed: pieces of it, and waiting for the next one.

use std::sync::Arc;
use std::time::Duration;

use base::error::Code;
use base::words::Lsn;
use client::wire::{Answer, BODY_BYTES_MAX, Change, Changed};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::dispatch::{Asked, wire_id};
use crate::auth::{Scope, Visitor};
use crate::engine::{ChangeKind, ChangeOut, Changes, EngineError, How, Reply, Result, Served};

/// Longest that a request waits for a change.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// What a change needs of a frame beside its document or value.
const CHANGE_BYTES: usize = 512;
/// How often one that waits looks whether its client is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who reads the feed of which database.
pub(super) struct Reader {
    served: Arc<Served>,
    /// Asked again for every piece: the wait for one may outlive a key.
    visitor: Visitor,
    limit: usize,
}

impl Reader {
    pub(super) fn new(served: &Arc<Served>, visitor: &Visitor, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        Self { served: Arc::clone(served), visitor: visitor.clone(), limit }
    }
}

pub(super) fn changes(asked: Asked, reader: Reader, after: u64, wait_ms: u32) {
    let wait = Duration::from_millis(u64::from(wait_ms)).min(WAIT_MAX);
    tokio::spawn(wait_for(asked, reader, Lsn(after), wait));
}

async fn wait_for(asked: Asked, mut reader: Reader, after: Lsn, wait: Duration) {
    let until = Instant::now() + wait;
    let mut position = after;
    loop {
        let piece = match piece(&asked, &mut reader, position).await {
            Ok(piece) => piece,
            Err(error) => return asked.refuse(&error),
        };
        position = piece.next;
        if !piece.changes.is_empty() || Instant::now() >= until {
            return answer(asked, &piece);
        }
        let (tell, mut told) = oneshot::channel();
        let watch = reader.served.watch_while(position, move || _ = tell.send(()));
        let _watching = match watch {
            Ok(watching) => watching,
            Err(error) => return asked.refuse(&error),
        };
        loop {
            let look = until.min(Instant::now() + LOOK_EVERY);
            let is_told = timeout_at(look, &mut told).await.is_ok();
            let is_over = asked.is_abandoned() || asked.shared.surface.is_stopping();
            if is_told || is_over || Instant::now() >= until {
                if is_over {
                    return answer(asked, &Changes { changes: Vec::new(), next: position });
                }
                break;
            }
        }
    }
}

async fn piece(asked: &Asked, reader: &mut Reader, after: Lsn) -> Result<Changes> {
    let surface = &asked.shared.surface;
    surface.auth.confirm(&mut reader.visitor, surface.engine.clock().wall())?;
    reader.visitor.identity().require(Some(reader.served.name()), Scope::Read)?;
    let (tell, told) = oneshot::channel();
    let reply = Reply::new(move |piece: Result<Changes>| _ = tell.send(piece));
    surface.engine.changes(&reader.served, after, reader.limit, How::default(), reply);
    let silent = |_| EngineError::new(Code::Internal, "the engine did not answer");
    told.await.map_err(silent)?
}

/// Answers so many of the changes as fit a frame.
fn answer(asked: Asked, piece: &Changes) {
    let mut bytes = 0;
    let fits = |change: &&ChangeOut| {
        bytes += CHANGE_BYTES + payload(change);
        bytes <= BODY_BYTES_MAX
    };
    let changes: Vec<Change<'_>> = piece.changes.iter().take_while(fits).map(shown).collect();
    let position = match changes.last() {
        Some(last) if changes.len() < piece.changes.len() => last.lsn,
        _ => piece.next.0,
    };
    asked.answer(Answer::Changes { position, changes });
}

fn payload(change: &ChangeOut) -> usize {
    match &change.kind {
        ChangeKind::Put { document, .. } => document.as_bytes().len(),
        ChangeKind::SetProperty { value, .. } => {
            value.as_ref().map_or(0, |value| value.as_bytes().len())
        }
        ChangeKind::Delete { .. } | ChangeKind::CreateCollection | ChangeKind::DropCollection => 0,
    }
}

fn shown(change: &ChangeOut) -> Change<'_> {
    let changed = match &change.kind {
        ChangeKind::Put { id, document, expires_at } => Changed::Put {
            id: wire_id(id),
            expires_at: expires_at.map(|at| at.0),
            document: document.as_bytes(),
        },
        ChangeKind::Delete { id } => Changed::Deleted { id: wire_id(id) },
        ChangeKind::CreateCollection => Changed::CollectionCreated,
        ChangeKind::DropCollection => Changed::CollectionDropped,
        ChangeKind::SetProperty { property, value } => Changed::PropertySet {
            property: property.as_str(),
            value: value.as_ref().map(|value| value.as_bytes()),
        },
    };
    Change {
        lsn: change.lsn.0,
        transaction: change.transaction.0,
        wall_ms: change.wall.0,
        collection: change.collection.0,
        name: change.name.as_ref().map_or("", |name| name.as_str()),
        changed,
    }
}
