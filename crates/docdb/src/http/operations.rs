//! What operators ask of a database: statistics, checkpoints, compaction, healing, backups. They
//! take as long as they take: no request timeout ends them, and a client that goes away stops none.

use axum::http::StatusCode;
use axum::response::Response;
use base::error::Code;
use base::words::{CollectionId, DocId, Lsn, Name};
use docstore::{BackupReport, HealReport};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::call::Call;
use super::databases::{name_of_body, shape};
use super::error::{Failure, Result};
use super::id::{self, IdForm, IdType};
use super::json::Text;
use super::parameters::{IDS, Parameter, query};
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use crate::engine::metrics::Operation;
use crate::engine::{BackupTarget, EngineError};
use crate::reports;

const COLLECTION: Parameter = query("collection", r#"{"type":"string"}"#, "Only this collection.");

const BASE: Route = Route {
    verb: Verb::Post,
    path: "/v1/databases/{database}/checkpoint",
    name: "checkpoint",
    what: "Move what waits in memory to data files and let go of the log.",
    operation: Operation::Checkpoint,
    access: Access::Admin,
    span: Span::Long,
    takes: &[],
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("Checkpoint"))],
    handler: |call| Box::pin(checkpoint(call)),
};

pub(super) const ROUTES: &[Route] = &[
    BASE,
    Route {
        verb: Verb::Get,
        path: "/v1/databases/{database}/stats",
        name: "database_stats",
        what: "Statistics of a database; opens it.",
        operation: Operation::Stats,
        access: Access::Read,
        answers: &[(200, Shape::Json("DatabaseStats"))],
        handler: |call| Box::pin(stats(call)),
        ..BASE
    },
    Route {
        path: "/v1/databases/{database}/compact",
        name: "compact",
        what: "Rewrite the data file with the most garbage.",
        operation: Operation::Compact,
        handler: |call| Box::pin(compact(call)),
        ..BASE
    },
    Route {
        path: "/v1/databases/{database}/heal",
        name: "heal",
        what: "Without a body: check every data file and heal what can be healed. With one: read one \
               document and heal it, list its older versions, or accept one in the place of a \
               version that is lost.",
        operation: Operation::Heal,
        takes: &[IDS],
        body: Shape::Maybe("HealDocument"),
        answers: &[(200, Shape::Json("HealAnswer"))],
        handler: |call| Box::pin(heal(call)),
        ..BASE
    },
    Route {
        verb: Verb::Get,
        path: "/v1/databases/{database}/heal",
        name: "heal_stats",
        what: "What healing has done since the database was opened.",
        operation: Operation::Stats,
        access: Access::Read,
        answers: &[(200, Shape::Json("HealingStats"))],
        handler: |call| Box::pin(heal_stats(call)),
        ..BASE
    },
    Route {
        verb: Verb::Get,
        path: "/v1/databases/{database}/quarantine",
        name: "quarantine",
        what: "The documents whose newest version is lost.",
        operation: Operation::Heal,
        access: Access::Read,
        takes: &[IDS],
        answers: &[(200, Shape::Json("Quarantine"))],
        handler: |call| Box::pin(quarantine(call)),
        ..BASE
    },
    Route {
        path: "/v1/databases/{database}/validate",
        name: "validate",
        what: "Read every document and say which are damaged or do not fit their schema.",
        operation: Operation::Validate,
        takes: &[COLLECTION, IDS],
        answers: &[(200, Shape::Json("Validation"))],
        handler: |call| Box::pin(validate(call)),
        ..BASE
    },
    Route {
        path: "/v1/databases/{database}/backup",
        name: "backup",
        what: "Make a backup below `backups` of the data directory, or bring it up to date; verified.",
        operation: Operation::Backup,
        body: Shape::Json("NewName"),
        answers: &[(200, Shape::Json("Backup"))],
        handler: |call| Box::pin(backup(call)),
        ..BASE
    },
    Route {
        path: "/v1/databases/{database}/restore",
        name: "restore",
        what: "Make a new database of this name out of a backup below `backups`.",
        operation: Operation::Restore,
        access: Access::Server,
        body: Shape::Json("BackupName"),
        answers: &[(201, Shape::Json("Restored"))],
        handler: |call| Box::pin(restore(call)),
        ..BASE
    },
];

async fn checkpoint(call: Call) -> Result<Response> {
    let database = call.database()?;
    let report = call.ask(|engine, reply| engine.checkpoint(&database, reply)).await?;
    Ok(respond::json(StatusCode::OK, &reports::checkpoint(&report)))
}

async fn compact(call: Call) -> Result<Response> {
    let database = call.database()?;
    let report = call.ask(|engine, reply| engine.compact(&database, reply)).await?;
    Ok(respond::json(StatusCode::OK, &reports::checkpoint(&report)))
}

async fn stats(call: Call) -> Result<Response> {
    let database = call.database()?;
    let (stats, queue) = call.ask(|engine, reply| engine.stats(&database, reply)).await?;
    Ok(respond::json(StatusCode::OK, &reports::database(&stats, &queue)))
}

/// Which document, and what to do with it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HealDocument<'a> {
    collection: String,
    #[serde(borrow)]
    id: &'a RawValue,
    id_type: Option<String>,
    #[serde(default)]
    versions: bool,
    accept: Option<u64>,
}

async fn heal(mut call: Call) -> Result<Response> {
    let body = call.body().await?;
    if body.is_empty() {
        return heal_all(call).await;
    }
    let (collection, id, asked) = heal_asked(&body)?;
    match asked {
        HealAsked::Versions => versions(call, collection, id).await,
        HealAsked::Accept(revision) => accept(call, collection, id, revision).await,
        HealAsked::Heal => {
            let database = call.database()?;
            let damaged =
                call.ask(|engine, reply| engine.heal(&database, collection, id, reply)).await?;
            Ok(respond::json(StatusCode::OK, &json!({ "damaged": damaged })))
        }
    }
}

/// What is asked of healing for one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealAsked {
    /// Read it, and heal it if it is damaged.
    Heal,
    /// List its older versions.
    Versions,
    /// Let this version stand in the place of one that is lost.
    Accept(Lsn),
}

/// What a body asks of healing, and of which document.
pub(super) fn heal_asked(body: &[u8]) -> Result<(Name, DocId, HealAsked)> {
    let asked: HealDocument<'_> = shape(body)?;
    let collection =
        Name::new(&asked.collection).map_err(|e| Failure::from(EngineError::from(e)))?;
    let id_type = asked.id_type.as_deref().map(IdType::parse).transpose()?;
    let id = id::from_json(asked.id.get(), id_type)?;
    let what = match (asked.versions, asked.accept) {
        (true, None) => HealAsked::Versions,
        (false, Some(revision)) => HealAsked::Accept(Lsn(revision)),
        (false, None) => HealAsked::Heal,
        (true, Some(_)) => return Err(Failure::bad("give versions or accept, not both")),
    };
    Ok((collection, id, what))
}

async fn heal_stats(call: Call) -> Result<Response> {
    let database = call.database()?;
    let (stats, _) = call.ask(|engine, reply| engine.stats(&database, reply)).await?;
    Ok(respond::json(StatusCode::OK, &reports::healing(&stats.healing)))
}

async fn heal_all(call: Call) -> Result<Response> {
    let (database, form) = (call.database()?, call.query.id_form()?);
    let report: HealReport = call.ask(|engine, reply| engine.heal_all(&database, reply)).await?;
    let mut out = Text::object();
    out.member("stripes").number(report.stripes);
    out.member("blocks_healed").number(report.blocks_healed);
    out.member("headers_healed").number(report.headers_healed);
    out.member("corrupted").number(report.corrupted);
    out.member("healed").number(report.healed);
    out.member("unrecoverable").open(b'[');
    report.unrecoverable.iter().for_each(|lost| write_lost(&mut out, lost, form));
    out.close(b']');
    out.member("complete").raw(if report.complete { b"true" } else { b"false" });
    Ok(respond::json_text(StatusCode::OK, out.end()))
}

async fn quarantine(call: Call) -> Result<Response> {
    let (database, form) = (call.database()?, call.query.id_form()?);
    let lost = call.ask(|engine, reply| engine.quarantine(&database, reply)).await?;
    let mut out = Text::object();
    out.member("documents").open(b'[');
    lost.iter().for_each(|lost| write_lost(&mut out, lost, form));
    out.close(b']');
    Ok(respond::json_text(StatusCode::OK, out.end()))
}

/// A document whose newest version is lost.
fn write_lost(
    out: &mut Text,
    (collection, id, revision): &(CollectionId, DocId, Lsn),
    form: IdForm,
) {
    out.element().open(b'{');
    out.member("collection_number").number(u64::from(collection.0));
    id::write(out, id, form);
    out.member("revision").number(revision.0);
    out.close(b'}');
}

async fn versions(call: Call, collection: Name, id: DocId) -> Result<Response> {
    let database = call.database()?;
    let found = call.ask(|engine, reply| engine.versions(&database, collection, id, reply)).await?;
    let mut out = Text::object();
    out.member("versions").open(b'[');
    for version in found {
        out.element().open(b'{');
        out.member("revision").number(version.revision.0);
        if let Some(at) = version.expires_at {
            out.member("expires_at").string(&at.rfc3339());
        }
        out.member("document").raw(version.document.as_bytes());
        out.close(b'}');
    }
    out.close(b']');
    Ok(respond::json_text(StatusCode::OK, out.end()))
}

async fn accept(call: Call, collection: Name, id: DocId, revision: Lsn) -> Result<Response> {
    let (database, form) = (call.database()?, call.query.id_form()?);
    let accepted = id.clone();
    let ask = |engine: &std::sync::Arc<crate::engine::Engine>, reply| {
        engine.accept(&database, collection, accepted, revision, reply);
    };
    let revision = call.ask(ask).await?;
    let mut out = Text::object();
    id::write(&mut out, &id, form);
    out.member("revision").number(revision.0);
    Ok(respond::with_revision(respond::json_text(StatusCode::OK, out.end()), revision))
}

async fn validate(call: Call) -> Result<Response> {
    let (database, form) = (call.database()?, call.query.id_form()?);
    let collection = call.query.get(COLLECTION.name).map(Name::new).transpose();
    let collection = collection.map_err(|e| Failure::from(EngineError::from(e)))?;
    let found = call.ask(|engine, reply| engine.validate(&database, collection, reply)).await?;
    let mut out = Text::object();
    out.member("documents").number(found.documents);
    out.member("unsound").number(found.unsound);
    out.member("flaws").open(b'[');
    for flaw in &found.flaws {
        out.element().open(b'{');
        out.member("collection").string(flaw.collection.as_str());
        id::write(&mut out, &flaw.id, form);
        out.member("code").string(flaw.code.name());
        out.member("message").string(&flaw.message);
        out.close(b'}');
    }
    out.close(b']');
    Ok(respond::json_text(StatusCode::OK, out.end()))
}

/// `{"backup":…}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupName {
    backup: String,
}

fn target(call: &Call, name: &str) -> Result<BackupTarget> {
    Ok(BackupTarget::new(&call.engine().options.dir, name)?)
}

async fn backup(mut call: Call) -> Result<Response> {
    let database = call.database()?;
    let name = name_of_body(&mut call).await?;
    let target = target(&call, name.as_str())?;
    let report: BackupReport =
        call.ask(|engine, reply| engine.backup(&database, target, reply)).await?;
    Ok(respond::json(StatusCode::OK, &reports::backup(&report)))
}

async fn restore(mut call: Call) -> Result<Response> {
    let name: Name = call.name("database")?;
    if call.engine().database(&name).is_ok() {
        let what = format!("a restore makes a new database, and there is one, name={name}");
        return Err(EngineError::new(Code::DbExists, what).into());
    }
    let body = call.body().await?;
    let asked: BackupName = shape(&body)?;
    let from = target(&call, &asked.backup)?;
    let report = call.ask(|engine, reply| engine.restore(from, name, reply)).await;
    // Of what the client named there is nothing, or nothing finished.
    let missing = |failure: Failure| {
        let is_missing = failure.error.code == Code::FileOpen;
        if is_missing { failure.with_status(StatusCode::NOT_FOUND) } else { failure }
    };
    let report = report.map_err(missing)?;
    let shape = json!({
        "uuid": report.database.to_string(),
        "documents": report.documents,
        "backup": reports::backup_summary(&report.summary),
    });
    Ok(respond::json(StatusCode::CREATED, &shape))
}
