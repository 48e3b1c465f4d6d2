//! The beginning of a subagent: a copy of its parent's files, its session, and what it may do. Each part may be cut short and is done again.

use std::{fs, path::Path};

use cofferdam_agent::{Agent, Assignment, subagent_prompt};
use cofferdam_domain::{
    EventBody, Label, Parent, Policy, SessionId, SubagentKind, Task,
    delegation::{CustomKind, MOST_AT_ONCE, MOST_IN_ALL},
    egress::AccessPolicy,
    event::{Fixed, ModelRole},
    policy::Questions,
};
use cofferdam_sandbox::{CopyBounds, LayerCopies, LayerError, LayerStack};
use cofferdam_store::{Placement, Ticket, Writer};
use cofferdam_tools::{Order, Toolbox};

use super::{Errand, patch};
use crate::{
    Parts, WorkerError,
    layers::{CHECKPOINTS, LAYER, remove_layer},
    log::now,
    patience::patiently,
    restore::make_directory,
    work::fixed,
};

/// What is copied of a layer at the most.
const BOUNDS: CopyBounds = CopyBounds { entries: 100_000, bytes: 1 << 30 };
/// The file that says that the copy is whole: the tree that it began with, where its change is to come back.
const BEGUN: &str = "begun";

/// What became of a copy.
pub(super) enum Copy {
    /// It was made before, or nothing is done with it any more.
    There,
    /// It was made now.
    Anew,
    /// It cannot be made; why, for the model.
    Refused(String),
}

impl Errand {
    /// Copies this session's files for the subagent, unless it has them.
    pub(super) async fn copy(&self, assignment: Assignment) -> Result<Copy, WorkerError> {
        let (parts, child) = (&self.shared.parts, assignment.session);
        let directory = parts.session_directory(child);
        if begun(&directory).is_some() {
            return Ok(Copy::There);
        }
        if is_over(parts, child).await? {
            // What it has changed was elsewhere: in a copy made now nothing would differ, as if it had changed nothing.
            return Ok(Copy::There);
        }
        let several = self.agent.parts().count() > 1;
        let start = match assignment.kind.changes_files() {
            true if several => {
                return Ok(Copy::Refused(
                    "Not begun: where a session works on several repositories, nobody else can change files for it. Do it yourself."
                        .to_owned(),
                ));
            }
            true => match patch::tree(&**self.sandbox, child).await? {
                Ok(tree) => tree,
                Err(why) => return Ok(Copy::Refused(format!("Not begun: {why}."))),
            },
            false => String::new(),
        };
        let layer = directory.join(LAYER);
        remove_layer(&layer).await?;
        make_directory(&directory)?;
        let from = parts.session_directory(self.agent.session()).join(LAYER);
        let kept = directory.join(CHECKPOINTS);
        let copied = tokio::task::spawn_blocking(move || copy_layer(&from, &kept, &layer)).await;
        match copied {
            Ok(Ok(())) => {}
            Ok(Err(error @ (LayerError::TooLarge | LayerError::TooDeep { .. }))) => {
                return Ok(Copy::Refused(format!(
                    "Not begun: the workspace cannot be copied: {error}. Do it yourself."
                )));
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
        mark_begun(&directory, &start)?;
        Ok(Copy::Anew)
    }

    /// Makes the subagent's session, unless there is one. Why it cannot be made, for the model.
    pub(super) async fn begin(
        &self,
        assignment: Assignment,
        order: &Order,
        copied: bool,
    ) -> Result<Result<(), String>, WorkerError> {
        let (shared, child) = (&self.shared, assignment.session);
        let store = &shared.parts.store;
        let Some(row) = patiently(|| store.session(None, child)).await? else {
            if patiently(|| store.was_forgotten(child)).await? {
                return Ok(Err("Somebody has deleted its session.".to_owned()));
            }
            let task = match self.task(assignment, order)? {
                Ok(task) => task,
                Err(why) => return Ok(Err(why)),
            };
            let fixed = self.fixed(assignment, &task)?;
            let ticket = Ticket { owner: shared.owner, placement: Placement::Direct };
            let first = EventBody::TaskAccepted { task };
            let rest = vec![EventBody::PolicyFixed(Box::new(fixed))];
            store.enqueue(ticket, child, now(), first, rest).await?;
            return Ok(Ok(()));
        };
        if copied && row.steps > 0 && row.outcome.is_none() {
            let body = EventBody::MessageReceived {
                from: "Cofferdam".to_owned(),
                text: "Your files are as they were when you began: what you have changed since was on another machine. Look before you go on."
                    .to_owned(),
                label: Label::PLATFORM,
                about: None,
            };
            patiently(|| store.append(child, Writer::Anybody, now(), vec![body.clone()])).await?;
        }
        // Its parent goes on, so it does.
        if row.waiting == Some(cofferdam_domain::WaitingFor::Budget) {
            shared.let_go_on(child).await?;
        }
        Ok(Ok(()))
    }

    /// The kind that was asked for, where a file describes it.
    fn custom(&self, order: &Order) -> Option<CustomKind> {
        let described = self.agent.custom_kind(&order.kind)?;
        let shape = described.shape.as_deref()?.clone();
        Some(CustomKind { name: order.kind.clone(), giver: described.giver, digest: described.digest, shape })
    }

    fn task(&self, assignment: Assignment, order: &Order) -> Result<Result<Task, String>, WorkerError> {
        let asked = self.agent.task().ok_or(WorkerError::Log("there is no task"))?;
        let base = self.agent.repository().map(|repository| repository.base_commit.clone());
        let task = Task::new(
            order.instruction.clone(),
            asked.repository.clone(),
            base,
            asked.requester.clone(),
            asked.source,
        );
        let above = self.agent.parent().map_or(0, |parent| parent.depth);
        let parent = Parent {
            session: self.agent.session(),
            call: self.call,
            kind: assignment.kind,
            depth: above.saturating_add(1),
            schema: order.schema.clone(),
            custom: self.custom(order).map(Box::new),
        };
        Ok(task.map(|task| task.delegated(parent)).map_err(|error| format!("Not begun: {error}.")))
    }

    /// What the subagent is given: never more than this session has.
    fn fixed(&self, assignment: Assignment, task: &Task) -> Result<Fixed, WorkerError> {
        let own = self.agent.fixed().ok_or(WorkerError::Log("there is no policy"))?;
        let parent = task.parent.as_deref().ok_or(WorkerError::Log("nobody to work for"))?;
        let like = parent.custom.as_ref().and_then(|custom| custom.shape.model).unwrap_or(assignment.kind);
        let model = own.routes.get(role(like)).unwrap_or(&own.model).clone();
        let mut policy = Policy {
            budget: assignment.share,
            questions: Questions::Proceed,
            gate_rounds: 0,
            ..own.policy.clone()
        };
        // People are asked by the session that they have asked, and by nobody else.
        policy.egress.access = AccessPolicy::Refuse;
        part_of(&mut policy);
        let toolbox = Toolbox::standard(model.edits)
            .with_system(self.shared.parts.system)
            .with_browser(Toolbox::has_browser(&own.tools), None)
            .with_display(Toolbox::has_display(&own.tools), None)
            .with_subagents(parent.depth < policy.delegation)
            .working_for(Some(parent));
        let kind = assignment.kind;
        Ok(fixed(policy, model, &toolbox, |input| subagent_prompt(input, kind)))
    }

    /// What the subagent has changed.
    pub(super) async fn change(
        &self,
        child: SessionId,
        family: &super::Family,
    ) -> Result<Result<Option<patch::Change>, String>, WorkerError> {
        let parts = &self.shared.parts;
        let directory = parts.session_directory(child);
        let Some(start) = begun(&directory).filter(|start| !start.is_empty()) else {
            return Ok(Err("its files are not on this machine any more".to_owned()));
        };
        let limits = self.agent.fixed().map(|fixed| fixed.policy.limits).unwrap_or_default();
        // Without anything that it has left running, and without a network.
        let sandbox =
            parts.sandbox(family.lower.clone(), directory.join(LAYER), Vec::new(), limits, None).await?;
        let change = patch::change(&*sandbox, child, &start).await;
        let destroyed = sandbox.destroy().await;
        let change = change?;
        destroyed?;
        Ok(change)
    }
}

/// Leaves a subagent so much of what is counted at its own door that all of them together have about what their session has. 0 stays what it is:
/// none, or never.
fn part_of(policy: &mut Policy) {
    let limits = &mut policy.egress.limits;
    for limit in [&mut limits.requests, &mut limits.bytes_out, &mut limits.bytes_in] {
        *limit = part(*limit, MOST_IN_ALL as u64);
    }
    limits.connections = part(limits.connections, MOST_AT_ONCE as u32);
    limits.refusals_before_freeze = part(limits.refusals_before_freeze, MOST_IN_ALL as u32);
    let Some(alarms) = &mut policy.alarms else { return };
    alarms.escapes = part(alarms.escapes, MOST_IN_ALL as u32);
    for rule in alarms.rules.iter_mut().filter(|rule| rule.event == "egress_refused") {
        // Within so many seconds: more than these do not work at once.
        rule.count = part(rule.count, MOST_AT_ONCE as u32);
    }
}

/// One of several equal parts, and at least 1 of what is not 0.
fn part<N: Ord + std::marker::Copy + From<u8> + std::ops::Div<Output = N>>(whole: N, several: N) -> N {
    whole.min((whole / several).max(N::from(1)))
}

const fn role(kind: SubagentKind) -> ModelRole {
    match kind {
        SubagentKind::Explore => ModelRole::Explore,
        SubagentKind::Plan => ModelRole::Plan,
        SubagentKind::Implement => ModelRole::Implement,
        SubagentKind::Test => ModelRole::Test,
        SubagentKind::Review => ModelRole::Review,
    }
}

fn copy_layer(from: &Path, kept: &Path, layer: &Path) -> Result<(), LayerError> {
    let Some(snapshot) = LayerCopies::default().take(&LayerStack::at(from), kept, BOUNDS)? else {
        return Ok(());
    };
    LayerStack::at(&kept.join(snapshot.to_string())).fork(snapshot, layer).map(drop)
}

/// Whether a session that works for another one has ended for good.
pub(crate) async fn is_over(parts: &Parts, child: SessionId) -> Result<bool, WorkerError> {
    let store = &parts.store;
    let row = patiently(|| store.session(None, child)).await?;
    if row.is_none_or(|row| row.outcome.is_none()) {
        return Ok(false);
    }
    let log = patiently(|| store.log(child)).await?;
    Ok(!Agent::of(child, &log).resumable())
}

/// Says that the files of a session that works for another one are whole.
pub(crate) fn mark_begun(directory: &Path, start: &str) -> Result<(), WorkerError> {
    let file = directory.join(BEGUN);
    fs::write(&file, start).map_err(|source| WorkerError::File {
        operation: "write",
        path: file.display().to_string(),
        source,
    })
}

/// What the file says that ends the copying; `None` without it.
pub(crate) fn begun(directory: &Path) -> Option<String> {
    fs::read_to_string(directory.join(BEGUN)).ok().filter(|_| directory.join(LAYER).exists())
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::alarm::{AlarmRule, Alarms, Consequence};

    use super::*;

    #[test]
    fn all_together_have_what_their_session_has() {
        let rule = |event: &str| AlarmRule {
            name: event.into(),
            event: event.into(),
            of: None,
            count: 12,
            seconds: 60,
            then: Consequence::Freeze,
        };
        let rules = vec![rule("egress_refused"), rule("tool_finished")];
        let mut policy =
            Policy { alarms: Some(Alarms { escapes: 3, rules, ..Alarms::default() }), ..Policy::default() };
        let whole = policy.egress.limits;
        part_of(&mut policy);
        let (limits, most) = (policy.egress.limits, MOST_IN_ALL as u64);
        assert!(limits.requests * most <= whole.requests && limits.requests > 0);
        assert!(limits.bytes_out * most <= whole.bytes_out && limits.bytes_in * most <= whole.bytes_in);
        assert!(limits.connections as usize * MOST_AT_ONCE <= whole.connections as usize);
        assert_eq!(limits.refusals_before_freeze, 0, "never");
        let alarms = policy.alarms.unwrap();
        let counts: Vec<u32> = alarms.rules.iter().map(|rule| rule.count).collect();
        assert_eq!((alarms.escapes, counts), (1, vec![3, 12]));
    }
}
