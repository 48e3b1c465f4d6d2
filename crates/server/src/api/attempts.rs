//! Several attempts at one task: compared, and one of them chosen.

use axum::{Json, http::StatusCode};
use cofferdam_domain::SessionId;
use cofferdam_gate::attempts::{AttemptFacts, Group, ranked};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::{Body, Named, NoQuery},
    view::{ChooseView, Written},
};
use crate::{access::Signed, actions, problem::Problem};

super::resources! {
    (compare_attempts),
    (choose_attempt),
}

/// All attempts at a task, by what the platform saw of each.
#[derive(Debug, Serialize, ToSchema)]
struct Comparison {
    /// The first of them
    #[schema(value_type = String)]
    group: SessionId,
    /// How many there were to be; those that were deleted are not among `attempts`
    of: u16,
    /// Who chooses
    choose: ChooseView,
    /// Whether all are through: ready to be chosen, or ended
    complete: bool,
    /// The one that was chosen, if one was
    #[schema(value_type = Option<String>)]
    chosen: Option<SessionId>,
    /// Who chose it
    chosen_by: Option<String>,
    /// The attempts, the best first
    attempts: Vec<AttemptView>,
}

/// One attempt. Nothing of it was said by an agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
struct AttemptView {
    /// The session
    #[schema(value_type = String)]
    session: SessionId,
    /// Which attempt, counted from 1
    number: u16,
    /// How it stands: `at work`, `ready`, `chosen`, `passed over`, or how it ended
    standing: String,
    /// The head commit that is ready; a choice names it
    commit: Option<String>,
    /// What the tests show before and after the change, in one word
    tests: String,
    /// Tests that failed before and pass now
    fail_to_pass: u64,
    /// Tests that pass before and now
    pass_to_pass: u64,
    /// Tests that passed before and fail now
    pass_to_fail: u64,
    /// Findings of the gate that hold it back
    blocking: u64,
    /// Findings that a reviewer must look at first
    warnings: u64,
    /// Other findings
    notes: u64,
    /// Files that differ
    files: u64,
    /// Lines added
    added: u64,
    /// Lines removed
    removed: u64,
    /// Whether a limit ended the work, or the agent gave up
    cut_short: bool,
    /// How many answers the model has given
    steps: u32,
    /// Tokens, in and out
    tokens: u64,
    /// What it has cost, in millionths of a US dollar
    cost: u64,
    /// Milliseconds from the task to what is ready, or to the end
    millis: u64,
    /// The model, as provider and name
    model: Option<String>,
}

impl From<&AttemptFacts> for AttemptView {
    fn from(facts: &AttemptFacts) -> Self {
        let tests = &facts.tests;
        let headline = serde_json::to_value(tests.headline).ok();
        let headline = headline.and_then(|name| name.as_str().map(str::to_owned));
        Self {
            session: facts.session,
            number: facts.attempt.number,
            standing: facts.in_words(),
            commit: facts.ready().map(str::to_owned),
            tests: headline.unwrap_or_default(),
            fail_to_pass: tests.fail_to_pass.len() as u64,
            pass_to_pass: tests.pass_to_pass,
            pass_to_fail: tests.pass_to_fail.len() as u64,
            blocking: facts.blocking,
            warnings: facts.warnings,
            notes: facts.notes,
            files: facts.stat.files,
            added: facts.stat.added,
            removed: facts.stat.removed,
            cut_short: facts.cut_short,
            steps: facts.steps,
            tokens: facts.tokens,
            cost: facts.cost,
            millis: facts.millis,
            model: facts.model.clone(),
        }
    }
}

impl Comparison {
    fn of(session: SessionId, group: &Group) -> Self {
        let attempt = group.of(session).map(|facts| facts.attempt);
        let decided = group.decided();
        Self {
            group: attempt.map_or(session, |attempt| attempt.group),
            of: attempt.map_or(0, |attempt| attempt.of),
            choose: attempt.map(|attempt| attempt.choose).unwrap_or_default().into(),
            complete: group.is_complete(),
            chosen: decided.map(|decided| decided.chosen),
            chosen_by: decided.map(|decided| decided.by.clone()),
            attempts: ranked(group).into_iter().map(Into::into).collect(),
        }
    }
}

/// Compare the attempts at a task
///
/// Of any of the attempts; the best first, by what the platform saw.
#[utoipa::path(
    get,
    path = "/sessions/{id}/attempts",
    tag = "Results",
    params(("id" = String, Path, description = "One of the attempts")),
    responses((status = 200, description = "Facts, not the agents' words", body = Comparison))
)]
async fn compare_attempts(
    signed: Signed,
    Named(session): Named<SessionId>,
) -> Result<Json<Comparison>, Problem> {
    let group = actions::attempts(&signed, session).await?;
    Ok(Json(Comparison::of(session, &group)))
}

/// Which attempt, as it was looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Chosen {
    /// The head commit that was looked at
    #[schema(min_length = 1, max_length = 600)]
    commit: String,
}

/// Choose an attempt
///
/// It is delivered, and the others are not. The answer names the event in the log of the first attempt, from which all others are told.
#[utoipa::path(
    post,
    path = "/sessions/{id}/choose",
    tag = "Steering",
    request_body = Chosen,
    params(("id" = String, Path, description = "The attempt")),
    responses((status = 202, description = "It is in the log of the first attempt", body = Written))
)]
async fn choose_attempt(
    signed: Signed,
    Named(session): Named<SessionId>,
    _: NoQuery,
    body: Body<Chosen>,
) -> Result<(StatusCode, Json<Written>), Problem> {
    let seq = actions::choose(&signed, session, &body.value.commit).await?;
    Ok((StatusCode::ACCEPTED, Json(Written { seq })))
}
