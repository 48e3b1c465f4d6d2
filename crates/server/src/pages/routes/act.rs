//! What the forms on a session's pages do: each one thing that the API can do too.

use axum::response::Response;
use cofferdam_domain::{CallId, Digest, SandboxId, Seq, SessionId, Timestamp, event::PlanDecision};
use serde::Deserialize;

use super::{
    answer::{to, to_session},
    fields::{Fields, optional, unix},
};
use crate::{
    access::Signed,
    actions::{self, Decision},
    api::Named,
    problem::{Kind, Problem},
};

/// A form with a text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    text: String,
}

pub(super) async fn message(
    signed: Signed,
    Named(id): Named<SessionId>,
    Fields(form): Fields<Text>,
) -> Result<Response, Problem> {
    actions::message(&signed, id, unix(form.text)).await?;
    Ok(to_session(id))
}

pub(super) async fn pause(signed: Signed, Named(id): Named<SessionId>) -> Result<Response, Problem> {
    actions::pause(&signed, id).await?;
    Ok(to_session(id))
}

pub(super) async fn go_on(signed: Signed, Named(id): Named<SessionId>) -> Result<Response, Problem> {
    actions::go_on(&signed, id).await?;
    Ok(to_session(id))
}

pub(super) async fn cancel(signed: Signed, Named(id): Named<SessionId>) -> Result<Response, Problem> {
    actions::cancel(&signed, id).await?;
    Ok(to_session(id))
}

pub(super) async fn freeze(signed: Signed, Named(id): Named<SessionId>) -> Result<Response, Problem> {
    actions::freeze(&signed, id).await?;
    Ok(to_session(id))
}

/// Which sandbox was looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Frozen {
    sandbox: SandboxId,
}

pub(super) async fn release(
    signed: Signed,
    Named(id): Named<SessionId>,
    Fields(form): Fields<Frozen>,
) -> Result<Response, Problem> {
    if actions::standing(&signed, id).await?.frozen != Some(form.sandbox) {
        return Err(Problem::new(
            Kind::Conflict,
            "another sandbox is frozen by now, or none: look at the session again",
        ));
    }
    actions::release(&signed, id).await?;
    Ok(to_session(id))
}

/// Whether to put it away.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Archived {
    archived: bool,
}

pub(super) async fn archive(
    signed: Signed,
    Named(id): Named<SessionId>,
    Fields(form): Fields<Archived>,
) -> Result<Response, Problem> {
    actions::archive(&signed, id, form.archived).await?;
    Ok(to_session(id))
}

/// The answer to a question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    call: CallId,
    text: String,
}

pub(super) async fn answer(
    signed: Signed,
    Named(id): Named<SessionId>,
    Fields(form): Fields<Answer>,
) -> Result<Response, Problem> {
    actions::answer(&signed, id, form.call, unix(form.text)).await?;
    Ok(to_session(id))
}

/// What was decided about a plan. The digest is that of the text that was shown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    digest: Digest,
    decision: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    reason: String,
}

pub(super) async fn plan(
    signed: Signed,
    Named(id): Named<SessionId>,
    Fields(form): Fields<Plan>,
) -> Result<Response, Problem> {
    let Plan { digest, decision, text, reason } = form;
    let decision = match decision.as_str() {
        // Unless it was changed, it is approved as it stands: what was shown, by its digest, not what came back from a browser.
        "approve" => {
            let standing = actions::standing(&signed, id).await?;
            let shown = standing.plan.map(|plan| plan.text).unwrap_or_default();
            let changed = optional(text).filter(|text| text.trim() != unix(shown).trim());
            PlanDecision::Approved { text: changed }
        }
        "reject" => PlanDecision::Rejected { text: unix(reason) },
        _other => return Err(unknown_decision()),
    };
    actions::decide_plan(&signed, id, digest, decision).await?;
    Ok(to_session(id))
}

fn unknown_decision() -> Problem {
    Problem::new(Kind::Malformed, "this is no decision: use the buttons of the page")
}

/// What was decided about a request for access. The call says which request it was; the digest, in the path, what was asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Access {
    call: CallId,
    decision: String,
    /// For how many minutes, if not to the end of the session.
    #[serde(default)]
    minutes: String,
}

/// The longest time for which access is granted, in minutes: a year.
const MOST_MINUTES: u64 = 366 * 24 * 60;

/// Until when access is granted.
fn until(minutes: &str, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    if minutes.is_empty() {
        return Ok(None);
    }
    let minutes = minutes.parse().ok().filter(|minutes| (1..=MOST_MINUTES).contains(minutes));
    let minutes = minutes
        .ok_or_else(|| Problem::new(Kind::Meaningless, "access is granted for 1 minute to 366 days"))?;
    Ok(Some(Timestamp(now.0.saturating_add(minutes * 60_000))))
}

pub(super) async fn access(
    signed: Signed,
    Named((id, rule)): Named<(SessionId, Digest)>,
    Fields(form): Fields<Access>,
) -> Result<Response, Problem> {
    let decision = match form.decision.as_str() {
        "grant" => Decision::Grant { until: until(&form.minutes, signed.now())? },
        "deny" => Decision::Deny,
        _other => return Err(unknown_decision()),
    };
    let mut asked = actions::standing(&signed, id).await?.accesses.into_iter();
    let open = asked.any(|access| {
        access.ask.call == form.call && access.ask.digest() == rule && access.decided.is_none()
    });
    if !open {
        return Err(Problem::new(
            Kind::Conflict,
            "this request does not wait for a decision any more: look at the session again",
        ));
    }
    actions::decide_access(&signed, id, rule, decision).await?;
    Ok(to_session(id))
}

/// Where to go back to, what to do instead, and with which model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Back {
    to: u64,
    #[serde(default)]
    instruction: String,
    #[serde(default)]
    model: String,
}

pub(super) async fn roll_back(
    signed: Signed,
    Named(id): Named<SessionId>,
    Fields(form): Fields<Back>,
) -> Result<Response, Problem> {
    if !form.model.is_empty() {
        return Err(Problem::new(Kind::Meaningless, "a session keeps its model: fork it to use another one"));
    }
    actions::roll_back(&signed, id, Seq(form.to), optional(form.instruction)).await?;
    Ok(to_session(id))
}

pub(super) async fn fork(
    signed: Signed,
    Named(id): Named<SessionId>,
    Fields(form): Fields<Back>,
) -> Result<Response, Problem> {
    let new = SessionId::generate();
    let (model, instruction) = (optional(form.model), optional(form.instruction));
    let forked = actions::fork(&signed, id, new, Seq(form.to), model, instruction).await?;
    Ok(to_session(forked))
}

/// The commit that was looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Merge {
    commit: String,
}

pub(super) async fn merge(
    signed: Signed,
    Named(id): Named<SessionId>,
    Fields(form): Fields<Merge>,
) -> Result<Response, Problem> {
    actions::merge(&signed, id, form.commit).await?;
    Ok(to(&format!("/sessions/{id}/pull-request")))
}

pub(super) async fn close(signed: Signed, Named(id): Named<SessionId>) -> Result<Response, Problem> {
    actions::close(&signed, id).await?;
    Ok(to(&format!("/sessions/{id}/pull-request")))
}
