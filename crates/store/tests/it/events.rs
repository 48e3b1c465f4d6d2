//! Events and sessions to test with.

use std::{future::Future, time::Duration};

use cofferdam_domain::{
    BlobRef, CallId, Event, EventBody, Label, Outcome, Seq, SessionId, Source, Task, Timestamp, ToolOutcome,
    ToolStatus,
    tool::{Finish, FinishOutcome},
};
use cofferdam_store::{Store, Writer};

pub(crate) fn accepted(prompt: &str) -> EventBody {
    let task = Task::new(prompt.into(), "/srv/repository".into(), None, "ann".into(), Source::Cli).unwrap();
    EventBody::TaskAccepted { task }
}

pub(crate) fn message(text: &str) -> EventBody {
    EventBody::MessageReceived { from: "ann".into(), text: text.into(), label: Label::REQUESTER }
}

pub(crate) fn claimed(fence: u64) -> EventBody {
    EventBody::Claimed { worker: "worker 1".into(), fence }
}

pub(crate) fn finished() -> EventBody {
    let finish =
        Finish { outcome: FinishOutcome::Done, title: "Fixed".into(), summary: "It works now.".into() };
    EventBody::WorkFinished { finish, limit: None }
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
