//! Model calls and tool calls: the effects of a step.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use cofferdam_domain::{Answer, BlobRef, CallId, ModelRequest, ToolCall, ToolOutcome, event::Fixed};
use cofferdam_model::{Model, ModelError};
use cofferdam_store::Store;
use cofferdam_tools::{Blobs, Context, Delegates, Notes, Toolbox};

use crate::{Live, Watch, advice::Shelf, delegate::Errand, servers::OneCall, stage::SharedSandbox};

/// Asks the model, and gives it back together with what came of it and the milliseconds it took.
pub(crate) async fn ask(
    mut model: Box<dyn Model>,
    request: &ModelRequest,
    watch: &dyn Watch,
) -> (Box<dyn Model>, Result<Answer, ModelError>, u64) {
    let started = Instant::now();
    let result = model.ask(request, &mut |progress| watch.live(Live::Model(progress))).await;
    (model, result, millis_since(started))
}

/// What a tool call acts on. Owned, so that several calls can run side by side.
pub(crate) struct Scene {
    pub(crate) sandbox: SharedSandbox,
    pub(crate) toolbox: Arc<Toolbox>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fixed: Arc<Fixed>,
    /// The remarks that are to be answered in this turn.
    pub(crate) remarks: Vec<u64>,
    /// What is known of the notes that the session proposes for later ones.
    pub(crate) notes: Notes,
    /// What calls tools of other programs.
    pub(crate) foreign: OneCall,
    /// What has the texts of skills.
    pub(crate) shelf: Shelf,
    /// What hands work out, where the call does.
    pub(crate) errand: Option<Arc<Errand>>,
    pub(crate) watch: Arc<dyn Watch>,
}

/// Carries out a tool call; gives its outcome and the milliseconds it took.
pub(crate) async fn run_tool(scene: Scene, call: CallId, tool: ToolCall) -> (ToolOutcome, u64) {
    let started = Instant::now();
    let blobs = StoreBlobs(scene.store);
    let watch = scene.watch;
    let tell = move |bytes: &[u8]| watch.live(Live::Output { call, bytes });
    let context = Context {
        call,
        sandbox: &**scene.sandbox,
        blobs: &blobs,
        limits: &scene.fixed.policy.limits,
        questions: scene.fixed.policy.questions,
        remarks: &scene.remarks,
        notes: scene.notes,
        skills: Some(&scene.shelf),
        foreign: Some(&scene.foreign),
        delegates: scene.errand.as_deref().map(|errand| errand as &dyn Delegates),
        watch: &tell,
    };
    let outcome = scene.toolbox.call(&context, &tool).await;
    (outcome, millis_since(started))
}

/// Milliseconds since `started`.
pub(crate) fn millis_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Whole outputs go to the store. A store that cannot take one loses that output's middle, not the session.
struct StoreBlobs(Arc<dyn Store>);

#[async_trait]
impl Blobs for StoreBlobs {
    async fn put(&self, content: &[u8]) -> Option<BlobRef> {
        self.0.put_blob(content).await.ok()
    }
}
