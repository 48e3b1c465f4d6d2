//! The page about what is noted for later sessions, and what its forms do.

use axum::response::Response;
use cofferdam_domain::{Digest, MemoryId, SessionId};
use serde::Deserialize;

use super::{
    answer::{Html, page, to},
    fields::{Fields, optional, unix},
};
use crate::{
    access::Signed,
    actions,
    api::{Asked, Named},
    pages::{memory, shell::Place},
    problem::Problem,
};

const MEMORY: &str = "/memory";

/// Whose proposals.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    session: Option<SessionId>,
}

pub(super) async fn list(signed: Signed, Asked(wanted): Asked<Wanted>) -> Result<Html, Problem> {
    let proposals = match wanted.session {
        Some(session) => signed.tenant.proposals_of(session).await?,
        None => signed.tenant.proposals().await?,
    };
    let memories = signed.tenant.memories().await?;
    let content = memory::page(&memories, &proposals, wanted.session);
    Ok(page(&signed, Place::Memory, "Memory", &content))
}

/// What a person writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    text: String,
    #[serde(default)]
    repository: String,
}

pub(super) async fn note(signed: Signed, Fields(form): Fields<Text>) -> Result<Response, Problem> {
    actions::note_memory(&signed, unix(form.text), optional(form.repository).as_deref()).await?;
    Ok(to(MEMORY))
}

pub(super) async fn amend(
    signed: Signed,
    Named(id): Named<MemoryId>,
    Fields(form): Fields<Text>,
) -> Result<Response, Problem> {
    actions::amend_memory(&signed, id, unix(form.text), optional(form.repository).as_deref()).await?;
    Ok(to(MEMORY))
}

pub(super) async fn remove(signed: Signed, Named(id): Named<MemoryId>) -> Result<Response, Problem> {
    actions::remove_memory(&signed, id).await?;
    Ok(to(MEMORY))
}

/// What was looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decision {
    digest: Digest,
}

pub(super) async fn approve(
    signed: Signed,
    Named(id): Named<MemoryId>,
    Fields(form): Fields<Decision>,
) -> Result<Response, Problem> {
    actions::approve_memory(&signed, id, form.digest).await?;
    Ok(to(MEMORY))
}

pub(super) async fn reject(signed: Signed, Named(id): Named<MemoryId>) -> Result<Response, Problem> {
    actions::reject_memory(&signed, id).await?;
    Ok(to(MEMORY))
}
