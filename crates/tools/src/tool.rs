//! What a tool is.

use async_trait::async_trait;
use cofferdam_domain::{
    BlobRef, ToolOutcome, ToolSpec,
    policy::{Limits, Questions},
};
use cofferdam_sandbox::Sandbox;

/// Something that the model may call: what it is shown, and what it does, in one place.
#[async_trait]
pub trait Tool: Send + Sync {
    /// The tool as the model is shown it. The same text every time.
    fn spec(&self) -> ToolSpec;

    /// Carries out a call. Never fails: whatever goes wrong is an outcome whose text lets a model recover.
    async fn call(
        &self,
        context: &Context<'_>,
        arguments: serde_json::Map<String, serde_json::Value>,
    ) -> ToolOutcome;
}

/// What a tool may use.
pub struct Context<'a> {
    /// Where it acts.
    pub sandbox: &'a dyn Sandbox,
    /// Where whole outputs go.
    pub blobs: &'a dyn Blobs,
    /// The limits in force.
    pub limits: &'a Limits,
    /// What the agent hears when it asks a question.
    pub questions: Questions,
    /// Is told output as it arrives, for people who watch.
    pub watch: &'a (dyn Fn(&[u8]) + Send + Sync),
}

/// Keeps whole outputs.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores content; `None` when that is not possible, in which case the output's middle is lost and says so.
    async fn put(&self, content: &[u8]) -> Option<BlobRef>;
}
