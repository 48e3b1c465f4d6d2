//! The pages about the organisation that only show, and those for whoever is not signed in.

use axum::{
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use cofferdam_domain::Rank;
use cofferdam_store::{DayBudget, Purse, Spending};
use serde::Deserialize;

use super::answer::{Html, page};
use crate::{
    access::Signed,
    api::{Asked, paging},
    cursor,
    pages::{
        deliveries,
        organisation::{self, Entry},
        shell::{self, Place},
        sign_in, told,
    },
    problem::{Kind, Problem},
    shared::Shared,
};

/// Entries on one page.
const PAGE: u32 = 100;

/// Where a page begins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    before: Option<String>,
}

pub(super) async fn audit(signed: Signed, Asked(wanted): Asked<Wanted>) -> Result<Html, Problem> {
    if !signed.actor().may(Rank::Admin) {
        return Err(Problem::new(Kind::Forbidden, "the audit log is for admins"));
    }
    let before = wanted.before.as_deref().map(cursor::read).transpose()?;
    let entries = signed.tenant.audited(before, PAGE).await?;
    let next = paging::next(&entries, PAGE, |entry| cursor::after(entry.id));
    let shown: Vec<Entry> = entries
        .into_iter()
        .map(|entry| Entry {
            at: entry.at,
            by: entry.by,
            action: entry.action,
            subject: entry.subject,
            detail: entry.detail,
        })
        .collect();
    Ok(page(&signed, Place::Audit, "Audit", &organisation::audit(&shown, next.as_deref())))
}

pub(super) async fn told(signed: Signed, Asked(wanted): Asked<Wanted>) -> Result<Html, Problem> {
    if !signed.actor().may(Rank::Admin) {
        return Err(Problem::new(Kind::Forbidden, "who is told is for admins"));
    }
    let before = wanted.before.as_deref().map(cursor::read).transpose()?;
    let letters = signed.tenant.letters(before, PAGE).await?;
    let next = paging::next(&letters, PAGE, |posted| cursor::after(posted.letter.id));
    Ok(page(&signed, Place::Audit, "Told", &told::told(&letters, next.as_deref())))
}

pub(super) async fn deliveries(signed: Signed, Asked(wanted): Asked<Wanted>) -> Result<Html, Problem> {
    let before = wanted.before.as_deref().map(cursor::read_number).transpose()?;
    let deliveries = signed.tenant.arrived(before, PAGE).await?;
    let next = paging::next(&deliveries, PAGE, |last| cursor::after_number(last.number));
    Ok(page(&signed, Place::Audit, "Arrived", &deliveries::deliveries(&deliveries, next.as_deref())))
}

pub(super) async fn usage(signed: Signed) -> Result<Html, Problem> {
    let purses = purses(&signed).await?;
    Ok(page(&signed, Place::Usage, "Usage", &organisation::usage(&purses, signed.now())))
}

/// What everybody whom whoever asks may see has spent today: an admin sees all, others themselves and the whole.
pub(super) async fn purses(signed: &Signed) -> Result<Vec<organisation::Purse>, Problem> {
    let mut wanted = Vec::new();
    if signed.actor().project.is_none() {
        wanted.push((Purse::Org, "organisation".to_owned(), "The whole organisation".to_owned()));
    }
    for project in signed.tenant.projects().await? {
        wanted.push((
            Purse::Project(project.id),
            project.id.to_string(),
            format!("Project {}", project.name),
        ));
    }
    if signed.actor().may(Rank::Admin) {
        for member in signed.tenant.members().await? {
            wanted.push((Purse::User(member.user), member.user.to_string(), member.name));
        }
    } else {
        let actor = signed.actor();
        wanted.push((Purse::User(actor.user), actor.user.to_string(), actor.name.clone()));
    }
    let mut purses = Vec::with_capacity(wanted.len());
    for (purse, key, name) in wanted {
        let spent = signed.tenant.spent(purse, signed.now()).await?;
        let budget = signed.tenant.budget(purse).await?;
        purses.push(filled(key, name, spent, budget));
    }
    Ok(purses)
}

fn filled(key: String, name: String, spent: Spending, budget: DayBudget) -> organisation::Purse {
    organisation::Purse {
        key,
        name,
        cost: (spent.cost, budget.cost),
        tokens: (spent.tokens, budget.tokens),
        sandbox_ms: (spent.sandbox_ms, budget.sandbox_ms),
        pull_requests: (spent.pull_requests, budget.pull_requests),
        sessions: spent.sessions,
        concurrent: budget.concurrent,
    }
}

pub(super) async fn sign_in(State(shared): State<Shared>) -> Html {
    let host = shared.openid().map(|openid| (openid.host(), openid.is_only_way()));
    let service = host.as_ref().map(|(host, only)| (host.as_str(), *only));
    Html(shell::page(None, Place::Elsewhere, "Sign in", &sign_in::offer(service)))
}

/// For a browser that comes back from a sign-in service. `Refresh` is part of the HTML Living Standard ("shared declarative refresh steps").
pub(crate) fn arrived() -> Response {
    let page = Html(shell::page(None, Place::Elsewhere, "Signed in", &sign_in::arrived()));
    ([(header::REFRESH, HeaderValue::from_static("0;url=/"))], page).into_response()
}

pub(super) async fn sign_in_link(Path(secret): Path<String>) -> Html {
    Html(shell::page(None, Place::Elsewhere, "Sign in", &sign_in::confirm(&secret)))
}
