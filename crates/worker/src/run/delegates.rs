//! Calls that hand work out: they stop when the session waits, and go on when it does.

use std::time::Duration;

use cofferdam_domain::{CallId, EventBody, SessionId, ToolCall, delegation::DELEGATE, tool::ToolEffect};
use cofferdam_tools::Toolbox;

use tokio::{task::JoinSet, time::timeout};

use super::{Happened, Run};
use crate::{
    WorkerError,
    delegate::{self, Halt},
};

/// How long subagents have to end. They need a moment: only a machine that hangs takes longer.
const ENDING: Duration = Duration::from_secs(60);

impl Run<'_> {
    /// Has subagents stop while the session waits for a person or the worker is to stop, and go on afterwards.
    pub(super) fn mind_subagents(&mut self) -> Result<(), WorkerError> {
        let halted = self.draining.is_some() || self.log.agent().waiting().is_some();
        self.delegation.halt(halted);
        if halted || self.log.agent().outcome().is_some() {
            return Ok(());
        }
        for (call, tool) in std::mem::take(&mut self.halted) {
            self.call(call, tool)?;
        }
        if std::mem::take(&mut self.look_halted) {
            self.begin_look()?;
        }
        Ok(())
    }

    /// Has a fresh look taken at the change, or goes on with it.
    pub(super) fn begin_look(&mut self) -> Result<(), WorkerError> {
        self.errands.spawn(self.start_look()?);
        Ok(())
    }

    /// It has stopped before it was over.
    pub(super) async fn look_halted(&mut self, halt: Halt) -> Result<(), WorkerError> {
        self.look_halted = true;
        match halt {
            Halt::Stopped => Ok(()),
            Halt::Budget(what) => self.advance(vec![EventBody::BudgetExceeded { what }]).await,
            Halt::Failed(error) => Err(error),
        }
    }

    /// Starts a call.
    pub(super) fn call(&mut self, call: CallId, tool: ToolCall) -> Result<(), WorkerError> {
        let errand = self.hands_out(&tool);
        let future = self.start_tool(call, tool)?;
        self.running.insert(call);
        if errand {
            self.errands.spawn(future);
        } else {
            self.tools.push(future);
        }
        Ok(())
    }

    /// Whether a call hands work out.
    pub(super) fn hands_out(&self, tool: &ToolCall) -> bool {
        tool.name == DELEGATE && Toolbox::has_subagents(&self.fixed.tools)
    }

    /// Ends all subagents, and waits until nothing of them is left running.
    pub(super) async fn end_subagents(&mut self) -> Result<(), WorkerError> {
        self.halted.clear();
        self.look_halted = false;
        if self.errands.is_empty() {
            return Ok(());
        }
        let agent = self.log.agent();
        let at_work = self.running.iter().filter_map(|call| agent.assignment(*call));
        let at_work = at_work.map(|known| known.session).chain(agent.reviewer().map(|known| known.session));
        let at_work: Vec<SessionId> = at_work.collect();
        self.delegation.end(&at_work).await?;
        let all = async { while next_errand(&mut self.errands).await.is_some() {} };
        timeout(ENDING, all).await.ok();
        self.errands.shutdown().await;
        self.delegation.begin();
        Ok(())
    }

    /// A subagent has stopped before its call was over.
    pub(super) async fn subagent_halted(
        &mut self,
        call: CallId,
        tool: ToolCall,
        halt: Halt,
    ) -> Result<(), WorkerError> {
        self.running.remove(&call);
        self.tell_door();
        self.halted.push((call, tool));
        match halt {
            Halt::Stopped => Ok(()),
            Halt::Budget(what) => self.advance(vec![EventBody::BudgetExceeded { what }]).await,
            Halt::Failed(error) => Err(error),
        }
    }

    /// Removes what subagents have left on disk whose results are in the log.
    pub(super) async fn forget_subagents(&mut self, done: Vec<SessionId>) -> Result<(), WorkerError> {
        for session in done {
            delegate::erase(&self.parts, session).await?;
        }
        Ok(())
    }
}

/// What has come of the next call that hands work out; `None` when there is none.
pub(super) async fn next_errand(errands: &mut JoinSet<Happened>) -> Option<Happened> {
    loop {
        match errands.join_next().await? {
            Ok(happened) => return Some(happened),
            // One that was cut short has nothing to say.
            Err(cut) if cut.is_cancelled() => {}
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

/// The subagent whose work an event ends. One whose sandbox was frozen is to be looked at.
pub(super) fn subagent_of(body: &EventBody) -> Option<SessionId> {
    let EventBody::ToolFinished { outcome, .. } = body else { return None };
    let Some(ToolEffect::Delegated(done)) = &outcome.effect else { return None };
    done.frozen.is_none().then_some(done.session)
}
