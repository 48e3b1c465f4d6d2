//! Taking the change out of the sandbox, and having it examined.
//!
//! The agent's sandbox is gone when this begins: a fresh one over the same layer writes a bundle, which comes out as a file's bytes and
//! enters a quarantine repository through git's strictest checks. From then on only objects are looked at.

use std::{collections::BTreeSet, io, path::Path, sync::Arc, time::Duration};

use cofferdam_agent::Agent;
use cofferdam_domain::{Event, EventBody, SessionId, Verdict, causes::with_causes, hidden::visible};
use cofferdam_forge::{
    Collected, ForgeError, Git, ObjectId, Quarantine, ReceiveLimits, collect_script, with_contents,
};
use cofferdam_gate::{EgressFacts, GatePolicy, examine as examine_change, verdict};
use cofferdam_sandbox::{HOME, Sandbox};
use cofferdam_store::StoreError;

use crate::{
    WorkerError, base,
    layers::{LAYER, session_directory},
    lfs,
    patience::patiently,
    restore::{self, Brought},
    script,
    stage::{Done, StageContext, quarantine_name},
    submodules,
};

/// How long committing and bundling may take.
const COLLECT_TIME: Duration = Duration::from_secs(30 * 60);
/// Bytes read out of the sandbox at once.
pub(crate) const CHUNK: u64 = 1 << 20;
/// The name of the bundle inside, where the agent's home is.
const BUNDLE: &str = ".cofferdam-bundle";
/// How programs say that a disk is full (strerror(3), in the language of sandboxes).
const NO_SPACE: &str = "No space left on device";
/// The longest bundle that is kept for workers on other machines.
const MOST_KEPT: usize = 64 << 20;
/// The longest patch that is shown.
const MAX_PATCH: u64 = 8 << 20;

/// Takes the change out.
pub(crate) async fn collect(mut context: StageContext) -> Result<Done, WorkerError> {
    if let Some(sandbox) = context.sandbox.take().and_then(Arc::into_inner) {
        sandbox.destroy().await?;
    }
    if context.agent.review().is_some() {
        return offered(&context).await;
    }
    let parts = &context.parts;
    let base = match Box::pin(base::workspace(&context)).await? {
        Ok(base) => base,
        Err(reason) => return Ok(Done::Impossible(reason)),
    };
    match restore::bring(&context).await? {
        Ok(Brought::Here | Brought::FromStep(_) | Brought::Elsewhere(None)) => {}
        // What was changed is there, but not here: that is not nothing.
        Ok(Brought::Elsewhere(Some(last))) => {
            return Ok(Done::Impossible(format!(
                "the agent's files (last kept after step {}) are on the machine of another worker, which is gone: write to the session to have \
                 it done again, or configure [store] blobs so that other machines have them",
                last.step
            )));
        }
        Err(reason) => return Ok(Done::Impossible(reason)),
    }
    let layer = parts.session_directory(context.session).join(LAYER);
    let limits = context.limits();
    let sandbox = parts.sandbox(base, layer, Vec::new(), limits, None).await?;
    let result = take_out(&context, &*sandbox).await;
    let destroyed = sandbox.destroy().await;
    let done = result?;
    destroyed?;
    Ok(done)
}

async fn take_out(context: &StageContext, sandbox: &dyn Sandbox) -> Result<Done, WorkerError> {
    let bundle = bundle(context, sandbox).await?;
    let submodules = submodules::changed(context, sandbox).await?;
    let bundle = match bundle {
        Bundled::Nothing => {
            let only = submodules::nothing_but(context, submodules, &published(context)?).await?;
            return Ok(Done::fact(only.map_or(EventBody::NothingChanged, EventBody::ObjectsReceived)));
        }
        Bundled::Impossible(reason) => return Ok(Done::Impossible(reason)),
        Bundled::Bytes(bytes) => bytes,
    };
    let quarantine = quarantine(context).await?;
    // Before the log refers to it; what is refused after all is removed with what nothing refers to.
    let objects = match bundle.len() {
        ..=MOST_KEPT => Some(patiently(|| context.parts.store.put_blob(&bundle)).await?),
        _ => None,
    };
    let mut received = quarantine.receive(bundle, ReceiveLimits::DEFAULT).await;
    if let Ok(received) = &received
        && let Some(reason) = outside(context, &quarantine, &object_id(&received.head)?).await?
    {
        return Ok(Done::Impossible(reason));
    }
    if let Ok(received) = &mut received {
        received.objects = objects;
        received.submodules = submodules;
        let head = object_id(&received.head)?;
        let bundle = format!("{HOME}/{BUNDLE}");
        received.contents = match lfs::take_out(context, sandbox, &quarantine, &head, &bundle).await? {
            Ok(kept) => kept,
            Err(reason) => return Ok(Done::Impossible(reason)),
        };
        let text = quarantine.diff_text(quarantine.base(), &head, MAX_PATCH).await;
        // People can do without it rather than without the change.
        received.patch = match text {
            Ok(text) => context.parts.store.put_blob(&text).await.ok(),
            Err(_) => None,
        };
    }
    refusable(received, EventBody::ObjectsReceived)
}

/// What is to be reviewed takes the place of what an agent has made. Nothing of what the agent left in its sandbox is looked at.
async fn offered(context: &StageContext) -> Result<Done, WorkerError> {
    let review = context.agent.review().ok_or(WorkerError::Log("there is nothing to review"))?;
    let (quarantine, head) = (quarantine(context).await?, object_id(&review.head)?);
    let mut received = match quarantine.offered(&head).await {
        Ok(received) => received,
        Err(error) => {
            let error = WorkerError::from(ForgeError::from(error));
            return match error.is_fault_of_the_change() {
                true => Ok(Done::Impossible(format!("it cannot be reviewed: {}", with_causes(&error)))),
                false => Err(error),
            };
        }
    };
    received.patch = match quarantine.diff_text(quarantine.base(), &head, MAX_PATCH).await {
        Ok(text) => context.parts.store.put_blob(&text).await.ok(),
        Err(_) => None,
    };
    Ok(Done::fact(EventBody::ObjectsReceived(received)))
}

/// Why what came out of a workspace with only some directories is refused: nothing outside of them is ever deleted.
async fn outside(
    context: &StageContext,
    quarantine: &Quarantine,
    head: &ObjectId,
) -> Result<Option<String>, WorkerError> {
    let cones = &context.repository()?.cones;
    let gone = quarantine.gone_outside(&published(context)?, head, cones).await;
    Ok(gone.map_err(ForgeError::from)?.map(|path| {
        format!(
            "what the agent left was refused: {} would be deleted, which is not in the directories that the workspace has; begin the task \
             without `sparse`, or with that directory, if it is to go",
            visible(&path)
        )
    }))
}

/// The outcome of a step on what the agent left: a fact, a refusal with its reason, or a fault of the machine.
fn refusable<T, E: Into<ForgeError>>(
    result: Result<T, E>,
    fact: impl FnOnce(T) -> EventBody,
) -> Result<Done, WorkerError> {
    match result {
        Ok(value) => Ok(Done::fact(fact(value))),
        Err(error) => {
            let error = WorkerError::from(error.into());
            if error.is_fault_of_the_change() {
                Ok(Done::Impossible(format!("what the agent left was refused: {}", with_causes(&error))))
            } else {
                Err(error)
            }
        }
    }
}

enum Bundled {
    Nothing,
    Bytes(Vec<u8>),
    Impossible(String),
}

async fn bundle(context: &StageContext, sandbox: &dyn Sandbox) -> Result<Bundled, WorkerError> {
    let base = published(context)?;
    let inside = format!("{HOME}/{BUNDLE}");
    let argv = collect_script(&base, &context.workspace(), &inside, &context.repository()?.cones);
    // Not in the workspace: the agent may have left it so that nothing can be started there.
    let Some(finished) = script::run(sandbox, argv, "/", COLLECT_TIME, 64 * 1024).await? else {
        return Ok(Bundled::Impossible("committing what the agent left took too long".to_owned()));
    };
    match Collected::parse(&finished.output.joined()) {
        Ok(Collected::NothingChanged) => Ok(Bundled::Nothing),
        Ok(Collected::Bundle { size }) if size > ReceiveLimits::DEFAULT.bytes => Ok(Bundled::Impossible(
            format!("the change is a bundle of {size} bytes: too large to be taken out"),
        )),
        Ok(Collected::Bundle { .. }) => Ok(Bundled::Bytes(copy_out(sandbox, &inside).await?)),
        // Whether it is the machine's disk that is full or the sandbox's share of it cannot be told from inside; later there may be room.
        Err(error) if with_causes(&error).contains(NO_SPACE) => Err(WorkerError::File {
            operation: "take the change out of",
            path: context.parts.session_directory(context.session).join(LAYER).display().to_string(),
            source: io::ErrorKind::StorageFull.into(),
        }),
        Err(error) => Ok(Bundled::Impossible(with_causes(&error))),
    }
}

/// The bytes of a file in the sandbox, one more than are permitted at the most: whatever it claims to be, it is bytes.
async fn copy_out(sandbox: &dyn Sandbox, path: &str) -> Result<Vec<u8>, WorkerError> {
    let most = ReceiveLimits::DEFAULT.bytes + 1;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < most {
        let data = sandbox.read(path, bytes.len() as u64, CHUNK).await?;
        if data.bytes.is_empty() {
            break;
        }
        bytes.extend_from_slice(&data.bytes);
    }
    Ok(bytes)
}

/// Has the gate examine the change.
pub(crate) async fn examine(context: &StageContext) -> Result<Done, WorkerError> {
    let quarantine = quarantine(context).await?;
    let received = context.agent.received().ok_or(WorkerError::Log("there is no change to examine"))?;
    // What others have pushed is theirs to answer for, and is published already.
    let base = match context.agent.theirs().map(object_id).transpose()? {
        // What the platform has put together on another machine need not be here: then more is looked at.
        Some(theirs) if quarantine.has(&theirs).await => theirs,
        Some(_) | None => object_id(&context.repository()?.base_commit)?,
    };
    let policy =
        context.agent.fixed().map(|fixed| &fixed.policy).ok_or(WorkerError::Log("there is no policy"))?;
    let policy = GatePolicy::new(policy)?;
    let rounds_used = policy.rounds().saturating_sub(context.agent.gate_rounds_left());
    let egress = egress(context).await?.map(|facts| facts.findings()).unwrap_or_default();
    let beside = submodules::findings(context, received)?;
    let head = object_id(&received.head)?;
    let new = match context.agent.review() {
        // Its contents are where their author has put them.
        Some(_) => BTreeSet::new(),
        None => lfs::new_pointers(context, &quarantine, &head).await?,
    };
    let shelf = lfs::made(context).await?;
    refusable(quarantine.change(&base, &head).await, |mut change| {
        with_contents(&mut change, &new, &shelf);
        let mut findings = examine_change(&change, &policy);
        findings.extend(egress);
        findings.extend(beside);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        // Nobody is to mend what is only looked at: the findings are part of the review.
        let verdict = match context.agent.review() {
            Some(_) => Verdict::Publish,
            None => verdict(&findings, rounds_used, &policy),
        };
        EventBody::Examined { findings, verdict }
    })
}

/// What left the session's sandboxes; `None` where they had no network.
pub(crate) async fn egress(context: &StageContext) -> Result<Option<EgressFacts>, WorkerError> {
    if context.agent.fixed().is_none_or(|fixed| fixed.policy.egress.is_closed()) {
        return Ok(None);
    }
    let store = &context.parts.store;
    let mut events = store.log(context.session).await?;
    let mut below: Vec<SessionId> = context.agent.subagents().collect();
    // What those did that worked for it, it did.
    while let Some(session) = below.pop() {
        let log = match store.log(session).await {
            Err(StoreError::UnknownSession(_)) => continue,
            log => log?,
        };
        below.extend(Agent::of(session, &log).subagents());
        events.extend(log);
    }
    Ok(Some(EgressFacts::of(&events)))
}

/// The session's change as a patch for people, as far as a few megabytes; `None` if it has none. With several repositories, the one of each comes after a
/// line with its directory.
///
/// # Errors
/// When the session's quarantine cannot be read.
pub async fn patch(
    git: &Git,
    data: &Path,
    session: SessionId,
    events: &[Event],
) -> Result<Option<Vec<u8>>, WorkerError> {
    let whole = Agent::of(session, events);
    let mut patch: Option<Vec<u8>> = None;
    for part in whole.parts() {
        let Some(agent) = whole.seen_from(part) else { continue };
        let (Some(repository), Some(received)) = (agent.repository(), agent.received()) else { continue };
        let path = session_directory(data, session).join(quarantine_name(part));
        let base = object_id(&repository.base_commit)?;
        let quarantine = Quarantine::open(git, &path, base.clone()).map_err(ForgeError::from)?;
        let text = quarantine.diff_text(&base, &object_id(&received.head)?, MAX_PATCH).await;
        let patch = patch.get_or_insert_default();
        if let Some(directory) = agent.task().and_then(|task| task.directory(part)) {
            patch.extend_from_slice(format!("# {directory}\n").as_bytes());
        }
        patch.extend_from_slice(&text.map_err(ForgeError::from)?);
    }
    Ok(patch)
}

/// The session's quarantine. Only making it anew, which is when somebody has removed it, needs the mirror.
pub(crate) async fn quarantine(context: &StageContext) -> Result<Quarantine, WorkerError> {
    let git = &context.parts.git;
    let path = context.quarantine_path();
    let base = object_id(&context.repository()?.base_commit)?;
    let quarantine = match Quarantine::open(git, &path, base.clone()) {
        Ok(quarantine) => quarantine,
        Err(_) => {
            // A change that is reviewed is taken in itself, so that it can be lent to a sandbox.
            let seed = match context.agent.published().filter(|_| context.agent.review().is_none()) {
                Some(published) => base::published_seed(context, published).await?,
                None => base::seed(context).await?,
            };
            Quarantine::create(git, &path, &seed).await.map_err(ForgeError::from)?;
            Quarantine::open(git, &path, base).map_err(ForgeError::from)?
        }
    };
    fetch(context, stocked(context, quarantine).await?).await
}

/// With what stands on the session's branch, and the base, which somebody may have cut off from it.
async fn stocked(context: &StageContext, quarantine: Quarantine) -> Result<Quarantine, WorkerError> {
    let Some(published) = context.agent.published().map(object_id).transpose()? else {
        return Ok(quarantine);
    };
    for commit in [&published, &quarantine.base().clone()] {
        if !quarantine.has(commit).await {
            quarantine.take(&context.mirror().await?, commit).await.map_err(ForgeError::from)?;
        }
    }
    Ok(quarantine.published(published))
}

/// Takes the change in once more where it came out of its sandbox on another machine.
async fn fetch(context: &StageContext, quarantine: Quarantine) -> Result<Quarantine, WorkerError> {
    let Some(received) = context.agent.received() else { return Ok(quarantine) };
    if let Some(objects) = received.objects
        && !quarantine.has(&object_id(&received.head)?).await
    {
        let bundle = patiently(|| context.parts.store.blob(objects.digest)).await?;
        quarantine.receive(bundle, ReceiveLimits::DEFAULT).await.map_err(ForgeError::from)?;
    }
    Ok(quarantine)
}

/// What this turn's change comes on top of: what was published before, or else the base.
pub(crate) fn published(context: &StageContext) -> Result<ObjectId, WorkerError> {
    object_id(match context.agent.published() {
        Some(published) => published,
        None => &context.repository()?.base_commit,
    })
}

/// An object id from the log.
pub(crate) fn object_id(text: &str) -> Result<ObjectId, WorkerError> {
    text.parse().map_err(|_| WorkerError::Log("an object id is none"))
}
