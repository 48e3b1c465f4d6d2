//! People who work in a session's sandbox while the agent waits.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use cofferdam_domain::{Event, EventBody, SessionId, Wishes};
use cofferdam_sandbox::Sandbox;
use cofferdam_store::Store as _;
use cofferdam_worker::{Entrance, Entrances, NoEntrance, Visitor};
use tokio::sync::{mpsc, oneshot};

use crate::service::{Hall, SLOW};

/// Lets one visitor in.
struct OneDoor(std::sync::Mutex<Option<mpsc::Receiver<Box<dyn Visitor>>>>);

impl Entrances for OneDoor {
    fn open(&self, session: SessionId, directory: &Path) -> Entrance {
        match self.0.lock().unwrap().take() {
            Some(visitors) => Entrance { visitors, hold: Box::new(()) },
            None => NoEntrance.open(session, directory),
        }
    }
}

/// Writes a file, and stays until it is told to go.
struct Guest(Option<oneshot::Receiver<()>>, Option<oneshot::Sender<()>>);

#[async_trait]
impl Visitor for Guest {
    fn name(&self) -> String {
        "bob".to_owned()
    }

    async fn visit(mut self: Box<Self>, sandbox: &dyn Sandbox) -> Vec<u8> {
        sandbox.write("by-hand", b"x", None).await.unwrap();
        self.1.take().unwrap().send(()).unwrap();
        self.0.take().unwrap().await.unwrap();
        b"what was seen".to_vec()
    }

    async fn refuse(self: Box<Self>, reason: String) {
        panic!("{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_works_in_the_sandbox_while_the_agent_waits() {
    let hall = Hall::open(Some(SLOW)).await;
    let Some(mut parts) = hall.parts().await else { return };
    let (come, visitors) = mpsc::channel(1);
    parts.entrances = Arc::new(OneDoor(std::sync::Mutex::new(Some(visitors))));
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    hall.until(session, |body| matches!(body, EventBody::ToolStarted { .. })).await;
    let ((go, going), (there, arrived)) = (oneshot::channel(), oneshot::channel());
    let guest: Box<dyn Visitor> = Box::new(Guest(Some(going), Some(there)));
    come.send(guest).await.map_err(|_| "closed").unwrap();
    arrived.await.unwrap();
    let names = |events: &[Event]| events.iter().map(|event| event.body.name()).collect::<Vec<_>>();
    let events = hall.events(session).await;
    let last = &names(&events)[events.len() - 2..];
    assert_eq!(
        last,
        ["terminal_opened", "tool_finished"],
        "the call that ran has ended, and nothing is asked"
    );
    go.send(()).unwrap();
    let closed = hall.until(session, |body| matches!(body, EventBody::TerminalClosed { .. })).await;
    let EventBody::TerminalClosed { recording, .. } = closed.body else { panic!() };
    assert_eq!(hall.store.blob(recording.digest).await.unwrap(), b"what was seen");
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    assert_eq!(hall.in_branch(session, "by-hand"), "x");
    hall.check(session).await;
}
