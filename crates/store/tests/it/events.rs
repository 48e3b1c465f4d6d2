//! Events and sessions to test with.

use std::{future::Future, time::Duration};

use cofferdam_domain::{
    Answer, BlobRef, CallId, Cost, Event, EventBody, Label, OrgId, Outcome, Owner, ProjectId, Seq, SessionId,
    Source, StopReason, Task, Timestamp, ToolOutcome, ToolStatus, Usage, UserId,
    tool::{Finish, FinishOutcome},
};
use cofferdam_store::{Placement, Store, Ticket, Writer};

pub(crate) fn accepted(prompt: &str) -> EventBody {
    let task = Task::new(prompt.into(), "/srv/repository".into(), None, "ann".into(), Source::Cli).unwrap();
    EventBody::TaskAccepted { task }
}

pub(crate) fn message(text: &str) -> EventBody {
    EventBody::MessageReceived { from: "ann".into(), text: text.into(), label: Label::REQUESTER, about: None }
}

pub(crate) fn claimed(fence: u64) -> EventBody {
    EventBody::Claimed { worker: "worker 1".into(), fence }
}

pub(crate) fn finished() -> EventBody {
    let finish = Finish {
        outcome: FinishOutcome::Done,
        title: "Fixed".into(),
        summary: "It works now.".into(),
        replies: Vec::new(),
        remarks: Vec::new(),
    };
    EventBody::WorkFinished { finish, limit: None }
}

pub(crate) fn pushed(commit: &str) -> EventBody {
    EventBody::Pushed { branch: "cofferdam/work".into(), commit: commit.into() }
}

pub(crate) fn ended() -> EventBody {
    EventBody::SessionEnded { outcome: Outcome::Held { reason: "a secret".into() } }
}

/// A tool call whose whole output is in a blob.
pub(crate) fn output(whole: BlobRef) -> EventBody {
    let outcome = ToolOutcome {
        status: ToolStatus::Ok,
        text: "… ü \u{0} \u{202e}".into(),
        images: Vec::new(),
        whole: Some(whole),
        label: Label::SANDBOX,
        effect: None,
    };
    EventBody::ToolFinished { call: CallId { step: 1, index: 0 }, outcome, millis: 3 }
}

/// The model's answer, with what it cost.
pub(crate) fn answered(step: u32, cost: u64, tokens: u64) -> EventBody {
    let answer = Answer {
        blocks: Vec::new(),
        stop: StopReason::EndTurn,
        usage: Usage { output: tokens, ..Usage::default() },
        model: "m".into(),
        cost: Some(Cost(cost)),
    };
    EventBody::ModelAnswered { step, answer, millis: 1 }
}

/// A user of an organisation, whose project has its number.
pub(crate) fn owner(org: u128, user: u128) -> Owner {
    Owner { org: OrgId::from_u128(org), project: ProjectId::from_u128(org), user: UserId::from_u128(user) }
}

/// A new session in the queue.
pub(crate) async fn queued(store: &dyn Store, owner: Owner, priority: i16) -> SessionId {
    queued_with(store, owner, priority, "Fix the parser", "/srv/repository").await
}

/// A new session in the queue, for this repository.
pub(crate) async fn queued_with(
    store: &dyn Store,
    owner: Owner,
    priority: i16,
    prompt: &str,
    repository: &str,
) -> SessionId {
    let session = SessionId::generate();
    let task = Task::new(prompt.into(), repository.into(), None, "ann".into(), Source::Cli).unwrap();
    let ticket = Ticket { owner, placement: Placement::Queued { priority } };
    let first = EventBody::TaskAccepted { task };
    store.enqueue(ticket, session, Timestamp(1000), first, Vec::new()).await.unwrap();
    session
}

/// The time now.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(since.as_millis() as u64)
}

/// A new session with its first event.
pub(crate) async fn session(store: &dyn Store) -> SessionId {
    let session = SessionId::generate();
    store.create(session, Timestamp(1000), accepted("Fix the parser"), Vec::new()).await.unwrap();
    session
}

/// Appends one message as anybody.
pub(crate) async fn say(store: &dyn Store, session: SessionId, text: &str) -> Event {
    let mut events =
        store.append(session, Writer::Anybody, Timestamp(2000), vec![message(text)]).await.unwrap();
    events.pop().unwrap()
}

pub(crate) async fn all(store: &dyn Store, session: SessionId) -> Vec<Event> {
    store.read(session, Seq::START, u32::MAX).await.unwrap()
}

/// What should come at once, or else the test fails instead of waiting for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap()
}
