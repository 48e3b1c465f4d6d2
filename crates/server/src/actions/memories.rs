//! What an organisation notes for later sessions: written by an admin, or approved by one as a session proposed it. All of it is written down.

use cofferdam_domain::{
    Digest, Memory, MemoryId, MemorySource, Rank,
    memory::{self, MOST_KEPT, NoMemory},
};
use cofferdam_store::{Noted, TenantError};
use serde_json::json;

use super::{administer::note, conflict, meaningless};
use crate::{access::Signed, problem::Problem};

/// Notes a text about a repository, or about all.
pub(crate) async fn note_memory(
    signed: &Signed,
    text: String,
    repository: Option<&str>,
) -> Result<Memory, Problem> {
    let memory = written(signed, MemoryId::generate(), text, repository)?;
    let memory = kept(signed.tenant.note(memory).await?)?;
    account(signed, "memory.added", &memory).await?;
    Ok(memory)
}

/// Puts a text in the place of a memory, or of what a session proposed. From then on it is the person's who wrote it; whoever leaves a session's words as
/// they are has approved them.
pub(crate) async fn amend_memory(
    signed: &Signed,
    id: MemoryId,
    text: String,
    repository: Option<&str>,
) -> Result<Memory, Problem> {
    let memory = written(signed, id, text, repository)?;
    let memory = kept(signed.tenant.amend(memory).await?)?;
    account(signed, "memory.changed", &memory).await?;
    Ok(memory)
}

/// Removes a memory.
pub(crate) async fn remove_memory(signed: &Signed, id: MemoryId) -> Result<(), Problem> {
    signed.tenant.unlearn(id).await?;
    note(signed, "memory.removed", &id.to_string(), json!({})).await
}

/// Makes what a session proposed a memory, if it still has this digest.
pub(crate) async fn approve_memory(signed: &Signed, id: MemoryId, digest: Digest) -> Result<Memory, Problem> {
    let memory = kept(signed.tenant.approve_memory(id, digest, &signed.name()).await?)?;
    account(signed, "memory.approved", &memory).await?;
    Ok(memory)
}

/// Drops what a session proposed.
pub(crate) async fn reject_memory(signed: &Signed, id: MemoryId) -> Result<(), Problem> {
    let proposed = signed.tenant.reject_memory(id).await?;
    let detail = json!({ "digest": proposed.digest(), "session": proposed.session });
    note(signed, "memory.rejected", &id.to_string(), detail).await
}

/// A memory of theirs, checked.
fn written(signed: &Signed, id: MemoryId, text: String, repository: Option<&str>) -> Result<Memory, Problem> {
    // Nobody else learns what is wrong with theirs.
    if !signed.actor().may(Rank::Admin) {
        return Err(TenantError::Forbidden { needs: Rank::Admin }.into());
    }
    let problem = |problem: NoMemory| meaningless(problem.to_string());
    memory::check(&text).map_err(problem)?;
    let place = |repository| memory::place(repository).ok_or_else(|| problem(NoMemory::Place));
    let repository = repository.map(place).transpose()?;
    let source = MemorySource::Person { by: signed.name() };
    Ok(Memory { id, repository, text, source, at: signed.now(), private: false })
}

fn kept(noted: Noted) -> Result<Memory, Problem> {
    match noted {
        Noted::Done(memory) => Ok(memory),
        Noted::Missing => Err(Problem::not_found("memory")),
        Noted::Full => Err(conflict(format!(
            "the organisation has {MOST_KEPT} memories, which is the most: remove some that are of no use"
        ))),
    }
}

async fn account(signed: &Signed, action: &str, memory: &Memory) -> Result<(), Problem> {
    let detail = json!({ "digest": memory.digest(), "repository": memory.repository });
    note(signed, action, &memory.id.to_string(), detail).await
}
