//! People who work in a session's sandbox themselves.
//!
//! Where they come in is for others to know: a socket, a page. The worker lets them in one at a time, when no call runs and the log says so,
//! keeps what was seen, and tells the agent.

use std::{any::Any, path::Path};

use async_trait::async_trait;
use cofferdam_domain::SessionId;
use cofferdam_sandbox::Sandbox;
use tokio::sync::mpsc;

/// Where people come in who want to work in the sandboxes of sessions.
pub trait Entrances: Send + Sync {
    /// Opens the entrance of a session, whose own things are in `directory`. It closes when the result is dropped.
    fn open(&self, session: SessionId, directory: &Path) -> Entrance;
}

/// The entrance of one session.
pub struct Entrance {
    /// Those who want to come in.
    pub visitors: mpsc::Receiver<Box<dyn Visitor>>,
    /// Whatever has to be held on to as long as it is open.
    pub hold: Box<dyn Any + Send>,
}

/// Somebody who wants to work in a session's sandbox.
#[async_trait]
pub trait Visitor: Send {
    /// Who, as text for people.
    fn name(&self) -> String;

    /// Lets them work until they leave; gives what was seen on their terminal, as asciicast v2. Dropping the future throws them out.
    async fn visit(self: Box<Self>, sandbox: &dyn Sandbox) -> Vec<u8>;

    /// They cannot come in, for this reason.
    async fn refuse(self: Box<Self>, reason: String);
}

/// Nobody comes in anywhere.
#[derive(Debug, Clone, Copy)]
pub struct NoEntrance;

impl Entrances for NoEntrance {
    fn open(&self, _: SessionId, _: &Path) -> Entrance {
        let (_, visitors) = mpsc::channel(1);
        Entrance { visitors, hold: Box::new(()) }
    }
}

/// Returns when somebody wants to come in; never if nobody can any more.
pub(crate) async fn somebody(entrance: &mut Entrance) -> Box<dyn Visitor> {
    match entrance.visitors.recv().await {
        Some(visitor) => visitor,
        None => std::future::pending().await,
    }
}
