//! Publication: one branch, one pull request. The agent has had its say; everything here is the platform's.

use cofferdam_domain::{
    EventBody, EvidenceRun, PullRequest, SelfReview, Side, Task, Timestamp, causes::with_causes,
    message::Family, tool::Finish,
};
use cofferdam_forge::{Authorship, ForgeError, Joined, NewPullRequest, PublishError, Push};
use cofferdam_gate::{
    BesideFact, Facts, ModelFact, PullRequestText, TreeFact, attempts::Group, without_passages,
};

use crate::{
    WorkerError, branch,
    collect::{egress, object_id, published, quarantine},
    lfs,
    stage::{Done, StageContext},
};

/// How often in a row others may be quicker before people are asked to let it be.
const MOST_OVERTAKEN: u32 = 3;

/// Makes the commits again under the platform's identity and pushes the session's branch. From the same log this gives the same commits.
pub(crate) async fn push(context: &StageContext) -> Result<Done, WorkerError> {
    let received = context.agent.received().ok_or(WorkerError::Log("there is no change to push"))?;
    let quarantine = quarantine(context).await?;
    let base = published(context)?;
    let at = context.agent.finished_at().ok_or(WorkerError::Log("the work is not finished"))?;
    let authorship = authorship(context, at, said(context).map(|finish| finish.title).unwrap_or_default())?;
    let head = object_id(&received.head)?;
    let made = match context.agent.merged() {
        None => quarantine.recreate(&base, &head, &authorship).await,
        Some(merged) => {
            let branch = &context.repository()?.base_branch;
            let joined = Joined { base: object_id(&merged.base)?, both: object_id(&merged.commit)?, branch };
            quarantine.recreate_joined(&base, &joined, &head, &authorship).await
        }
    };
    let commit = made.map_err(ForgeError::from)?;
    let repository = context.address().await?;
    let left = branch::left(context).map(object_id).transpose()?;
    let push = Push {
        session: context.session,
        repository: &repository,
        quarantine: &quarantine,
        commit: &commit,
        left: left.as_ref(),
    };
    let pushed = async {
        context.access(&repository).await?;
        lfs::deliver(context, &quarantine, &commit).await?;
        Ok(context.forge(&repository).push(&push).await?)
    };
    match pushed.await {
        Ok(branch) => Ok(Done::fact(EventBody::Pushed { branch, commit: commit.to_string() })),
        // Where the branch is the session's already, theirs is built on in a turn of its own.
        Err(WorkerError::Forge(ForgeError::Publish(PublishError::BranchMoved { found, .. })))
            if left.is_some() && context.agent.overtaken_times() < MOST_OVERTAKEN =>
        {
            Ok(Done::fact(EventBody::Overtaken { found }))
        }
        Err(error) => impossible(error),
    }
}

/// Under whose name and for whom commits are made.
pub(crate) fn authorship(
    context: &StageContext,
    at: Timestamp,
    title: String,
) -> Result<Authorship, WorkerError> {
    let parts = &context.parts;
    Ok(Authorship {
        identity: parts.identity.clone(),
        at,
        session: context.session,
        co_author: parts.forges.co_author(context.org, context.task()?),
        signing: parts.signing.clone(),
        title,
    })
}

/// What stays so until a person does something about it is why the stage cannot be done.
fn impossible(error: WorkerError) -> Result<Done, WorkerError> {
    let stays = if let WorkerError::Forge(ForgeError::Publish(error)) = &error {
        error.wants_a_word()
    } else {
        error.is_fault_of_the_task()
    };
    if stays { Ok(Done::Impossible(with_causes(&error))) } else { Err(error) }
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
    let opened = async {
        context.access(&new.repository).await?;
        Ok(context.forge(&new.repository).open(&new).await?)
    };
    match opened.await {
        Ok(pull_request) => Ok(Done::fact(EventBody::PullRequestOpened(Box::new(pull_request)))),
        Err(error) => impossible(error),
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
    let authorship = authorship(context, context.at, known.title.clone())?;
    let head = object_id(wanted)?;
    let repository = context.address().await?;
    closed(
        async {
            context.access(&repository).await?;
            Ok(context.forge(&repository).merge(&repository, &head, &authorship).await?)
        }
        .await,
    )
}

/// Closes the pull request without merging.
pub(crate) async fn close(context: &StageContext) -> Result<Done, WorkerError> {
    let repository = context.address().await?;
    closed(
        async {
            context.access(&repository).await?;
            Ok(context.forge(&repository).close(&repository, context.session).await?)
        }
        .await,
    )
}

/// What became of a pull request that was to be merged or closed. Where a person has to do something first, that is what became of it.
fn closed(result: Result<PullRequest, WorkerError>) -> Result<Done, WorkerError> {
    match result {
        Ok(pull_request) => Ok(Done::fact(EventBody::PullRequestClosed { state: pull_request.state })),
        Err(WorkerError::Forge(ForgeError::Publish(error))) if error.needs_a_person() => {
            Ok(Done::fact(EventBody::MergeFailed { reason: with_causes(&error) }))
        }
        Err(error) if error.is_fault_of_the_task() => {
            Ok(Done::fact(EventBody::MergeFailed { reason: with_causes(&error) }))
        }
        Err(error) => Err(error),
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
        remarks: finish.remarks.clone(),
    })
}

/// What a fresh look has found, as far as it is about this repository, without what it quotes of instructions.
fn fresh_look(context: &StageContext, system: &str) -> Option<SelfReview> {
    let mut review = context.whole.self_review()?.clone();
    review.summary = without_passages(&review.summary, system).into_owned();
    if let Some(directory) = context.directory() {
        let start = format!("{directory}/");
        review.remarks.retain_mut(|remark| match remark.path.strip_prefix(&start) {
            Some(path) => {
                remark.path = path.to_owned();
                true
            }
            None => false,
        });
    }
    Some(review)
}

/// The pull requests that the session has in its other repositories by now.
async fn beside(context: &StageContext) -> Result<Vec<BesideFact>, WorkerError> {
    let mut facts = Vec::new();
    for (part, request) in context.whole.pull_requests() {
        if part == context.part {
            continue;
        }
        let other = context.of(part)?;
        let page = context.parts.forges.page(context.org, &other.address().await?, request.number);
        facts.push(BesideFact { repository: other.asked()?.0.to_owned(), number: request.number, page });
    }
    Ok(facts)
}

/// All attempts at the task, where this is one of several.
async fn attempts(context: &StageContext) -> Result<Option<Group>, WorkerError> {
    let Some(attempt) = context.agent.attempt() else { return Ok(None) };
    Ok(Some(crate::attempts::attempts(&context.parts.store, context.org, attempt).await?))
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
    // A number in the text means something of this repository.
    let task = Task { repository: context.asked()?.0.to_owned(), ..context.task()?.clone() };
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
        task,
        base: TreeFact {
            branch: repository.base_branch.clone(),
            commit: repository.base_commit.clone(),
            tree: repository.base_tree.clone(),
        },
        head: TreeFact { branch: branch.to_owned(), commit: commit.to_owned(), tree: received.tree.clone() },
        beside: beside(context).await?,
        attempts: attempts(context).await?,
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
        fresh_look: fresh_look(context, &fixed.system),
        finish,
    })
}
