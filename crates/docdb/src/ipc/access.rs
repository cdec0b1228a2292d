//! Who may send which request, once there are API keys. The key comes with the hello; it is asked
//! again for each request, so a connection does not outlive it.

use base::words::Name;
use client::wire::{Call, OpenMode, Request};

use super::search;
use crate::auth::{Auth, Denied, Scope, Visitor};
use crate::engine::{Engine, Served};

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// To have said hello.
    Nothing,
    /// The scope on the database of the request; on the whole server when it names none.
    Scope(Scope),
    /// The scope on the whole server.
    Server(Scope),
    /// What [`mode`] says.
    Open,
    /// What the operation on the logs needs, which [`super::logs`] asks for.
    Logs,
}

/// Every call has its line: there is none for those that nobody thought of.
fn need(call: &Call<'_>) -> Need {
    match call {
        Call::Ping | Call::CloseDb => Need::Nothing,
        Call::OpenDb { .. } => Need::Open,
        Call::Execute { .. } if call.only_reads() => Need::Scope(Scope::Read),
        Call::Schema(json) if search::only_reads(json) => Need::Scope(Scope::Read),
        Call::Scan(_)
        | Call::Query(_)
        | Call::Explain(_)
        | Call::Changes { .. }
        | Call::ListCollections(_)
        | Call::Stats
        | Call::HealStats => Need::Scope(Scope::Read),
        Call::Execute { .. }
        | Call::Begin
        | Call::Commit
        | Call::Rollback
        | Call::CreateCollection { .. }
        | Call::DeleteCollection { .. } => Need::Scope(Scope::Write),
        Call::Heal { .. }
        | Call::HealAll
        | Call::Validate { .. }
        | Call::Checkpoint
        | Call::Compact
        | Call::Schema(_)
        | Call::Backup { .. } => Need::Scope(Scope::Admin),
        Call::ListDbs(_) | Call::Metrics(_) => Need::Server(Scope::Read),
        Call::Logs(_) => Need::Logs,
        Call::DropDb { .. } => Need::Server(Scope::Admin),
    }
}

/// Whether the request may be done, by whoever said hello, on the database that it names.
///
/// # Errors
/// [`Denied`].
pub(super) fn permit(
    engine: &Engine,
    auth: &Auth,
    visitor: &mut Visitor,
    served: Option<&Served>,
    request: &Request<'_>,
) -> Result<(), Denied> {
    auth.confirm(visitor, engine.clock().wall())?;
    let database = served.map(Served::name);
    match need(&request.call) {
        // A transaction is begun by who may write, and a read in one is part of it.
        Need::Scope(Scope::Read) if request.transaction != 0 => {
            visitor.identity().require(database, Scope::Write)
        }
        Need::Scope(scope) => visitor.identity().require(database, scope),
        Need::Server(scope) => visitor.identity().require(None, scope),
        Need::Nothing | Need::Open | Need::Logs => Ok(()),
    }
}

/// The mode in which somebody may open a database: those who may not make one open what there is.
///
/// # Errors
/// [`Denied::Forbidden`].
pub(super) fn mode(
    engine: &Engine,
    visitor: &Visitor,
    name: &Name,
    wanted: OpenMode,
) -> Result<OpenMode, Denied> {
    let identity = visitor.identity();
    let may_make = || identity.require(None, Scope::Admin);
    match wanted {
        OpenMode::Create => may_make().map(|()| wanted),
        OpenMode::OrCreate if may_make().is_ok() => Ok(wanted),
        OpenMode::OrCreate | OpenMode::Existing => {
            identity.require(Some(name), Scope::Read)?;
            if wanted == OpenMode::OrCreate && engine.database(name).is_err() {
                may_make()?;
            }
            Ok(OpenMode::Existing)
        }
    }
}
