//! `cofferdam message`, `pause`, `continue`, `answer`, `plan`, `rollback` and `fork`: a session is steered.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cofferdam_domain::{
    CallId, Digest, Event, EventBody, Seq, SessionId, SessionState, effective::effective, event::PlanDecision,
};
use cofferdam_server::Act;

use crate::{
    args::{
        AnswerArguments, ForkArguments, MessageArguments, NamedSession, PlanArguments, ResumeArguments,
        RollbackArguments,
    },
    commands::{attempts, resume::resume},
    compose::App,
    exit::Exit,
    sessions::Line,
    terminal::{Style, inert},
};

/// Writes to a session.
pub(crate) async fn message(app: &App, arguments: &MessageArguments) -> Result<Exit> {
    let act = Act::Message { text: arguments.text.clone() };
    done(app, arguments.session, act, "written; the agent reads it before it goes on").await
}

/// Asks a session to wait.
pub(crate) async fn pause(app: &App, arguments: &NamedSession) -> Result<Exit> {
    done(app, arguments.session, Act::Pause, "it pauses when what runs has ended").await
}

/// Lets a session go on. One that a limit has stopped, and that no worker takes by itself, is worked on here and now.
pub(crate) async fn go_on(app: &App, arguments: &NamedSession) -> Result<Exit> {
    let session = arguments.session;
    done(app, session, Act::Continue, "it goes on").await?;
    if app.there()?.is_some() {
        return Ok(Exit::Success);
    }
    let row = app.store().await?.session(None, session).await?.map(Line::from);
    if row.is_some_and(|row| !row.queued && !row.claimed && row.state == SessionState::Queued) {
        return resume(app, &ResumeArguments { id: Some(session), json: false }).await;
    }
    Ok(Exit::Success)
}

/// Answers a session's question.
pub(crate) async fn answer(app: &App, arguments: &AnswerArguments) -> Result<Exit> {
    let session = arguments.session;
    let call = match arguments.call {
        Some(call) => call,
        None => open_question(session, &app.sessions().await?.events(session).await?)?,
    };
    done(app, session, Act::Answer { call, text: arguments.text.clone() }, "answered").await
}

/// The one question that waits for an answer.
fn open_question(session: SessionId, events: &[Event]) -> Result<CallId> {
    let mut open: Vec<CallId> = Vec::new();
    for event in effective(events) {
        if let EventBody::QuestionAsked { call, .. } = &event.body {
            open.push(*call);
        } else if let EventBody::QuestionAnswered { call, .. } = &event.body {
            open.retain(|known| known != call);
        } else if let EventBody::ContinueAsked { .. } = &event.body {
            open.clear();
        }
    }
    match open[..] {
        [call] => Ok(call),
        [] => bail!("{session} has no open question"),
        [_, ..] => bail!(
            "{session} has several open questions: name one with --call, as `cofferdam show {session}` does"
        ),
    }
}

/// Shows a session's plan, or decides about it.
pub(crate) async fn plan(app: &App, arguments: &PlanArguments) -> Result<Exit> {
    let session = arguments.session;
    let events = app.sessions().await?.events(session).await?;
    let proposed = effective(&events).into_iter().rev().find_map(|event| {
        let EventBody::PlanProposed { text, digest, .. } = &event.body else { return None };
        Some((text.clone(), *digest))
    });
    let Some((text, digest)) = proposed else { bail!("{session} has proposed no plan") };
    let decision = match (&arguments.reject, arguments.approve) {
        (Some(reason), _) => PlanDecision::Rejected { text: reason.clone() },
        (None, true) => PlanDecision::Approved { text: edited(arguments)? },
        (None, false) => {
            app.terminal.line(&inert(&text));
            app.terminal.line(&app.terminal.paint(Style::Dim, &format!("plan {digest}")));
            return Ok(Exit::Success);
        }
    };
    same_plan(arguments.digest, digest)?;
    let word = if arguments.approve {
        "approved; the agent begins"
    } else {
        "rejected; the agent makes another plan"
    };
    done(app, session, Act::Plan { digest, decision }, word).await
}

fn same_plan(expected: Option<Digest>, digest: Digest) -> Result<()> {
    ensure!(
        expected.is_none_or(|expected| expected == digest),
        "the session has another plan ({digest}) than the one that you looked at"
    );
    Ok(())
}

fn edited(arguments: &PlanArguments) -> Result<Option<String>> {
    let read = |path: &PathBuf| {
        fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
    };
    arguments.edited.as_ref().map(read).transpose()
}

/// Takes a session back.
pub(crate) async fn rollback(app: &App, arguments: &RollbackArguments) -> Result<Exit> {
    let act = Act::RollBack { to: Seq(arguments.to), instruction: arguments.instruction.clone() };
    done(app, arguments.session, act, &format!("taken back to event {}", arguments.to)).await
}

/// Makes a session that goes on from another one.
pub(crate) async fn fork(app: &App, arguments: &ForkArguments) -> Result<Exit> {
    let ForkArguments { session, at, model, instruction, several } = arguments;
    if several.several().is_some() {
        return attempts::fork(app, arguments).await;
    }
    let forked = app.sessions().await?.fork(*session, Seq(*at), model.clone(), instruction.clone()).await?;
    app.terminal.line(&format!("{forked} goes on from event {at} of {session}"));
    Ok(Exit::Success)
}

async fn done(app: &App, session: SessionId, act: Act, word: &str) -> Result<Exit> {
    app.sessions().await?.act(session, act).await?;
    app.terminal.line(&format!("{session}: {word}"));
    Ok(Exit::Success)
}
