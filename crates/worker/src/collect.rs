//! Taking the change out of the sandbox, and having it examined.
//!
//! The agent's sandbox is gone when this begins: a fresh one over the same layer writes a bundle, which comes out as a file's bytes and
//! enters a quarantine repository through git's strictest checks. From then on only objects are looked at.

use std::{io, path::Path, sync::Arc, time::Duration};

use cofferdam_agent::Agent;
use cofferdam_domain::{Event, EventBody, SessionId, causes::with_causes};
use cofferdam_forge::{Collected, ForgeError, Git, ObjectId, Quarantine, ReceiveLimits, collect_script};
use cofferdam_gate::{EgressFacts, GatePolicy, examine as examine_change, verdict};
use cofferdam_sandbox::{HOME, Sandbox, WORKSPACE};

use crate::{
    WorkerError, base,
    layers::LAYER,
    patience::patiently,
    restore::{self, Brought},
    script,
    stage::{Done, QUARANTINE, StageContext},
};

/// How long committing and bundling may take.
const COLLECT_TIME: Duration = Duration::from_secs(30 * 60);
/// Bytes read out of the sandbox at once.
const CHUNK: u64 = 1 << 20;
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
    let parts = &context.parts;
    let base = match base::start(&context).await? {
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
    let sandbox = parts.sandbox(vec![base], layer, Vec::new(), limits, None).await?;
    let result = bundle(&context, &*sandbox).await;
    let destroyed = sandbox.destroy().await;
    let bundled = result?;
    destroyed?;
    let bundle = match bundled {
        Bundled::Nothing => return Ok(Done::fact(EventBody::NothingChanged)),
        Bundled::Impossible(reason) => return Ok(Done::Impossible(reason)),
        Bundled::Bytes(bytes) => bytes,
    };
    let quarantine = quarantine(&context).await?;
    // Before the log refers to it; what is refused after all is removed with what nothing refers to.
    let objects = match bundle.len() {
        ..=MOST_KEPT => Some(patiently(|| context.parts.store.put_blob(&bundle)).await?),
        _ => None,
    };
    let mut received = quarantine.receive(bundle, ReceiveLimits::DEFAULT).await;
    if let Ok(received) = &mut received {
        received.objects = objects;
        let text = quarantine.diff_text(quarantine.base(), &object_id(&received.head)?, MAX_PATCH).await;
        // People can do without it rather than without the change.
        received.patch = match text {
            Ok(text) => context.parts.store.put_blob(&text).await.ok(),
            Err(_) => None,
        };
    }
    refusable(received, EventBody::ObjectsReceived)
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
    let inside = format!("{HOME}/.cofferdam-bundle");
    let argv = collect_script(&base, WORKSPACE, &inside);
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
    let base = object_id(match context.agent.theirs() {
        Some(theirs) => theirs,
        None => &context.repository()?.base_commit,
    })?;
    let policy =
        context.agent.fixed().map(|fixed| &fixed.policy).ok_or(WorkerError::Log("there is no policy"))?;
    let policy = GatePolicy::new(policy)?;
    let rounds_used = policy.rounds().saturating_sub(context.agent.gate_rounds_left());
    let egress = egress(context).await?.map(|facts| facts.findings()).unwrap_or_default();
    refusable(quarantine.change(&base, &object_id(&received.head)?).await, |change| {
        let mut findings = examine_change(&change, &policy);
        findings.extend(egress);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let verdict = verdict(&findings, rounds_used, &policy);
        EventBody::Examined { findings, verdict }
    })
}

/// What left the session's sandboxes; `None` where they had no network.
pub(crate) async fn egress(context: &StageContext) -> Result<Option<EgressFacts>, WorkerError> {
    if context.agent.fixed().is_none_or(|fixed| fixed.policy.egress.is_closed()) {
        return Ok(None);
    }
    Ok(Some(EgressFacts::of(&context.parts.store.log(context.session).await?)))
}

/// The session's change as a patch for people, as far as a few megabytes; `None` if it has none.
///
/// # Errors
/// When the session's quarantine cannot be read.
pub async fn patch(
    git: &Git,
    data: &Path,
    session: SessionId,
    events: &[Event],
) -> Result<Option<Vec<u8>>, WorkerError> {
    let agent = Agent::of(session, events);
    let (Some(repository), Some(received)) = (agent.repository(), agent.received()) else { return Ok(None) };
    let path = data.join("sessions").join(session.to_string()).join(QUARANTINE);
    let base = object_id(&repository.base_commit)?;
    let quarantine = Quarantine::open(git, &path, base.clone()).map_err(ForgeError::from)?;
    Ok(Some(
        quarantine
            .diff_text(&base, &object_id(&received.head)?, MAX_PATCH)
            .await
            .map_err(ForgeError::from)?,
    ))
}

/// The session's quarantine. Only making it anew, which is when somebody has removed it, needs the mirror.
pub(crate) async fn quarantine(context: &StageContext) -> Result<Quarantine, WorkerError> {
    let git = &context.parts.git;
    let path = context.quarantine_path();
    let base = object_id(&context.repository()?.base_commit)?;
    let quarantine = match Quarantine::open(git, &path, base.clone()) {
        Ok(quarantine) => quarantine,
        Err(_) => {
            let seed = match context.agent.published() {
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
