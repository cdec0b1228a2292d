//! Databases: what there is, making and dropping them.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use base::error::Code;
use base::words::Name;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::Call;
use super::error::{Failure, Result};
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use crate::engine::metrics::Operation;
use crate::engine::{Condition, EngineError, Served};

const ALL: &str = "/v1/databases";
const ONE: &str = "/v1/databases/{database}";

const BASE: Route = Route {
    verb: Verb::Get,
    path: ALL,
    name: "list_databases",
    what: "List the databases.",
    operation: Operation::Databases,
    access: Access::Read,
    span: Span::Bounded,
    takes: &[],
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("Databases"))],
    handler: |call| Box::pin(list(call)),
};

pub(super) const ROUTES: &[Route] = &[
    BASE,
    Route {
        verb: Verb::Post,
        name: "create_database",
        what: "Make a database.",
        access: Access::Server,
        body: Shape::Json("NewName"),
        answers: &[(201, Shape::Json("Database"))],
        handler: |call| Box::pin(create(call)),
        ..BASE
    },
    Route {
        path: ONE,
        name: "describe_database",
        what: "Describe a database, without opening it.",
        answers: &[(200, Shape::Json("Database"))],
        handler: |call| Box::pin(describe(call)),
        ..BASE
    },
    Route {
        verb: Verb::Put,
        path: ONE,
        name: "ensure_database",
        what: "Make a database unless there is one of this name.",
        access: Access::Server,
        answers: &[(200, Shape::Json("Database")), (201, Shape::Json("Database"))],
        handler: |call| Box::pin(ensure(call)),
        ..BASE
    },
    Route {
        verb: Verb::Delete,
        path: ONE,
        name: "drop_database",
        what: "Remove a database and everything in it, for good. `default` stays.",
        access: Access::Server,
        answers: &[(204, Shape::Nothing)],
        handler: |call| Box::pin(drop_one(call)),
        ..BASE
    },
];

/// `{"name":…}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewName {
    name: String,
}

/// The name that a body asks for.
pub(super) async fn name_of_body(call: &mut Call) -> Result<Name> {
    name_in(&call.body().await?)
}

/// The same of its bytes.
pub(super) fn name_in(body: &[u8]) -> Result<Name> {
    let asked: NewName = shape(body)?;
    Name::new(&asked.name).map_err(|e| Failure::from(EngineError::from(e)))
}

/// Reads a body of a known shape.
pub(super) fn shape<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        let code = match error.classify() {
            serde_json::error::Category::Data => Code::InvalidQuery,
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => Code::InvalidJson,
        };
        Failure::new(code, format!("the body is not as described in /openapi.json: {error}"))
    })
}

async fn list(call: Call) -> Result<Response> {
    let databases: Vec<_> = call.engine().all().iter().map(|served| described(served)).collect();
    Ok(respond::json(StatusCode::OK, &json!({ "databases": databases })))
}

async fn create(mut call: Call) -> Result<Response> {
    let name = name_of_body(&mut call).await?;
    let served = make(&call, name).await?;
    Ok(respond::json(StatusCode::CREATED, &described(&served)))
}

async fn ensure(call: Call) -> Result<Response> {
    let name = call.name("database")?;
    if let Ok(served) = call.engine().database(&name) {
        return Ok(respond::json(StatusCode::OK, &described(&served)));
    }
    match make(&call, name).await {
        Ok(served) => Ok(respond::json(StatusCode::CREATED, &described(&served))),
        // Somebody else made it meanwhile.
        Err(failure) if failure.error.code == Code::DbExists => {
            Ok(respond::json(StatusCode::OK, &described(&*call.database()?)))
        }
        Err(failure) => Err(failure),
    }
}

async fn make(call: &Call, name: Name) -> Result<Arc<Served>> {
    call.ask(|engine, reply| {
        engine.change_server(reply, move |engine| engine.create_database(&name));
    })
    .await
}

async fn describe(call: Call) -> Result<Response> {
    Ok(respond::json(StatusCode::OK, &described(&*call.database()?)))
}

async fn drop_one(call: Call) -> Result<Response> {
    // The one that has the name now, whichever has it when this gets its turn.
    let served = call.database()?;
    call.ask(|engine, reply| {
        engine.change_server(reply, move |engine| engine.drop_database(&served));
    })
    .await?;
    Ok(respond::nothing(StatusCode::NO_CONTENT))
}

/// What is known of a database without opening it.
fn described(served: &Served) -> Value {
    let mut shape = json!({ "name": served.name().as_str(), "uuid": served.id().to_string() });
    let (state, error) = condition(served.condition());
    shape["state"] = state.into();
    if let Some(error) = error {
        shape["error"] = error;
    }
    shape
}

/// The name of a condition, and what is wrong.
pub(super) fn condition(condition: Condition) -> (&'static str, Option<Value>) {
    match condition {
        Condition::Closed => ("closed", None),
        Condition::Busy => ("busy", None),
        Condition::Open => ("open", None),
        Condition::Failed { code, message } => {
            ("damaged", Some(json!({ "code": code.name(), "message": message })))
        }
    }
}
