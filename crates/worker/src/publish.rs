//! Publication: one branch, one pull request. The agent has had its say; everything here is the platform's.

use cofferdam_domain::{
    EventBody, EvidenceRun, PullRequest, Side, causes::with_causes, message::Family, tool::Finish,
};
use cofferdam_forge::{Authorship, ForgeError, NewPullRequest, PublishError, Push};
use cofferdam_gate::{Facts, ModelFact, PullRequestText, TreeFact, without_passages};

use crate::{
    WorkerError,
    collect::{egress, object_id, published, quarantine},
    stage::{Done, StageContext},
};

/// Makes the commits again under the platform's identity and pushes the session's branch. From the same log this gives the same commits.
pub(crate) async fn push(context: &StageContext) -> Result<Done, WorkerError> {
    let received = context.agent.received().ok_or(WorkerError::Log("there is no change to push"))?;
    let quarantine = quarantine(context).await?;
    let base = published(context)?;
    let authorship = Authorship {
        identity: context.parts.identity.clone(),
        at: context.agent.finished_at().ok_or(WorkerError::Log("the work is not finished"))?,
        session: context.session,
        title: said(context).map(|finish| finish.title).unwrap_or_default(),
    };
    let commit = quarantine
        .recreate(&base, &object_id(&received.head)?, &authorship)
        .await
        .map_err(ForgeError::from)?;
    let repository = context.address().await?;
    let push =
        Push { session: context.session, repository: &repository, quarantine: &quarantine, commit: &commit };
    let branch = context.parts.forge.push(&push).await?;
    Ok(Done::fact(EventBody::Pushed { branch, commit: commit.to_string() }))
}

/// Opens the pull request, or finds that it is open.
pub(crate) async fn open(context: &StageContext) -> Result<Done, WorkerError> {
    let facts = facts(context).await?;
    let text = PullRequestText::render(&facts);
    let new = NewPullRequest {
        session: context.session,
        repository: context.address().await?,
        base_branch: facts.base.branch.clone(),
        base_commit: object_id(&facts.base.commit)?,
        head_commit: object_id(&facts.head.commit)?,
        title: text.title,
        body: text.body,
        draft: context.agent.is_draft(),
        opened: context.at,
    };
    match context.parts.forge.open(&new).await {
        Ok(pull_request) => Ok(Done::fact(EventBody::PullRequestOpened(Box::new(pull_request)))),
        // Somebody merged or closed it while this turn was worked on.
        Err(ForgeError::Publish(error @ PublishError::NotOpen { .. })) => {
            Ok(Done::Impossible(with_causes(&error)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Merges the pull request, if it is still what was looked at.
pub(crate) async fn merge(context: &StageContext) -> Result<Done, WorkerError> {
    let Some(known) = context.agent.pull_request() else {
        let reason = "the session has no pull request".to_owned();
        return Ok(Done::fact(EventBody::MergeFailed { reason }));
    };
    let wanted = context.agent.merge_wanted().ok_or(WorkerError::Log("nobody wants it merged"))?;
    if wanted != known.head_commit {
        let reason = format!(
            "the pull request is at {} now, not at {wanted}: look at what has changed, then merge again",
            known.head_commit
        );
        return Ok(Done::fact(EventBody::MergeFailed { reason }));
    }
    let authorship = Authorship {
        identity: context.parts.identity.clone(),
        at: context.at,
        session: context.session,
        title: known.title.clone(),
    };
    closed(context.parts.forge.merge(&authorship).await)
}

/// Closes the pull request without merging.
pub(crate) async fn close(context: &StageContext) -> Result<Done, WorkerError> {
    closed(context.parts.forge.close(context.session).await)
}

/// What became of a pull request that was to be merged or closed. Where a person has to do something first, that is what became of it.
fn closed(result: Result<PullRequest, ForgeError>) -> Result<Done, WorkerError> {
    match result {
        Ok(pull_request) => Ok(Done::fact(EventBody::PullRequestClosed { state: pull_request.state })),
        Err(ForgeError::Publish(error)) if error.needs_a_person() => {
            Ok(Done::fact(EventBody::MergeFailed { reason: with_causes(&error) }))
        }
        Err(error) => Err(error.into()),
    }
}

/// What the agent says about its work, without what it quotes of its instructions.
fn said(context: &StageContext) -> Option<Finish> {
    let (finish, fixed) = (context.agent.finish()?, context.agent.fixed()?);
    let plain = |text: &str| without_passages(text, &fixed.system).into_owned();
    Some(Finish {
        outcome: finish.outcome,
        title: plain(&finish.title),
        summary: plain(&finish.summary),
        replies: finish.replies.clone(),
    })
}

/// What the platform knows about the change.
async fn facts(context: &StageContext) -> Result<Facts, WorkerError> {
    let agent = &context.agent;
    let missing = WorkerError::Log("the pull request comes before its time");
    let (Some(received), Some((branch, commit)), Some(fixed), Some(finish)) =
        (agent.received(), agent.pushed(), agent.fixed(), said(context))
    else {
        return Err(missing);
    };
    let repository = context.repository()?;
    let run = |side| agent.evidence().iter().rev().find(|run: &&EvidenceRun| run.side == side).cloned();
    let paths = quarantine(context)
        .await?
        .change(&object_id(&repository.base_commit)?, &object_id(&received.head)?)
        .await
        .map_err(ForgeError::from)?
        .files
        .iter()
        .map(cofferdam_domain::FileChange::display_path)
        .collect();
    Ok(Facts {
        session: context.session,
        task: context.task()?.clone(),
        base: TreeFact {
            branch: repository.base_branch.clone(),
            commit: repository.base_commit.clone(),
            tree: repository.base_tree.clone(),
        },
        head: TreeFact { branch: branch.to_owned(), commit: commit.to_owned(), tree: received.tree.clone() },
        stat: received.stat,
        paths,
        repository_notes: repository.notes.clone(),
        findings: agent.findings().to_vec(),
        rounds: agent.gate_rounds(),
        base_run: run(Side::Base),
        head_run: run(Side::Head),
        evidence_missing: agent.evidence_missing().map(str::to_owned),
        egress: egress(context).await?,
        refused: agent.refused(),
        model: ModelFact {
            provider: fixed.model.provider.clone(),
            name: fixed.model.name.clone(),
            recording: fixed.model.family == Family::Scripted,
        },
        spent: agent.spent(),
        limit: agent.limit(),
        log_length: context.log_length,
        log_head: context.log_head,
        version: fixed.version.clone(),
        finish,
    })
}
