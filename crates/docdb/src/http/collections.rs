//! Collections: what there is, making and dropping them, and the JSON Schema of their documents.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use base::error::Code;
use base::words::Name;
use serde_json::{Value, json};

use super::call::Call;
use super::databases::name_of_body;
use super::error::{Failure, Result};
use super::parameters::FORCE;
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use crate::engine::metrics::Operation;
use crate::engine::{CollectionInfo, DropCollection, Engine};

const ALL: &str = "/v1/databases/{database}/collections";
const ONE: &str = "/v1/databases/{database}/collections/{collection}";
const VALIDATION: &str = "/v1/databases/{database}/collections/{collection}/validation";

const BASE: Route = Route {
    verb: Verb::Get,
    path: ALL,
    name: "list_collections",
    what: "List the collections of a database.",
    operation: Operation::Collections,
    access: Access::Read,
    span: Span::Bounded,
    takes: &[],
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("Collections"))],
    handler: |call| Box::pin(list(call)),
};

pub(super) const ROUTES: &[Route] = &[
    BASE,
    Route {
        verb: Verb::Post,
        name: "create_collection",
        what: "Make a collection.",
        access: Access::Write,
        body: Shape::Json("NewName"),
        answers: &[(201, Shape::Json("Collection"))],
        handler: |call| Box::pin(create(call)),
        ..BASE
    },
    Route {
        path: ONE,
        name: "describe_collection",
        what: "Describe a collection.",
        answers: &[(200, Shape::Json("Collection"))],
        handler: |call| Box::pin(describe(call)),
        ..BASE
    },
    Route {
        verb: Verb::Put,
        path: ONE,
        name: "ensure_collection",
        what: "Make a collection unless there is one of this name.",
        access: Access::Write,
        answers: &[(200, Shape::Json("Collection")), (201, Shape::Json("Collection"))],
        handler: |call| Box::pin(ensure(call)),
        ..BASE
    },
    Route {
        verb: Verb::Delete,
        path: ONE,
        name: "drop_collection",
        what: "Remove a collection that is empty, or with `force` whatever it holds.",
        access: Access::Write,
        takes: &[FORCE],
        answers: &[(204, Shape::Nothing)],
        handler: |call| Box::pin(drop_one(call)),
        ..BASE
    },
    Route {
        path: VALIDATION,
        name: "get_validation",
        what: "Read the JSON Schema that documents of the collection must fit; `null` without one.",
        answers: &[(200, Shape::Document)],
        handler: |call| Box::pin(validation(call)),
        ..BASE
    },
    Route {
        verb: Verb::Put,
        path: VALIDATION,
        name: "set_validation",
        what: "Set the JSON Schema that documents must fit from now on.",
        access: Access::Admin,
        body: Shape::Document,
        answers: &[(204, Shape::Nothing)],
        handler: |call| Box::pin(set_validation(call)),
        ..BASE
    },
    Route {
        verb: Verb::Delete,
        path: VALIDATION,
        name: "remove_validation",
        what: "Take the JSON Schema away.",
        access: Access::Admin,
        answers: &[(204, Shape::Nothing)],
        handler: |call| Box::pin(remove_validation(call)),
        ..BASE
    },
];

fn described(info: &CollectionInfo) -> Value {
    json!({
        "name": info.name.as_str(),
        "number": info.number.0,
        "documents": info.documents,
        "last_change": info.last_change.0,
        "validated": info.validated,
    })
}

async fn list(call: Call) -> Result<Response> {
    let database = call.database()?;
    let ask = |engine: &Arc<Engine>, reply| engine.collections(&database, call.how(), reply);
    let all: Vec<_> = call.ask(ask).await?.iter().map(described).collect();
    Ok(respond::json(StatusCode::OK, &json!({ "collections": all })))
}

async fn look(call: &Call, name: Name) -> Result<CollectionInfo> {
    let database = call.database()?;
    call.ask(|engine, reply| engine.collection(&database, name, call.how(), reply)).await
}

async fn describe(call: Call) -> Result<Response> {
    let info = look(&call, call.collection()?).await?;
    Ok(respond::json(StatusCode::OK, &described(&info)))
}

async fn make(call: &Call, name: Name) -> Result<Response> {
    let (database, made) = (call.database()?, name.clone());
    call.ask(|engine, reply| engine.create_collection(&database, made, reply)).await?;
    let info = look(call, name).await?;
    Ok(respond::json(StatusCode::CREATED, &described(&info)))
}

async fn create(mut call: Call) -> Result<Response> {
    let name = name_of_body(&mut call).await?;
    make(&call, name).await
}

async fn ensure(call: Call) -> Result<Response> {
    let name = call.collection()?;
    match make(&call, name).await {
        Err(failure) if failure.error.code == Code::CollectionExists => describe(call).await,
        made => made,
    }
}

async fn drop_one(call: Call) -> Result<Response> {
    let (database, name) = (call.database()?, call.collection()?);
    let mode =
        if call.query.flag(FORCE.name)? { DropCollection::Force } else { DropCollection::IfEmpty };
    call.ask(|engine, reply| engine.drop_collection(&database, name, mode, reply)).await?;
    Ok(respond::nothing(StatusCode::NO_CONTENT))
}

async fn validation(call: Call) -> Result<Response> {
    let (database, name) = (call.database()?, call.collection()?);
    let ask = |engine: &Arc<Engine>, reply| engine.validation(&database, name, call.how(), reply);
    let schema = call.ask(ask).await?;
    let text = schema.map_or_else(|| b"null".to_vec(), |schema| schema.as_bytes().to_vec());
    Ok(respond::json_text(StatusCode::OK, text))
}

async fn set_validation(mut call: Call) -> Result<Response> {
    let (database, name) = (call.database()?, call.collection()?);
    let schema = call.body().await?;
    if schema.is_empty() {
        return Err(Failure::new(Code::InvalidJson, "the body is empty; send a JSON Schema"));
    }
    let ask = |engine: &Arc<Engine>, reply| {
        engine.set_validation(&database, name, Some(schema), reply);
    };
    call.ask(ask).await?;
    Ok(respond::nothing(StatusCode::NO_CONTENT))
}

async fn remove_validation(call: Call) -> Result<Response> {
    let (database, name) = (call.database()?, call.collection()?);
    call.ask(|engine, reply| engine.set_validation(&database, name, None, reply)).await?;
    Ok(respond::nothing(StatusCode::NO_CONTENT))
}
