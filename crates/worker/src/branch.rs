//! The session's branch as others have left it: their commits are kept and built on, never overwritten.
//!
//! It is looked at when a turn begins, before its sandbox is made. What is there then is what the turn begins with, whoever has put it there:
//! content like any other of the repository. A branch that somebody has deleted is made again only after somebody has written once more.

use cofferdam_agent::Restore;
use cofferdam_domain::{
    EventBody, Label, Stage,
    causes::with_causes,
    event::{Merged, Moved},
};
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

/// What the branch was found to be, where that is not what the session has left.
pub(crate) struct Found {
    /// `None` where there is only something to be told.
    pub(crate) moved: Option<Moved>,
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
    let there = context.forge(&repository).branch(&repository, context.session).await?;
    if there.is_none() {
        make_again(context, &repository, &published).await?;
    }
    let branch = there.unwrap_or_else(|| published.clone());
    let by_others = branch != published;
    if !by_others && !context.agent.base_wanted() {
        return Ok(None);
    }
    let quarantine = quarantine(context).await?;
    if !quarantine.has(&branch).await {
        quarantine.take(&context.mirror().await?, &branch).await.map_err(ForgeError::from)?;
    }
    let base = if context.agent.base_wanted() {
        with_base(context, &quarantine, &branch).await?
    } else {
        Base::Unasked
    };
    let onto = match &base {
        Base::Taken(merged) => object_id(&merged.commit)?,
        Base::Unasked | Base::There | Base::Unrelated => branch.clone(),
    };
    let (start, left) = begin_with(context, &quarantine, &published, &onto).await?;
    let mut words: Vec<String> = Vec::new();
    if by_others {
        let follows = quarantine.follows(&branch, &published).await.map_err(ForgeError::from)?;
        words.push(told_of_others(follows).to_owned());
    }
    words.extend(told_of_base(context, &base)?);
    words.push(told_of_left(&left).to_owned());
    let text = words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" ");
    let told = EventBody::MessageReceived {
        from: "Cofferdam".to_owned(),
        text,
        label: Label::PLATFORM,
        about: None,
    };
    let merged = if let Base::Taken(merged) = base { Some(merged) } else { None };
    let moves = by_others || merged.is_some();
    let moved = Moved { branch: branch.to_string(), start: start.to_string(), merged };
    Ok(Some(Found { moved: moves.then_some(moved), told }))
}

/// What became of the wish that the branch which the pull request is meant for be taken in.
enum Base {
    /// There is none.
    Unasked,
    /// All of that is there already.
    There,
    /// The two have nothing in common.
    Unrelated,
    /// It is in.
    Taken(Merged),
}

/// Takes in what the branch that the pull request is meant for has gained. From the same log and the same commits this gives the same commit.
async fn with_base(
    context: &StageContext,
    quarantine: &Quarantine,
    branch: &ObjectId,
) -> Result<Base, WorkerError> {
    let (mirror, name) = (context.mirror().await?, &context.repository()?.base_branch);
    let base = mirror.resolve(Some(name)).await.map_err(ForgeError::from)?;
    if !quarantine.has(&base.commit).await {
        quarantine.take(&mirror, &base.commit).await.map_err(ForgeError::from)?;
    }
    if quarantine.follows(branch, &base.commit).await.map_err(ForgeError::from)? {
        return Ok(Base::There);
    }
    let authorship = authorship(context, context.at, String::new())?;
    let joined = quarantine.join(branch, &base.commit, name, &authorship).await.map_err(ForgeError::from)?;
    Ok(match joined {
        None => Base::Unrelated,
        Some((commit, conflicts)) => Base::Taken(Merged {
            base: base.commit.to_string(),
            tree: base.tree.to_string(),
            commit: commit.to_string(),
            conflicts,
        }),
    })
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

/// What the agent is told of what others did. Nothing of what they wrote is in it.
const fn told_of_others(follows: bool) -> &'static str {
    if follows {
        "Others have pushed commits to the branch of your pull request. The files in the sandbox are as the branch is now. Look (`git log`, `git diff`) \
         before you go on, and build on it: their work is to be kept."
    } else {
        "Others have moved the branch of your pull request: some of what you published is not on it any more, and they may have meant that. The files \
         in the sandbox are as the branch is now. Look (`git log`, `git diff`) before you go on, and build on it: their work is to be kept."
    }
}

/// What it is told of the branch that the pull request is meant for. The names of files are what people of the repository chose.
fn told_of_base(context: &StageContext, base: &Base) -> Result<Option<String>, WorkerError> {
    let name = &context.repository()?.base_branch;
    Ok(match base {
        Base::Unasked => None,
        Base::There => {
            Some(format!("All that {name:?} has is on your branch already: there is nothing to take in."))
        }
        Base::Unrelated => Some(format!(
            "{name:?} could not be taken in: it has nothing in common with your branch. Say so in `finish`."
        )),
        Base::Taken(merged) if merged.conflicts.is_empty() => Some(format!(
            "What {name:?} has gained was merged into your branch, without conflicts; the files in the sandbox have it. See that your change still does \
             what it should, run the tests, mend what does not go together, and call `finish`."
        )),
        Base::Taken(merged) => {
            let files: Vec<String> = merged.conflicts.iter().map(|file| format!("- {file:?}")).collect();
            Some(format!(
                "What {name:?} has gained was merged into your branch, with conflicts. The files in the sandbox have it, with git's marks (`<<<<<<<`, \
                 `=======`, `>>>>>>>`; your side is first) where both sides changed the same. Solve each so that what both sides meant is kept, leave no \
                 mark behind, run the tests, and call `finish`; the platform makes the merge commit. The files:\n{}\n",
                files.join("\n")
            ))
        }
    })
}

/// What it is told of what it had not published.
const fn told_of_left(left: &Left) -> &'static str {
    match left {
        Left::Nothing => "",
        Left::OnTop => "What you had not published yet was put on top of that.",
        Left::Apart => {
            "What you had not published yet does not go together with that and is not in the files: do again what of it is still wanted."
        }
    }
}
