//! People in the sandbox of a session: they come when no call runs, and nothing starts until they have gone.

use cofferdam_domain::EventBody;
use futures_util::FutureExt as _;

use super::{Happened, Run};
use crate::{Visitor, WorkerError, patience::patiently};

impl Run<'_> {
    /// Somebody wants to work in the sandbox: nothing more starts until they have gone.
    pub(super) async fn announce(&mut self, visitor: Box<dyn Visitor>) -> Result<(), WorkerError> {
        let agent = self.log.agent();
        if self.sandbox.is_none() || agent.taken_over() || self.draining.is_some() {
            let reason = match agent.taken_over() {
                true => "somebody works in its sandbox already",
                false => "the session has no sandbox at present",
            };
            visitor.refuse(reason.to_owned()).await;
            return Ok(());
        }
        let by = visitor.name();
        self.visitor = Some(visitor);
        self.advance(vec![EventBody::TerminalOpened { by }]).await
    }

    /// Lets somebody into the sandbox when no call runs there any more.
    pub(super) fn let_in(&mut self) {
        let Some(sandbox) = self.sandbox.clone().filter(|_| self.tools.is_empty()) else { return };
        let Some(visitor) = self.visitor.take() else { return };
        let by = visitor.name();
        let visit = async move { Happened::Gone { by, recording: visitor.visit(&**sandbox).await } };
        self.in_flight.push(visit.boxed());
    }

    /// Somebody has left the sandbox.
    pub(super) async fn gone(&mut self, by: String, recording: Vec<u8>) -> Result<(), WorkerError> {
        let store = self.parts.store.clone();
        let recording = patiently(|| store.put_blob(&recording)).await?;
        self.checkpoints.touched_by_hand();
        self.checkpoints.begin_now(self.log.agent().step());
        let closed = EventBody::TerminalClosed { by, recording };
        let facts = [closed].into_iter().chain(self.checkpoints.settle().await).collect();
        self.advance(facts).await
    }
}
