//! The effects of a session as futures, each with what it needs of the session at this moment.

use std::sync::Arc;

use cofferdam_domain::{CallId, EventBody, ModelRequest, Part, Stage, ToolCall};
use futures_util::{FutureExt as _, future::BoxFuture};

use super::{Happened, Run};
use crate::{
    WorkerError,
    advice::Shelf,
    delegate::Errand,
    effects, layers, memory,
    self_review::{Look, looked},
    servers::OneCall,
    stage::{Done, SharedSandbox, StageContext},
    stages,
};

impl Run<'_> {
    pub(super) fn start_model(
        &mut self,
        step: u32,
        request: ModelRequest,
    ) -> Result<BoxFuture<'static, Happened>, WorkerError> {
        let model = self.model.take().ok_or(WorkerError::Log("two model calls at once"))?;
        let asking = self.log.agent().asking().map(|(role, info)| (role, info.reference()));
        let open = asking.as_ref().and_then(|(role, _)| self.aside.remove(role));
        let (parts, watch) = (self.parts.clone(), self.watch.clone());
        let (only, based) = (self.fixed.policy.models.clone(), self.based.wait());
        Ok(async move {
            based.await;
            let aside = match (asking, open) {
                (None, _) => None,
                (Some((role, _)), Some(model)) => Some((role, model)),
                (Some((role, name)), None) => {
                    parts.models.open(Some(&name), only.as_deref()).await.ok().map(|model| (role, model))
                }
            };
            let mut tried = None;
            if let Some((role, other)) = aside {
                let (other, result, millis) = effects::ask(other, &request, &*watch).await;
                let other = Some((role, other));
                if result.is_ok() {
                    return Happened::Model { model, aside: other, step, result, millis };
                }
                // The session's own stands in for one that cannot be asked.
                tried = other;
            }
            let (model, result, millis) = effects::ask(model, &request, &*watch).await;
            Happened::Model { model, aside: tried, step, result, millis }
        }
        .boxed())
    }

    pub(super) fn start_tool(
        &self,
        call: CallId,
        tool: ToolCall,
    ) -> Result<BoxFuture<'static, Happened>, WorkerError> {
        let sandbox = self.sandbox.clone().ok_or(WorkerError::Log("a tool call without a sandbox"))?;
        let errand = self.errand(call, &tool, &sandbox);
        let scene = effects::Scene {
            sandbox,
            errand: errand.clone(),
            toolbox: self.toolbox.clone(),
            store: self.parts.store.clone(),
            fixed: self.fixed.clone(),
            remarks: self.log.agent().remarks().to_vec(),
            notes: memory::notes(self.log.agent()),
            shelf: Shelf { found: self.log.agent().instructions().cloned(), store: self.parts.store.clone() },
            foreign: OneCall { servers: self.servers.clone(), call, leave: self.log.agent().leave() },
            watch: self.watch.clone(),
        };
        Ok(async move {
            let Some(errand) = errand else {
                let (outcome, millis) = effects::run_tool(scene, call, tool).await;
                return Happened::Tool { call, outcome, millis };
            };
            let (outcome, millis) = effects::run_tool(scene, call, tool.clone()).await;
            match errand.halted() {
                Some(halt) => Happened::Halted { call, tool, halt },
                None => Happened::Tool { call, outcome: errand.accounted(outcome).await, millis },
            }
        }
        .boxed())
    }

    /// What hands work out, if the call does.
    fn errand(&self, call: CallId, tool: &ToolCall, sandbox: &SharedSandbox) -> Option<Arc<Errand>> {
        if !self.hands_out(tool) {
            return None;
        }
        let agent = self.log.agent();
        let (shared, assignment) = (self.delegation.clone(), agent.assignment(call));
        Some(Arc::new(Errand::new(call, shared, assignment, agent.clone(), sandbox.clone())))
    }

    pub(super) fn start_stage(
        &mut self,
        part: Part,
        stage: Stage,
    ) -> Result<BoxFuture<'static, Happened>, WorkerError> {
        if stage == Stage::Collect {
            // What the last steps did is kept, however quick they were.
            self.checkpoints.begin_now(self.log.agent().step());
        }
        let sandbox = if stage == Stage::Collect { self.sandbox.take() } else { None };
        let context = self.context(part, sandbox)?;
        let work = async move {
            Happened::Stage { part, stage, result: Box::pin(stages::perform(context, stage)).await }
        };
        Ok(work.boxed())
    }

    /// A fresh look at the change, from wherever it stands.
    pub(super) fn start_look(&self) -> Result<BoxFuture<'static, Happened>, WorkerError> {
        let look = Look::new(self.context(Part::FIRST, None)?, self.delegation.clone())?;
        let work = async move {
            let (part, stage) = (Part::FIRST, Stage::SelfReview);
            match Box::pin(look.take()).await {
                Ok(review) => Happened::Stage { part, stage, result: Ok(Done::fact(review)) },
                Err(halt) => Happened::LookHalted { halt },
            }
        };
        Ok(work.boxed())
    }

    /// What a stage knows of the session now.
    fn context(&self, part: Part, sandbox: Option<SharedSandbox>) -> Result<StageContext, WorkerError> {
        Ok(StageContext {
            parts: self.parts.clone(),
            session: self.session,
            org: self.owner.org,
            door: self.door.clone(),
            part,
            agent: self.log.agent().seen_from(part).ok_or(WorkerError::Log("there is no such repository"))?,
            whole: self.log.agent().clone(),
            log_head: self.log.head(),
            log_length: self.log.last(),
            at: self.log.last_at(),
            family: self.family.clone(),
            sandbox,
        })
    }

    pub(super) async fn stage_done(
        &mut self,
        part: Part,
        stage: Stage,
        done: Done,
    ) -> Result<(), WorkerError> {
        match done {
            Done::Facts(facts) => {
                let looked = facts.iter().filter_map(looked).collect();
                self.advance(facts.into_iter().map(|fact| fact.about_part(part)).collect()).await?;
                self.based.look(self.log.agent());
                self.forget_subagents(looked).await
            }
            Done::Sandbox(sandbox, facts) => {
                self.sandbox = Some(Arc::new(sandbox));
                // What a subagent's parent has deleted is none of its own doing.
                if self.family.is_none() {
                    let begun = layers::begun_with(&self.parts.data, self.session, self.log.agent());
                    self.checkpoints.over(begun);
                }
                self.advance(facts).await?;
                if self.running.is_empty() {
                    self.checkpoints.begin(self.log.agent().step().saturating_sub(1));
                }
                Ok(())
            }
            Done::Impossible(reason) => {
                let reason = self.named(part, reason);
                self.advance(vec![EventBody::StageFailed { stage, reason }.about_part(part)]).await
            }
        }
    }

    /// A reason with the name of the repository that it is about, where there are several.
    fn named(&self, part: Part, reason: String) -> String {
        let directory = self.log.agent().task().and_then(|task| task.directory(part));
        directory.map_or(reason.clone(), |directory| format!("in {directory}: {reason}"))
    }

    pub(super) async fn destroy_sandbox(&mut self) -> Result<(), WorkerError> {
        match self.sandbox.take().and_then(Arc::into_inner) {
            Some(sandbox) => Ok(sandbox.destroy().await?),
            None => Ok(()),
        }
    }
}
