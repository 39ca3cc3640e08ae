//! `/docs/openapi.json`: the description of the API, made of the table of routes and of the types that they read and
//! write. Nothing in it is written by hand, so nothing in it can be out of date.

use std::sync::Arc;

use axum::Extension;
use axum::response::{IntoResponse, Response};
use http::Method;
use http::header::CONTENT_TYPE;
use logweir_proto::api::ErrorBody;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::routes::{Access, Route, SchemaOf, Takes, routes};

/// A route of another crate behind the same door, whose types are not known here.
#[derive(Debug, Clone)]
pub struct Other {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    pub about: &'static str,
}

/// The description, made once for a router.
#[derive(Debug, Clone)]
pub struct Document(Arc<str>);

impl Document {
    pub fn new(others: &[Other]) -> Document {
        Document(describe(&routes(), others).to_string().into())
    }
}

/// `GET /docs/openapi.json`
pub async fn document(Extension(Document(text)): Extension<Document>) -> Response {
    ([(CONTENT_TYPE, "application/json")], text.to_string()).into_response()
}

/// The description of these routes.
pub fn describe(routes: &[Route], others: &[Other]) -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut requests = settings().for_deserialize().into_generator();
    let mut answers = settings().for_serialize().into_generator();
    // Parameters behind a `?` stand by themselves.
    let parameters =
        || settings().for_deserialize().with(|settings| settings.inline_subschemas = true).into_generator();
    let error = answers.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for route in routes {
        let path = route.path.replace("{*", "{");
        let entry = paths.entry(path.clone()).or_insert_with(|| json!({}));
        for method in route.methods {
            let mut operation = operation(route, &path, method, &mut answers, &mut parameters());
            operation["responses"]["default"] = json!({
                "description": "What was wrong, and what to mend.",
                "content": {"application/json": {"schema": error}},
            });
            if let Some(body) = body(route, method, &mut requests) {
                operation["requestBody"] = body;
            }
            entry[method.as_str().to_ascii_lowercase()] = operation;
        }
    }
    for other in others {
        let entry = paths.entry(other.path.to_owned()).or_insert_with(|| json!({}));
        let mut operation = json!({
            "operationId": operation_id(other.path, &other.method),
            "summary": other.about,
            "security": security(other.access),
            "parameters": in_path(other.path),
            "responses": {
                "200": {"description": other.about, "content": {"application/json": {}}},
                "default": {
                    "description": "What was wrong, and what to mend.",
                    "content": {"application/json": {"schema": error}},
                },
            },
        });
        if other.method == Method::POST {
            operation["requestBody"] = json!({"content": {"*/*": {}}});
        }
        entry[other.method.as_str().to_ascii_lowercase()] = operation;
    }
    let mut schemas = requests.take_definitions(true);
    schemas.extend(answers.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Logweir",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Logs in, answers and alerts out.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(
    route: &Route,
    path: &str,
    method: &Method,
    answers: &mut SchemaGenerator,
    parameters: &mut SchemaGenerator,
) -> Value {
    let mut listed = in_path(path);
    listed.extend(in_query(route, method).into_iter().flat_map(|schema| query_parameters(schema, parameters)));
    let content: Map<String, Value> = route
        .gives
        .iter()
        .map(|(kind, schema)| {
            let schema = schema.map_or_else(|| json!({}), |schema| json!({"schema": schema(answers)}));
            ((*kind).to_owned(), schema)
        })
        .collect();
    let mut answer = json!({"description": route.about});
    if !content.is_empty() {
        answer["content"] = content.into();
    }
    json!({
        "operationId": operation_id(path, method),
        "summary": route.about,
        "security": security(route.access),
        "parameters": listed,
        "responses": {route.status.to_string(): answer},
    })
}

fn operation_id(path: &str, method: &Method) -> String {
    let words = path.split(['/', '{', '}', '.']).filter(|word| !word.is_empty());
    let words = std::iter::once(method.as_str().to_ascii_lowercase()).chain(words.map(str::to_owned));
    words.collect::<Vec<_>>().join("_")
}

fn in_path(path: &str) -> Vec<Value> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect()
}

fn security(access: Access) -> Value {
    match access {
        Access::Open => json!([]),
        Access::Needs(scope) => json!([{"token": [scope.as_str()]}]),
    }
}

/// What of a request stands behind the `?`.
fn in_query(route: &Route, method: &Method) -> Option<SchemaOf> {
    match route.takes {
        Takes::Parameters(schema) if method == Method::GET => Some(schema),
        Takes::Body(_, schema) => schema,
        _ => None,
    }
}

fn query_parameters(schema: SchemaOf, generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema = schema(generator).to_value();
    let Some(Value::Object(properties)) = schema.get("properties") else { return Vec::new() };
    let parameter = |(name, schema): (&String, &Value)| {
        let mut parameter = json!({"name": name, "in": "query", "schema": schema});
        if let Some(about) = schema.get("description") {
            parameter["description"] = about.clone();
        }
        parameter
    };
    properties.iter().map(parameter).collect()
}

fn body(route: &Route, method: &Method, requests: &mut SchemaGenerator) -> Option<Value> {
    match route.takes {
        Takes::Parameters(schema) if method == Method::POST => {
            Some(json!({"content": {"application/json": {"schema": schema(requests)}}}))
        }
        Takes::Body(kinds, _) => {
            let content: Map<String, Value> = kinds.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
            Some(json!({"required": true, "content": content}))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
