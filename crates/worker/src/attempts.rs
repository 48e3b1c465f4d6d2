//! What concerns all attempts at one task. Each is a session that knows nothing of the others; who works on one sees, before letting go of it,
//! whether all are through, and tells all of a choice. It is told log by log, in an order and under conditions that make it the same whoever tells it and
//! how often (`gate/src/attempts/verdict.rs`), so that a crash at any place leaves nothing undone: a session is given back only after that.

use std::sync::Arc;

use cofferdam_agent::Agent;
use cofferdam_domain::{Attempt, OrgId, SessionId, SessionState, WaitingFor, attempt::Choose};
use cofferdam_gate::attempts::{AttemptFacts, Group, Word};
use cofferdam_store::{SessionFilter, SessionRow, Store, StoreError, Writer};

use crate::{WorkerError, log::now, patience::patiently};

/// Which attempt a session is, and whether it is decided which one is delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turnout {
    attempt: Attempt,
    decided: bool,
}

impl Turnout {
    /// As a log says.
    pub(crate) fn of(agent: &Agent) -> Option<Self> {
        Some(Self { attempt: agent.attempt()?, decided: agent.is_decided() })
    }

    /// Whether others may have to be told something now that was not known `before`.
    const fn concerns_others(self, before: Self) -> bool {
        if self.decided { !before.decided } else { matches!(self.attempt.choose, Choose::Best) }
    }
}

/// Tells the other attempts what is known of a choice before this one is worked on.
pub(crate) async fn before_work(
    store: &Arc<dyn Store>,
    org: OrgId,
    agent: &Agent,
) -> Result<Option<Turnout>, WorkerError> {
    let Some(turnout) = Turnout::of(agent) else { return Ok(None) };
    if turnout.decided {
        conclude(store, org, turnout.attempt).await?;
    }
    Ok(Some(turnout))
}

/// Sees whether all attempts are through now, and tells them what follows from that.
pub(crate) async fn after_work(
    store: &Arc<dyn Store>,
    org: OrgId,
    before: Option<Turnout>,
    agent: &Agent,
) -> Result<(), WorkerError> {
    match (before, Turnout::of(agent)) {
        (Some(before), Some(after)) if after.concerns_others(before) => {
            if after.decided || all_through(store, org, after.attempt).await? {
                conclude(store, org, after.attempt).await?;
            }
            Ok(())
        }
        (_, _) => Ok(()),
    }
}

/// All attempts that a session is one of, as their logs say.
///
/// # Errors
/// When the store cannot be read.
pub async fn attempts(store: &Arc<dyn Store>, org: OrgId, attempt: Attempt) -> Result<Group, WorkerError> {
    let rows = rows(store, org, attempt).await?;
    let mut facts = Vec::new();
    for row in &rows {
        facts.extend(known(store, row.id).await?);
    }
    let mut unmade = false;
    for one in Attempt::all(attempt.group, attempt.of, attempt.choose) {
        let session = one.session();
        unmade |=
            !rows.iter().any(|row| row.id == session) && !patiently(|| store.was_forgotten(session)).await?;
    }
    Ok(Group::new(facts, unmade))
}

/// Tells all attempts which one is chosen, where one is or the rule chooses now.
///
/// # Errors
/// When the store fails.
pub async fn conclude(store: &Arc<dyn Store>, org: OrgId, attempt: Attempt) -> Result<(), WorkerError> {
    let mut group = attempts(store, org, attempt).await?;
    while let Some(Word { session, after, body }) = group.next_word() {
        let said = patiently(|| store.append(session, Writer::Reader { after }, now(), vec![body.clone()]));
        match said.await {
            // Something was said there meanwhile, it may be the same by somebody else.
            Ok(_) | Err(StoreError::Behind { .. }) => match known(store, session).await? {
                Some(facts) => group.renew(facts),
                None => group.remove(session),
            },
            Err(StoreError::UnknownSession(_)) => group.remove(session),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The rows of those that there are.
async fn rows(store: &Arc<dyn Store>, org: OrgId, attempt: Attempt) -> Result<Vec<SessionRow>, WorkerError> {
    let filter =
        SessionFilter { org: Some(org), attempt_of: Some(attempt.group), ..SessionFilter::default() };
    Ok(patiently(|| store.sessions(filter.clone())).await?)
}

/// Whether all that there are are through, as their rows say: which costs less to find out than what is in their logs.
async fn all_through(store: &Arc<dyn Store>, org: OrgId, attempt: Attempt) -> Result<bool, WorkerError> {
    let is_through =
        |row: &SessionRow| row.state == SessionState::Ended || row.waiting == Some(WaitingFor::Choice);
    Ok(rows(store, org, attempt).await?.iter().all(is_through))
}

/// What the log of an attempt says; `None` where it is gone.
async fn known(store: &Arc<dyn Store>, session: SessionId) -> Result<Option<AttemptFacts>, WorkerError> {
    match patiently(|| store.log(session)).await {
        Ok(events) => Ok(AttemptFacts::of(&events)),
        Err(StoreError::UnknownSession(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
