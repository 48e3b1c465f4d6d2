//! What agents ask to be let out of their sandboxes, and what people decide about it.

use axum::{Json, http::StatusCode};
use cofferdam_domain::{Digest, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::{Body, Named, NoQuery},
    view::{AccessView, Written},
};
use crate::{
    access::Signed,
    actions::{self, Decision},
    problem::Problem,
};

super::resources! {
    (list_access),
    (decide_access),
}

/// All requests of a session.
#[derive(Debug, Serialize, ToSchema)]
struct AccessList {
    /// In the order in which they were made
    requests: Vec<AccessView>,
}

/// List what an agent asks to be let out
#[utoipa::path(
    get,
    path = "/sessions/{id}/access",
    tag = "Approvals",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "With what was decided", body = AccessList))
)]
async fn list_access(signed: Signed, Named(session): Named<SessionId>) -> Result<Json<AccessList>, Problem> {
    let standing = actions::standing(&signed, session).await?;
    let json = |error: serde_json::Error| Problem::internal(&error);
    let requests = standing.accesses.into_iter().map(|access| {
        Ok(AccessView {
            id: access.ask.call,
            digest: access.ask.digest(),
            rule: serde_json::to_value(&access.ask.rule).map_err(json)?,
            reason: access.ask.reason,
            decided: access.decided.map(serde_json::to_value).transpose().map_err(json)?,
        })
    });
    Ok(Json(AccessList { requests: requests.collect::<Result<_, Problem>>()? }))
}

/// A decision about exactly one rule.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Verdict {
    /// Whether it may pass
    grant: bool,
    /// Until when, in milliseconds since 1970; to the end of the session where it is not said
    #[schema(value_type = Option<u64>)]
    until: Option<Timestamp>,
}

/// Which rule.
#[derive(Debug, Deserialize)]
struct Which {
    id: SessionId,
    digest: Digest,
}

/// Grant or deny access
///
/// The decision is bound to the digest of the rule: it is about exactly what was shown.
#[utoipa::path(
    post,
    path = "/sessions/{id}/access/{digest}",
    tag = "Approvals",
    request_body = Verdict,
    params(
        ("id" = String, Path, description = "The session"),
        ("digest" = String, Path, description = "The digest of the rule")
    ),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn decide_access(
    signed: Signed,
    Named(which): Named<Which>,
    _: NoQuery,
    body: Body<Verdict>,
) -> Result<(StatusCode, Json<Written>), Problem> {
    let Verdict { grant, until } = body.value;
    let decision = if grant { Decision::Grant { until } } else { Decision::Deny };
    let seq = actions::decide_access(&signed, which.id, which.digest, decision).await?;
    Ok((StatusCode::ACCEPTED, Json(Written { seq })))
}
