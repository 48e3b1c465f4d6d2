//! No request is worked on forever.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{
    problem::{Kind, Problem},
    shared::Shared,
};

/// Answers that it took too long when the answer does not begin in time.
pub(crate) async fn answer_in_time(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(shared.limits().answer_time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            Kind::Unavailable,
            "the answer took too long; whatever was begun may still happen: look before you try again",
        )
        .into_response(),
    }
}
