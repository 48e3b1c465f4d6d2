//! What an organisation has noted for later sessions, and what its sessions propose.

use axum::{Json, http::StatusCode};
use cofferdam_domain::{Digest, Memory, MemoryId, MemorySource, SessionId, Timestamp, hidden::hidden};
use cofferdam_store::{Proposed, is_crowded};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{Body, Named, NoQuery};
use crate::{access::Signed, actions, problem::Problem};

super::resources! {
    (list_memories, note_memory),
    (amend_memory, remove_memory),
    (list_proposals),
    (reject_proposal),
    (approve_proposal),
}

/// A text that later sessions are told of, as advice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Memory)]
struct MemoryView {
    /// Its id
    #[schema(value_type = String)]
    id: MemoryId,
    /// The repository that it is about; none for all of the organisation's
    repository: Option<String>,
    /// The text, byte for byte
    text: String,
    /// The SHA-256 of its bytes
    #[schema(value_type = String)]
    digest: Digest,
    /// Characters in it that cannot be seen
    hidden: usize,
    /// Who wrote it, where a person did
    written_by: Option<String>,
    /// The session that proposed it, where one did
    #[schema(value_type = Option<String>)]
    session: Option<SessionId>,
    /// Who has approved what a session proposed
    approved_by: Option<String>,
    /// When it was written or proposed, in milliseconds since 1970
    #[schema(value_type = u64)]
    at: Timestamp,
    /// Whether the session that proposed it held what not everybody may see who may read its repository
    private: bool,
}

impl From<Memory> for MemoryView {
    fn from(memory: Memory) -> Self {
        let digest = memory.digest();
        let Memory { id, repository, text, source, at, private } = memory;
        let (written_by, session, approved_by) = match source {
            MemorySource::Person { by } => (Some(by), None, None),
            MemorySource::Session { session, approved_by } => (None, Some(session), Some(approved_by)),
        };
        let hidden = unseen(&text);
        Self { id, repository, hidden, text, digest, written_by, session, approved_by, at, private }
    }
}

/// All memories.
#[derive(Debug, Serialize, ToSchema)]
struct MemoryList {
    /// The newest first
    memories: Vec<MemoryView>,
}

/// List memories
#[utoipa::path(
    get,
    path = "/memories",
    tag = "Rules",
    responses((status = 200, description = "The newest first", body = MemoryList))
)]
async fn list_memories(signed: Signed, _: NoQuery) -> Result<Json<MemoryList>, Problem> {
    let memories = signed.tenant.memories().await?;
    Ok(Json(MemoryList { memories: memories.into_iter().map(MemoryView::from).collect() }))
}

/// What is to be remembered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MemoryText {
    /// The text, at most 2,000 bytes
    text: String,
    /// The repository that it is about, by any of its addresses; left out for all of the organisation's
    repository: Option<String>,
}

/// Note something for later sessions
#[utoipa::path(
    post,
    path = "/memories",
    tag = "Rules",
    request_body = MemoryText,
    responses((status = 201, description = "It is noted", body = MemoryView))
)]
async fn note_memory(
    signed: Signed,
    _: NoQuery,
    body: Body<MemoryText>,
) -> Result<(StatusCode, Json<MemoryView>), Problem> {
    let MemoryText { text, repository } = body.value;
    let memory = actions::note_memory(&signed, text, repository.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(memory.into())))
}

/// Change a memory
///
/// What a session has proposed can be changed in the same way: that makes it a memory of whoever changed it, or one that they have approved where the words
/// are still the session's.
#[utoipa::path(
    put,
    path = "/memories/{memory}",
    tag = "Rules",
    request_body = MemoryText,
    params(("memory" = String, Path, description = "Its id")),
    responses((status = 200, description = "It is changed", body = MemoryView))
)]
async fn amend_memory(
    signed: Signed,
    Named(memory): Named<MemoryId>,
    _: NoQuery,
    body: Body<MemoryText>,
) -> Result<Json<MemoryView>, Problem> {
    let MemoryText { text, repository } = body.value;
    Ok(Json(actions::amend_memory(&signed, memory, text, repository.as_deref()).await?.into()))
}

/// Remove a memory
///
/// Sessions that have begun keep what they were told.
#[utoipa::path(
    delete,
    path = "/memories/{memory}",
    tag = "Rules",
    params(("memory" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is gone"))
)]
async fn remove_memory(
    signed: Signed,
    Named(memory): Named<MemoryId>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    actions::remove_memory(&signed, memory).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a session proposes to remember. Nobody is told of it before it is approved.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MemoryProposal)]
struct ProposalView {
    /// Its id, and the memory's if it becomes one
    #[schema(value_type = String)]
    id: MemoryId,
    /// The session
    #[schema(value_type = String)]
    session: SessionId,
    /// The repository that it is about; none for all of the organisation's
    repository: Option<String>,
    /// The text, byte for byte, in a model's words
    text: String,
    /// The SHA-256 of its bytes: what is to be approved
    #[schema(value_type = String)]
    digest: Digest,
    /// Characters in it that cannot be seen
    hidden: usize,
    /// When it was proposed, in milliseconds since 1970
    #[schema(value_type = u64)]
    at: Timestamp,
    /// Whether the session held what not everybody may see who may read its repository, so that the text may be of it
    private: bool,
}

impl From<Proposed> for ProposalView {
    fn from(proposed: Proposed) -> Self {
        let digest = proposed.digest();
        let Proposed { id, session, project: _, repository, text, at, private } = proposed;
        Self { id, session, repository, hidden: unseen(&text), text, digest, at, private }
    }
}

/// All that waits for a decision.
#[derive(Debug, Serialize, ToSchema)]
struct ProposalList {
    /// The newest first
    proposals: Vec<ProposalView>,
    /// Whether as many wait, of a project or in all, as may: what its sessions propose then is dropped
    full: bool,
}

/// List what sessions propose to remember
#[utoipa::path(
    get,
    path = "/memories/proposals",
    tag = "Rules",
    responses((status = 200, description = "The newest first", body = ProposalList))
)]
async fn list_proposals(signed: Signed, _: NoQuery) -> Result<Json<ProposalList>, Problem> {
    let proposals = signed.tenant.proposals().await?;
    let full = is_crowded(&proposals);
    Ok(Json(ProposalList { proposals: proposals.into_iter().map(ProposalView::from).collect(), full }))
}

/// Reject a proposal
#[utoipa::path(
    delete,
    path = "/memories/proposals/{memory}",
    tag = "Rules",
    params(("memory" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is gone"))
)]
async fn reject_proposal(
    signed: Signed,
    Named(memory): Named<MemoryId>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    actions::reject_memory(&signed, memory).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A decision about a proposal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MemoryApproval {
    /// The digest of the text that was looked at
    #[schema(value_type = String, pattern = "^sha256:[0-9a-f]{64}$")]
    digest: Digest,
}

/// Approve a proposal
///
/// Sessions that begin from now on are told of exactly this text, as advice.
#[utoipa::path(
    post,
    path = "/memories/proposals/{memory}/approval",
    tag = "Rules",
    request_body = MemoryApproval,
    params(("memory" = String, Path, description = "Its id")),
    responses((status = 200, description = "It is a memory", body = MemoryView))
)]
async fn approve_proposal(
    signed: Signed,
    Named(memory): Named<MemoryId>,
    _: NoQuery,
    body: Body<MemoryApproval>,
) -> Result<Json<MemoryView>, Problem> {
    Ok(Json(actions::approve_memory(&signed, memory, body.value.digest).await?.into()))
}

fn unseen(text: &str) -> usize {
    hidden(&text.chars().collect::<Vec<char>>()).len()
}
