//! `cofferdam run`: a task in, a pull request out.

use std::{io::Read as _, path::Path, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use cofferdam_domain::{
    Also, Event, EventBody, Owner, Policy, Seq, SessionId, Source, Task, WaitingFor, Wishes, task::MAX_PROMPT,
};
use cofferdam_forge::{Git, RepositoryAddress};
use cofferdam_model::Model;
use cofferdam_store::StoreError;
use cofferdam_worker::{Ended, Watch, WorkerError};
use futures_util::StreamExt as _;

use crate::{
    args::RunArguments,
    commands::attempts,
    compose::{App, Host},
    exit::Exit,
    sessions::{NewTask, Sessions as _, There},
    show::{JsonLines, LiveView, show_result},
    telemetry::{Both, Ear},
    terminal::{Style, complain},
};

/// Accepts the task and works on it until it ends.
pub(crate) async fn run(app: &App, arguments: &RunArguments) -> Result<Exit> {
    let prompt = prompt(arguments)?;
    if let Some(there) = app.there()? {
        return over_there(app, &there, arguments, prompt).await;
    }
    ensure!(
        !arguments.plan_first,
        "--plan-first takes a server that somebody can approve the plan on: `cofferdam up` starts one"
    );
    let here = std::env::current_dir().context("the current directory is gone")?;
    let host = app.host()?;
    let address = RepositoryAddress::parse(&host.git, &arguments.repo, &here).await?;
    let task = Task::new(prompt, address.to_string(), arguments.base.clone(), app.user(), Source::Cli)?;
    let task = task.with(Wishes { sparse: arguments.sparse.clone(), ..Wishes::default() })?;
    let task = task.and_also(also(&host.git, &here, arguments).await?)?;
    let policy = narrowed(app.config.policy.clone(), arguments);
    let request = Request { task, policy, model: arguments.model.clone(), json: arguments.json };
    match arguments.several.several() {
        Some(_) => attempts::accept_and_work(app, host, request, &arguments.several).await,
        None => accept_and_work(app, host, request).await,
    }
}

/// Has a server accept the task, and shows what a worker makes of it.
async fn over_there(app: &App, there: &There, arguments: &RunArguments, prompt: String) -> Result<Exit> {
    let RunArguments { max_steps, max_cost, max_minutes, test, .. } = arguments;
    ensure!(
        max_steps.is_none() && max_cost.is_none() && max_minutes.is_none() && test.is_none(),
        "a server's sessions have the limits and tests of its policies: leave out --max-steps, --max-cost, --max-minutes and --test"
    );
    let here = std::env::current_dir().context("the current directory is gone")?;
    let git = Git::find()?;
    let address = RepositoryAddress::parse(&git, &arguments.repo, &here).await?;
    let task = NewTask {
        prompt,
        repository: address.to_string(),
        base: arguments.base.clone(),
        model: arguments.model.clone(),
        plan_first: arguments.plan_first,
        sparse: arguments.sparse.clone(),
        also: also(&git, &here, arguments).await?,
        attempts: arguments.several.attempts,
        attempt_models: arguments.several.attempt_models.clone(),
        choose: arguments.several.choose,
    };
    if arguments.several.several().is_some() {
        return attempts::begun(app, &there.begin_several(&task).await?);
    }
    let session = there.begin(&task).await?;
    watched(app, there, session, arguments.json).await
}

/// Shows what a worker of a server makes of a session, until it ends.
pub(crate) async fn watched(app: &App, there: &There, session: SessionId, json: bool) -> Result<Exit> {
    let watch: Box<dyn Watch> =
        if json { Box::new(JsonLines(app.terminal)) } else { Box::new(LiveView::new(app.terminal, &[])) };
    if !json {
        app.terminal.line(&app.terminal.paint(Style::Dim, &format!("session {session}")));
    }
    let mut stop = app.stop_on_interrupt();
    let mut seen = Vec::new();
    let mut events = there.follow(session, Seq::START).await?;
    loop {
        let event = tokio::select! {
            event = events.next() => event.context("the server ended the stream")??,
            _ = stop.wait_for(|stop| *stop) => {
                complain(&format!("{session} goes on without you; `cofferdam show --follow {session}` watches it, `cofferdam cancel {session}` ends it"));
                return Ok(Exit::Interrupted);
            }
        };
        watch.event(&event);
        let over = if let EventBody::SessionEnded { outcome } = &event.body {
            Some(Exit::of(outcome))
        } else {
            None
        };
        seen.push(event);
        if let Some(exit) = over {
            if !json {
                show_result(app.terminal, session, &seen);
            }
            return Ok(exit);
        }
    }
}

/// A task with what it may use.
pub(crate) struct Request {
    pub(crate) task: Task,
    pub(crate) policy: Policy,
    pub(crate) model: Option<String>,
    pub(crate) json: bool,
}

/// Makes a session and works on it.
pub(crate) async fn accept_and_work(app: &App, host: Host, request: Request) -> Result<Exit> {
    let store = app.store().await?;
    let parts = app.parts(store.clone(), host, request.policy).await?;
    // Opened before the session exists: without a model there is nothing to accept.
    let (org, policy) = (Owner::LOCAL.org, parts.policy.clone());
    let model = parts.models.open(request.model.as_deref(), policy.models.as_deref()).await?;
    let foreign = parts.foreign(org, &request.task.addresses(), policy.servers.as_deref()).await?;
    let mut fixed = cofferdam_worker::fix(policy, &*model, parts.system, false, foreign, parts.screens());
    fixed.routes = parts.routes(&fixed.policy).await?;
    let accepted = EventBody::TaskAccepted { task: request.task };
    let session = SessionId::generate();
    // In one transaction: a session that exists can be resumed, whatever happens next.
    let fixed = vec![EventBody::PolicyFixed(Box::new(fixed))];
    let events = store.create(session, cofferdam_worker::now(), accepted, fixed).await?;
    work_and_show(app, parts, session, Some(Fresh { model, events }), request.json).await
}

/// What is at hand of a session that has just been made.
pub(crate) struct Fresh {
    pub(crate) model: Box<dyn Model>,
    /// Its first events, which the worker has no reason to tell of.
    pub(crate) events: Vec<Event>,
}

/// Works on a session that exists, shows it live, and then what came of it.
pub(crate) async fn work_and_show(
    app: &App,
    parts: Arc<cofferdam_worker::Parts>,
    session: SessionId,
    fresh: Option<Fresh>,
    json: bool,
) -> Result<Exit> {
    let store = parts.store.clone();
    let watch: Arc<dyn Watch> = if json {
        Arc::new(JsonLines(app.terminal))
    } else {
        let past = if fresh.is_some() { Vec::new() } else { app.events(&*store, session).await? };
        Arc::new(LiveView::new(app.terminal, &past))
    };
    if !json {
        app.terminal.line(&app.terminal.paint(Style::Dim, &format!("session {session}")));
    }
    for event in fresh.iter().flat_map(|fresh| &fresh.events) {
        watch.event(event);
    }
    let model = fresh.map(|fresh| fresh.model);
    let stop = app.stop_on_interrupt();
    let telling = app.telling(store.clone(), Ear::Nobody)?;
    let watch = if telling.has_collector() { Arc::new(Both(watch, telling.clone())) } else { watch };
    let ended = Box::pin(cofferdam_worker::work(parts, session, model, watch, stop)).await;
    telling.finish().await;
    let ended = match ended {
        // It goes on elsewhere.
        Err(error @ WorkerError::Store(StoreError::Claimed { .. })) => return Err(error.into()),
        ended => ended.with_context(|| {
            format!("the work on {session} stopped; nothing is lost, and `cofferdam resume {session}` goes on with it")
        })?,
    };
    if !json {
        let events = app.events(&*store, session).await?;
        show_result(app.terminal, session, &events);
    }
    match ended {
        Ended::Over(outcome) => Ok(Exit::of(&outcome)),
        Ended::Waiting(WaitingFor::Choice) => {
            complain(&format!(
                "ready; `cofferdam compare {session}` compares the attempts, `cofferdam choose {session}` delivers this one"
            ));
            Ok(Exit::Interrupted)
        }
        Ended::Waiting(waiting) => {
            complain(&format!(
                "waits for a person ({}); then `cofferdam resume {session}` goes on",
                waiting.name()
            ));
            Ok(Exit::Interrupted)
        }
        Ended::Interrupted => {
            complain(&format!("interrupted; `cofferdam resume {session}` goes on"));
            Ok(Exit::Interrupted)
        }
    }
}

/// The other repositories that the task is about.
async fn also(git: &Git, here: &Path, arguments: &RunArguments) -> Result<Vec<Also>> {
    let mut also = Vec::new();
    for typed in &arguments.also {
        let Also { repository, base } = Also::typed(typed);
        let address = RepositoryAddress::parse(git, &repository, here).await?;
        also.push(Also { repository: address.to_string(), base });
    }
    Ok(also)
}

fn prompt(arguments: &RunArguments) -> Result<String> {
    // One byte more than is accepted is enough to know that it is too long; how much longer does not matter.
    let read = |source: &mut dyn std::io::Read, name: &str| -> Result<String> {
        let mut bytes = Vec::new();
        source
            .take(MAX_PROMPT as u64 + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("failed to read {name}"))?;
        if bytes.len() > MAX_PROMPT {
            bail!(
                "the task in {name} is longer than {MAX_PROMPT} bytes: put long material in a file of the repository and \
                 name the file in the task"
            );
        }
        String::from_utf8(bytes).with_context(|| format!("{name} is not UTF-8 text"))
    };
    match (&arguments.task_file, arguments.task.as_deref()) {
        (Some(path), _) => {
            let mut file =
                std::fs::File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
            read(&mut file, &path.display().to_string())
        }
        (None, Some("-")) => read(&mut std::io::stdin().lock(), "standard input"),
        (None, Some(text)) => Ok(text.to_owned()),
        (None, None) => {
            bail!("no task: give it as an argument, with --task-file, or on standard input with -")
        }
    }
}

/// The configured policy, narrowed by what was typed.
fn narrowed(mut policy: Policy, arguments: &RunArguments) -> Policy {
    let budget = &mut policy.budget;
    budget.steps = arguments.max_steps.map_or(budget.steps, |steps| budget.steps.min(steps));
    budget.cost = arguments.max_cost.map_or(budget.cost, |cost| budget.cost.min(cost));
    let wall_ms = arguments.max_minutes.map(|minutes| u64::from(minutes) * 60_000);
    budget.wall_ms = wall_ms.map_or(budget.wall_ms, |wall_ms| budget.wall_ms.min(wall_ms));
    if let Some(command) = &arguments.test {
        policy.test_command = Some(command.clone());
    }
    policy
}
