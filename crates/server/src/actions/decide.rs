//! People decide, each time about exactly what they were shown.

use cofferdam_domain::{
    CallId, Digest, EventBody, Seq, SessionId, Timestamp, egress::Access, event::PlanDecision,
};

use super::{append, conflict, meaningless, standing, still_going};
use crate::{access::Signed, problem::Problem};

/// What was decided about a request for access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It may pass, until then if not to the end of the session.
    Grant {
        /// Until when.
        until: Option<Timestamp>,
    },
    /// It may not.
    Deny,
}

/// The longest that access is granted for at once: 30 days, in milliseconds.
const MAX_ACCESS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Decides about the request for access whose rule has this digest.
pub(crate) async fn decide_access(
    signed: &Signed,
    session: SessionId,
    rule: Digest,
    decision: Decision,
) -> Result<Seq, Problem> {
    let standing = standing(signed, session).await?;
    if standing.cancelled {
        return Err(conflict(format!(
            "{session} was cancelled: nothing that it asked for can be decided any more"
        )));
    }
    // What is decided after the end is not counted when it goes on: it asks again.
    still_going(&standing, session)?;
    let asked = standing.asked(rule);
    let access = match asked {
        None => return Err(Problem::not_found("request for access")),
        Some(access) if access.decided.is_some() => {
            return Err(conflict("somebody has decided about this already"));
        }
        Some(access) => access,
    };
    let (granted, until) = match decision {
        Decision::Grant { until } => (true, until),
        Decision::Deny => (false, None),
    };
    let now = signed.now();
    if until.is_some_and(|until| until <= now || until.millis_since(now) > MAX_ACCESS) {
        return Err(meaningless(
            "the access would end in the past, or in more than 30 days: give another time",
        ));
    }
    let decided = Access { call: access.ask.call, rule, granted, by: signed.name(), until };
    append(signed, session, EventBody::AccessDecided(decided)).await
}

/// Answers a question.
pub(crate) async fn answer(
    signed: &Signed,
    session: SessionId,
    call: CallId,
    text: String,
) -> Result<Seq, Problem> {
    let text = super::text("answer", text)?;
    let standing = standing(signed, session).await?;
    still_going(&standing, session)?;
    match standing.questions.iter().rev().find(|question| question.call == call) {
        None => Err(meaningless(format!("{session} has asked no question {call}"))),
        Some(question) if !question.is_open() => {
            Err(conflict("the question does not wait for an answer any more"))
        }
        Some(_) => {
            append(signed, session, EventBody::QuestionAnswered { call, by: signed.name(), text }).await
        }
    }
}

/// Decides about the plan whose text has this digest.
pub(crate) async fn decide_plan(
    signed: &Signed,
    session: SessionId,
    digest: Digest,
    decision: PlanDecision,
) -> Result<Seq, Problem> {
    let decision = match decision {
        PlanDecision::Approved { text: None } => PlanDecision::Approved { text: None },
        PlanDecision::Approved { text: Some(text) } => {
            PlanDecision::Approved { text: Some(super::text("plan", text)?) }
        }
        PlanDecision::Rejected { text } => PlanDecision::Rejected { text: super::text("reason", text)? },
    };
    let standing = standing(signed, session).await?;
    still_going(&standing, session)?;
    let Some(plan) = &standing.plan else {
        return Err(conflict(format!("{session} has proposed no plan")));
    };
    if plan.digest != digest {
        return Err(conflict("the session has another plan by now: look at that before you decide"));
    }
    if plan.decision.is_some() {
        return Err(conflict("somebody has decided about this plan already"));
    }
    append(signed, session, EventBody::PlanDecided { digest, by: signed.name(), decision }).await
}
