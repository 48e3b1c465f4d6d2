//! Working on one session, from its claim to its end: what it is given, and what is left of it.

use std::{sync::Arc, time::Duration};

use cofferdam_agent::{Agent, Network, PromptInput};
use cofferdam_domain::{
    EventBody, Outcome, Owner, Policy, Seq, SessionId, Timestamp, UnderReview, WaitingFor, Wishes,
    egress::EgressPolicy,
    event::{Fixed, ModelInfo, ModelRole},
    foreign::Foreign,
};
use cofferdam_model::{Model, OpenError};
use cofferdam_sandbox::{System, WORKSPACE};
use cofferdam_store::{Claim, MOST_CRASHES, Store};
use cofferdam_tools::Toolbox;
use tokio::sync::watch;

use crate::{
    Nobody, Parts, Screens, Watch, WorkerError, attempts,
    delegate::{self, Family},
    layers,
    log::{SessionLog, now},
    patience::patiently,
    purses::Purses,
    run::{Left, Run, Scene},
};

/// How work on a session came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The session is over.
    Over(Outcome),
    /// It waits for a person, and needs no worker until then.
    Waiting(WaitingFor),
    /// The worker was asked to stop; the session can be resumed.
    Interrupted,
}

/// Asks a running worker to stop, by any clone of the receiver turning true.
pub type StopSignal = watch::Receiver<bool>;

/// What is given to whoever works on a session that is claimed already.
pub(crate) struct Job<'c> {
    pub(crate) parts: Arc<Parts>,
    pub(crate) claim: &'c Claim,
    /// Whose session it is.
    pub(crate) owner: Owner,
    /// What their owners may still spend.
    pub(crate) purses: Arc<Purses>,
    pub(crate) watch: Arc<dyn Watch>,
    /// How long what is under way may take to end once the worker is asked to stop.
    pub(crate) grace: Duration,
    /// How many workers in a row have died with it.
    pub(crate) crashes: u32,
    /// What it has of the session that it works for, if it does.
    pub(crate) family: Option<Arc<Family>>,
}

/// What became of a job.
pub(crate) struct Worked {
    pub(crate) left: Left,
    /// The last event that was looked at.
    pub(crate) seen: Seq,
    /// When it is to be looked at anew although nothing happens.
    pub(crate) again: Option<Timestamp>,
}

/// Works on a session that exists in the store until it ends or waits for a person. `model` is the session's model if the caller has it open
/// already; otherwise it is opened by the name in the log.
///
/// # Errors
/// When the store, the sandbox, git or the model's configuration fail in a way that is no fault of the task. The session is then as its log
/// says, and can be resumed.
pub async fn work(
    parts: Arc<Parts>,
    session: SessionId,
    model: Option<Box<dyn Model>>,
    watch: Arc<dyn Watch>,
    stop: StopSignal,
) -> Result<Ended, WorkerError> {
    let purses = Purses::new(parts.ledger.clone());
    let mut model = model;
    loop {
        let row = parts.store.session(None, session).await?;
        let claim = parts.store.claim(session, &parts.name).await?;
        let job = Job {
            parts: parts.clone(),
            claim: &claim,
            owner: row.map_or(Owner::LOCAL, |row| row.owner),
            purses: purses.clone(),
            watch: watch.clone(),
            grace: Duration::ZERO,
            crashes: 0,
            family: None,
        };
        match work_on(job, model.take(), stop.clone()).await?.left {
            Left::Ended(ended) => return Ok(ended),
            Left::TakenBack => {}
        }
    }
}

/// Works on a claimed session. `model` is the session's model, if it is open already.
pub(crate) async fn work_on(
    job: Job<'_>,
    model: Option<Box<dyn Model>>,
    stop: StopSignal,
) -> Result<Worked, WorkerError> {
    let Job { parts, claim, watch, .. } = &job;
    let mut log = SessionLog::open(parts.store.clone(), watch.clone(), claim).await?;
    delegate::end(parts, log.given_up().to_vec()).await?;
    let (store, org) = (parts.store.clone(), job.owner.org);
    let before = attempts::before_work(&store, org, log.agent()).await?;
    if let Some(left) = at_once(&job, &mut log).await? {
        let again = attempts::after_work(&store, org, before, log.agent()).await?;
        return Ok(Worked { left, seen: log.last(), again });
    }
    if let Some(parent) = log.agent().parent().filter(|_| job.family.is_none()) {
        return Err(WorkerError::Subagent(parent.session));
    }
    let (model, fixed) = match provide(&job, &log, model).await {
        Ok(provided) => provided,
        Err(WorkerError::NoPolicy(reason)) => {
            let left = give_up(&job, &mut log, reason).await?;
            let again = attempts::after_work(&store, org, before, log.agent()).await?;
            return Ok(Worked { left, seen: log.last(), again });
        }
        Err(WorkerError::Model(error @ OpenError::NotPermitted { .. })) => {
            let left = give_up(&job, &mut log, error.to_string()).await?;
            let again = attempts::after_work(&store, org, before, log.agent()).await?;
            return Ok(Worked { left, seen: log.last(), again });
        }
        Err(error) => return Err(error),
    };
    let Job { parts, owner, purses, watch, grace, family, .. } = job;
    let news = parts.store.follow(log.session(), log.last()).await?;
    let machine = parts.clone();
    let scene = Scene { parts, watch, owner, purses, grace, family };
    let mut run = Run::new(scene, log, model, fixed);
    let left = run.finish(news, stop).await?;
    if matches!(left, Left::Ended(Ended::Over(_))) {
        clean_up(&machine, run.agent()).await?;
    }
    let again = attempts::after_work(&store, org, before, run.agent()).await?;
    Ok(Worked { left, seen: run.seen(), again })
}

/// What takes no model and no sandbox: a session that has ended, waits, was cancelled, or is to be given up.
async fn at_once(job: &Job<'_>, log: &mut SessionLog<'_>) -> Result<Option<Left>, WorkerError> {
    let agent = log.agent();
    if let Some(outcome) = agent.outcome().cloned().filter(|_| !agent.resumable()) {
        // Whoever saw it end may have been killed before it could clean up.
        clean_up(&job.parts, agent).await?;
        return Ok(Some(Left::Ended(Ended::Over(outcome))));
    }
    if let Some(waiting) = agent.waits_at(now()) {
        return Ok(Some(Left::Ended(Ended::Waiting(waiting))));
    }
    let passed_over = agent.passed_over().is_some() && (agent.outcome().is_none() || agent.goes_on());
    if agent.outcome().is_none() && agent.cancelled() || passed_over {
        log.record(vec![claimed(job)], None).await?;
        return Ok(Some(over(job, log).await?));
    }
    if job.crashes >= MOST_CRASHES && agent.outcome().is_none() {
        let times: Vec<String> = log.claims().map(Timestamp::utc).collect();
        let reason = format!(
            "given up: {} workers in a row failed or died with it, which took it at {}. The workers' own logs tell why; write to the session to \
             have it tried again",
            job.crashes,
            times.join(", ")
        );
        return give_up(job, log, reason).await.map(Some);
    }
    if agent.closing() && agent.fixed().is_none() {
        let reason = "the session has no pull request".to_owned();
        log.note(vec![EventBody::MergeFailed { reason }]).await?;
        return Ok(Some(over(job, log).await?));
    }
    Ok(None)
}

/// Ends a session that cannot be worked on.
async fn give_up(job: &Job<'_>, log: &mut SessionLog<'_>, reason: String) -> Result<Left, WorkerError> {
    let outcome = Outcome::Failed { reason };
    log.note(vec![claimed(job), EventBody::SessionEnded { outcome }]).await?;
    over(job, log).await
}

async fn over(job: &Job<'_>, log: &SessionLog<'_>) -> Result<Left, WorkerError> {
    clean_up(&job.parts, log.agent()).await?;
    let outcome = log.agent().outcome().cloned().ok_or(WorkerError::Log("it has not ended"))?;
    Ok(Left::Ended(Ended::Over(outcome)))
}

/// Removes what a session that is over needs no more, and ends those that work for it. What a subagent has made is still to be taken over: whoever
/// does that removes it.
async fn clean_up(parts: &Arc<Parts>, agent: &Agent) -> Result<(), WorkerError> {
    if agent.keeps_workspace() {
        return Ok(());
    }
    delegate::end(parts, agent.subagents().collect()).await?;
    match agent.parent() {
        Some(_) => Ok(()),
        None => layers::forget(&parts.data, agent.session()).await,
    }
}

fn claimed(job: &Job<'_>) -> EventBody {
    EventBody::Claimed { worker: job.parts.name.clone(), fence: job.claim.fence }
}

/// The model and what the session may do and with what: as fixed in the log, or as the task and the organisation wish it.
async fn provide(
    job: &Job<'_>,
    log: &SessionLog<'_>,
    model: Option<Box<dyn Model>>,
) -> Result<(Option<Box<dyn Model>>, Fixed), WorkerError> {
    let (parts, agent) = (&job.parts, log.agent());
    let wishes = agent.task().map(|task| task.wishes.clone()).unwrap_or_default();
    if let (Some(fixed), None) = (agent.fixed(), agent.other_model()) {
        // Whoever only merges asks no model.
        let model = match (agent.closing(), model) {
            (true, _) => None,
            (false, Some(model)) => Some(model),
            (false, None) => {
                let (name, only) = (fixed.model.reference(), fixed.policy.models.as_deref());
                Some(parts.models.open(Some(&name), only).await?)
            }
        };
        return Ok((model, fixed.clone()));
    }
    let policy = match agent.fixed() {
        Some(fixed) => fixed.policy.clone(),
        None => policy(job, &wishes).await?,
    };
    let model = match model {
        Some(model) if agent.other_model().is_none() => model,
        _ => {
            let only = policy.models.as_deref();
            // One that the policy does not permit is no route: nobody has asked for it.
            let reviewer = agent.review().and_then(|_| parts.models.route(ModelRole::Review));
            let name = agent.other_model().or(wishes.model.as_deref());
            match (name, reviewer) {
                (None, Some(reviewer)) => match parts.models.open(Some(&reviewer), only).await {
                    Err(WorkerError::Model(OpenError::NotPermitted { .. })) => {
                        parts.models.open(None, only).await?
                    }
                    opened => opened?,
                },
                (name, _) => parts.models.open(name, only).await?,
            }
        }
    };
    let foreign = match (agent.fixed(), agent.task()) {
        (Some(fixed), _) => fixed.foreign.clone(),
        (None, Some(task)) if agent.review().is_none() => {
            parts.foreign(job.owner.org, &task.addresses(), policy.servers.as_deref()).await?
        }
        (None, _) => Foreign::default(),
    };
    let mut fixed = match agent.review() {
        Some(review) => fix_review(policy, review, &*model, parts.system),
        None => fix(policy, &*model, parts.system, wishes.plan_first, foreign, parts.screens()),
    };
    fixed.routes = parts.routes(&fixed.policy).await?;
    Ok((Some(model), fixed))
}

/// The worker's own policy, narrowed by what the organisation says.
async fn policy(job: &Job<'_>, wishes: &Wishes) -> Result<Policy, WorkerError> {
    let (own, org) = (&job.parts.policy, job.owner.org);
    let name = wishes.policy.as_deref();
    match (patiently(|| job.parts.policies.policy(org, name)).await?, name) {
        (Some(narrowing), _) => Ok(own.narrowed_by(&narrowing)),
        (None, None) => Ok(own.clone()),
        (None, Some(name)) => Err(WorkerError::NoPolicy(format!(
            "there is no policy {name:?}: ask again with one that there is, or without"
        ))),
    }
}

/// What a new session is given: the policy, the model, and the prompt and tools that fit it and the system of its sandboxes.
#[must_use]
pub fn fix(
    policy: Policy,
    model: &dyn Model,
    system: System,
    plan_first: bool,
    foreign: Foreign,
    screens: Screens,
) -> Fixed {
    let toolbox = Toolbox::standard(model.info().edits)
        .with_access(policy.egress.access)
        .with_system(system)
        .with_plan_first(plan_first)
        .with_skills(policy.instructions.is_used())
        .with_memory(policy.memory.is_used())
        .with_subagents(policy.delegation > 0)
        .with_browser(screens.browser, None)
        .with_display(screens.display, None)
        .with_foreign(&foreign);
    Fixed { foreign, ..fixed(policy, model.info().clone(), &toolbox, cofferdam_agent::system_prompt) }
}

/// The same for one that reviews. What comes from another repository is run by nobody who trusts it: nothing is let out, whatever the policy lets
/// out of other sessions, and so no credential is anywhere near it.
fn fix_review(mut policy: Policy, review: &UnderReview, model: &dyn Model, system: System) -> Fixed {
    if review.foreign {
        policy.egress = EgressPolicy::default();
    }
    let toolbox = Toolbox::standard(model.info().edits)
        .with_access(policy.egress.access)
        .with_system(system)
        .with_skills(policy.instructions.is_used())
        .reviewing(true);
    fixed(policy, model.info().clone(), &toolbox, cofferdam_agent::review_prompt)
}

pub(crate) fn fixed(
    mut policy: Policy,
    model: ModelInfo,
    toolbox: &Toolbox,
    prompt: impl Fn(&PromptInput<'_>) -> String,
) -> Fixed {
    policy.alarms.get_or_insert_default();
    let tools = toolbox.specs();
    let network = if policy.egress.is_closed() { Network::Off } else { Network::Door };
    let input = PromptInput {
        workspace: WORKSPACE,
        tools: &tools,
        test_command: policy.test_command.as_deref(),
        questions: policy.questions,
        network,
    };
    let system = prompt(&input);
    Fixed {
        policy,
        model,
        system,
        tools,
        foreign: Foreign::default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rules: cofferdam_agent::RULES,
        routes: Default::default(),
    }
}

/// Lets a session that nobody works on come to the end that its log already asks for (a cancellation, the choice of another attempt), without any effect, and those that work
/// for it with it. What they have on disk goes when a worker starts there.
///
/// # Errors
/// When another process has the session, or the store fails.
pub async fn settle(store: Arc<dyn Store>, session: SessionId, worker: &str) -> Result<(), WorkerError> {
    let claim = store.claim(session, worker).await?;
    let mut log = SessionLog::open(store.clone(), Arc::new(Nobody), &claim).await?;
    let called_off = log.agent().cancelled() || log.agent().passed_over().is_some();
    if log.agent().outcome().is_none() && called_off {
        log.record(Vec::new(), None).await?;
    }
    if log.agent().outcome().is_some() {
        let below: Vec<SessionId> = log.agent().subagents().chain(log.given_up().iter().copied()).collect();
        for session in below {
            delegate::conclude(&store, session, worker).await?;
        }
    }
    Ok(())
}
