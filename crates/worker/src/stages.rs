//! Pieces of the worker's own work. Each may be cut short at any point and is done again from the start: all are idempotent.

use cofferdam_domain::{EventBody, Side, Stage};

use crate::{
    WorkerError, base, branch, collect, evidence,
    layers::LAYER,
    publish, restore,
    stage::{Done, StageContext},
};

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
        Stage::Merge => publish::merge(&context).await,
        Stage::Close => publish::close(&context).await,
    }
}

async fn sandbox(context: &StageContext) -> Result<Done, WorkerError> {
    let moved = match branch::look(context).await? {
        Ok(moved) => moved,
        Err(reason) => return Ok(Done::Impossible(reason)),
    };
    let start = moved.as_ref().map_or(context.agent.start(), |found| Some(&found.moved.start));
    let lower = match base::start_at(context, start).await? {
        Ok(lower) => lower,
        Err(reason) => return Ok(Done::Impossible(reason)),
    };
    if let Some(reason) = restore::put_back(context).await? {
        return Ok(Done::Impossible(reason));
    }
    let layer = context.parts.session_directory(context.session).join(LAYER);
    let brought = match restore::bring(context).await? {
        Ok(brought) => brought,
        Err(reason) => return Ok(Done::Impossible(reason)),
    };
    let sandbox = context.sandbox(lower, layer, Vec::new()).await?;
    let (moved, told) = moved.map(|found| (found.moved, found.told)).unzip();
    let level = sandbox.level().to_owned();
    let mut facts = vec![EventBody::SandboxReady { sandbox: sandbox.id(), level, moved }];
    facts.extend(told);
    facts.extend(restore::told(&brought));
    Ok(Done::Sandbox(sandbox, facts))
}
