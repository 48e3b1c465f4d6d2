//! The list of sessions, and new tasks.

use std::collections::BTreeSet;

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use cofferdam_domain::{
    Also, Cost, ProjectId, SessionId, SessionState, Source, attempt::Choose, task::Wishes,
};
use cofferdam_store::{SessionFilter, SessionRow};
use serde::Deserialize;

use super::{
    answer::{Html, page, to_session},
    fields::{Fields, optional, unix},
    views::row,
};
use crate::{
    access::Signed,
    actions::{self, Attempts, NewSession},
    api::Asked,
    cursor,
    pages::{
        list::{self, Listed},
        new::{self, Filled, Offered},
        shell::Place,
    },
    problem::{Kind, Problem},
};

/// Sessions on one page.
const PAGE: u32 = 50;

/// What the list is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    text: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    archived: bool,
    before: Option<String>,
}

pub(super) async fn list(signed: Signed, Asked(wanted): Asked<Wanted>) -> Result<Html, Problem> {
    let before = wanted.before.as_deref().map(cursor::read).transpose()?;
    let filter = SessionFilter {
        archived: Some(wanted.archived),
        text: (!wanted.text.trim().is_empty()).then(|| wanted.text.trim().to_owned()),
        state: SessionState::named(&wanted.state),
        before,
        limit: PAGE,
        ..SessionFilter::default()
    };
    let (rows, next) = signed.tenant.page(filter).await?;
    let asked = list::Asked {
        text: wanted.text,
        state: wanted.state,
        archived: wanted.archived,
        later: before.is_some(),
        next: next.map(cursor::after),
    };
    let listed: Vec<Listed> = rows.into_iter().map(listed).collect();
    Ok(page(&signed, Place::Sessions, "Sessions", &list::page(&listed, &asked, signed.now())))
}

/// What the list shows of a row of the store.
pub(super) fn listed(stored: SessionRow) -> Listed {
    Listed {
        outcome: stored.outcome.clone(),
        pull_request: stored.pull_request.clone(),
        cost: Cost(stored.cost),
        steps: stored.steps,
        accesses: stored.accesses,
        updated: stored.updated,
        row: row(stored),
    }
}

pub(super) async fn new(signed: Signed) -> Result<Html, Problem> {
    let offered = offered(&signed).await?;
    let repository = offered.repositories.first().cloned().unwrap_or_default();
    let filled = Filled { repository, ..Filled::default() };
    Ok(page(&signed, Place::Elsewhere, "New task", &new::page(&offered, &filled, None)))
}

pub(super) async fn offered(signed: &Signed) -> Result<Offered, Problem> {
    /// Sessions whose repositories are offered again.
    const RECENT: u32 = 50;
    let recent = signed.tenant.sessions(SessionFilter { limit: RECENT, ..SessionFilter::default() }).await?;
    let mut seen = BTreeSet::new();
    let repositories =
        recent.into_iter().map(|row| row.repository).filter(|one| seen.insert(one.clone())).collect();
    let policies = signed.tenant.policies().await?.into_iter().map(|(name, _)| name).collect();
    let projects = signed.tenant.projects().await?;
    Ok(Offered {
        models: signed.shared.choices().models.clone(),
        policies,
        projects: projects.into_iter().map(|project| (project.id.to_string(), project.name)).collect(),
        repositories,
    })
}

/// The form for a new task.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTask {
    repository: String,
    #[serde(default)]
    base: String,
    #[serde(default)]
    also: String,
    prompt: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    policy: String,
    #[serde(default)]
    project: String,
    #[serde(default)]
    plan_first: bool,
    #[serde(default)]
    attempts: String,
    #[serde(default)]
    choose: String,
}

pub(super) async fn create(signed: Signed, Fields(task): Fields<NewTask>) -> Result<Response, Problem> {
    let NewTask { repository, base, also, prompt, model, policy, project, plan_first, attempts, choose } =
        task;
    let prompt = unix(prompt);
    let filled =
        Filled { repository, base, also, prompt, model, policy, project, plan_first, attempts, choose };
    match accept(&signed, filled.clone()).await {
        Ok(session) => Ok(to_session(session)),
        Err(problem) if matches!(problem.kind, Kind::Meaningless | Kind::Malformed) => {
            // Nothing that was written is lost.
            let content = new::page(&offered(&signed).await?, &filled, Some(&problem.detail));
            let shown = page(&signed, Place::Elsewhere, "New task", &content);
            Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response())
        }
        Err(problem) => Err(problem),
    }
}

async fn accept(signed: &Signed, filled: Filled) -> Result<SessionId, Problem> {
    let Filled { repository, base, also, prompt, model, policy, project, plan_first, attempts, choose } =
        filled;
    let several = several(&attempts, &choose)?;
    let project = optional(project).map(|text| text.parse::<ProjectId>()).transpose();
    let project = project.map_err(|_| Problem::new(Kind::Meaningless, "there is no such project"))?;
    let wanted = NewSession {
        id: SessionId::generate(),
        prompt,
        repository: repository.trim().to_owned(),
        base: optional(base).map(|base| base.trim().to_owned()),
        also: also.lines().map(str::trim).filter(|line| !line.is_empty()).map(Also::typed).collect(),
        wishes: Wishes { model: optional(model), policy: optional(policy), plan_first, ..Wishes::default() },
        project,
        priority: 0,
        source: Source::Web,
        trace: None,
    };
    let id = wanted.id;
    match several {
        Some(attempts) => actions::create_several(signed, wanted, &attempts).await.map(|_| id),
        None => actions::create(signed, wanted).await,
    }
}

/// How many attempts the form asks for. Who chooses among them is said on it in any case.
fn several(attempts: &str, choose: &str) -> Result<Option<Attempts>, Problem> {
    let wrong = |what| Problem::new(Kind::Meaningless, what);
    let count = match attempts.trim() {
        "" => 1,
        number => number.parse().map_err(|_| wrong("the number of attempts is none"))?,
    };
    let choose = match choose {
        "" => Choose::Ask,
        name => Choose::named(name)
            .ok_or_else(|| wrong("nobody chooses like this: use the fields of the page"))?,
    };
    Attempts::wanted(Some(count), Vec::new(), (count > 1).then_some(choose))
}
