//! Which events of a log count: all but those that somebody has taken the session back from.
//!
//! A log only ever grows. [`EventBody::RolledBack`] says that what stands after an earlier event counts no more; that event itself counts, and
//! so does what follows it. Everything that reads a log for what the session *is* (the agent, the worker, the pages) looks at what counts;
//! the audit looks at all.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Attempt, BlobRef, Event, EventBody, Seq, SessionId};

/// Why a session cannot be taken back to a place in its log, or be forked there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWayBack {
    /// There is no event with that number, or it counts no more.
    #[error("event {} is not one to go back to: take the number of an event or checkpoint that still counts", .0.0)]
    Unknown(Seq),
    /// What was published since cannot be taken back.
    #[error(
        "the branch was pushed after event {}: what is published cannot be taken back; write to the session what to change instead",
        .0.0
    )]
    Published(Seq),
    /// It is a copy of another session's.
    #[error("event {} happened in the session that this one was forked from: fork that one again", .0.0)]
    BeforeFork(Seq),
    /// There was a turn before.
    #[error("only the first turn of a session can be forked, and event {} is after its end", .0.0)]
    LaterTurn(Seq),
}

/// The events that count, in order.
#[must_use]
pub fn effective(events: &[Event]) -> Vec<&Event> {
    let mut kept: Vec<&Event> = Vec::with_capacity(events.len());
    for event in events {
        if let EventBody::RolledBack { to, .. } = &event.body
            && let Ok(rest) = way_back(&kept, *to)
        {
            kept.truncate(rest);
        }
        kept.push(event);
    }
    kept
}

/// Whether the session can be taken back to the event `to`.
///
/// # Errors
/// When it cannot; says why.
pub fn check_roll_back(events: &[Event], to: Seq) -> Result<(), NoWayBack> {
    way_back(&effective(events), to).map(drop)
}

/// The first events of another session that goes on from the event `at` of this one: copies of what counts up to there, and the event that
/// says so.
///
/// # Errors
/// When there is no such event, something was published before it, or it is in a later turn.
pub fn fork(events: &[Event], at: Seq, fork: Fork) -> Result<Vec<EventBody>, NoWayBack> {
    let counting = effective(events);
    let last = counting.iter().position(|event| event.seq == at).ok_or(NoWayBack::Unknown(at))?;
    let copied = counting.get(..=last).unwrap_or_default();
    let first = copied.first().ok_or(NoWayBack::Unknown(at))?;
    if let Some(published) = copied.iter().find(|event| publishes(&event.body)) {
        return Err(NoWayBack::Published(published.seq));
    }
    let before = copied.get(..last).unwrap_or_default();
    let over = |event: &&Event| {
        matches!(event.body, EventBody::SessionEnded { .. } | EventBody::AttemptReady { .. })
    };
    if before.iter().any(over) {
        return Err(NoWayBack::LaterTurn(at));
    }
    let Fork { by, model, instruction, attempt } = fork;
    let forked = EventBody::Forked { from: first.session, at, by, model, instruction };
    let stored = stored_later(events, copied);
    let copies = copied.iter().map(|event| copy(&event.body, attempt));
    Ok(copies.chain(stored).chain([forked]).collect())
}

/// An event as a fork has it: which attempt a session is, is not what another one is that was forked from it.
fn copy(body: &EventBody, attempt: Option<Attempt>) -> EventBody {
    let EventBody::TaskAccepted { task } = body else { return body.clone() };
    let task = task.clone();
    EventBody::TaskAccepted {
        task: match attempt {
            Some(attempt) => task.attempted(attempt),
            None => task.alone(),
        },
    }
}

/// What says where the files of copied checkpoints are, and is not among what is copied: it may have been said later.
fn stored_later(events: &[Event], copied: &[&Event]) -> Vec<EventBody> {
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    for event in copied {
        if let EventBody::Checkpointed { snapshot, .. } = &event.body {
            wanted.insert(snapshot);
        } else if let EventBody::CheckpointStored { snapshot, .. } = &event.body {
            wanted.remove(&**snapshot);
        }
    }
    let mut stored = Vec::new();
    for event in events {
        if let EventBody::CheckpointStored { snapshot, .. } = &event.body
            && wanted.remove(&**snapshot)
        {
            stored.push(event.body.clone());
        }
    }
    stored
}

/// How a session is forked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fork {
    /// Who wants it, as text for people.
    pub by: String,
    /// Another model to go on with.
    pub model: Option<String>,
    /// What the agent is told to do instead.
    pub instruction: Option<String>,
    /// Which one of several forks at the same place it is, of which one is to be chosen.
    pub attempt: Option<Attempt>,
}

/// Files of a session that can be gone back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The event that says so: what a roll back or a fork names.
    pub at: Seq,
    /// The last step that may have changed them.
    pub step: u32,
    /// The name of the snapshot on the worker's machine.
    pub snapshot: String,
    /// The session under which it is kept: a fork has those of the session that it was forked from.
    pub kept_by: SessionId,
    /// Its archive, where other machines can have it too.
    pub archive: Option<BlobRef>,
}

/// The checkpoints that count, in order. `events` are those of one session from the first on.
#[must_use]
pub fn checkpoints(events: &[Event]) -> Vec<Checkpoint> {
    let mut found: Vec<Checkpoint> = Vec::new();
    let mut own = 0;
    // Where files are is true whatever was taken back since.
    let stored: BTreeMap<&str, BlobRef> = events
        .iter()
        .filter_map(|event| {
            let EventBody::CheckpointStored { snapshot, archive } = &event.body else { return None };
            Some((&**snapshot, *archive))
        })
        .collect();
    for event in effective(events) {
        if let EventBody::Checkpointed { step, snapshot } = &event.body {
            found.push(Checkpoint {
                at: event.seq,
                step: *step,
                snapshot: snapshot.clone(),
                kept_by: event.session,
                archive: stored.get(&**snapshot).copied(),
            });
        }
        if let EventBody::Forked { from, .. } = &event.body {
            for copied in found.iter_mut().skip(own) {
                copied.kept_by = *from;
            }
            own = found.len();
        }
    }
    found
}

/// How many of the events that count are left when the session is taken back to `to`.
fn way_back(counting: &[&Event], to: Seq) -> Result<usize, NoWayBack> {
    let last = counting.iter().position(|event| event.seq == to).ok_or(NoWayBack::Unknown(to))?;
    let rest = last.saturating_add(1);
    if counting.get(rest..).unwrap_or_default().iter().any(|event| publishes(&event.body)) {
        return Err(NoWayBack::Published(to));
    }
    let forks = |event: &&Event| matches!(event.body, EventBody::Forked { .. });
    if counting.get(rest..).unwrap_or_default().iter().any(forks) {
        return Err(NoWayBack::BeforeFork(to));
    }
    Ok(rest)
}

/// Whether others can see what has happened.
fn publishes(body: &EventBody) -> bool {
    matches!(
        body.in_part().1,
        EventBody::Pushed { .. } | EventBody::PullRequestOpened(_) | EventBody::PullRequestClosed { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, EventId, Timestamp};

    fn log(bodies: Vec<EventBody>) -> Vec<Event> {
        let session = SessionId::from_u128(1);
        let event = |(seq, body)| Event {
            seq: Seq(seq),
            id: EventId::from_u128(u128::from(seq)),
            session,
            at: Timestamp(seq),
            body,
            previous: Digest::ZERO,
            hash: Digest::ZERO,
        };
        (1..).zip(bodies).map(event).collect()
    }

    fn said(text: &str) -> EventBody {
        EventBody::CancelAsked { by: text.to_owned() }
    }

    fn back(to: u64) -> EventBody {
        EventBody::RolledBack { to: Seq(to), by: "ann".to_owned(), instruction: None }
    }

    fn pushed() -> EventBody {
        EventBody::Pushed { branch: "b".to_owned(), commit: "c".to_owned() }
    }

    fn checkpoint(step: u32) -> EventBody {
        EventBody::Checkpointed { step, snapshot: format!("snp_{step}") }
    }

    fn places(events: &[Event]) -> Vec<u64> {
        effective(events).iter().map(|event| event.seq.0).collect()
    }

    #[test]
    fn what_was_taken_back_counts_no_more() {
        assert_eq!(places(&log(vec![said("a"), said("b"), said("c"), back(1), said("d")])), [1, 4, 5]);
        // A second one may go further back, and may name the first.
        assert_eq!(places(&log(vec![said("a"), said("b"), back(1), said("c"), back(3)])), [1, 3, 5]);
        assert_eq!(places(&log(vec![said("a"), said("b"), back(1), said("c"), back(2)])), [1, 3, 4, 5]);
        assert_eq!(places(&log(vec![said("a"), back(7), back(0)])), [1, 2, 3]);
    }

    #[test]
    fn what_is_published_stays() {
        let events = log(vec![said("a"), said("b"), pushed(), said("c"), back(1), back(3)]);
        assert_eq!(places(&events), [1, 2, 3, 6]);
        assert_eq!(check_roll_back(&events, Seq(2)), Err(NoWayBack::Published(Seq(2))));
        assert_eq!(check_roll_back(&events, Seq(4)), Err(NoWayBack::Unknown(Seq(4))));
        assert_eq!(check_roll_back(&events, Seq(3)), Ok(()));
        assert_eq!(fork(&events, Seq(3), Fork::default()), Err(NoWayBack::Published(Seq(3))));
    }

    #[test]
    fn a_fork_begins_with_what_counts() {
        let events = log(vec![said("a"), checkpoint(1), said("b"), back(2), checkpoint(2), said("c")]);
        let by = Fork { by: "bob".to_owned(), ..Fork::default() };
        let forked = fork(&events, Seq(5), by).unwrap();
        let names: Vec<&str> = forked.iter().map(EventBody::name).collect();
        assert_eq!(names, ["cancel_asked", "checkpointed", "rolled_back", "checkpointed", "forked"]);
        assert_eq!(fork(&events, Seq(3), Fork::default()), Err(NoWayBack::Unknown(Seq(3))));
    }

    #[test]
    fn a_fork_of_an_attempt_is_none_unless_it_is_to_be_one() {
        use crate::{Source, Task, attempt::Choose};
        let attempt = |number| Attempt { group: SessionId::from_u128(9), number, of: 3, choose: Choose::Ask };
        let plain = Task::new("x".into(), "/r".into(), None, "ann".into(), Source::Api).unwrap();
        let task = plain.clone().attempted(attempt(1));
        let ready = EventBody::AttemptReady { commit: "c".into() };
        let events = log(vec![EventBody::TaskAccepted { task }, checkpoint(1), ready, checkpoint(2)]);
        let first = |fork: Result<Vec<EventBody>, NoWayBack>| fork.unwrap().remove(0);
        assert_eq!(
            first(fork(&events, Seq(2), Fork::default())),
            EventBody::TaskAccepted { task: plain.clone() },
            "as it was asked, with the hash of that"
        );
        let again = Fork { attempt: Some(attempt(2)), ..Fork::default() };
        let task = plain.attempted(attempt(2));
        assert_eq!(first(fork(&events, Seq(2), again)), EventBody::TaskAccepted { task });
        // What was ready is not gone on from as if it had never been.
        assert_eq!(fork(&events, Seq(4), Fork::default()), Err(NoWayBack::LaterTurn(Seq(4))));
    }

    #[test]
    fn where_files_are_is_true_whatever_was_taken_back() {
        let archive = BlobRef { digest: Digest::of(b"files"), size: 5 };
        let stored = EventBody::CheckpointStored { snapshot: "snp_1".to_owned(), archive };
        let events = log(vec![said("a"), checkpoint(1), said("b"), stored.clone(), checkpoint(2), back(2)]);
        let found: Vec<_> =
            checkpoints(&events).into_iter().map(|found| (found.at.0, found.archive)).collect();
        assert_eq!(found, [(2, Some(archive))]);
        let forked = fork(&events, Seq(2), Fork::default()).unwrap();
        assert_eq!(forked.get(2), Some(&stored), "{forked:?}");
        assert_eq!(forked.len(), 4, "each is said once");
    }

    #[test]
    fn a_checkpoint_is_where_it_was_made() {
        let fork = |from| EventBody::Forked {
            from: SessionId::from_u128(from),
            at: Seq(1),
            by: String::new(),
            model: None,
            instruction: None,
        };
        let events = log(vec![checkpoint(1), fork(7), checkpoint(2), fork(8), checkpoint(3)]);
        assert_eq!(check_roll_back(&events, Seq(3)), Err(NoWayBack::BeforeFork(Seq(3))));
        assert_eq!(check_roll_back(&events, Seq(4)), Ok(()));
        let kept: Vec<u128> = checkpoints(&events).iter().map(|found| found.kept_by.as_u128()).collect();
        assert_eq!(kept, [7, 8, 1]);
    }
}
