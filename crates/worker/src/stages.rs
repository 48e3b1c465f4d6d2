//! Pieces of the worker's own work. Each may be cut short at any point and is done again from the start: all are idempotent.

use std::sync::Arc;

use cofferdam_agent::Agent;
use cofferdam_domain::{Digest, EventBody, SessionId, Side, Stage, Task, Timestamp, event::Repository};
use cofferdam_sandbox::Sandbox;

use crate::{Parts, WorkerError, base, collect, evidence, publish, run::SharedSandbox};

/// What a stage knows: the session as its log says at the moment the stage starts.
pub(crate) struct StageContext {
    pub(crate) parts: Arc<Parts>,
    pub(crate) session: SessionId,
    pub(crate) agent: Agent,
    /// The hash of the last event.
    pub(crate) log_head: Digest,
    /// The last event's place.
    pub(crate) log_length: cofferdam_domain::Seq,
    /// The time of the last event: the stage's own clock, the same whenever it is done again from the same log.
    pub(crate) at: Timestamp,
    /// The session's sandbox, for the stage that ends it.
    pub(crate) sandbox: Option<SharedSandbox>,
}

impl StageContext {
    /// The task; a log without one has no stages.
    pub(crate) fn task(&self) -> Result<&Task, WorkerError> {
        self.agent.task().ok_or(WorkerError::Log("there is no task"))
    }

    /// The repository as it was found.
    pub(crate) fn repository(&self) -> Result<&Repository, WorkerError> {
        self.agent.repository().ok_or(WorkerError::Log("the base is not known"))
    }
}

/// What came of a stage.
pub(crate) enum Done {
    /// These became known.
    Facts(Vec<EventBody>),
    /// A sandbox is up; the event that says so.
    Sandbox(Box<dyn Sandbox>, EventBody),
    /// It cannot be done, and doing it again would not help: why, and what to do about it.
    Impossible(String),
}

impl Done {
    /// One thing became known.
    pub(crate) fn fact(body: EventBody) -> Self {
        Self::Facts(vec![body])
    }
}

/// Does a stage.
pub(crate) async fn perform(context: StageContext, stage: Stage) -> Result<Done, WorkerError> {
    match stage {
        Stage::Repository => base::find(&context).await,
        Stage::Sandbox => sandbox(&context).await,
        Stage::Collect => collect::collect(context).await,
        Stage::Examine => collect::examine(&context).await,
        Stage::Evidence { side: Side::Base } => evidence::run(&context, Side::Base).await,
        Stage::Evidence { side: Side::Head } => evidence::run(&context, Side::Head).await,
        Stage::Push => publish::push(&context).await,
        Stage::PullRequest => publish::open(&context).await,
    }
}

async fn sandbox(context: &StageContext) -> Result<Done, WorkerError> {
    let parts = &context.parts;
    let lower = base::layer(context).await?;
    let layer = parts.session_directory(context.session).join("layer");
    let limits = context.agent.fixed().map(|fixed| fixed.policy.limits).unwrap_or_default();
    let sandbox = parts.sandbox(vec![lower], layer, Vec::new(), limits).await?;
    let ready = EventBody::SandboxReady { sandbox: sandbox.id(), level: sandbox.level().to_owned() };
    Ok(Done::Sandbox(sandbox, ready))
}

/// Removes what an ended session has left on disk, except its quarantine, which `diff` reads.
pub(crate) async fn forget(parts: &Parts, session: SessionId) -> Result<(), WorkerError> {
    let directory = parts.session_directory(session);
    for layer in ["layer", "evidence-base", "evidence-head"] {
        remove_layer(&directory.join(layer)).await?;
    }
    Ok(())
}

/// Removes a sandbox's layer, if it is there.
pub(crate) async fn remove_layer(layer: &std::path::Path) -> Result<(), WorkerError> {
    let owned = layer.to_owned();
    let removed = tokio::task::spawn_blocking(move || cofferdam_sandbox::remove_layer(&owned)).await;
    match removed {
        Ok(result) => result.map_err(|source| WorkerError::File {
            operation: "remove the layer",
            path: layer.display().to_string(),
            source,
        }),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
