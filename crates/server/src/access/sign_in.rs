//! Browsers sign in by a link that holds once, or by OpenID Connect ([`super::openid`]), and out again. There are no passwords.
//!
//! Opening the link changes nothing: what looks into messages opens links too. Only the button on the page that it shows uses it up, and
//! that page must be the server's own, so that nobody signs anybody else in as themselves. Each time there is a new cookie, whatever the browser
//! sent (no session is fixed from outside).

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use cofferdam_domain::{Access, Actor, AuditId, OrgId, Timestamp, UserId};
use cofferdam_store::AuditEntry;

use super::{Signed, cookies::Cookie, openid, refuse_cross_site};
use crate::{
    problem::{Kind, Problem},
    proof::{self, Purpose},
    shared::Shared,
};

/// How long a browser stays signed in: a week, in seconds.
const STAY: u64 = 7 * 24 * 60 * 60;

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/sign-in/{secret}", post(use_link))
        .route("/sign-out", post(leave))
        .merge(openid::router())
}

/// Uses a link up.
async fn use_link(
    State(shared): State<Shared>,
    Path(secret): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    refuse_cross_site(&headers, shared.origin())?;
    let unusable = || {
        Problem::new(
            Kind::Forbidden,
            "this link was used before, or is too old: `cofferdam admin link` or an admin of your organisation makes another",
        )
    };
    let proof = proof::read(Purpose::Link, &secret).ok_or_else(unusable)?;
    let accepted = shared.store().accept_invitation(proof, shared.now()).await?;
    let (org, user) = accepted.ok_or_else(unusable)?;
    let cookie = begin(&shared, org, user, "link").await?;
    let mut response =
        (StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static("/"))]).into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Begins a stay. Gives the cookie.
pub(super) async fn begin(
    shared: &Shared,
    org: OrgId,
    user: UserId,
    by: &str,
) -> Result<HeaderValue, Problem> {
    let (secret, proof) = proof::generate(Purpose::Cookie)?;
    let now = shared.now();
    let expires = Timestamp(now.0.saturating_add(STAY * 1000));
    let sign_in = shared.store().sign_in(org, user, proof, now, expires).await?;
    let entry = AuditEntry {
        id: AuditId::generate(),
        at: now,
        by: user.to_string(),
        action: "signed_in".to_owned(),
        subject: sign_in.to_string(),
        detail: serde_json::json!({ "by": by }).to_string(),
    };
    shared.store().audit(org, entry).await?;
    Cookie::Stay.set(shared.origin(), secret.expose(), STAY)
}

/// Ends the stay of this browser.
async fn leave(signed: Signed) -> Result<Response, Problem> {
    let Actor { org, access, .. } = signed.actor();
    let Access::Browser(sign_in) = access else {
        return Err(Problem::new(Kind::Conflict, "a token is not signed in: revoke it to end it"));
    };
    signed.shared.store().sign_out(*org, *sign_in).await?;
    signed.shared.rights_changed();
    signed.tenant.audit("signed_out", &sign_in.to_string(), "{}", signed.now()).await?;
    let mut response =
        (StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static("/sign-in"))]).into_response();
    response.headers_mut().append(header::SET_COOKIE, Cookie::Stay.set(signed.shared.origin(), "", 0)?);
    Ok(response)
}
