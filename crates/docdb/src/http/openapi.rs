//! The description of the surface (OpenAPI 3.1), made of the same list as the router.
//!
//! The shapes of JSON are in `schemas.json`, named as in the list. Start with [`describe`].

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::response::Response;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathsBuilder,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ComponentsBuilder, Schema};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, InfoBuilder, OpenApiBuilder, OpenApiVersion, Ref, RefOr, Required, ResponseBuilder,
    ResponsesBuilder,
};

use super::call::Call;
use super::error::{Failure, Result};
use super::parameters::Place;
use super::respond;
use super::routes::{self, Access, Dialect, Route, Shape, Span, Verb};
use crate::engine::metrics::Operation as Counted;
use base::error::Code;

const SCHEMAS: &str = include_str!("schemas.json");

const ABOUT: &str = "\
Documents over HTTP. Answers that fail have the shape `Error`; `docdb errors NAME` says what a code \
means. Every answer names its request in the header X-Request-Id.";

/// The name of the one way to say who asks.
const KEY: &str = "key";

const ABOUT_KEYS: &str = "\
An API key, made by `docdb key add`. None is needed before the first one exists, unless the server is \
reached from other machines. What a key must allow stands with each operation, as DATABASE=SCOPE: \
`{database}` is that of the path, or of the parameter `database`, `*` is all of them and the \
server itself, `@logs` are the application logs. Without a key, or with one \
that is unknown or expired, the answer is 401; with one that does not allow it, 403.";

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/openapi.json",
    name: "openapi",
    what: "This description.",
    operation: Counted::Health,
    access: Access::Everybody,
    span: Span::Bounded,
    takes: &[],
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("OpenApi"))],
    handler: |call| Box::pin(openapi(call)),
}];

async fn openapi(_: Call) -> Result<Response> {
    static TEXT: LazyLock<std::result::Result<String, String>> =
        LazyLock::new(|| describe().map(|api| api.to_string()));
    match &*TEXT {
        Ok(text) => Ok(respond::json_text(StatusCode::OK, text.clone().into_bytes())),
        Err(error) => Err(Failure::new(Code::Internal, error.as_str())),
    }
}

/// The description.
fn describe() -> std::result::Result<serde_json::Value, String> {
    let schemas: serde_json::Value =
        serde_json::from_str(SCHEMAS).map_err(|e| format!("schemas.json: {e}"))?;
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.description = Some(ABOUT_KEYS.to_owned());
    let components =
        ComponentsBuilder::new().security_scheme(KEY, SecurityScheme::Http(scheme)).build();
    let mut paths = PathsBuilder::new().build();
    for route in routes::all() {
        paths.add_path_operation(route.path, vec![method(route.verb)], operation(route)?);
    }
    let info = InfoBuilder::new()
        .title("docdb")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .build();
    let api = OpenApiBuilder::new()
        .openapi(OpenApiVersion::Version31)
        .info(info)
        .paths(paths)
        .components(Some(components))
        .build();
    let mut api = serde_json::to_value(api).map_err(|e| e.to_string())?;
    // As they are written: the types of utoipa have no schema that allows every value.
    api["components"]["schemas"] = schemas;
    Ok(api)
}

fn method(verb: Verb) -> HttpMethod {
    match verb {
        Verb::Get => HttpMethod::Get,
        Verb::Put => HttpMethod::Put,
        Verb::Post => HttpMethod::Post,
        Verb::Patch => HttpMethod::Patch,
        Verb::Delete => HttpMethod::Delete,
    }
}

fn operation(route: &Route) -> std::result::Result<Operation, String> {
    let mut operation =
        OperationBuilder::new().operation_id(Some(route.name)).description(Some(route.what));
    let needed = route.grant().map(|grant| SecurityRequirement::new(KEY, [grant]));
    operation = operation.securities(Some(needed));
    for name in in_path(route.path) {
        let schema = parse(schema_of_part(name))?;
        operation = operation.parameter(parameter(name, ParameterIn::Path, None, schema));
    }
    for taken in route.takes {
        let place = match taken.place {
            Place::Query => ParameterIn::Query,
            Place::Header => ParameterIn::Header,
        };
        let schema = parse(taken.schema)?;
        operation = operation.parameter(parameter(taken.name, place, Some(taken.what), schema));
    }
    if let Some((media, schema)) = content(route.body)? {
        // An import of nothing is one, too.
        let may_lack = matches!(route.body, Shape::Maybe(_) | Shape::Lines);
        let required = if may_lack { Required::False } else { Required::True };
        operation = operation.request_body(Some(body(media, schema, required)));
    }
    let mut responses = ResponsesBuilder::new();
    let mut statuses: Vec<u16> = route.answers.iter().map(|(status, _)| *status).collect();
    statuses.dedup();
    for status in statuses {
        let mut response = ResponseBuilder::new().description(reason(status));
        for (_, shape) in route.answers.iter().filter(|(other, _)| *other == status) {
            if let Some((media, schema)) = content(*shape)? {
                response = response.content(media, Content::new(Some(schema)));
            }
        }
        responses = responses.response(status.to_string(), response.build());
    }
    let failed = match route.dialect() {
        // As the clients of that protocol want it.
        Dialect::Own if route.path.ends_with("_bulk") => "BulkError",
        Dialect::Own => "Error",
        Dialect::Namespaces => "ShortError",
    };
    let failed = Content::new(Some(named(failed)));
    let failed = ResponseBuilder::new()
        .description("It was not done; the code says why.")
        .content("application/json", failed);
    Ok(operation.responses(responses.response("default", failed.build()).build()).build())
}

fn reason(status: u16) -> &'static str {
    let known = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    known.unwrap_or("Done")
}

fn parameter(
    name: &str,
    place: ParameterIn,
    what: Option<&str>,
    schema: RefOr<Schema>,
) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(what)
        .schema(Some(schema))
        .build()
}

fn body(media: &'static str, schema: RefOr<Schema>, required: Required) -> RequestBody {
    RequestBodyBuilder::new()
        .content(media, Content::new(Some(schema)))
        .required(Some(required))
        .build()
}

/// The names in braces of a path.
fn in_path(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn schema_of_part(name: &str) -> &'static str {
    match name {
        "database" | "collection" | "namespace" => {
            r#"{"type":"string","minLength":1,"maxLength":128,"pattern":"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"}"#
        }
        "transaction" => r#"{"type":"string","pattern":"^[0-9]{1,20}$"}"#,
        _ => r#"{"type":"string","minLength":1}"#,
    }
}

fn parse(schema: &str) -> std::result::Result<RefOr<Schema>, String> {
    serde_json::from_str(schema).map_err(|e| format!("{schema}: {e}"))
}

fn named(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

/// The media type and the schema of a shape.
fn content(shape: Shape) -> std::result::Result<Option<(&'static str, RefOr<Schema>)>, String> {
    let text = || parse(r#"{"type":"string"}"#);
    Ok(match shape {
        Shape::Nothing => None,
        Shape::Json(name) | Shape::Maybe(name) => Some(("application/json", named(name))),
        Shape::Document => Some(("application/json", named("Document"))),
        Shape::Lines => Some(("application/x-ndjson", text()?)),
        Shape::Events => Some(("text/event-stream", text()?)),
        Shape::Text => Some(("text/plain", text()?)),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use serde_json::Value;

    fn described() -> Value {
        describe().unwrap()
    }

    #[test]
    fn every_route_is_described_once() {
        let api = described();
        assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut names = BTreeSet::new();
        for route in routes::all() {
            let verb = format!("{:?}", route.verb).to_lowercase();
            let operation = &api["paths"][route.path][verb];
            assert_eq!(operation["operationId"], route.name, "{}", route.path);
            assert!(names.insert(route.name), "{} is there twice", route.name);
            assert!(!route.answers.is_empty() && !route.what.is_empty(), "{}", route.name);
            let needed = match route.grant() {
                Some(grant) => serde_json::json!([{ KEY: [grant] }]),
                None => serde_json::json!([]),
            };
            assert_eq!(operation["security"], needed, "{}", route.name);
        }
        let count: usize =
            api["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
        assert_eq!(count, names.len());
        assert_eq!(api["components"]["securitySchemes"][KEY]["scheme"], "bearer");
    }

    #[test]
    fn every_name_of_a_schema_leads_to_one() {
        let api = described();
        let text = api.to_string();
        let prefix = "#/components/schemas/";
        let mut seen = 0;
        for part in text.split(prefix).skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(api["components"]["schemas"][name].is_object(), "{name}");
            seen += 1;
        }
        assert!(seen > 20);
    }
}
