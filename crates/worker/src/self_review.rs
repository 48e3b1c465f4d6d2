//! A fresh look at a change: a session of its own, over files that were made from the change's objects, whose task has what was asked, the change and
//! what the platform saw. It has no network, and nothing of what the agent did or said.
//!
//! It is worked on like a session that was handed work, inside the stage that wants it. Whatever goes wrong with it is written down, and delivery goes
//! on without it; only a store that cannot be reached stops both.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cofferdam_agent::{Agent, Brief, LookedAt, Reviewer, TestsRun, self_review_prompt};
use cofferdam_domain::{
    EventBody, EvidenceRun, Outcome, Parent, Policy, SelfReview, SessionId, Side, Stage, SubagentKind, Task,
    causes::with_causes,
    egress::EgressPolicy,
    event::{Fixed, ModelInfo, ModelRole},
    evidence::Exit,
    policy::{Advice, Questions},
    self_review::{NO_CALL, Opinion, schema},
};
use cofferdam_forge::ForgeError;
use cofferdam_gate::judge;
use cofferdam_sandbox::{ReadOnly, Sandbox};
use cofferdam_store::{Placement, StoreError, Ticket};
use cofferdam_tools::Toolbox;

use crate::{
    WorkerError, base,
    collect::{object_id, quarantine},
    delegate::{self, Delegation, Family, Halt},
    layers::{LAYER, remove_layer},
    lfs::{self, LENT, Lent},
    log::now,
    patience::patiently,
    restore::make_directory,
    script::{self, SEED},
    sparse,
    stage::StageContext,
    work::fixed,
};

const LOOK: &str = include_str!("scripts/look.sh");
/// What the session is called in lists.
const TITLE: &str = "A fresh look at a change";
/// How long putting the change into its files may take.
const TIME: Duration = Duration::from_secs(600);
/// Bytes of a run's output that are looked at.
const MOST_OUTPUT: u64 = 16 << 20;
/// Bytes of the reason why there is no look.
const MOST_REASON: usize = 600;

/// One look, while it is taken.
pub(crate) struct Look {
    context: StageContext,
    shared: Arc<Delegation>,
    reviewer: Reviewer,
}

impl Look {
    /// The one that the agent wants now.
    pub(crate) fn new(context: StageContext, shared: Arc<Delegation>) -> Result<Self, WorkerError> {
        let reviewer = context.whole.reviewer().ok_or(WorkerError::Log("nobody is to look at the change"))?;
        Ok(Self { context, shared, reviewer })
    }

    /// Takes it, from wherever it stands. Why it stopped before it was over, if it did.
    pub(crate) async fn take(&self) -> Result<EventBody, Halt> {
        let looked = match self.prepare().await {
            Ok(Ok(family)) => self.look(&Arc::new(family)).await?,
            Ok(Err(why)) => Err(why),
            Err(error) => self.unless_the_store_is_gone(error).await?,
        };
        let review = match looked {
            Ok(outcome) => self.review(&outcome).await,
            Err(why) => {
                // It is not gone on with.
                let (store, name) = (&self.shared.parts.store, &self.shared.parts.name);
                delegate::conclude(store, self.reviewer.session, name).await.map_err(Halt::Failed)?;
                self.without(why).await
            }
        };
        review.map(Box::new).map(EventBody::SelfReviewed).map_err(Halt::Failed)
    }

    /// What the machine has against it, where the store can still be asked: nobody waits for advice until a machine is mended.
    async fn unless_the_store_is_gone<T>(&self, error: WorkerError) -> Result<Result<T, String>, Halt> {
        let store = &self.shared.parts.store;
        match patiently(|| store.session(None, self.reviewer.session)).await {
            Ok(_) => Ok(Err(with_causes(&error))),
            Err(_) => Err(Halt::Failed(error)),
        }
    }

    /// Makes its files and its session, unless they are there. Why there is none, if there cannot be one.
    async fn prepare(&self) -> Result<Result<Family, String>, WorkerError> {
        let Reviewer { share, hopeless, .. } = self.reviewer;
        if hopeless {
            return Ok(Err("it was begun again and again, and cut short each time".to_owned()));
        }
        if share.steps == 0 || share.tokens == 0 || share.cost.0 == 0 || share.wall_ms == 0 {
            return Ok(Err("too little of the session's budget is left".to_owned()));
        }
        let mut lower = Vec::new();
        for part in self.context.whole.parts() {
            lower.push(base::layer_of_agent(&self.context.of(part)?).await?);
        }
        if let Err(why) = self.files(&lower).await? {
            return Ok(Err(why));
        }
        if let Err(why) = self.session().await? {
            return Ok(Err(why));
        }
        Ok(Ok(Family::new(self.context.repository()?.clone(), lower)))
    }

    async fn files(&self, lower: &[PathBuf]) -> Result<Result<(), String>, WorkerError> {
        let (parts, child) = (&self.shared.parts, self.reviewer.session);
        let directory = parts.session_directory(child);
        if delegate::begun(&directory).is_some() || delegate::is_over(parts, child).await? {
            return Ok(Ok(()));
        }
        let layer = directory.join(LAYER);
        remove_layer(&layer).await?;
        make_directory(&directory)?;
        for part in self.context.whole.parts() {
            let context = self.context.of(part)?;
            let Some(received) = context.agent.received() else { continue };
            let head = object_id(&received.head)?;
            quarantine(&context).await?;
            let lent = lfs::lend_new(&context, &head).await?;
            let mut extra = vec![ReadOnly { host: context.quarantine_path(), inside: PathBuf::from(SEED) }];
            extra.extend(lent.as_ref().map(Lent::read_only));
            // Only the platform works in it.
            let sandbox = parts.sandbox(lower.to_vec(), layer.clone(), extra, context.limits(), None).await?;
            let result = put_in(&context, &*sandbox, head.as_str()).await;
            let destroyed = sandbox.destroy().await;
            let problem = result?;
            destroyed?;
            if let Some(problem) = problem {
                return Ok(Err(format!("the change could not be put into a workspace: {problem}")));
            }
        }
        delegate::mark_begun(&directory, "")?;
        Ok(Ok(()))
    }

    async fn session(&self) -> Result<Result<(), String>, WorkerError> {
        let (store, child) = (&self.shared.parts.store, self.reviewer.session);
        if patiently(|| store.session(None, child)).await?.is_some() {
            return Ok(Ok(()));
        }
        if patiently(|| store.was_forgotten(child)).await? {
            return Ok(Err("somebody has deleted its session".to_owned()));
        }
        let (task, fixed) = match self.task().await? {
            Ok(given) => given,
            Err(why) => return Ok(Err(why)),
        };
        let ticket = Ticket { owner: self.shared.owner, placement: Placement::Direct };
        let (first, rest) = (EventBody::TaskAccepted { task }, vec![EventBody::PolicyFixed(Box::new(fixed))]);
        store.enqueue(ticket, child, now(), first, rest).await?;
        Ok(Ok(()))
    }

    /// What it is to do, and what it may: never more than the session has.
    async fn task(&self) -> Result<Result<(Task, Fixed), String>, WorkerError> {
        let whole = &self.context.whole;
        let own = whole.fixed().ok_or(WorkerError::Log("there is no policy"))?;
        let asked = self.context.task()?;
        let model = own.routes.get(ModelRole::Review).unwrap_or(&own.model).clone();
        let brief = Brief {
            session: self.reviewer.session,
            task: &asked.prompt,
            said_since: &whole.said_since(),
            changes: self.changes(&model).await?,
            window: model.context_window,
        };
        let base = whole.repository().map(|repository| repository.base_commit.clone());
        let task = Task::new(
            brief.in_words(),
            asked.repository.clone(),
            base,
            asked.requester.clone(),
            asked.source,
        );
        let parent = Parent {
            session: whole.session(),
            call: NO_CALL,
            kind: SubagentKind::Review,
            depth: 1,
            schema: Some(schema().map_err(|_| WorkerError::Log("the form of an opinion is none"))?),
            custom: None,
        };
        let policy = Policy {
            budget: self.reviewer.share,
            questions: Questions::Proceed,
            gate_rounds: 0,
            delegation: 0,
            self_review: 0,
            // Nothing leaves, whatever the session's own sandboxes let out.
            egress: EgressPolicy::default(),
            servers: Some(Vec::new()),
            instructions: Advice::Off,
            memory: Advice::Off,
            ..own.policy.clone()
        };
        let toolbox =
            Toolbox::standard(model.edits).with_system(self.shared.parts.system).working_for(Some(&parent));
        let fixed = fixed(policy, model, &toolbox, self_review_prompt);
        Ok(task
            .map(|task| (task.titled(TITLE.to_owned()).delegated(parent), fixed))
            .map_err(|error| error.to_string()))
    }

    /// The changes and what the platform saw of them.
    async fn changes(&self, model: &ModelInfo) -> Result<Vec<LookedAt>, WorkerError> {
        let mut changes = Vec::new();
        for part in self.context.whole.parts() {
            let context = self.context.of(part)?;
            if context.agent.received().is_some() {
                changes.push(looked_at(&context, model.context_window).await?);
            }
        }
        Ok(changes)
    }

    /// Has it worked on until it ends.
    async fn look(&self, family: &Arc<Family>) -> Result<Result<Outcome, String>, Halt> {
        if self.shared.is_ending() {
            return Err(Halt::Stopped);
        }
        match self.shared.attend(self.reviewer.session, family, &self.context.whole).await {
            // The change is there and was paid for: advice on it is nothing to wait for until tomorrow.
            Err(Halt::Budget(what)) => Ok(Err(format!("a budget is used up: {what}"))),
            ended => ended,
        }
    }

    /// What came of it.
    async fn review(&self, outcome: &Outcome) -> Result<SelfReview, WorkerError> {
        let agent = self.folded().await?;
        let opinion = match outcome {
            Outcome::Answered => agent
                .finish()
                .and_then(Opinion::of)
                .ok_or_else(|| "the model gave no opinion of the form that was asked for".to_owned()),
            Outcome::Stopped { limit } => Err(format!("it was stopped: {limit}")),
            Outcome::Failed { reason } => Err(format!("it failed: {reason}")),
            Outcome::Held { .. } => Err("its sandbox was frozen".to_owned()),
            Outcome::Cancelled | Outcome::PassedOver { .. } => Err("it was cancelled".to_owned()),
            Outcome::Succeeded | Outcome::Reviewed | Outcome::NothingToDo => {
                Err("it came to no end that it can have".to_owned())
            }
        };
        Ok(self.of(&agent, opinion))
    }

    async fn without(&self, why: String) -> Result<SelfReview, WorkerError> {
        let agent = self.folded().await?;
        Ok(self.of(&agent, Err(why)))
    }

    async fn folded(&self) -> Result<Agent, WorkerError> {
        let (store, session) = (&self.shared.parts.store, self.reviewer.session);
        match patiently(|| store.log(session)).await {
            Ok(log) => Ok(Agent::of(session, &log)),
            Err(StoreError::UnknownSession(_)) => Ok(Agent::new(session)),
            Err(error) => Err(error.into()),
        }
    }

    fn of(&self, agent: &Agent, opinion: Result<Opinion, String>) -> SelfReview {
        let whole = &self.context.whole;
        let seen = |part| whole.seen_from(part).and_then(|seen| Some(seen.received()?.head.clone()));
        let (opinion, failed) = match opinion {
            Ok(opinion) => (Some(opinion), None),
            Err(mut why) => {
                why.truncate(why.floor_char_boundary(MOST_REASON));
                (None, Some(why))
            }
        };
        let said =
            opinion.unwrap_or(Opinion { refuted: false, summary: String::new(), findings: Vec::new() });
        SelfReview {
            round: self.reviewer.round,
            session: self.reviewer.session,
            commit: whole.parts().find_map(seen).unwrap_or_default(),
            refuted: said.refuted,
            summary: said.summary,
            remarks: said.findings,
            failed,
            frozen: agent.frozen().map(str::to_owned),
            spent: agent.spent(),
        }
    }
}

/// The session that looked, if an event says what came of that. One whose sandbox was frozen is to be looked at.
pub(crate) fn looked(body: &EventBody) -> Option<SessionId> {
    let EventBody::SelfReviewed(review) = body else { return None };
    review.frozen.is_none().then_some(review.session)
}

/// Whether a stage is worked on like a session that was handed work.
pub(crate) const fn is_one(stage: Stage) -> bool {
    matches!(stage, Stage::SelfReview)
}

/// Puts the change into a workspace. Why it cannot be, if so.
async fn put_in(
    context: &StageContext,
    sandbox: &dyn Sandbox,
    head: &str,
) -> Result<Option<String>, WorkerError> {
    let workspace = context.workspace();
    sparse::besides(context, sandbox, &workspace).await?;
    let mut argv: Vec<String> = ["/bin/sh", "-c", LOOK, "cofferdam"].map(str::to_owned).to_vec();
    argv.extend([&*workspace, head, SEED, LENT].map(str::to_owned));
    Ok(match script::run(sandbox, argv, "/", TIME, 64 * 1024).await? {
        Some(finished) if finished.exit.success() => None,
        Some(finished) => Some(String::from_utf8_lossy(&finished.output.joined()).trim().to_owned()),
        None => Some("it took too long".to_owned()),
    })
}

async fn looked_at(context: &StageContext, window: u64) -> Result<LookedAt, WorkerError> {
    let received = context.agent.received().ok_or(WorkerError::Log("there is no change to look at"))?;
    let quarantine = quarantine(context).await?;
    // What others have pushed is not the agent's to answer for.
    let base = match context.agent.theirs().map(object_id).transpose()? {
        Some(theirs) if quarantine.has(&theirs).await => theirs,
        Some(_) | None => object_id(&context.repository()?.base_commit)?,
    };
    // A little more than is shown, so that it is known to be more.
    let most = Brief::most_of_a_diff(window) as u64 + 1_024;
    let diff =
        quarantine.diff_text(&base, &object_id(&received.head)?, most).await.map_err(ForgeError::from)?;
    let run = |side| context.agent.evidence().iter().rev().find(|run| run.side == side);
    let (before, after) = (run(Side::Base), run(Side::Head));
    let mut runs = Vec::new();
    for run in [before, after].into_iter().flatten() {
        runs.push(tests_run(context, run).await?);
    }
    Ok(LookedAt {
        directory: context.directory(),
        diff: String::from_utf8_lossy(&diff).into_owned(),
        headline: judge(before, after).headline.sentence().to_owned(),
        runs,
        no_runs: context.agent.evidence_missing().map(str::to_owned),
        findings: context.agent.findings().to_vec(),
    })
}

async fn tests_run(context: &StageContext, run: &EvidenceRun) -> Result<TestsRun, WorkerError> {
    let side = match run.side {
        Side::Base => "Before the change",
        Side::Head => "With the change",
    };
    let ended = match run.exit {
        Exit::Code(status) => format!("exit {status}"),
        Exit::Signal(signal) => format!("signal {signal}"),
        Exit::TimedOut => "stopped by the time limit".to_owned(),
    };
    let store = &context.parts.store;
    let output = match run.output.size {
        ..=MOST_OUTPUT => patiently(|| store.blob(run.output.digest)).await?,
        _ => b"(too long to be shown)".to_vec(),
    };
    let output = String::from_utf8_lossy(&output).into_owned();
    Ok(TestsRun { side, how: format!("{}: {ended}", run.command), output })
}
