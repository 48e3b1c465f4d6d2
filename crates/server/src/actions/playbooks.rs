//! The playbooks that an organisation keeps: put there by admins, begun by whoever may begin tasks. What is put there is written down.

use std::collections::BTreeMap;

use cofferdam_domain::{Digest, PlaybookUse, ProjectId, Rank, SessionId, Source, TraceParent, task::Wishes};
use cofferdam_instructions::Playbook;
use cofferdam_store::{KeptPlaybook, MOST_PLAYBOOKS, PutPlaybook, TenantError};
use serde_json::json;

use super::{NewSession, administer::note, begin, conflict, meaningless};
use crate::{access::Signed, problem::Problem};

/// A task by a playbook that somebody wants begun.
#[derive(Debug, Clone)]
pub(crate) struct ByPlaybook {
    /// The id that the session gets.
    pub(crate) id: SessionId,
    /// An absolute path or a URL.
    pub(crate) repository: String,
    /// The ref to start from, where the playbook does not say it.
    pub(crate) base: Option<String>,
    /// What goes into its places, by the names of its parameters.
    pub(crate) values: BTreeMap<String, String>,
    /// The version that was looked at; otherwise the latest.
    pub(crate) digest: Option<Digest>,
    /// The model, where the playbook does not say it.
    pub(crate) model: Option<String>,
    /// Whether a plan is wanted first, also where the playbook does not ask for one.
    pub(crate) plan_first: bool,
    /// In which project.
    pub(crate) project: Option<ProjectId>,
    /// Higher goes first.
    pub(crate) priority: i16,
    /// Which way it came in.
    pub(crate) source: Source,
    /// The trace of whoever asks.
    pub(crate) trace: Option<TraceParent>,
}

/// Puts a version there. `false` where it is the latest already.
pub(crate) async fn add_playbook(
    signed: &Signed,
    name: Option<&str>,
    text: String,
) -> Result<(Playbook, bool), Problem> {
    // Nobody else learns what is wrong with theirs.
    if !signed.actor().may(Rank::Admin) {
        return Err(TenantError::Forbidden { needs: Rank::Admin }.into());
    }
    let playbook = Playbook::parse(&text).map_err(|problem| meaningless(problem.to_string()))?;
    if name.is_some_and(|name| name != playbook.name.as_str()) {
        return Err(meaningless(format!(
            "its text calls it {}: put it there under that name",
            playbook.name
        )));
    }
    let kept = KeptPlaybook {
        name: playbook.name.to_string(),
        digest: playbook.digest,
        version: 0,
        description: playbook.description.clone(),
        text,
        by: signed.name(),
        at: signed.now(),
    };
    let is_new = match signed.tenant.put_playbook(kept).await? {
        PutPlaybook::Added => true,
        PutPlaybook::Known => false,
        PutPlaybook::Full => {
            return Err(meaningless(format!(
                "the organisation has {MOST_PLAYBOOKS} playbooks, which is the most: remove one that nobody begins any more"
            )));
        }
    };
    if is_new {
        note(signed, "playbook.added", playbook.name.as_str(), json!({ "digest": playbook.digest })).await?;
    }
    Ok((playbook, is_new))
}

/// Removes all versions of a playbook.
pub(crate) async fn remove_playbook(signed: &Signed, name: &str) -> Result<(), Problem> {
    if !signed.tenant.remove_playbook(name).await? {
        return Err(Problem::not_found("playbook"));
    }
    note(signed, "playbook.removed", name, json!({})).await
}

/// What a playbook that is kept says. It was looked at when it was put there; what is not what was put there then is not begun.
pub(crate) fn read_playbook(kept: &KeptPlaybook) -> Result<Playbook, Problem> {
    let playbook = Playbook::parse(&kept.text)
        .map_err(|problem| conflict(format!("{} cannot be read any more: {problem}", kept.name)))?;
    if playbook.digest == kept.digest && playbook.name.as_str() == kept.name {
        Ok(playbook)
    } else {
        Err(conflict(format!("{} is not what was put there: an admin has to put it there again", kept.name)))
    }
}

/// Begins a session whose task is a playbook's, with these values in its places.
pub(crate) async fn begin_playbook(
    signed: &Signed,
    name: &str,
    wanted: ByPlaybook,
) -> Result<SessionId, Problem> {
    let kept = signed.tenant.playbook(name, wanted.digest).await?;
    let playbook = read_playbook(&kept)?;
    let prompt = playbook.fill(&wanted.values).map_err(|problem| meaningless(problem.to_string()))?;
    let ByPlaybook { id, repository, base, model, plan_first, project, priority, source, trace, .. } = wanted;
    let session = NewSession {
        id,
        prompt,
        repository,
        base: either("base", playbook.base, base)?,
        also: Vec::new(),
        wishes: Wishes {
            model: either("model", playbook.model, model)?,
            policy: playbook.policy,
            plan_first: plan_first || playbook.plan_first,
            ..Wishes::default()
        },
        project,
        priority,
        source,
        trace,
    };
    begin::begun(signed, session, Some(PlaybookUse { name: kept.name, digest: kept.digest })).await
}

/// What a playbook says, or else whoever begins it: not both.
fn either(what: &str, said: Option<String>, wished: Option<String>) -> Result<Option<String>, Problem> {
    match (said, wished) {
        (Some(said), Some(wished)) if said != wished => {
            Err(meaningless(format!("the playbook says which {what} is taken: leave it out")))
        }
        (Some(one), _) | (None, Some(one)) => Ok(Some(one)),
        (None, None) => Ok(None),
    }
}
