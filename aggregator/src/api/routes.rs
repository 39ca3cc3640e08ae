//! Every route of the aggregator in one table: the router is made of it, the test of the scopes, and the description at
//! `/docs/openapi.json`.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, Router};
use http::Method;
use logweir_proto::api::{
    BatchAnswer, Export, ExportRequest, Exports, Frame, Health, HitsAnswer, HitsRequest, IngestAnswer, PatternsRequest,
    QueryAnswer, QueryRequest, Row, RunningQueries, SourceStatus,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::events::{ContextAnswer, ContextParameters};
use super::ingest::IngestParameters;
use super::openapi::Other;
use super::tail::{TailFrame, TailParameters};
use super::values::{FacetsRequest, FieldValues, FieldValuesRequest, Fields, FieldsRequest, PatternsAnswer};
use super::{App, console, events, exports, health, ingest, openapi, queries, query, sources, tail, values};
use crate::auth::Scope;
use crate::search::execute::Explanation;
use crate::search::facets::Facets;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Open,
    Needs(Scope),
}

/// Makes the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a request brings along.
#[derive(Clone, Copy)]
pub enum Takes {
    Nothing,
    /// Parameters behind the `?`, or with `POST` the same as JSON.
    Parameters(SchemaOf),
    /// A body of these types, with parameters behind the `?` if there are any.
    Body(&'static [&'static str], Option<SchemaOf>),
}

/// One path of the API. The handler checks the access itself: it needs to know who asks.
pub struct Route {
    pub methods: &'static [Method],
    pub path: &'static str,
    pub access: Access,
    pub about: &'static str,
    pub takes: Takes,
    pub status: u16,
    /// Content types of the answer, with the schema of those that have one.
    pub gives: Vec<(&'static str, Option<SchemaOf>)>,
    handler: MethodRouter<App>,
}

impl Route {
    fn new<H: Handler<T, App>, T: 'static>(
        methods: &'static [Method],
        path: &'static str,
        access: Access,
        handler: H,
        about: &'static str,
    ) -> Route {
        let filters = methods.iter().map(|method| match *method {
            Method::POST => MethodFilter::POST,
            Method::DELETE => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        });
        let filter = filters.reduce(MethodFilter::or).unwrap_or(MethodFilter::GET);
        let handler = on(filter, handler);
        Route { methods, path, access, about, takes: Takes::Nothing, status: 200, gives: Vec::new(), handler }
    }

    fn takes<T: JsonSchema>(self) -> Route {
        Route { takes: Takes::Parameters(|generator| generator.subschema_for::<T>()), ..self }
    }

    fn body(self, types: &'static [&'static str], parameters: Option<SchemaOf>) -> Route {
        Route { takes: Takes::Body(types, parameters), ..self }
    }

    fn gives<T: JsonSchema>(mut self, content_type: &'static str) -> Route {
        self.gives.push((content_type, Some(|generator| generator.subschema_for::<T>())));
        self
    }

    fn gives_bytes(mut self, content_type: &'static str) -> Route {
        self.gives.push((content_type, None));
        self
    }

    fn status(self, status: u16) -> Route {
        Route { status, ..self }
    }
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const DELETE: &[Method] = &[Method::DELETE];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// The table.
pub fn routes() -> Vec<Route> {
    [pages(), doors(), searches(), values(), exports()].into_iter().flatten().collect()
}

/// The router of [`routes`]. `others` are described beside them, and served by the routers of other crates.
pub fn router(app: App, others: &[Other]) -> Router {
    let add = |router: Router<App>, route: Route| router.route(route.path, route.handler);
    let document = openapi::Document::new(others);
    routes().into_iter().fold(Router::new(), add).layer(Extension(document)).with_state(app)
}

fn pages() -> Vec<Route> {
    use Access::{Needs, Open};
    vec![
        Route::new(GET, "/", Open, console::page, "The page.").gives_bytes("text/html"),
        Route::new(GET, "/e/{id}", Open, console::page, "The page, at one event.").gives_bytes("text/html"),
        Route::new(GET, "/assets/{*path}", Open, console::asset, "A part of the page.").gives_bytes("*/*"),
        Route::new(GET, "/docs/openapi.json", Open, openapi::document, "This description.").gives_bytes(JSON),
        Route::new(GET, "/health/live", Open, health::live, "Whether the process works.").gives::<Health>(JSON),
        Route::new(GET, "/health/ready", Open, health::ready, "Whether it takes logs and queries; 503 when not.")
            .gives::<Health>(JSON),
        Route::new(GET, "/metrics", Needs(Scope::Metrics), health::metrics, "The server's own figures.")
            .gives_bytes("text/plain"),
    ]
}

fn doors() -> Vec<Route> {
    let ingest = Access::Needs(Scope::Ingest);
    vec![
        Route::new(POST, "/api/v1/batches", ingest, ingest::batches, "The agent's batch.")
            .body(&["application/vnd.logweir.batch"], None)
            .gives::<BatchAnswer>(JSON),
        Route::new(
            POST,
            "/api/v1/ingest",
            ingest,
            ingest::ingest,
            "NDJSON, an array or one object of any content type.",
        )
        .body(&[NDJSON, JSON], Some(|generator| generator.subschema_for::<IngestParameters>()))
        .gives::<IngestAnswer>(JSON),
        Route::new(
            GET,
            "/api/v1/sources",
            Access::Needs(Scope::Query),
            sources::list,
            "Who delivers, and what is missing.",
        )
        .gives::<Vec<SourceStatus>>(JSON),
    ]
}

fn searches() -> Vec<Route> {
    let query = Access::Needs(Scope::Query);
    vec![
        Route::new(
            GET_POST,
            "/api/v1/query",
            query,
            query::query,
            "Runs a query: frames as they are found, or one object.",
        )
        .takes::<QueryRequest>()
        .gives::<Frame>(NDJSON)
        .gives::<QueryAnswer>(JSON)
        .gives_bytes("text/csv")
        .gives_bytes("text/plain"),
        Route::new(GET_POST, "/api/v1/explain", query, values::explain, "What a query would read, without running it.")
            .takes::<QueryRequest>()
            .gives::<Explanation>(JSON),
        Route::new(GET, "/api/v1/queries", query, queries::list, "The queries that run or wait.")
            .gives::<RunningQueries>(JSON),
        Route::new(DELETE, "/api/v1/queries/{id}", query, queries::cancel, "Ends a query.").status(204),
        Route::new(GET, "/api/v1/events/{id}", query, events::event, "One event with its line.").gives::<Row>(JSON),
        Route::new(GET, "/api/v1/events/{id}/context", query, events::context, "An event among its neighbours.")
            .takes::<ContextParameters>()
            .gives::<ContextAnswer>(JSON),
        Route::new(
            GET,
            "/api/v1/tail",
            Access::Needs(Scope::Tail),
            tail::tail,
            "What matches, as it arrives; resumes by Last-Event-ID.",
        )
        .takes::<TailParameters>()
        .gives::<TailFrame>("text/event-stream"),
    ]
}

fn values() -> Vec<Route> {
    let query = Access::Needs(Scope::Query);
    vec![
        Route::new(GET_POST, "/api/v1/hits", query, values::hits, "Counts over time, one series a value.")
            .takes::<HitsRequest>()
            .gives::<HitsAnswer>(JSON),
        Route::new(GET_POST, "/api/v1/facets", query, values::facets, "The most frequent values of fields.")
            .takes::<FacetsRequest>()
            .gives::<Facets>(JSON),
        Route::new(GET_POST, "/api/v1/patterns", query, values::patterns, "What messages have in common.")
            .takes::<PatternsRequest>()
            .gives::<PatternsAnswer>(JSON),
        Route::new(GET, "/api/v1/fields", query, values::fields, "The fields that some event has.")
            .takes::<FieldsRequest>()
            .gives::<Fields>(JSON),
        Route::new(GET, "/api/v1/fields/{name}/values", query, values::field_values, "The values of one field.")
            .takes::<FieldValuesRequest>()
            .gives::<FieldValues>(JSON),
    ]
}

fn exports() -> Vec<Route> {
    let query = Access::Needs(Scope::Query);
    vec![
        Route::new(GET, "/api/v1/exports", query, exports::list, "The exports of this token.").gives::<Exports>(JSON),
        Route::new(POST, "/api/v1/exports", query, exports::create, "Writes all that a query finds to a file.")
            .takes::<ExportRequest>()
            .status(202)
            .gives::<Export>(JSON),
        Route::new(GET, "/api/v1/exports/{id}", query, exports::show, "How far an export is.").gives::<Export>(JSON),
        Route::new(DELETE, "/api/v1/exports/{id}", query, exports::delete, "Ends an export and deletes its file.")
            .status(204),
        Route::new(GET, "/api/v1/exports/{id}/data", query, exports::data, "The file, or a part of it by Range.")
            .gives_bytes("application/zstd"),
    ]
}
