//! Base trees: a repository's files at the base commit, as a read-only layer for sandboxes.
//!
//! Checking files out of an untrusted repository happens inside a sandbox, never on the host. What that sandbox wrote becomes the lower layer of
//! every workspace on the same commit, so a session on a large repository starts in milliseconds. A layer is complete before it gets
//! its name, and never changes after.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use cofferdam_domain::{
    Digest, EventBody, SandboxId, SessionId,
    causes::with_causes,
    event::{Repository, Submodule},
};
use cofferdam_forge::{Base, ForgeError, Mirror, Quarantine, Seed, checkout_script};
use cofferdam_sandbox::{ReadOnly, Sandbox, WORKSPACE, workspace_upper};

use crate::{
    WorkerError, advice,
    collect::object_id,
    evidence,
    layers::{START, remove_layer, session_directory},
    leftovers::{self, BEING_MADE},
    lfs::{self, LENT, Lent},
    memory,
    script::{self, SEED},
    sparse,
    stage::{Done, StageContext},
    submodules::{self, Placed},
};

/// How long a checkout may take.
const CHECKOUT_TIME: Duration = Duration::from_secs(30 * 60);
/// The name of the directory with base trees, in the data directory.
pub(crate) const BASES: &str = "bases";
/// Raised when layers are made differently, so that old ones are not used.
const LAYOUT: u32 = 2;

/// Finds the base and prepares its tree.
pub(crate) async fn find(context: &StageContext) -> Result<Done, WorkerError> {
    let (mirror, mut base) = match begin(context).await {
        Ok(found) => found,
        Err(error) if error.is_fault_of_the_task() => return Ok(Done::Impossible(with_causes(&error))),
        Err(error) => return Err(error),
    };
    let cones = sparse::cones(context).await?;
    let lacking = mirror.lacking(&base.tree, &cones).await.map_err(ForgeError::from)?;
    if let Some(problem) = sparse::problem(&lacking) {
        return Ok(Done::Impossible(problem));
    }
    base.notes.extend(sparse::note(&cones));
    let seed = mirror.seed(&base).await.map_err(ForgeError::from)?;
    let lent = lfs::lend(context, &seed, &cones, &BTreeSet::new()).await?;
    base.notes.extend(lent.iter().flat_map(|lent| lent.notes.clone()));
    let left = contents_left(context, lent.as_ref());
    let found = Box::pin(submodules::find(context, &mirror, (&base, &cones), Some(left))).await?;
    let contents = submodules::contents(lent.as_ref().and_then(|lent| lent.name), &found.placed);
    base.notes.extend(found.notes);
    let tests = sparse::tests(context).await?;
    base.notes.extend(evidence::note(context, tests.as_deref()));
    let submodules = named(&found.placed);
    let finished = place(&context.parts.data, seed.commit().as_str(), &cones, contents.as_ref(), &submodules);
    let finished = of_agent(finished, context.directory());
    let tree = Tree { seed: &seed, cones: &cones, lent: lent.as_ref(), submodules: &found.placed };
    prepare(context, &tree, (finished, context.directory())).await?;
    let advice = advice::find(context, &mirror, &base).await?;
    let memories = memory::recall(context, &mirror).await?;
    let ready = EventBody::RepositoryReady(Repository {
        base_commit: base.commit.to_string(),
        base_tree: base.tree.to_string(),
        base_branch: base.branch,
        notes: base.notes,
        cones,
        contents,
        submodules,
        tests,
        public: mirror.is_public(),
        shared: mirror.is_shared(),
    });
    Ok(Done::Facts(std::iter::once(ready).chain(advice).chain(memories).collect()))
}

/// Bytes of what Git LFS keeps that submodules may have, where the repository itself has this much of it.
fn contents_left(context: &StageContext, lent: Option<&Lent>) -> u64 {
    context.parts.mirrors.lfs_rules().all.saturating_sub(lent.map_or(0, |lent| lent.bytes))
}

/// What the session begins with: the base that the task names, or where what is to be reviewed has left the branch that it is meant for.
async fn begin(context: &StageContext) -> Result<(Mirror, Base), WorkerError> {
    let Some(review) = context.agent.review() else {
        return locate(context, context.asked()?.1).await;
    };
    let mirror = context.mirror().await?;
    let meant_for = mirror.resolve(Some(&review.base)).await.map_err(ForgeError::from)?;
    let fork =
        mirror.fork_of(&meant_for.commit, &object_id(&review.head)?).await.map_err(ForgeError::from)?;
    let mut base = mirror.resolve(Some(fork.as_str())).await.map_err(ForgeError::from)?;
    base.branch.clone_from(&review.base);
    Ok((mirror, base))
}

/// The layer with the base tree as the whole workspace; made if it is not there.
pub(crate) async fn layer(context: &StageContext) -> Result<PathBuf, WorkerError> {
    layer_in(context, None).await
}

/// The same where it lies in the agent's workspace.
pub(crate) async fn layer_of_agent(context: &StageContext) -> Result<PathBuf, WorkerError> {
    layer_in(context, context.directory()).await
}

/// The same with the tree in this directory of the workspace.
async fn layer_in(context: &StageContext, directory: Option<String>) -> Result<PathBuf, WorkerError> {
    let repository = context.repository()?;
    let Repository { base_commit, cones, contents, .. } = repository;
    // A base that was merged may have them at other commits.
    let moved = match context.agent.merged() {
        Some(_) if !repository.submodules.is_empty() => {
            let left = Some(contents_left(context, None));
            Some(Box::pin(submodules::placed(context, left)).await?)
        }
        Some(_) | None => None,
    };
    let named = moved.as_ref().map_or_else(|| repository.submodules.clone(), |placed| named(placed));
    let layer_with = |contents: Option<&Digest>| {
        of_agent(place(&context.parts.data, base_commit, cones, contents, &named), directory.clone())
    };
    let mut layer = layer_with(contents.as_ref());
    if !layer.exists() {
        let seed = seed(context).await?;
        // Where the session began without contents, the layer is everybody's. A base that was merged may have some for the first time.
        let lent = match (contents, context.agent.merged()) {
            (None, None) => None,
            (Some(_), _) | (None, Some(_)) => lfs::lend(context, &seed, cones, &BTreeSet::new()).await?,
        };
        let placed = match moved {
            Some(placed) => placed,
            None => {
                let left = contents.map(|_| contents_left(context, lent.as_ref()));
                Box::pin(submodules::placed(context, left)).await?
            }
        };
        // A layer is named by what is in it, which may be less by now, or more.
        let came = submodules::contents(lent.as_ref().and_then(|lent| lent.name), &placed);
        if came != *contents {
            layer = layer_with(came.as_ref());
        }
        if !layer.exists() {
            let tree = Tree { seed: &seed, cones, lent: lent.as_ref(), submodules: &placed };
            prepare(context, &tree, (layer.clone(), directory)).await?;
        }
    }
    Ok(workspace_upper(&layer))
}

/// The layers of the agent's workspace in this turn, one for each of the session's repositories. Says why there are none, if there cannot be.
pub(crate) async fn workspace(context: &StageContext) -> Result<Result<Vec<PathBuf>, String>, WorkerError> {
    let mut layers = Vec::new();
    for part in context.whole.parts() {
        match start(&context.of(part)?).await? {
            Ok(layer) => layers.push(layer),
            Err(reason) => return Ok(Err(reason)),
        }
    }
    Ok(Ok(layers))
}

/// The layer with the tree that this turn begins with: the base's in the first one, then that of what the turn before has left. Says why
/// there is none, if there cannot be one.
async fn start(context: &StageContext) -> Result<Result<PathBuf, String>, WorkerError> {
    start_at(context, context.agent.start()).await
}

/// The same, where the turn is to begin with this commit; with the base, if `None`.
pub(crate) async fn start_at(
    context: &StageContext,
    start: Option<&str>,
) -> Result<Result<PathBuf, String>, WorkerError> {
    let directory = context.directory();
    let Some(start) = start else { return layer_in(context, directory).await.map(Ok) };
    let layer = of_agent(start_place(&context.parts.data, context.session, start), directory.clone());
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
        let cones = &context.repository()?.cones;
        let lent = lfs::lend(context, &seed, cones, &lfs::own(context, start).await?).await?;
        let left = Some(contents_left(context, lent.as_ref()));
        let placed = Box::pin(submodules::placed(context, left)).await?;
        let tree = Tree { seed: &seed, cones, lent: lent.as_ref(), submodules: &placed };
        prepare(context, &tree, (layer.clone(), directory)).await?;
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
        let name = format!("{start}-{}.git", context.part.0);
        let place = context.parts.session_directory(context.session).join(START).join(name);
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

fn named(placed: &[Placed]) -> Vec<Submodule> {
    placed.iter().map(|placed| placed.submodule.clone()).collect()
}

/// Where the tree of a base commit is kept, or these directories of it, with these contents of Git LFS and these submodules. Whoever asks for it has
/// found each of those commits in a mirror of their own.
pub(crate) fn place(
    data: &Path,
    commit: &str,
    cones: &[String],
    contents: Option<&Digest>,
    submodules: &[Submodule],
) -> PathBuf {
    let mut which = match cones {
        [] => String::new(),
        cones => format!("-{}", Digest::of(cones.join("\0").as_bytes()).short()),
    };
    if let Some(contents) = contents {
        which.push_str("-lfs-");
        which.push_str(&contents.hex()[..32]);
    }
    if let Some(name) = submodules::name(submodules) {
        which.push_str("-sub-");
        which.push_str(&name.hex()[..32]);
    }
    data.join(BASES).join(format!("{commit}-{LAYOUT}{which}"))
}

/// Where the same tree is kept in a directory of the workspace.
pub(crate) fn of_agent(place: PathBuf, directory: Option<String>) -> PathBuf {
    let Some(directory) = directory else { return place };
    let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    place.with_file_name(format!("{name}-in-{directory}"))
}

/// What a layer is made of.
struct Tree<'a> {
    seed: &'a Seed,
    cones: &'a [String],
    lent: Option<&'a Lent>,
    submodules: &'a [Placed],
}

/// Makes the layer with the tree, in a directory of the workspace, or as the whole of it, unless it is there.
async fn prepare(
    context: &StageContext,
    tree: &Tree<'_>,
    (finished, directory): (PathBuf, Option<String>),
) -> Result<(), WorkerError> {
    if finished.exists() {
        return Ok(());
    }
    let made = finished.with_file_name(format!("{BEING_MADE}{}", SandboxId::generate()));
    let _held = leftovers::hold(&made).map_err(|source| WorkerError::File {
        operation: "make the directory",
        path: made.display().to_string(),
        source,
    })?;
    let mut read_only = vec![ReadOnly { host: tree.seed.path().to_owned(), inside: PathBuf::from(SEED) }];
    read_only.extend(tree.lent.map(Lent::read_only));
    read_only.extend(submodules::lent(tree.submodules));
    let limits = context.limits();
    let sandbox = context.parts.sandbox(Vec::new(), made.clone(), read_only, limits, None).await?;
    let inside =
        directory.map_or_else(|| WORKSPACE.to_owned(), |directory| format!("{WORKSPACE}/{directory}"));
    let result = check_out(&*sandbox, tree, &inside).await;
    sandbox.destroy().await?;
    if let Err(problem) = result? {
        remove_layer(&made).await?;
        return Err(WorkerError::BaseTree(problem));
    }
    publish(&made, &finished).await
}

/// Says what went wrong inside, if something did.
async fn check_out(
    sandbox: &dyn Sandbox,
    tree: &Tree<'_>,
    inside: &str,
) -> Result<Result<(), String>, WorkerError> {
    let whole = checkout_script(SEED, inside, LENT, tree.cones);
    for argv in std::iter::once(whole).chain(submodules::scripts(tree.submodules, inside)) {
        match script::run(sandbox, argv, WORKSPACE, CHECKOUT_TIME, 64 * 1024).await? {
            Some(finished) if finished.exit.success() => {}
            Some(finished) => {
                return Ok(Err(String::from_utf8_lossy(&finished.output.joined()).trim().to_owned()));
            }
            None => return Ok(Err("it took too long".to_owned())),
        }
    }
    Ok(Ok(()))
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
