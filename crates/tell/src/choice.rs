//! Whether people are told of an attempt that is ready: where one of them is to choose.

use cofferdam_domain::{EventBody, Seq, WaitingFor, attempt::Choose};
use cofferdam_gate::attempts::{AttemptFacts, Group, chosen_by_rule};
use cofferdam_store::{Everything, Letter, SessionFilter, StoreError};

/// Whether the attempt still waits, and for a person. Where the rule chooses, nobody has to do anything, unless all are through and it chooses none.
pub(crate) async fn is_for_people(store: &dyn Everything, letter: &Letter) -> Result<bool, StoreError> {
    let Some(session) = letter.session else { return Ok(false) };
    let row = store.session(None, session).await?;
    let Some(row) = row.filter(|row| row.waiting == Some(WaitingFor::Choice)) else { return Ok(false) };
    let first = store.read(session, Seq::START, 1).await?;
    let Some(EventBody::TaskAccepted { task }) = first.first().map(|event| &event.body) else {
        return Ok(false);
    };
    let Some(attempt) = task.attempt else { return Ok(false) };
    match attempt.choose {
        Choose::Ask => Ok(true),
        Choose::Best => {
            let filter = SessionFilter {
                org: Some(row.owner.org),
                attempt_of: Some(attempt.group),
                ..SessionFilter::default()
            };
            let mut all = Vec::new();
            for row in store.sessions(filter).await? {
                match store.log(row.id).await {
                    Ok(events) => all.extend(AttemptFacts::of(&events)),
                    Err(StoreError::UnknownSession(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let group = Group::new(all, false);
            Ok(group.is_complete() && group.decided().is_none() && chosen_by_rule(&group).is_none())
        }
    }
}
