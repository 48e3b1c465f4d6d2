//! A session is steered while it runs.

use cofferdam_domain::{
    Event, EventBody, Label, Outcome, PullRequestState, SandboxId, Seq, SessionId, WaitingFor, effective,
    quotation::{self, Apart},
};

use super::{append, append_all, begin::no_way_back, conflict, events, standing, still_going};
use crate::{access::Signed, problem::Problem};

/// Writes to the session. The agent reads it before the model is asked again; one that has ended begins a new turn.
pub(crate) async fn message(signed: &Signed, session: SessionId, text: String) -> Result<Seq, Problem> {
    let text = super::text("message", text)?;
    let standing = standing(signed, session).await?;
    let closed = standing.pull_request.as_ref().map(|pull_request| &pull_request.state);
    if let Some(PullRequestState::Merged { .. } | PullRequestState::Closed) = closed {
        return Err(conflict(format!(
            "the pull request of {session} is merged or closed: begin another session"
        )));
    }
    if standing.cancelled {
        return Err(conflict(format!("{session} was cancelled: begin another session, or fork it")));
    }
    if standing.passed_over {
        return Err(conflict(format!(
            "another attempt than {session} was chosen: begin another session, or fork this one"
        )));
    }
    let (from, Apart { own, quoted }) = (signed.name(), quotation::apart(&text));
    let quoted = quotation::told(&from, &quoted);
    let message = EventBody::MessageReceived { from, text: own, label: Label::REQUESTER, about: None };
    append_all(signed, session, quoted.into_iter().chain([message]).collect()).await
}

/// Asks it to wait.
pub(crate) async fn pause(signed: &Signed, session: SessionId) -> Result<Seq, Problem> {
    let standing = standing(signed, session).await?;
    still_going(&standing, session)?;
    if standing.paused {
        return Err(conflict(format!("{session} is paused already")));
    }
    append(signed, session, EventBody::PauseAsked { by: signed.name() }).await
}

/// Lets it go on: after a pause, without the answer that it waits for, past a budget or a limit.
pub(crate) async fn go_on(signed: &Signed, session: SessionId) -> Result<Seq, Problem> {
    let standing = standing(signed, session).await?;
    let stopped = matches!(standing.outcome, Some(Outcome::Stopped { .. }));
    if standing.waiting().is_none() && !stopped {
        return Err(conflict(format!("{session} does not wait for anybody")));
    }
    if standing.waiting() == Some(WaitingFor::Choice) {
        return Err(conflict(format!(
            "{session} waits to be chosen: choose it or another attempt, or write to it to have more done"
        )));
    }
    if standing.plan.as_ref().is_some_and(|plan| plan.decision.is_none()) && !standing.paused {
        return Err(conflict(format!(
            "{session} waits for a decision about its plan: approve or reject that"
        )));
    }
    append(signed, session, EventBody::ContinueAsked { by: signed.name() }).await
}

/// Ends it.
pub(crate) async fn cancel(signed: &Signed, session: SessionId) -> Result<Seq, Problem> {
    let standing = standing(signed, session).await?;
    still_going(&standing, session)?;
    if standing.cancelled {
        return Err(conflict(format!("{session} is being cancelled already")));
    }
    append(signed, session, EventBody::CancelAsked { by: signed.name() }).await
}

/// Takes it back to an event, and tells the agent what to do instead.
pub(crate) async fn roll_back(
    signed: &Signed,
    session: SessionId,
    to: Seq,
    instruction: Option<String>,
) -> Result<Seq, Problem> {
    let instruction = instruction.map(|text| super::text("instruction", text)).transpose()?;
    let log = events(signed, session).await?;
    effective::check_roll_back(&log, to).map_err(no_way_back)?;
    let decided = |event: &Event| {
        matches!(event.body, EventBody::AttemptChosen { .. } | EventBody::AttemptPassedOver { .. })
    };
    if log.iter().any(decided) {
        return Err(conflict(format!(
            "one of the attempts of which {session} is one was chosen, which cannot be taken back: write to that one what to change, or fork this one"
        )));
    }
    append(signed, session, EventBody::RolledBack { to, by: signed.name(), instruction }).await
}

/// Freezes its sandbox, to be looked at.
pub(crate) async fn freeze(signed: &Signed, session: SessionId) -> Result<Seq, Problem> {
    let standing = standing(signed, session).await?;
    still_going(&standing, session)?;
    let Some(sandbox) = standing.sandbox.filter(|_| standing.frozen.is_none()) else {
        return Err(conflict(format!("{session} has no sandbox that could be frozen: cancel it to stop it")));
    };
    let reason = format!("{} wants to look at it", signed.name());
    append(signed, session, EventBody::SandboxFrozen { sandbox, reason }).await
}

/// Lets it go on after its sandbox was frozen.
pub(crate) async fn release(signed: &Signed, session: SessionId) -> Result<Seq, Problem> {
    let sandbox: Option<SandboxId> = standing(signed, session).await?.frozen;
    let Some(sandbox) = sandbox else {
        return Err(conflict(format!("{session} is not frozen")));
    };
    append(signed, session, EventBody::SandboxReleased { sandbox, by: signed.name() }).await
}
