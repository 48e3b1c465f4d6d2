//! The API's description (OpenAPI 3.1), made from the routes themselves, and the page that shows it.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    http::{HeaderValue, header},
    response::Html,
    routing::get,
};
use bytes::Bytes;
use maud::{DOCTYPE, Markup, html};
use utoipa::{
    OpenApi as Derived,
    openapi::{
        ContentBuilder, OpenApi, PathItem, Ref, RefOr, ResponseBuilder,
        path::{Operation, ParameterIn},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    problem::{Kind, ProblemView},
    shared::Shared,
};

#[derive(Derived)]
#[openapi(
    info(
        title = "Cofferdam",
        description = "Give tasks to an agent that works alone in a sandbox, watch it and steer it, and review the pull requests that it leaves.\n\n\
                       Times are milliseconds since 1970-01-01T00:00:00Z. What cannot be done is answered with a problem (RFC 9457).",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ProblemView))
)]
struct Frame;

/// The description without routes.
pub(super) fn frame() -> OpenApi {
    let mut frame = Frame::openapi();
    if let Some(components) = &mut frame.components {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API token, `cfd_…`"))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
    frame
}

/// Adds to each operation what every one has: that it takes a token, and the problems that it may be answered with.
fn complete(description: &mut OpenApi) {
    for item in description.paths.paths.values_mut() {
        for operation in operations_mut(item) {
            operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
            for kind in problems(operation) {
                let status = kind.status();
                let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
                let response = ResponseBuilder::new()
                    .description(status.canonical_reason().unwrap_or_default())
                    .content("application/problem+json", content)
                    .build();
                operation.responses.responses.insert(status.as_str().to_owned(), RefOr::T(response));
            }
        }
    }
}

/// The problems that an operation may be answered with, as far as its form tells.
fn problems(operation: &Operation) -> Vec<Kind> {
    let mut kinds = vec![
        Kind::Malformed,
        Kind::Unauthenticated,
        Kind::Forbidden,
        Kind::Misdirected,
        Kind::TooMany,
        Kind::Internal,
        Kind::Unavailable,
    ];
    let parameters = operation.parameters.iter().flatten().filter_map(here);
    let has = |place: &ParameterIn| parameters.clone().any(|parameter| parameter.parameter_in == *place);
    let (named, asked, body) =
        (has(&ParameterIn::Path), has(&ParameterIn::Query), operation.request_body.is_some());
    if named || asked || body {
        kinds.push(Kind::NotFound);
    }
    if named || body {
        kinds.push(Kind::Conflict);
    }
    if body {
        kinds.extend([Kind::Slow, Kind::TooLarge, Kind::MediaType]);
    }
    if named || body {
        kinds.push(Kind::Meaningless);
    }
    kinds
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
}

/// As it is sent. It is kept so: taken apart it is twenty times as large.
#[derive(Clone)]
struct Written {
    json: Bytes,
    page: Bytes,
}

/// The description, at `/openapi.json` and to be read at `/docs`, made when somebody asks for it first.
pub(super) fn router() -> Router<Shared> {
    let written = Arc::new(LazyLock::new(write));
    let for_people = written.clone();
    let as_json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Router::new()
        .route("/openapi.json", get(async move || (as_json, written.json.clone())))
        .route("/docs", get(async move || Html(for_people.page.clone())))
}

fn write() -> Written {
    let mut description = super::description();
    complete(&mut description);
    let page = Bytes::from(page(&description).into_string());
    // It is made of texts and numbers: there is nothing in it that could not be written.
    let json = Bytes::from(serde_json::to_vec(&description).unwrap_or_default());
    Written { json, page }
}

/// The description for people: one page, without scripts.
fn page(description: &OpenApi) -> Markup {
    let tags: BTreeSet<&str> = operations(description).map(|(_, _, operation)| tag(operation)).collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Cofferdam API" }
                link rel="stylesheet" href=(crate::pages::stylesheet());
            }
            body.docs {
                main {
                    h1 { "Cofferdam API" }
                    @for paragraph in description.info.description.iter().flat_map(|text| text.split("\n\n")) {
                        p { (paragraph) }
                    }
                    p { "For programs: " a href="/openapi.json" { "openapi.json" } }
                    @for tag in &tags {
                        h2 { (tag) }
                        @for (path, method, operation) in operations(description) {
                            @if self::tag(operation) == *tag { (entry(path, method, operation)) }
                        }
                    }
                }
            }
        }
    }
}

/// What stands here itself, not elsewhere.
fn here<T>(item: &RefOr<T>) -> Option<&T> {
    match item {
        RefOr::T(item) => Some(item),
        RefOr::Ref(_) => None,
    }
}

fn tag(operation: &Operation) -> &str {
    operation.tags.as_ref().and_then(|tags| tags.first()).map_or("Other", String::as_str)
}

/// All operations with their path and method.
fn operations(description: &OpenApi) -> impl Iterator<Item = (&str, &'static str, &Operation)> {
    description.paths.paths.iter().flat_map(|(path, item)| {
        [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete)]
            .into_iter()
            .filter_map(move |(method, operation)| Some((path.as_str(), method, operation.as_ref()?)))
    })
}

fn entry(path: &str, method: &str, operation: &Operation) -> Markup {
    let parameters = operation.parameters.iter().flatten().filter_map(here);
    let body = operation.request_body.as_ref().and_then(here);
    let body = body.and_then(|body| body.content.values().next());
    let body = body.and_then(|content| serde_json::to_value(content).ok());
    let body =
        body.and_then(|content| Some(content["schema"]["$ref"].as_str()?.rsplit('/').next()?.to_owned()));
    html! {
        section {
            h3 { code { (method) " " (path) } }
            p { strong { (operation.summary.as_deref().unwrap_or_default()) } " " (operation.description.as_deref().unwrap_or_default()) }
            dl {
                @for parameter in parameters {
                    dt { code { (parameter.name) } }
                    dd { (parameter.description.as_deref().unwrap_or_default()) }
                }
                @if let Some(body) = body {
                    dt { "body" }
                    dd { code { (body) } }
                }
                @for (status, response) in &operation.responses.responses {
                    @if let Some(response) = here(response) {
                        @if status.starts_with('2') { dt { (status) } dd { (response.description) } }
                    }
                }
            }
        }
    }
}
