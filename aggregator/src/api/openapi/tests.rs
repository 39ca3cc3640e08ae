//! The description against the server: nothing that it answers is missing from it.

use axum::body::Body;
use http::header::ACCEPT;
use http::{Request, StatusCode};

use super::*;
use crate::api::tests::{World, body};

/// What of a value the schema does not know, as paths.
fn unknown(schema: &Value, value: &Value, place: &str, document: &Value, found: &mut Vec<String>) {
    let schema = &match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let mut referred = document.pointer(&reference[1..]).expect("a reference leads somewhere").clone();
            // A tag stands beside the reference to what it tags.
            if let Some(Value::Object(beside)) = schema.get("properties") {
                let properties = referred["properties"].as_object_mut().expect("an object");
                properties.extend(beside.clone());
            }
            referred
        }
        None => schema.clone(),
    };
    if let Some(Value::Array(choices)) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
        let of = |choice: &Value| {
            let mut found = Vec::new();
            unknown(choice, value, place, document, &mut found);
            found
        };
        let best = choices.iter().map(of).min_by_key(Vec::len).unwrap_or_default();
        return found.extend(best);
    }
    match value {
        Value::Object(fields) => {
            let known = schema.get("properties").and_then(Value::as_object);
            if let Some(Value::Array(required)) = schema.get("required") {
                let missing = required.iter().filter_map(Value::as_str).filter(|name| !fields.contains_key(*name));
                found.extend(missing.map(|name| format!("{place}.{name} is not there")));
            }
            for (name, value) in fields {
                let place = format!("{place}.{name}");
                match known.and_then(|known| known.get(name)).or_else(|| schema.get("additionalProperties")) {
                    Some(schema) => unknown(schema, value, &place, document, found),
                    None => found.push(place),
                }
            }
        }
        Value::Array(list) => {
            let items = schema.get("items").cloned().unwrap_or_default();
            list.iter().for_each(|value| unknown(&items, value, &format!("{place}[]"), document, found));
        }
        _ => {
            let kind = match value {
                Value::String(_) => "string",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_f64() => "number",
                Value::Number(_) => "integer",
                _ => "null",
            };
            let told = match schema.get("type") {
                Some(Value::String(one)) => vec![one.as_str()],
                Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
                _ => return,
            };
            if !told.contains(&kind) && !(kind == "integer" && told.contains(&"number")) {
                found.push(format!("{place} is a {kind}, not {told:?}"));
            }
        }
    }
}

async fn served(world: &World) -> Value {
    serde_json::from_slice(&body(world.get("/docs/openapi.json").await).await).expect("JSON")
}

#[tokio::test]
async fn every_route_and_method_is_described() {
    let world = World::open();
    let document = served(&world).await;
    let mut ids = Vec::new();
    for route in routes() {
        assert!(route.about.ends_with('.'), "{}: say what it does", route.path);
        for method in route.methods {
            let name = method.as_str().to_ascii_lowercase();
            let operation = &document["paths"][route.path.replace("{*", "{")][&name];
            assert_eq!(operation["summary"], route.about, "{method} {}", route.path);
            assert_eq!(operation["security"] == json!([]), route.access == Access::Open, "{}", route.path);
            let answer = &operation["responses"][route.status.to_string()];
            assert_eq!(answer.get("content").is_none(), route.status == 204, "{method} {}", route.path);
            ids.push(operation["operationId"].as_str().expect("an id").to_owned());
        }
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an operation has its own id");
}

#[tokio::test]
async fn every_field_of_an_answer_is_described() {
    let world = World::open();
    world.ingest(0..30).await;
    let document = served(&world).await;
    let listed = world.get("/api/v1/query?limit=1").await;
    let listed = String::from_utf8(body(listed).await.to_vec()).expect("text");
    let event: Value = serde_json::from_str(listed.lines().nth(1).expect("a row")).expect("JSON");
    let id = event["id"].as_str().expect("an id");
    let context = format!("/api/v1/events/{id}/context");
    let event = format!("/api/v1/events/{id}");
    let post = Request::post("/api/v1/exports").body(Body::from("{}")).expect("a request");
    assert_eq!(world.call(post).await.status(), StatusCode::ACCEPTED);
    let mut problems = Vec::new();
    for (path, uri, kind) in [
        ("/health/ready", "/health/ready", "application/json"),
        ("/api/v1/query", "/api/v1/query?query=nosuch:1", "application/x-ndjson"),
        ("/api/v1/query", "/api/v1/query?query=n%3E1", "application/x-ndjson"),
        ("/api/v1/query", "/api/v1/query?timeout=1ns&query=*%7Cstats%20count", "application/x-ndjson"),
        ("/api/v1/query", "/api/v1/query?query=nosuch:1%7Cstats%20count", "application/json"),
        ("/api/v1/explain", "/api/v1/explain?query=nosuch:1", "application/json"),
        ("/api/v1/hits", "/api/v1/hits?compare=1m&query=nosuch:1", "application/json"),
        ("/api/v1/facets", "/api/v1/facets", "application/json"),
        ("/api/v1/patterns", "/api/v1/patterns?buckets=9", "application/json"),
        ("/api/v1/fields", "/api/v1/fields", "application/json"),
        ("/api/v1/fields/{name}/values", "/api/v1/fields/n/values", "application/json"),
        ("/api/v1/queries", "/api/v1/queries", "application/json"),
        ("/api/v1/exports", "/api/v1/exports", "application/json"),
        ("/api/v1/sources", "/api/v1/sources", "application/json"),
        ("/api/v1/events/{id}", &event, "application/json"),
        ("/api/v1/events/{id}/context", &context, "application/json"),
        ("/api/v1/events/{id}", "/api/v1/events/nonsense", "default"),
        ("/api/v1/query", "/api/v1/query?query=%7Cbogus", "default"),
    ] {
        let request = Request::get(uri).header(ACCEPT, kind).body(Body::empty()).expect("a request");
        let answer = world.call(request).await;
        let responses = &document["paths"][path]["get"]["responses"];
        let schema = match kind {
            "default" => &responses["default"]["content"]["application/json"]["schema"],
            _ => {
                assert_eq!(answer.status(), StatusCode::OK, "{uri}");
                &responses["200"]["content"][kind]["schema"]
            }
        };
        assert!(schema.is_object(), "{uri}: no schema");
        let text = body(answer).await;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let value: Value = serde_json::from_slice(line).expect("JSON");
            unknown(schema, &value, uri, &document, &mut problems);
        }
    }
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn what_is_not_described_is_found() {
    let document = json!({"components": {"schemas": {"A": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}}}});
    let check = |value: Value| {
        let mut found = Vec::new();
        unknown(&json!({"$ref": "#/components/schemas/A"}), &value, "x", &document, &mut found);
        found
    };
    assert_eq!(check(json!({"a": 1})), Vec::<String>::new());
    assert_eq!(check(json!({"a": "1", "b": 2})), ["x.a is a string, not [\"integer\"]", "x.b"]);
    assert_eq!(check(json!({})), ["x.a is not there"]);
}
