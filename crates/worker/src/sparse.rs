//! What is configured for single repositories: workspaces with only some directories of a large one, what the agent is told of that and what tests
//! are given besides; and with which command one is tested.

use std::{path::Path, time::Duration};

use cofferdam_domain::Part;
use cofferdam_forge::{ForgeError, RepositoryAddress};
use cofferdam_sandbox::Sandbox;

use crate::{
    WorkerError,
    collect::{object_id, quarantine},
    script,
    stage::StageContext,
};

/// How long it may take until some more files are there.
const TIME: Duration = Duration::from_secs(600);

/// The directories that the session is to have; all where there are none. What the task says goes before what the configuration says of the
/// repository.
pub(crate) async fn cones(context: &StageContext) -> Result<Vec<String>, WorkerError> {
    // What others have offered may be anywhere.
    if context.agent.review().is_some() {
        return Ok(Vec::new());
    }
    // A task names those of its own repository.
    let wished = &context.task()?.wishes.sparse;
    if !wished.is_empty() && context.part == Part::FIRST {
        return Ok(wished.clone());
    }
    let asked = context.address().await?.to_string();
    for setting in &context.parts.sparse {
        if is_at(context, &setting.repository, &asked).await {
            return Ok(setting.directories.clone());
        }
    }
    Ok(Vec::new())
}

/// The command that is configured for the tests of the repository.
pub(crate) async fn tests(context: &StageContext) -> Result<Option<String>, WorkerError> {
    if context.parts.tests.is_empty() {
        return Ok(None);
    }
    let asked = context.address().await?.to_string();
    for setting in &context.parts.tests {
        if is_at(context, &setting.repository, &asked).await {
            return Ok(Some(setting.command.clone()));
        }
    }
    Ok(None)
}

/// Whether a table of the configuration is about a repository. One that is not on this machine is none of its tasks.
pub(crate) async fn is_at(context: &StageContext, configured: &str, asked: &str) -> bool {
    let address = RepositoryAddress::parse(&context.parts.git, configured, Path::new("/")).await;
    address.is_ok_and(|address| address.to_string() == asked)
}

/// Why there can be no such workspace, if directories are not there.
pub(crate) fn problem(lacking: &[String]) -> Option<String> {
    (!lacking.is_empty()).then(|| {
        format!(
            "the repository has no such directory at this base: {}; see `--sparse`, or [[repositories.sparse]] in the configuration",
            lacking.join(", ")
        )
    })
}

/// What people and the agent are told.
pub(crate) fn note(cones: &[String]) -> Option<String> {
    (!cones.is_empty()).then(|| {
        format!(
            "Only these directories of the repository are in the workspace, and the files right above them: {}. Everything else is kept as it \
             is, and nothing of it can be deleted. If the task needs more of it, `git sparse-checkout add DIRECTORY` brings it in, to be read \
             and changed.",
            cones.join(", ")
        )
    })
}

/// Gives a sandbox in which tests run the directories besides in which the change has something although they were not in the workspace at
/// first. The repository is in `workspace` there.
pub(crate) async fn besides(
    context: &StageContext,
    sandbox: &dyn Sandbox,
    workspace: &str,
) -> Result<(), WorkerError> {
    let (repository, received) = (context.repository()?, context.agent.received());
    let Some(received) = received.filter(|_| !repository.cones.is_empty()) else { return Ok(()) };
    let (base, head) = (object_id(&repository.base_commit)?, object_id(&received.head)?);
    let quarantine = quarantine(context).await?;
    let directories = quarantine.changed_outside(&base, &head, &repository.cones).await;
    let directories = directories.map_err(ForgeError::from)?;
    if directories.is_empty() {
        return Ok(());
    }
    let mut argv: Vec<String> = ["git", "sparse-checkout", "add"].map(str::to_owned).into();
    argv.extend(directories);
    // Without them the tests see less, and say so themselves.
    script::run(sandbox, argv, workspace, TIME, 64 * 1024).await?;
    Ok(())
}
