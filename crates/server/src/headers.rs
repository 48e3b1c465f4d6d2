//! What every answer says to browsers, and what every request must say about where it is meant to go.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{
    hooks,
    problem::{Kind, Problem},
    shared::Shared,
};

/// Nothing but what the server itself sends: no inline script or style, no frame around it, no form that leads elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
                      manifest-src 'self'";

/// The same for a page with a form that leads to another origin, and to that one alone.
pub(crate) fn policy_with_form_to(origin: &str) -> String {
    POLICY.replace("form-action 'self'", &format!("form-action 'self' {origin}"))
}

/// On every answer. An answer that has one of them keeps its own.
const HEADERS: [(&str, &str); 8] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// Puts them on an answer.
pub(crate) async fn secure(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        if !headers.contains_key(name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if shared.origin().is_secure() {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000; includeSubDomains"),
        );
    }
    response
}

/// Lets requests through that are meant for this server. Whoever watches over it may ask for its health by whatever address, and other programs,
/// which no browser can be made to be, may post by whichever reaches it.
pub(crate) async fn directed(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_health = matches!(path, "/healthz" | "/readyz") && request.method() == Method::GET;
    let is_posted = path.starts_with(hooks::BASE) && request.method() == Method::POST;
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next().map(HeaderValue::to_str), hosts.next()) {
        (Some(Ok(host)), None) => host,
        (_, _) => return Problem::new(Kind::Malformed, "send exactly one Host header").into_response(),
    };
    // A request that names its target whole (RFC 9112, section 3.2.2) is for that host, whatever else it says.
    let named = request.uri().authority().map_or(host, |authority| authority.as_str());
    if is_health || is_posted || shared.origin().is_host(host) && shared.origin().is_host(named) {
        return next.run(request).await;
    }
    Problem::new(
        Kind::Misdirected,
        format!(
            "this server is {}: use that address, or let its administrator change [server] origin",
            shared.origin()
        ),
    )
    .into_response()
}
