//! Who may call what: asked of every route that the server describes, with every kind of key.

use std::io::Write as _;

use serde_json::Value;

use super::world::{Answer, World};

/// A route, with the parts of its path filled in.
struct Described {
    method: String,
    path: String,
    /// What a key must allow, such as `orders=write`; nothing for what everybody may call.
    needs: Option<String>,
}

/// All routes, as `/openapi.json` has them.
fn routes(world: &World) -> Vec<Described> {
    let api = world.json("GET", "/openapi.json", "");
    let filled = |text: &str| {
        let parts = [
            ("database", "orders"),
            ("collection", "c"),
            ("id", "1"),
            ("transaction", "1"),
            ("namespace", "n"),
        ];
        parts
            .iter()
            .fold(text.to_owned(), |text, (part, name)| text.replace(&format!("{{{part}}}"), name))
    };
    let mut routes = Vec::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let needs = operation["security"].as_array().unwrap();
            assert!(needs.len() <= 1, "{path}");
            let needs = needs.first().map(|needs| filled(needs["key"][0].as_str().unwrap()));
            // The database of a namespace stands in the query.
            let query = if path.contains("/namespaces") { "?database=orders" } else { "" };
            let (method, path) = (method.to_uppercase(), format!("{}{query}", filled(path)));
            routes.push(Described { method, path, needs });
        }
    }
    routes
}

fn ask(world: &World, route: &Described, key: Option<&str>) -> Answer {
    let value = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<_> = value.iter().map(|value| ("authorization", value.as_str())).collect();
    world.connect().ask(&route.method, &route.path, &headers, b"")
}

/// Checks the shape of a refusal, which is another for namespaces.
#[track_caller]
fn is_refused(route: &Described, answer: &Answer, status: u16, code: &str) {
    if route.path.contains("/namespaces") {
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)));
    } else {
        answer.is_failure(status, code);
    }
}

/// Whether a grant covers what is needed, by the rule of the documentation.
fn covers(grant: &str, needed: &str) -> bool {
    let split = |text: &str| {
        let (database, scope) = text.split_once('=').unwrap();
        let scope = ["read", "write", "admin"].iter().position(|known| *known == scope).unwrap();
        (database.to_owned(), scope)
    };
    let ((database, scope), (of, least)) = (split(grant), split(needed));
    scope >= least && (database == "*" || database == of)
}

#[test]
fn every_route_asks_for_a_key_that_allows_it_and_for_no_more() {
    const GRANTS: [&str; 9] = [
        "@logs=read",
        "@logs=write",
        "*=read",
        "*=write",
        "*=admin",
        "orders=read",
        "orders=write",
        "orders=admin",
        "stock=admin",
    ];
    let world = World::new();
    let routes = routes(&world);
    assert!(routes.len() > 40, "{} routes", routes.len());
    let keys = GRANTS.map(|grant| world.key(grant, &[grant]));
    let (mut allowed, mut refused) = (0, 0);
    for route in &routes {
        let name = format!("{} {}", route.method, route.path);
        let Some(needed) = &route.needs else {
            assert!(ask(&world, route, None).status < 300, "{name}");
            assert!(ask(&world, route, Some("docdb_wrong")).status < 300, "{name}");
            continue;
        };
        let without = ask(&world, route, None);
        is_refused(route, &without, 401, "Unauthenticated");
        assert_eq!(without.header("www-authenticate"), Some("Bearer realm=\"docdb\""), "{name}");
        let wrong = ask(&world, route, Some("docdb_wrong"));
        is_refused(route, &wrong, 401, "Unauthenticated");
        for (grant, key) in GRANTS.iter().zip(&keys) {
            let answer = ask(&world, route, Some(key));
            if covers(grant, needed) {
                assert!(![401, 403].contains(&answer.status), "{name} by {grant}: {answer:?}");
                allowed += 1;
            } else {
                is_refused(route, &answer, 403, "Forbidden");
                refused += 1;
            }
        }
    }
    assert!(allowed > 100 && refused > 100, "{allowed} {refused}");
}

#[test]
fn before_the_first_key_whatever_a_client_sends_is_ignored() {
    let world = World::new();
    for value in ["Bearer anything", "Basic dTpw", ""] {
        let headers = [("authorization", value)];
        assert_eq!(world.connect().ask("GET", "/v1/databases", &headers, b"").status, 200);
    }
}

#[test]
fn credentials_that_are_none_are_refused() {
    let world = World::new();
    let key = world.key("all", &["*=admin"]);
    let (good, basic) = (format!("Bearer {key}"), format!("Basic {key}"));
    let list = |headers: &[(&str, &str)]| world.connect().ask("GET", "/v1/databases", headers, b"");
    assert_eq!(list(&[("authorization", &good)]).status, 200);
    list(&[("authorization", &basic)]).is_failure(401, "Unauthenticated");
    list(&[("authorization", &key)]).is_failure(401, "Unauthenticated");
    list(&[("authorization", &good), ("authorization", &good)]).is_failure(401, "Unauthenticated");
    let said = list(&[("authorization", &basic)]).text();
    assert!(!said.contains(&key), "{said}");
}

#[test]
fn who_may_not_ask_learns_nothing_and_is_not_read() {
    let world = World::new();
    let key = format!("Bearer {}", world.key("orders", &["orders=admin"]));
    let headers = [("authorization", key.as_str())];
    let forbidden = |method: &str, path: &str| {
        world.connect().ask(method, path, &headers, b"").is_failure(403, "Forbidden");
    };
    // Whether it exists, whether it is a name at all, or whether the query makes sense.
    forbidden("GET", "/v1/databases/default");
    forbidden("GET", "/v1/databases/none");
    forbidden("GET", "/v1/databases/..%2f..");
    forbidden("GET", "/v1/databases/default/changes?after=x");
    let mut client = world.connect();
    let head = "PUT /v1/databases/orders/collections/c/documents/1 HTTP/1.1\r\nhost: x\r\n\
                content-length: 1073741824\r\n\r\n";
    client.stream.write_all(head.as_bytes()).unwrap();
    client.receive("PUT").is_failure(401, "Unauthenticated");
}

#[test]
fn a_stream_of_changes_ends_with_its_key() {
    let world = World::new();
    let admin = format!("Bearer {}", world.key("admin", &["*=admin"]));
    let reader = format!("Bearer {}", world.key("reader", &["default=read"]));
    let headers = [("authorization", reader.as_str()), ("accept", "text/event-stream")];
    let mut stream = world.connect();
    stream.send("GET", "/v1/databases/default/changes", &headers, b"");
    let put = |id: &str| {
        let path = format!("/v1/databases/default/collections/default/documents/{id}");
        let headers = [("authorization", admin.as_str())];
        assert_eq!(world.connect().ask("PUT", &path, &headers, b"{}").status, 201);
    };
    put("before");
    stream.read_until("before");
    world.remove_key("reader");
    put("behind");
    let rest = stream.until_closed();
    assert!(!rest.contains("behind"), "{rest}");
}

#[test]
fn the_description_says_how_to_send_a_key() {
    let world = World::new();
    let api: Value = world.json("GET", "/openapi.json", "");
    let scheme = &api["components"]["securitySchemes"]["key"];
    assert_eq!(
        (scheme["type"].as_str(), scheme["scheme"].as_str()),
        (Some("http"), Some("bearer"))
    );
    assert!(scheme["description"].as_str().unwrap().contains("docdb key add"));
}
