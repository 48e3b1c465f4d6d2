//! The pages about playbooks, and what their forms do.

use std::collections::BTreeMap;

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use cofferdam_domain::{Digest, ProjectId, SessionId, Source};
use serde::Deserialize;

use super::{
    answer::{Html, page, to, to_session},
    fields::{Fields, optional, unix},
    sessions::offered,
};
use crate::{
    access::Signed,
    actions::{self, ByPlaybook},
    api::{Asked, Named},
    pages::{
        playbooks::{self, FIELD, Filled, Listed},
        shell::Place,
    },
    problem::{Kind, Problem},
};

const PLAYBOOKS: &str = "/playbooks";

pub(super) async fn list(signed: Signed) -> Result<Html, Problem> {
    listed(&signed, "", None).await
}

async fn listed(signed: &Signed, text: &str, wrong: Option<&str>) -> Result<Html, Problem> {
    let mut listed: Vec<Listed> = Vec::new();
    // By name, the latest version first.
    for version in signed.tenant.playbooks().await? {
        match listed.last_mut() {
            Some(last) if last.latest.name == version.name => last.versions += 1,
            Some(_) | None => listed.push(Listed { latest: version, versions: 1 }),
        }
    }
    let content = playbooks::list(&listed, text, wrong, signed.now());
    Ok(page(signed, Place::Playbooks, "Playbooks", &content))
}

/// A playbook that somebody adds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Added {
    text: String,
}

pub(super) async fn add(signed: Signed, Fields(form): Fields<Added>) -> Result<Response, Problem> {
    let text = unix(form.text);
    match actions::add_playbook(&signed, None, text.clone()).await {
        Ok(_) => Ok(to(PLAYBOOKS)),
        Err(problem) if problem.kind == Kind::Meaningless => {
            // Nothing that was written is lost.
            let shown = listed(&signed, &text, Some(&problem.detail)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response())
        }
        Err(problem) => Err(problem),
    }
}

pub(super) async fn remove(signed: Signed, Named(name): Named<String>) -> Result<Response, Problem> {
    actions::remove_playbook(&signed, &name).await?;
    Ok(to(PLAYBOOKS))
}

/// Which version is looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    digest: Option<Digest>,
}

pub(super) async fn show(
    signed: Signed,
    Named(name): Named<String>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Html, Problem> {
    shown(&signed, &name, Filled { digest: wanted.digest, ..Filled::default() }, None).await
}

async fn shown(
    signed: &Signed,
    name: &str,
    mut filled: Filled,
    wrong: Option<&str>,
) -> Result<Html, Problem> {
    let kept = signed.tenant.playbook(name, filled.digest).await?;
    let playbook = actions::read_playbook(&kept)?;
    let offered = offered(signed).await?;
    if filled.repository.is_empty() && wrong.is_none() {
        filled.repository = offered.repositories.first().cloned().unwrap_or_default();
    }
    let content = playbooks::form((&kept, &playbook), &offered, &filled, wrong);
    Ok(page(signed, Place::Playbooks, &kept.name, &content))
}

pub(super) async fn begin(
    signed: Signed,
    Named(name): Named<String>,
    Fields(fields): Fields<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let filled = read(fields)?;
    match accept(&signed, &name, filled.clone()).await {
        Ok(session) => Ok(to_session(session)),
        Err(problem) if matches!(problem.kind, Kind::Meaningless | Kind::Malformed) => {
            let page = shown(&signed, &name, filled, Some(&problem.detail)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(problem) => Err(problem),
    }
}

/// The fields, which a playbook has a say in: each once, and none that nobody knows.
fn read(fields: Vec<(String, String)>) -> Result<Filled, Problem> {
    let wrong = |field: &str| {
        let field: String = field.chars().take(60).collect();
        Problem::new(
            Kind::Malformed,
            format!("the form has a field {field:?} that is not known, or is there twice"),
        )
    };
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (field, value) in fields {
        if known.insert(field.clone(), unix(value)).is_some() {
            return Err(wrong(&field));
        }
    }
    let mut filled = Filled::default();
    for (field, value) in known {
        match (&*field, field.strip_prefix(FIELD)) {
            (_, Some(name)) => {
                filled.values.insert(name.to_owned(), value);
            }
            ("repository", None) => filled.repository = value,
            ("base", None) => filled.base = value,
            ("project", None) => filled.project = value,
            ("plan_first", None) => filled.plan_first = value == "true",
            ("digest", None) => filled.digest = Some(value.parse().map_err(|_| wrong(&field))?),
            (_, None) => return Err(wrong(&field)),
        }
    }
    Ok(filled)
}

async fn accept(signed: &Signed, name: &str, filled: Filled) -> Result<SessionId, Problem> {
    let Filled { repository, base, project, plan_first, digest, values } = filled;
    let project = optional(project).map(|text| text.parse::<ProjectId>()).transpose();
    let project = project.map_err(|_| Problem::new(Kind::Meaningless, "there is no such project"))?;
    let wanted = ByPlaybook {
        id: SessionId::generate(),
        repository: repository.trim().to_owned(),
        base: optional(base).map(|base| base.trim().to_owned()),
        values,
        digest,
        model: None,
        plan_first,
        project,
        priority: 0,
        source: Source::Web,
        trace: None,
    };
    actions::begin_playbook(signed, name, wanted).await
}
