//! The session's branch as others have left it: their commits are kept and built on, never overwritten.
//!
//! It is looked at when a turn begins, before its sandbox is made. What is there then is what the turn begins with, whoever has put it there:
//! content like any other of the repository. A branch that somebody has deleted is made again only after somebody has written once more.

use cofferdam_agent::Restore;
use cofferdam_domain::{EventBody, Label, Stage, causes::with_causes, event::Moved};
use cofferdam_forge::{ForgeError, ObjectId, PublishError, Push, Quarantine, RepositoryAddress, branch_of};

use crate::{
    WorkerError,
    collect::{object_id, quarantine},
    publish::authorship,
    stage::StageContext,
};

/// What the agent had not published when others pushed.
enum Left {
    /// There was nothing.
    Nothing,
    /// It stands on top of what they pushed.
    OnTop,
    /// It does not go together with that.
    Apart,
}

/// What others have made of the branch.
pub(crate) struct Found {
    pub(crate) moved: Moved,
    /// What the agent is told.
    pub(crate) told: EventBody,
}

/// What the session knows to stand on its own branch. A fork has none before its first push.
pub(crate) fn left(context: &StageContext) -> Option<&str> {
    let (branch, _) = context.agent.pushed()?;
    context.agent.published().filter(|_| branch == branch_of(context.session))
}

/// Whether somebody has written after the branch could not be written.
fn again(context: &StageContext) -> bool {
    matches!(context.agent.again_after(), Some(Stage::Sandbox | Stage::Push))
}

/// Looks what others have made of the branch, if a turn begins now. Says why it cannot, if it cannot.
pub(crate) async fn look(context: &StageContext) -> Result<Result<Option<Found>, String>, WorkerError> {
    let begins = matches!(context.agent.restore(), Some(Restore::Fresh));
    let Some(left) = left(context).filter(|_| begins) else { return Ok(Ok(None)) };
    match found(context, object_id(left)?).await {
        Ok(found) => Ok(Ok(found)),
        Err(WorkerError::Forge(ForgeError::Publish(error))) if error.needs_a_person() => {
            Ok(Err(with_causes(&error)))
        }
        Err(error) if error.is_fault_of_the_task() => Ok(Err(with_causes(&error))),
        Err(error) => Err(error),
    }
}

async fn found(context: &StageContext, published: ObjectId) -> Result<Option<Found>, WorkerError> {
    let repository = context.address().await?;
    context.access(&repository).await?;
    let Some(branch) = context.forge(&repository).branch(&repository, context.session).await? else {
        return make_again(context, &repository, &published).await.map(|()| None);
    };
    if branch == published {
        return Ok(None);
    }
    let quarantine = quarantine(context).await?;
    if !quarantine.has(&branch).await {
        quarantine.take(&context.mirror().await?, &branch).await.map_err(ForgeError::from)?;
    }
    let (start, left) = begin_with(context, &quarantine, &published, &branch).await?;
    let follows = quarantine.follows(&branch, &published).await.map_err(ForgeError::from)?;
    let told = told(follows, &left);
    Ok(Some(Found { moved: Moved { branch: branch.to_string(), start: start.to_string() }, told }))
}

/// Makes the branch again as the session knows it, if somebody has written since it was found to be gone.
async fn make_again(
    context: &StageContext,
    repository: &RepositoryAddress,
    published: &ObjectId,
) -> Result<(), WorkerError> {
    if !again(context) {
        let branch = branch_of(context.session);
        return Err(ForgeError::from(PublishError::BranchGone { branch }).into());
    }
    let quarantine = quarantine(context).await?;
    let push =
        Push { session: context.session, repository, quarantine: &quarantine, commit: published, left: None };
    context.forge(repository).push(&push).await?;
    Ok(())
}

/// What the turn begins with: the branch, and on top of it what the session has not published yet.
async fn begin_with(
    context: &StageContext,
    quarantine: &Quarantine,
    published: &ObjectId,
    branch: &ObjectId,
) -> Result<(ObjectId, Left), WorkerError> {
    let left = context.agent.start().map(object_id).transpose()?;
    let Some(left) = left.filter(|left| left != published) else {
        return Ok((branch.clone(), Left::Nothing));
    };
    if !quarantine.has(&left).await {
        return Ok((branch.clone(), Left::Apart));
    }
    let authorship = authorship(context, context.at, String::new())?;
    let on_top = quarantine.put_on(branch, &left, &authorship).await.map_err(ForgeError::from)?;
    Ok(on_top.map_or_else(|| (branch.clone(), Left::Apart), |commit| (commit, Left::OnTop)))
}

/// What the agent is told. Nothing of what others wrote is in it.
fn told(follows: bool, left: &Left) -> EventBody {
    let happened = if follows {
        "Others have pushed commits to the branch of your pull request."
    } else {
        "Others have moved the branch of your pull request: some of what you published is not on it any more, and they may have meant that."
    };
    let yours = match left {
        Left::Nothing => "",
        Left::OnTop => " What you had not published yet was put on top of that.",
        Left::Apart => {
            " What you had not published yet does not go together with that and is not in the files: do again what of it is still wanted."
        }
    };
    EventBody::MessageReceived {
        from: "Cofferdam".to_owned(),
        text: format!(
            "{happened} The files in the sandbox are as the branch is now.{yours} Look (`git log`, `git diff`) before you go on, and build on it: \
             their work is to be kept."
        ),
        label: Label::PLATFORM,
        about: None,
    }
}
