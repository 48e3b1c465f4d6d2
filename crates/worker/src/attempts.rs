//! What concerns all attempts at one task. Each is a session that knows nothing of the others; who works on one sees, before letting go of it,
//! whether all are through, and tells all of a choice. It is told log by log, in an order and under conditions that make it the same whoever tells it and
//! how often (`gate/src/attempts/verdict.rs`), so that a crash at any place leaves nothing undone: a session is given back only after that.

use std::sync::Arc;

use cofferdam_agent::Agent;
use cofferdam_domain::{Attempt, OrgId, SessionId, SessionState, Timestamp, WaitingFor, attempt::Choose};
use cofferdam_gate::attempts::{AttemptFacts, Group, Word};
use cofferdam_store::{SessionFilter, SessionRow, Store, StoreError, Writer};

use crate::{WorkerError, log::now, patience::patiently};

/// How long whoever makes the attempts may take for all of them, in milliseconds. It takes moments; one that died while it did so may be asked once more under
/// the same key, and makes the rest then.
const MOST_MAKING: u64 = 10 * 60 * 1000;

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

/// Sees whether all attempts are through now, and tells them what follows from that. Gives the time at which that is to be looked at anew, where the rule
/// chooses and some were never made: whoever makes them may still do so until then.
pub(crate) async fn after_work(
    store: &Arc<dyn Store>,
    org: OrgId,
    before: Option<Turnout>,
    agent: &Agent,
) -> Result<Option<Timestamp>, WorkerError> {
    let (Some(before), Some(after)) = (before, Turnout::of(agent)) else { return Ok(None) };
    if !after.concerns_others(before) || !after.decided && !all_through(store, org, after.attempt).await? {
        return Ok(None);
    }
    conclude(store, org, after.attempt).await?;
    if after.decided { Ok(None) } else { made_until(store, org, after.attempt).await }
}

/// Until when others of a group may still be made, where some are missing.
async fn made_until(
    store: &Arc<dyn Store>,
    org: OrgId,
    attempt: Attempt,
) -> Result<Option<Timestamp>, WorkerError> {
    let rows = rows(store, org, attempt).await?;
    if !are_missing(store, attempt, &rows).await? {
        return Ok(None);
    }
    Ok(began(&rows).map(|began| Timestamp(began.0.saturating_add(MOST_MAKING))))
}

/// When the first of them was made.
fn began(rows: &[SessionRow]) -> Option<Timestamp> {
    rows.iter().map(|row| row.created).min()
}

/// Whether some may still be made: they are not there, were not deleted, and whoever makes them has not taken too long.
async fn are_missing(
    store: &Arc<dyn Store>,
    attempt: Attempt,
    rows: &[SessionRow],
) -> Result<bool, WorkerError> {
    if began(rows).is_none_or(|began| now().millis_since(began) >= MOST_MAKING) {
        return Ok(false);
    }
    for one in Attempt::all(attempt.group, attempt.of, attempt.choose) {
        let session = one.session();
        let is_there = rows.iter().any(|row| row.id == session);
        if !is_there && !patiently(|| store.was_forgotten(session)).await? {
            return Ok(true);
        }
    }
    Ok(false)
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
    Ok(Group::new(facts, are_missing(store, attempt, &rows).await?))
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
            Ok(_) => match known(store, session).await? {
                Some(facts) => group.renew(facts),
                None => group.remove(session),
            },
            // Something was said there meanwhile: the same by somebody else, or another choice, where the attempt that knew of this one was deleted.
            Err(StoreError::Behind { .. }) => group = attempts(store, org, attempt).await?,
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
