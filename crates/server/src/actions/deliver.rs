//! What becomes of a session's pull request, and of the session when it is over.

use cofferdam_domain::{EventBody, PullRequest, PullRequestState, Seq, SessionId};

use super::{append, conflict, standing};
use crate::{access::Signed, problem::Problem, standing::Standing};

/// Asks that the pull request be merged, if its head is still this commit.
pub(crate) async fn merge(signed: &Signed, session: SessionId, commit: String) -> Result<Seq, Problem> {
    let standing = standing(signed, session).await?;
    open_pull_request(&standing, session)?;
    let is_it = |pull_request: &PullRequest| {
        pull_request.head_commit == commit && pull_request.state == PullRequestState::Open
    };
    if !standing.pull_requests().any(is_it) {
        return Err(conflict("the pull request has another head by now: look at that before you merge"));
    }
    append(signed, session, EventBody::MergeAsked { by: signed.name(), commit }).await
}

/// Asks that it be closed without merging.
pub(crate) async fn close(signed: &Signed, session: SessionId) -> Result<Seq, Problem> {
    open_pull_request(&standing(signed, session).await?, session)?;
    append(signed, session, EventBody::CloseAsked { by: signed.name() }).await
}

/// Whether something can be decided about the pull request now, or about one of several.
fn open_pull_request(standing: &Standing, session: SessionId) -> Result<(), Problem> {
    if standing.pull_requests().next().is_none() {
        return Err(conflict(format!("{session} has no pull request")));
    }
    if standing.open_pull_request().is_none() {
        return Err(conflict(format!("the pull request of {session} is merged or closed already")));
    }
    if standing.outcome.is_none() {
        return Err(conflict(format!(
            "{session} is still at work on its pull request: wait for it, or cancel it"
        )));
    }
    if standing.asked_of_forge {
        return Err(conflict(format!("the pull request of {session} is being merged or closed already")));
    }
    Ok(())
}

/// Puts a session away that is over, or takes it out again.
pub(crate) async fn archive(signed: &Signed, session: SessionId, archived: bool) -> Result<(), Problem> {
    let standing = standing(signed, session).await?;
    if archived && standing.outcome.is_none() {
        return Err(conflict(format!("{session} has not ended: cancel it first")));
    }
    Ok(signed.tenant.set_archived(session, archived).await?)
}

/// Deletes a session, wherever it stands, with all that only it refers to, and what it has left on this machine. A worker that has it hears of it
/// and stops; other machines remove what they have when they hear of it, or when their workers start.
pub(crate) async fn delete(signed: &Signed, session: SessionId) -> Result<(), Problem> {
    signed.tenant.forget(session, signed.now()).await?;
    // Whoever watches it live is told nothing more.
    signed.shared.rights_changed();
    if let Some(eraser) = signed.shared.eraser()
        && let Err(error) = eraser.erase(session).await
    {
        // It is gone from the store: there is nothing to ask for again. The worker that had it tries again, and its next start does.
        let error = cofferdam_domain::causes::with_causes(&*error);
        tracing::warn!(%session, error, "what it left on disk is removed when its worker stops or starts");
    }
    Ok(())
}
