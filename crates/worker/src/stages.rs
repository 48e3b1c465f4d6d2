//! Pieces of the worker's own work. Each may be cut short at any point and is done again from the start: all are idempotent.

use std::path::PathBuf;

use cofferdam_domain::{EventBody, Side, Stage, event::Moved};

use crate::{
    WorkerError, advice, apart, base, branch, collect, delegate, evidence,
    layers::LAYER,
    publish, restore,
    stage::{Done, StageContext},
};

/// Does a stage.
pub(crate) async fn perform(context: StageContext, stage: Stage) -> Result<Done, WorkerError> {
    if let Some(family) = context.family.clone() {
        match stage {
            Stage::Repository => return Ok(delegate::repository(&family)),
            Stage::Sandbox => return delegate::prepare(&context, &family).await,
            Stage::Collect
            | Stage::Examine
            | Stage::Evidence { .. }
            | Stage::SelfReview
            | Stage::Push
            | Stage::PullRequest
            | Stage::Merge
            | Stage::Close => {}
        }
    }
    match stage {
        Stage::Repository => base::find(&context).await,
        Stage::Sandbox => Box::pin(sandbox(&context)).await,
        Stage::Collect => Box::pin(collect::collect(context)).await,
        Stage::Examine => collect::examine(&context).await,
        Stage::Evidence { side: Side::Base } => evidence::run(&context, Side::Base).await,
        Stage::Evidence { side: Side::Head } => evidence::run(&context, Side::Head).await,
        // A session of its own, which goes on while this one waits for the store: `run/delegates.rs` has it taken.
        Stage::SelfReview => Err(WorkerError::Log("a fresh look is no stage like the others")),
        Stage::Push => publish::push(&context).await,
        Stage::PullRequest => publish::open(&context).await,
        Stage::Merge => publish::merge(&context).await,
        Stage::Close => publish::close(&context).await,
    }
}

async fn sandbox(context: &StageContext) -> Result<Done, WorkerError> {
    if let Some(reason) = apart::objection(context).await? {
        return Ok(Done::Impossible(reason));
    }
    let (mut lower, mut moves, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for part in context.whole.parts() {
        let begun = match begin(&context.of(part)?).await? {
            Ok(begun) => begun,
            Err(reason) => return Ok(Done::Impossible(reason)),
        };
        lower.push(begun.lower);
        moves.push(begun.moved);
        told.extend(begun.told);
    }
    if let Some(reason) = restore::put_back(context).await? {
        return Ok(Done::Impossible(reason));
    }
    let layer = context.parts.session_directory(context.session).join(LAYER);
    let brought = match restore::bring(context).await? {
        Ok(brought) => brought,
        Err(reason) => return Ok(Done::Impossible(reason)),
    };
    let skills = advice::directory(context).await?;
    let sandbox = context.sandbox(lower, layer, skills.into_iter().collect()).await?;
    let level = sandbox.level().to_owned();
    let mut moves = context.whole.parts().zip(moves);
    let ready = |moved| EventBody::SandboxReady { sandbox: sandbox.id(), level: level.clone(), moved };
    let mut facts = vec![ready(moves.next().and_then(|(_, moved)| moved))];
    facts.extend(moves.filter_map(|(part, moved)| Some(ready(Some(moved?)).about_part(part))));
    facts.extend(told);
    facts.extend(restore::told(&brought));
    Ok(Done::Sandbox(sandbox, facts))
}

/// What a turn begins with in one of the session's repositories.
struct Begun {
    /// The layer with its tree.
    lower: PathBuf,
    /// What others have made of its branch.
    moved: Option<Moved>,
    /// What the agent is told of that.
    told: Option<EventBody>,
}

async fn begin(context: &StageContext) -> Result<Result<Begun, String>, WorkerError> {
    let found = match branch::look(context).await? {
        Ok(found) => found,
        Err(reason) => return Ok(Err(reason)),
    };
    let (moved, told) = found.map(|found| (found.moved, found.told)).unzip();
    let moved = moved.flatten();
    let start = moved.as_ref().map_or(context.agent.start(), |moved| Some(&moved.start));
    let lower = base::start_at(context, start).await?;
    Ok(lower.map(|lower| Begun { lower, moved, told: told.map(|told| named(context, told)) }))
}

/// What the agent is told, with the directory of the repository that it is about, where there are several.
fn named(context: &StageContext, told: EventBody) -> EventBody {
    match (context.directory(), told) {
        (Some(directory), EventBody::MessageReceived { from, text, label, about }) => {
            EventBody::MessageReceived { from, text: format!("In `{directory}/`: {text}"), label, about }
        }
        (_, told) => told,
    }
}
