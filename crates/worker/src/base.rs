//! Base trees: a repository's files at the base commit, as a read-only layer for sandboxes.
//!
//! Checking files out of an untrusted repository happens inside a sandbox, never on the host. What that sandbox wrote becomes the lower layer of
//! every workspace on the same commit, so a session on a large repository starts in milliseconds. A layer is complete before it gets
//! its name, and never changes after.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use cofferdam_domain::{EventBody, SandboxId, SessionId, causes::with_causes, event::Repository};
use cofferdam_forge::{Base, ForgeError, Mirror, Quarantine, Seed, checkout_script};
use cofferdam_sandbox::{ReadOnly, WORKSPACE, workspace_upper};

use crate::{
    WorkerError,
    collect::object_id,
    layers::{START, remove_layer, session_directory},
    leftovers::{self, BEING_MADE},
    script::{self, SEED},
    stage::{Done, StageContext},
};

/// How long a checkout may take.
const CHECKOUT_TIME: Duration = Duration::from_secs(30 * 60);
/// The name of the directory with base trees, in the data directory.
pub(crate) const BASES: &str = "bases";
/// Raised when layers are made differently, so that old ones are not used.
const LAYOUT: u32 = 1;

/// Finds the base and prepares its tree.
pub(crate) async fn find(context: &StageContext) -> Result<Done, WorkerError> {
    let task = context.task()?;
    let (mirror, base) = match locate(context, task.base.as_deref()).await {
        Ok(found) => found,
        Err(error) if error.is_fault_of_the_task() => return Ok(Done::Impossible(with_causes(&error))),
        Err(error) => return Err(error),
    };
    let seed = mirror.seed(&base).await.map_err(ForgeError::from)?;
    prepare(context, &seed).await?;
    Ok(Done::fact(EventBody::RepositoryReady(Repository {
        base_commit: base.commit.to_string(),
        base_tree: base.tree.to_string(),
        base_branch: base.branch,
        notes: base.notes,
    })))
}

/// The layer with the session's base tree; made again if somebody has removed it.
pub(crate) async fn layer(context: &StageContext) -> Result<PathBuf, WorkerError> {
    let commit = &context.repository()?.base_commit;
    let layer = path(context, commit);
    if !layer.exists() {
        let seed = seed(context).await?;
        prepare(context, &seed).await?;
    }
    Ok(workspace_upper(&layer))
}

/// The layer with the tree that this turn begins with: the base's in the first one, then that of what the turn before has left. Says why
/// there is none, if there cannot be one.
pub(crate) async fn start(context: &StageContext) -> Result<Result<PathBuf, String>, WorkerError> {
    start_at(context, context.agent.start()).await
}

/// The same, where the turn is to begin with this commit; with the base, if `None`.
pub(crate) async fn start_at(
    context: &StageContext,
    start: Option<&str>,
) -> Result<Result<PathBuf, String>, WorkerError> {
    let Some(start) = start else { return layer(context).await.map(Ok) };
    let layer = start_place(&context.parts.data, context.session, start);
    if !layer.exists() {
        let seed = match start_seed(context, start).await {
            Ok(seed) => seed,
            Err(error) if error.is_fault_of_the_task() => {
                return Ok(Err(format!(
                    "what the turn before has left is not on this machine: {}",
                    with_causes(&error)
                )));
            }
            Err(error) => return Err(error),
        };
        prepare_at(context, &seed, layer.clone()).await?;
    }
    Ok(Ok(workspace_upper(&layer)))
}

/// A seed with the commit that this turn begins with: from the session's quarantine, or from its branch where that was on another machine.
async fn start_seed(context: &StageContext, start: &str) -> Result<Seed, WorkerError> {
    let (git, path, commit) = (&context.parts.git, context.quarantine_path(), object_id(start)?);
    let repository = context.repository()?;
    let base = object_id(&repository.base_commit)?;
    if let Ok(quarantine) = Quarantine::open(git, &path, base)
        && quarantine.has(&commit).await
    {
        let place = context.parts.session_directory(context.session).join(START).join(format!("{start}.git"));
        return Ok(quarantine
            .seed(&commit, &repository.base_branch, &place)
            .await
            .map_err(ForgeError::from)?);
    }
    published_seed(context, start).await
}

/// A seed with a commit that the repository has: the base, or what stands on the session's branch.
pub(crate) async fn published_seed(context: &StageContext, commit: &str) -> Result<Seed, WorkerError> {
    let (mirror, mut base) = locate(context, Some(commit)).await?;
    base.branch.clone_from(&context.repository()?.base_branch);
    Ok(mirror.seed(&base).await.map_err(ForgeError::from)?)
}

/// Where the tree that a later turn begins with is kept.
pub(crate) fn start_place(data: &Path, session: SessionId, commit: &str) -> PathBuf {
    session_directory(data, session).join(START).join(format!("{commit}-{LAYOUT}"))
}

/// The seed of the session's base.
pub(crate) async fn seed(context: &StageContext) -> Result<Seed, WorkerError> {
    published_seed(context, &context.repository()?.base_commit).await
}

async fn locate(context: &StageContext, base: Option<&str>) -> Result<(Mirror, Base), WorkerError> {
    let mirror = context.mirror().await?;
    let base = mirror.resolve(base).await.map_err(ForgeError::from)?;
    Ok((mirror, base))
}

fn path(context: &StageContext, commit: &str) -> PathBuf {
    place(&context.parts.data, commit)
}

/// Where the tree of a base commit is kept.
pub(crate) fn place(data: &Path, commit: &str) -> PathBuf {
    data.join(BASES).join(format!("{commit}-{LAYOUT}"))
}

/// Makes the layer with the seed's tree, unless it is there.
async fn prepare(context: &StageContext, seed: &Seed) -> Result<(), WorkerError> {
    let finished = path(context, seed.commit().as_str());
    if finished.exists() { Ok(()) } else { prepare_at(context, seed, finished).await }
}

async fn prepare_at(context: &StageContext, seed: &Seed, finished: PathBuf) -> Result<(), WorkerError> {
    let made = finished.with_file_name(format!("{BEING_MADE}{}", SandboxId::generate()));
    let _held = leftovers::hold(&made).map_err(|source| WorkerError::File {
        operation: "make the directory",
        path: made.display().to_string(),
        source,
    })?;
    let read_only = vec![ReadOnly { host: seed.path().to_owned(), inside: PathBuf::from(SEED) }];
    let limits = context.limits();
    let sandbox = context.parts.sandbox(Vec::new(), made.clone(), read_only, limits, None).await?;
    let result =
        script::run(&*sandbox, checkout_script(SEED, WORKSPACE), WORKSPACE, CHECKOUT_TIME, 64 * 1024).await;
    sandbox.destroy().await?;
    let problem = match result? {
        Some(finished) if finished.exit.success() => None,
        Some(finished) => Some(String::from_utf8_lossy(&finished.output.joined()).trim().to_owned()),
        None => Some("it took too long".to_owned()),
    };
    if let Some(problem) = problem {
        remove_layer(&made).await?;
        return Err(WorkerError::BaseTree(problem));
    }
    publish(&made, &finished).await
}

/// Gives a finished layer its name. Somebody else may have been faster: then theirs is used.
async fn publish(made: &Path, finished: &Path) -> Result<(), WorkerError> {
    match fs::rename(made, finished) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            remove_layer(made).await
        }
        Err(source) => Err(WorkerError::File {
            operation: "name the base layer",
            path: finished.display().to_string(),
            source,
        }),
    }
}
