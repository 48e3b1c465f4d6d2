//! The HTTP API, version 1. One file for each kind of thing. Routes parse and show; what is done is done in [`crate::actions`].

mod asked;
mod attempts;
mod audit;
pub(crate) mod body;
mod deliveries;
pub(crate) mod events;
mod health;
mod letters;
mod me;
mod memories;
mod once;
mod openapi;
pub(crate) mod paging;
mod people;
mod playbooks;
mod resources;
mod results;
mod rules;
mod sessions;
mod skills;
mod steering;
mod traced;
pub(crate) mod view;

pub(crate) use body::{Asked, Named};
pub(crate) use deliveries::state as delivery_state;
pub(crate) use letters::state as letter_state;

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use resources::resources;

use crate::{
    problem::{Kind, Problem},
    shared::Shared,
};

/// Where the API is.
pub(crate) const BASE: &str = "/api/v1";

/// Merges what each file of routes has under this name.
macro_rules! all {
    ($new:expr, $what:ident) => {
        $new.merge(sessions::$what())
            .merge(steering::$what())
            .merge(events::$what())
            .merge(results::$what())
            .merge(attempts::$what())
            .merge(asked::$what())
            .merge(people::$what())
            .merge(rules::$what())
            .merge(skills::$what())
            .merge(memories::$what())
            .merge(playbooks::$what())
            .merge(audit::$what())
            .merge(letters::$what())
            .merge(deliveries::$what())
            .merge(me::$what())
    };
}

/// The API's routes, its description, and what is for whoever watches over the server.
pub(crate) fn router() -> Router<Shared> {
    let v1 = all!(Router::new(), router);
    Router::new().nest(BASE, v1).merge(openapi::router()).merge(health::router())
}

/// The description of all routes.
fn description() -> OpenApi {
    let v1 = all!(OpenApiRouter::<Shared>::new(), described);
    OpenApiRouter::with_openapi(openapi::frame()).nest(BASE, v1).into_openapi()
}

/// There is nothing here.
pub(crate) async fn unknown() -> Problem {
    Problem::not_found("page")
}

/// There is something here, but it has no such method.
pub(crate) async fn wrong_method() -> Problem {
    Problem::new(Kind::Method, "this address has no such method: the Allow header lists those that it has")
}
