//! Sessions are steered, and what they ask is answered.

use axum::{Json, http::StatusCode};
use cofferdam_domain::{CallId, Digest, Seq, SessionId, event::PlanDecision};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    body::{Body, Named, NoQuery},
    view::Written,
};
use crate::{access::Signed, actions, problem::Problem};

super::resources! {
    (send_message),
    (pause_session),
    (continue_session),
    (cancel_session),
    (roll_back_session),
    (freeze_session),
    (release_session),
    (answer_question),
    (decide_plan),
    (archive_session),
    (merge_pull_request),
    (close_pull_request),
}

type Done = Result<(StatusCode, Json<Written>), Problem>;

/// That it was written down. The work that follows is a worker's.
const fn accepted(seq: Seq) -> (StatusCode, Json<Written>) {
    (StatusCode::ACCEPTED, Json(Written { seq }))
}

/// Something that a person says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Text {
    /// What
    #[schema(min_length = 1, max_length = 65_536)]
    text: String,
}

/// Write to a session
///
/// The agent reads it before the model is asked again. A session that has ended begins a new turn. Lines that begin with `>` are a quotation: the
/// agent is told of them apart, as the words of anybody.
#[utoipa::path(
    post,
    path = "/sessions/{id}/messages",
    tag = "Steering",
    request_body = Text,
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn send_message(
    signed: Signed,
    Named(session): Named<SessionId>,
    _: NoQuery,
    body: Body<Text>,
) -> Done {
    Ok(accepted(actions::message(&signed, session, body.value.text).await?))
}

/// Pause a session
#[utoipa::path(
    post,
    path = "/sessions/{id}/pause",
    tag = "Steering",
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn pause_session(signed: Signed, Named(session): Named<SessionId>, _: NoQuery) -> Done {
    Ok(accepted(actions::pause(&signed, session).await?))
}

/// Continue a session
///
/// After a pause, without the answer that it waits for, past a budget or a limit.
#[utoipa::path(
    post,
    path = "/sessions/{id}/continue",
    tag = "Steering",
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn continue_session(signed: Signed, Named(session): Named<SessionId>, _: NoQuery) -> Done {
    Ok(accepted(actions::go_on(&signed, session).await?))
}

/// Cancel a session
#[utoipa::path(
    post,
    path = "/sessions/{id}/cancel",
    tag = "Steering",
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn cancel_session(signed: Signed, Named(session): Named<SessionId>, _: NoQuery) -> Done {
    Ok(accepted(actions::cancel(&signed, session).await?))
}

/// Where to go back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WayBack {
    /// The last event that counts
    #[schema(minimum = 1)]
    to: u64,
    /// What the agent is told to do instead
    #[schema(min_length = 1, max_length = 65_536)]
    instruction: Option<String>,
}

/// Roll a session back
///
/// What came after the event counts no more, and the files are as they were then.
#[utoipa::path(
    post,
    path = "/sessions/{id}/rollback",
    tag = "Steering",
    request_body = WayBack,
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn roll_back_session(
    signed: Signed,
    Named(session): Named<SessionId>,
    _: NoQuery,
    body: Body<WayBack>,
) -> Done {
    let WayBack { to, instruction } = body.value;
    Ok(accepted(actions::roll_back(&signed, session, Seq(to), instruction).await?))
}

/// Freeze a session's sandbox
#[utoipa::path(
    post,
    path = "/sessions/{id}/freeze",
    tag = "Steering",
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn freeze_session(signed: Signed, Named(session): Named<SessionId>, _: NoQuery) -> Done {
    Ok(accepted(actions::freeze(&signed, session).await?))
}

/// Release a session whose sandbox was frozen
#[utoipa::path(
    post,
    path = "/sessions/{id}/release",
    tag = "Steering",
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn release_session(signed: Signed, Named(session): Named<SessionId>, _: NoQuery) -> Done {
    Ok(accepted(actions::release(&signed, session).await?))
}

/// An answer to a question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reply {
    /// The call that asks, as `question_asked` names it
    #[schema(value_type = String, pattern = "^call_[0-9]+_[0-9]+$")]
    call: CallId,
    /// The answer
    #[schema(min_length = 1, max_length = 65_536)]
    text: String,
}

/// Answer a question of the agent's
#[utoipa::path(
    post,
    path = "/sessions/{id}/answers",
    tag = "Steering",
    request_body = Reply,
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn answer_question(
    signed: Signed,
    Named(session): Named<SessionId>,
    _: NoQuery,
    body: Body<Reply>,
) -> Done {
    let Reply { call, text } = body.value;
    Ok(accepted(actions::answer(&signed, session, call, text).await?))
}

/// A decision about a plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlanVerdict {
    /// The digest of the plan that was looked at
    #[schema(value_type = String, pattern = "^sha256:[0-9a-f]{64}$")]
    digest: Digest,
    /// Whether the agent may begin
    approve: bool,
    /// The plan as it should be, where it is approved otherwise than it was proposed; or what is wrong with it
    #[schema(min_length = 1, max_length = 65_536)]
    text: Option<String>,
}

/// Approve or reject a plan
#[utoipa::path(
    post,
    path = "/sessions/{id}/plan",
    tag = "Steering",
    request_body = PlanVerdict,
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn decide_plan(
    signed: Signed,
    Named(session): Named<SessionId>,
    _: NoQuery,
    body: Body<PlanVerdict>,
) -> Done {
    let PlanVerdict { digest, approve, text } = body.value;
    let decision = if approve {
        PlanDecision::Approved { text }
    } else {
        PlanDecision::Rejected { text: text.unwrap_or_default() }
    };
    Ok(accepted(actions::decide_plan(&signed, session, digest, decision).await?))
}

/// Whether a session is put away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Away {
    /// Away, or out again
    archived: bool,
}

/// Put a session away, or take it out again
#[utoipa::path(
    post,
    path = "/sessions/{id}/archive",
    tag = "Sessions",
    request_body = Away,
    params(("id" = String, Path, description = "The session")),
    responses((status = 204, description = "It is done"))
)]
async fn archive_session(
    signed: Signed,
    Named(session): Named<SessionId>,
    _: NoQuery,
    body: Body<Away>,
) -> Result<StatusCode, Problem> {
    actions::archive(&signed, session, body.value.archived).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What to merge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Head {
    /// The head commit that was looked at, its object id in hexadecimal
    #[schema(pattern = "^[0-9a-f]{40,64}$")]
    commit: String,
}

/// Merge a session's pull request
///
/// A worker does it, and `pull_request_closed` or `merge_failed` in the log says what came of it.
#[utoipa::path(
    post,
    path = "/sessions/{id}/merge",
    tag = "Results",
    request_body = Head,
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn merge_pull_request(
    signed: Signed,
    Named(session): Named<SessionId>,
    _: NoQuery,
    body: Body<Head>,
) -> Done {
    Ok(accepted(actions::merge(&signed, session, body.value.commit).await?))
}

/// Close a session's pull request without merging
#[utoipa::path(
    post,
    path = "/sessions/{id}/close",
    tag = "Results",
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It is in the session's log", body = Written))
)]
async fn close_pull_request(signed: Signed, Named(session): Named<SessionId>, _: NoQuery) -> Done {
    Ok(accepted(actions::close(&signed, session).await?))
}
