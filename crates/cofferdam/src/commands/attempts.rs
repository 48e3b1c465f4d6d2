//! Several attempts at one task: `cofferdam run --attempts`, `compare` and `choose`.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_domain::{
    Cost, EventBody, Owner, SessionId,
    amount::{counted, duration},
    attempt::Attempt,
};
use cofferdam_gate::attempts::{AttemptFacts, Group, ranked};
use cofferdam_server::Act;
use cofferdam_worker::Parts;

use crate::{
    args::{AttemptArguments, ChooseArguments, CompareArguments, ForkArguments},
    commands::run::{Fresh, Request, work_and_show},
    compose::{App, Host},
    exit::Exit,
    sessions::{Line, Sessions},
    show::tokens,
    terminal::{Style, inert},
};

/// Makes several attempts at a task and works on one after the other; then on the one that the rule chooses, if it is to.
pub(crate) async fn accept_and_work(
    app: &App,
    host: Host,
    request: Request,
    wanted: &AttemptArguments,
) -> Result<Exit> {
    let Request { task, policy, model, json } = request;
    let store = app.store().await?;
    let parts = app.parts(store.clone(), host, policy).await?;
    let number = wanted.several().unwrap_or(1);
    ensure!(
        wanted.attempt_models.len() <= usize::from(number),
        "there are more models than attempts: leave some out of --attempt-models, or raise --attempts"
    );
    // All are there before the first is worked on, and none if one could not be: without its model there is nothing to accept.
    let mut models = Vec::new();
    for place in 0..usize::from(number) {
        let own = wanted.attempt_models.get(place % wanted.attempt_models.len().max(1));
        let name = own.or(model.as_ref()).map(String::as_str);
        models.push(parts.models.open(name, parts.policy.models.as_deref()).await?);
    }
    let all = Attempt::all(SessionId::generate(), number, wanted.choose.unwrap_or_default());
    let mut begun = Vec::new();
    for (attempt, model) in all.zip(models) {
        let (org, policy) = (Owner::LOCAL.org, parts.policy.clone());
        let foreign = parts.foreign(org, &task.addresses(), policy.servers.as_deref()).await?;
        let mut fixed = cofferdam_worker::fix(policy, &*model, parts.system, false, foreign, parts.screens());
        fixed.routes = parts.routes(&fixed.policy).await?;
        let accepted = EventBody::TaskAccepted { task: task.clone().attempted(attempt) };
        let fixed = vec![EventBody::PolicyFixed(Box::new(fixed))];
        let events = store.create(attempt.session(), cofferdam_worker::now(), accepted, fixed).await?;
        begun.push((attempt, Fresh { model, events }));
    }
    let first = begun.first().map(|(attempt, _)| *attempt);
    for (attempt, fresh) in begun {
        if !json {
            let title = format!("attempt {} of {}", attempt.number, attempt.of);
            app.terminal.line(&app.terminal.paint(Style::Bold, &title));
        }
        let session = attempt.session();
        let exit = Box::pin(work_and_show(app, parts.clone(), session, Some(fresh), json)).await?;
        let facts = AttemptFacts::of(&store.log(session).await?);
        if !facts.is_some_and(|facts| facts.is_through()) {
            return Ok(exit);
        }
    }
    let first = first.context("there are no attempts")?;
    let group = cofferdam_worker::attempts(&plain(&parts), Owner::LOCAL.org, first).await?;
    if !json {
        app.terminal.line("");
        show(app, &group);
    }
    deliver(app, parts, first, json).await
}

/// Says which sessions of a server the attempts are.
pub(crate) fn begun(app: &App, sessions: &[SessionId]) -> Result<Exit> {
    for (number, session) in (1..).zip(sessions) {
        app.terminal.line(&format!("attempt {number}  {session}"));
    }
    if let Some(first) = sessions.first() {
        let next = format!("cofferdam compare {first}");
        app.terminal.line(&app.terminal.paint(Style::Dim, &next));
    }
    Ok(Exit::Success)
}

/// Makes several sessions that go on from an event of another one, as attempts of which one is delivered.
pub(crate) async fn fork(app: &App, arguments: &ForkArguments) -> Result<Exit> {
    let forked = app.sessions().await?.fork_several(arguments).await?;
    begun(app, &forked)
}

/// The store as workers know it.
fn plain(parts: &Parts) -> Arc<dyn cofferdam_store::Store> {
    parts.store.clone()
}

/// Works on the attempt that was chosen, if one was, and ends the others.
async fn deliver(app: &App, parts: Arc<Parts>, attempt: Attempt, json: bool) -> Result<Exit> {
    let (store, org) = (plain(&parts), Owner::LOCAL.org);
    cofferdam_worker::conclude(&store, org, attempt).await?;
    let group = cofferdam_worker::attempts(&store, org, attempt).await?;
    let Some(chosen) = group.decided().map(|decided| decided.chosen) else {
        return Ok(Exit::Interrupted);
    };
    for facts in group.attempts().iter().filter(|facts| facts.session != chosen) {
        cofferdam_worker::settle(store.clone(), facts.session, &app.worker_name()).await?;
    }
    work_and_show(app, parts, chosen, None, json).await
}

/// Compares the attempts at a task.
pub(crate) async fn compare(app: &App, arguments: &CompareArguments) -> Result<Exit> {
    let sessions = app.sessions().await?;
    let session = sessions.named_or_latest(arguments.session).await?;
    let group = group(&*sessions, session).await?;
    if arguments.json {
        for facts in ranked(&group) {
            app.terminal.json(&json(facts).to_string());
        }
    } else {
        show(app, &group);
    }
    Ok(Exit::Success)
}

/// Chooses an attempt. One that no worker takes by itself is worked on here and now.
pub(crate) async fn choose(app: &App, arguments: &ChooseArguments) -> Result<Exit> {
    let session = arguments.session;
    let sessions = app.sessions().await?;
    let group = group(&*sessions, session).await?;
    let ready = group.of(session).and_then(AttemptFacts::ready).map(str::to_owned);
    // Where nothing is ready, whoever decides has something to say about that.
    let commit = arguments.commit.clone().or(ready).unwrap_or_else(|| "none".to_owned());
    sessions.act(session, Act::Choose { commit }).await?;
    app.terminal.line(&format!("{session}: chosen; the other attempts are passed over"));
    if app.there()?.is_some() {
        return Ok(Exit::Success);
    }
    let store = app.store().await?;
    let queued = store.session(None, session).await?.map(Line::from).is_some_and(|row| row.queued);
    let attempt = group.of(session).map(|facts| facts.attempt);
    let Some(attempt) = attempt.filter(|_| !queued) else { return Ok(Exit::Success) };
    let parts = app.parts(store, app.host()?, app.config.policy.clone()).await?;
    deliver(app, parts, attempt, arguments.json).await
}

/// All attempts of which a session is one, as their logs say.
async fn group(sessions: &dyn Sessions, session: SessionId) -> Result<Group> {
    let mut all = Vec::new();
    for one in sessions.attempts(session).await? {
        all.extend(AttemptFacts::of(&sessions.events(one).await?));
    }
    if all.is_empty() {
        bail!("{session} is the only attempt at its task: `cofferdam run --attempts` makes several");
    }
    Ok(Group::new(all, false))
}

/// The attempts for people, the best first.
fn show(app: &App, group: &Group) {
    let terminal = app.terminal;
    for (place, facts) in (1..).zip(ranked(group)) {
        let style = if facts.is_chosen() { Style::Good } else { Style::Bold };
        let cut = if facts.cut_short { ", cut short" } else { "" };
        let stands = terminal.paint(style, &format!("{}{cut}", facts.in_words()));
        let (session, number) = (facts.session, facts.attempt.number);
        terminal.line(&format!("{place}. attempt {number}  {session}  {stands}"));
        terminal.line(&format!(
            "   tests {}; findings: {}",
            facts.tests_in_words(),
            facts.findings_in_words()
        ));
        let spent = format!(
            "   {}; {}, {} tokens, {}, {}; {}",
            facts.size_in_words(),
            counted(facts.steps.into(), "step"),
            tokens(facts.tokens),
            Cost(facts.cost),
            duration(Duration::from_millis(facts.millis)),
            inert(facts.model.as_deref().unwrap_or("no model yet"))
        );
        terminal.line(&terminal.paint(Style::Dim, &spent));
    }
    let next = match group.decided() {
        Some(decided) => format!("chosen: {}, by {}", decided.chosen, inert(&decided.by)),
        None if group.is_complete() => "cofferdam choose SESSION delivers one of them".to_owned(),
        None => "not all are through yet".to_owned(),
    };
    terminal.line(&terminal.paint(Style::Dim, &next));
}

fn json(facts: &AttemptFacts) -> serde_json::Value {
    let tests = &facts.tests;
    serde_json::json!({
        "session": facts.session,
        "number": facts.attempt.number,
        "of": facts.attempt.of,
        "choose": facts.attempt.choose,
        "standing": facts.in_words(),
        "commit": facts.ready(),
        "chosen": facts.decided.as_ref().map(|decided| decided.chosen),
        "tests": tests.headline,
        "fail_to_pass": tests.fail_to_pass,
        "pass_to_pass": tests.pass_to_pass,
        "pass_to_fail": tests.pass_to_fail,
        "blocking": facts.blocking,
        "warnings": facts.warnings,
        "notes": facts.notes,
        "files": facts.stat.files,
        "added": facts.stat.added,
        "removed": facts.stat.removed,
        "cut_short": facts.cut_short,
        "steps": facts.steps,
        "tokens": facts.tokens,
        "cost": facts.cost,
        "millis": facts.millis,
        "model": facts.model,
    })
}
