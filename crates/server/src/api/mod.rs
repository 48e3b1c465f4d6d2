//! The HTTP API, version 1. One file for each kind of thing. Routes parse and show; what is done is done in [`crate::actions`].

mod asked;
pub(crate) mod body;
mod deliveries;
pub(crate) mod events;
mod health;
mod letters;
mod me;
mod once;
mod openapi;
pub(crate) mod paging;
mod people;
mod results;
mod rules;
mod sessions;
mod steering;
mod traced;
pub(crate) mod view;

pub(crate) use body::{Asked, Named};
pub(crate) use deliveries::state as delivery_state;
pub(crate) use letters::state as letter_state;

use axum::Router;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    problem::{Kind, Problem},
    shared::Shared,
};

/// Where the API is.
pub(crate) const BASE: &str = "/api/v1";

/// All routes, with their description.
fn routes() -> OpenApiRouter<Shared> {
    let v1 = OpenApiRouter::new()
        .merge(sessions::routes())
        .merge(steering::routes())
        .merge(events::routes())
        .merge(results::routes())
        .merge(asked::routes())
        .merge(people::routes())
        .merge(rules::routes())
        .merge(letters::routes())
        .merge(deliveries::routes())
        .merge(me::routes());
    OpenApiRouter::with_openapi(openapi::frame()).nest(BASE, v1)
}

/// The API's routes, its description, and what is for whoever watches over the server.
pub(crate) fn router() -> Router<Shared> {
    let (router, description) = routes().split_for_parts();
    router.merge(openapi::router(description)).merge(health::router())
}

/// There is nothing here.
pub(crate) async fn unknown() -> Problem {
    Problem::not_found("page")
}

/// There is something here, but it has no such method.
pub(crate) async fn wrong_method() -> Problem {
    Problem::new(Kind::Method, "this address has no such method: the Allow header lists those that it has")
}
