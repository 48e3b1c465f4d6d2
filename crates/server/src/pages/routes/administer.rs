//! The settings, and what their forms do.

use axum::response::{IntoResponse as _, Response};
use cofferdam_domain::{ProjectId, Rank, Secret, TokenId, UserId};
use cofferdam_store::{DayBudget, Purse};
use serde::Deserialize;

use super::{
    answer::{Html, page, to, viewer},
    fields::{Fields, unix},
    organisation::purses,
};
use crate::{
    access::Signed,
    actions::{self, Invitee, NewTokenWish},
    api::Named,
    pages::{
        organisation::{self, MemberLine, Settings, TokenLine},
        shell::Place,
    },
    problem::{Kind, Problem},
};

const SETTINGS: &str = "/settings";

pub(super) async fn settings(signed: Signed) -> Result<Html, Problem> {
    shown(&signed, None).await
}

/// The settings, with something that is shown this once.
async fn shown(signed: &Signed, once: Option<(&'static str, String)>) -> Result<Html, Problem> {
    let tenant = &signed.tenant;
    let settings = Settings {
        members: tenant
            .members()
            .await?
            .into_iter()
            .map(|member| MemberLine {
                id: member.user.to_string(),
                name: member.name,
                rank: member.rank,
                since: member.since,
            })
            .collect(),
        tokens: tenant
            .tokens()
            .await?
            .into_iter()
            .map(|token| TokenLine {
                id: token.id.to_string(),
                name: token.name,
                rank: token.rank,
                expires: token.expires,
                used: token.used,
            })
            .collect(),
        policies: tenant.policies().await?,
        credentials: tenant.secrets().await?.into_iter().map(|sealed| (sealed.name, sealed.at)).collect(),
        projects: tenant
            .projects()
            .await?
            .into_iter()
            .map(|project| (project.id.to_string(), project.name))
            .collect(),
        budgets: purses(signed).await?,
        once,
    };
    let content = organisation::settings(&settings, &viewer(signed), signed.now());
    Ok(page(signed, Place::Settings, "Settings", &content))
}

fn rank(name: &str) -> Result<Rank, Problem> {
    Rank::named(name).ok_or_else(|| Problem::new(Kind::Malformed, "the rank is viewer, member or admin"))
}

/// A token to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    name: String,
    rank: String,
    days: u32,
}

pub(super) async fn create_token(
    signed: Signed,
    Fields(form): Fields<NewToken>,
) -> Result<Response, Problem> {
    let wish = NewTokenWish { name: form.name, rank: rank(&form.rank)?, project: None, days: form.days };
    let made = actions::create_token(&signed, wish).await?;
    Ok(shown(&signed, Some(("A new token", made.token.expose().to_owned()))).await?.into_response())
}

pub(super) async fn revoke_token(signed: Signed, Named(token): Named<TokenId>) -> Result<Response, Problem> {
    actions::revoke_token(&signed, token).await?;
    Ok(to(SETTINGS))
}

/// Somebody new.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMember {
    name: String,
    rank: String,
}

pub(super) async fn invite(signed: Signed, Fields(form): Fields<NewMember>) -> Result<Response, Problem> {
    invited(&signed, Invitee::New(form.name, rank(&form.rank)?)).await
}

pub(super) async fn link(signed: Signed, Named(user): Named<UserId>) -> Result<Response, Problem> {
    invited(&signed, Invitee::Member(user)).await
}

async fn invited(signed: &Signed, invitee: Invitee) -> Result<Response, Problem> {
    let invited = actions::invite(signed, invitee).await?;
    let Some(link) = invited.link else { return Ok(to(SETTINGS)) };
    let address = link.address.expose().to_owned();
    Ok(shown(signed, Some(("A link to sign in with, once, within fifteen minutes", address)))
        .await?
        .into_response())
}

/// Another rank.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRank {
    rank: String,
}

pub(super) async fn set_rank(
    signed: Signed,
    Named(user): Named<UserId>,
    Fields(form): Fields<NewRank>,
) -> Result<Response, Problem> {
    actions::set_rank(&signed, user, rank(&form.rank)?).await?;
    Ok(to(SETTINGS))
}

pub(super) async fn remove_member(signed: Signed, Named(user): Named<UserId>) -> Result<Response, Problem> {
    actions::remove_member(&signed, user).await?;
    Ok(to(SETTINGS))
}

/// A policy with its name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPolicy {
    name: String,
    text: String,
}

pub(super) async fn add_policy(signed: Signed, Fields(form): Fields<NewPolicy>) -> Result<Response, Problem> {
    if signed.tenant.policies().await?.iter().any(|(known, _)| *known == form.name) {
        return Err(Problem::new(Kind::Conflict, "there is a policy of this name: change that one"));
    }
    actions::put_policy(&signed, form.name, &unix(form.text)).await?;
    Ok(to(SETTINGS))
}

/// A policy's text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyText {
    text: String,
}

pub(super) async fn put_policy(
    signed: Signed,
    Named(name): Named<String>,
    Fields(form): Fields<PolicyText>,
) -> Result<Response, Problem> {
    actions::put_policy(&signed, name, &unix(form.text)).await?;
    Ok(to(SETTINGS))
}

pub(super) async fn remove_policy(signed: Signed, Named(name): Named<String>) -> Result<Response, Problem> {
    actions::remove_policy(&signed, &name).await?;
    Ok(to(SETTINGS))
}

/// A credential. It goes from the form into the seal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCredential {
    name: String,
    secret: String,
}

pub(super) async fn put_credential(
    signed: Signed,
    Fields(form): Fields<NewCredential>,
) -> Result<Response, Problem> {
    actions::put_credential(&signed, form.name, Secret::new(form.secret)).await?;
    Ok(to(SETTINGS))
}

pub(super) async fn remove_credential(
    signed: Signed,
    Named(name): Named<String>,
) -> Result<Response, Problem> {
    actions::remove_credential(&signed, &name).await?;
    Ok(to(SETTINGS))
}

/// A project's name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProject {
    name: String,
}

pub(super) async fn create_project(
    signed: Signed,
    Fields(form): Fields<NewProject>,
) -> Result<Response, Problem> {
    actions::create_project(&signed, form.name).await?;
    Ok(to(SETTINGS))
}

/// What may be spent in a day; an empty field is no limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBudget {
    #[serde(default)]
    cost: String,
    #[serde(default)]
    tokens: String,
    #[serde(default)]
    minutes: String,
    #[serde(default)]
    concurrent: String,
    #[serde(default)]
    pull_requests: String,
}

pub(super) async fn set_budget(
    signed: Signed,
    Named(purse): Named<String>,
    Fields(form): Fields<NewBudget>,
) -> Result<Response, Problem> {
    let purse = named_purse(&purse)?;
    let budget = DayBudget {
        cost: limit(&form.cost, 1_000_000)?,
        tokens: limit(&form.tokens, 1)?,
        sandbox_ms: limit(&form.minutes, 60_000)?,
        concurrent: limit(&form.concurrent, 1)?,
        pull_requests: limit(&form.pull_requests, 1)?,
    };
    actions::set_budget(&signed, purse, budget).await?;
    Ok(to(SETTINGS))
}

fn named_purse(name: &str) -> Result<Purse, Problem> {
    if name == "organisation" {
        return Ok(Purse::Org);
    }
    let project = name.parse::<ProjectId>().ok().map(Purse::Project);
    project
        .or_else(|| name.parse::<UserId>().ok().map(Purse::User))
        .ok_or_else(|| Problem::not_found("budget"))
}

/// A limit in the form's unit.
fn limit(text: &str, unit: u64) -> Result<Option<u64>, Problem> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let number = text.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number.map(Some).ok_or_else(|| Problem::new(Kind::Meaningless, "a limit is a whole number, or nothing"))
}
