//! A process's numbers where there is no server: for a worker.

use std::{io, net::IpAddr};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::watch};

use crate::{Numbers, shared::stopped};

/// Answers `/metrics` and `/healthz` until `stop` turns true. There is nothing in them that anybody may not know; still, a page in somebody's browser
/// cannot ask for them under a name of its own: only addresses and `localhost` are answered.
///
/// # Errors
/// When nothing can be taken from the listener any more.
pub async fn serve_numbers(
    listener: TcpListener,
    numbers: Numbers,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(show))
        .route("/healthz", get(|| async { "alive\n" }))
        .layer(middleware::from_fn(directed))
        .with_state(numbers);
    axum::serve(listener, router).with_graceful_shutdown(async move { stopped(&mut stop).await }).await
}

async fn show(State(numbers): State<Numbers>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (StatusCode::OK, kind, numbers()).into_response()
}

async fn directed(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']);
    if name == "localhost" || name.parse::<IpAddr>().is_ok() {
        return next.run(request).await;
    }
    (StatusCode::MISDIRECTED_REQUEST, "ask for this by address, or as localhost\n").into_response()
}
