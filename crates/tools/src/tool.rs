//! What a tool is.

use async_trait::async_trait;
use cofferdam_domain::{
    BlobRef, CallId, Label, ToolOutcome, ToolStatus,
    foreign::ForeignTool,
    policy::{Limits, Questions},
    tool::ToolEffect,
};
use cofferdam_sandbox::{Sandbox, SandboxError};
use serde_json::{Map, Value};

use crate::{
    call::{Arguments, Definition},
    delegate::Delegates,
    skill::Skills,
};

/// Something that the model may call: what it is shown, and what it does, in one place.
#[async_trait]
pub(crate) trait Tool: Send + Sync {
    /// The tool as the model is shown it. The same every time.
    fn definition(&self) -> &'static Definition;

    /// Carries out a call whose arguments have been checked against the definition.
    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure>;
}

/// What is known of the notes that a session proposes for later ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notes {
    /// How many it has proposed.
    pub proposed: usize,
    /// Whether the session holds what not everybody may see who may read its repository.
    pub private: bool,
    /// Whether its repository has no name under which notes about it could be kept.
    pub nameless: bool,
}

/// What a call of a tool may use.
pub struct Context<'a> {
    /// Which call it is; whole outputs are kept in the sandbox under this name.
    pub call: CallId,
    /// Where it acts.
    pub sandbox: &'a dyn Sandbox,
    /// Where whole outputs go.
    pub blobs: &'a dyn Blobs,
    /// The limits in force.
    pub limits: &'a Limits,
    /// What the agent hears when it asks a question.
    pub questions: Questions,
    /// The remarks of reviewers that are to be answered in this turn, by their numbers.
    pub remarks: &'a [u64],
    /// What is known of the notes that the session proposes for later ones.
    pub notes: Notes,
    /// What has the texts of skills, where there are any.
    pub skills: Option<&'a dyn Skills>,
    /// Calls tools of other programs, where a session has any.
    pub foreign: Option<&'a dyn Foreign>,
    /// Has work done by others, where a session may hand work out.
    pub delegates: Option<&'a dyn Delegates>,
    /// Is told output as it arrives, for people who watch.
    pub watch: &'a (dyn Fn(&[u8]) + Send + Sync),
}

/// Calls tools of other programs, which are none of ours.
#[async_trait]
pub trait Foreign: Send + Sync {
    /// Calls one with these arguments. Never fails: what goes wrong is a reply whose text lets a model go on. `watch` is told how far it is.
    async fn call(
        &self,
        tool: &ForeignTool,
        arguments: Map<String, Value>,
        watch: &(dyn for<'b> Fn(&'b [u8]) + Send + Sync),
    ) -> ForeignReply;
}

/// What came of a call of another program's tool.
#[derive(Debug)]
pub struct ForeignReply {
    /// How it ended.
    pub status: ToolStatus,
    /// What is to be shown of it; any length.
    pub text: String,
    /// Pictures, as they came.
    pub pictures: Vec<Vec<u8>>,
    /// Where that came from.
    pub label: Label,
    /// What is to be noted of it.
    pub effect: Option<ToolEffect>,
}

/// Keeps whole outputs.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores content; `None` when that is not possible, in which case the output's middle is lost and says
    /// so.
    async fn put(&self, content: &[u8]) -> Option<BlobRef>;
}

/// Why a call could not be carried out, in words that let a model recover.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::File { .. } | SandboxError::Start { .. } => Self(format!("{error}.")),
            SandboxError::Search(problem) => Self(problem),
            SandboxError::Gone(_) | SandboxError::Protocol(_) | SandboxError::Frozen => {
                Self(format!("{error}. Whether the call had an effect is not known."))
            }
            SandboxError::Host { .. } | SandboxError::Setup { .. } | SandboxError::Cleanup { .. } => {
                Self(error.to_string())
            }
        }
    }
}

impl From<Failure> for ToolOutcome {
    fn from(failure: Failure) -> Self {
        Self { status: ToolStatus::Error, ..outcome(failure.0) }
    }
}

/// A successful outcome with content out of the sandbox.
pub(crate) fn outcome(text: impl Into<String>) -> ToolOutcome {
    ToolOutcome {
        status: ToolStatus::Ok,
        text: text.into(),
        images: Vec::new(),
        whole: None,
        label: Label::SANDBOX,
        effect: None,
    }
}

/// A successful outcome that changes the session, with text of the platform's own.
pub(crate) fn noted(text: impl Into<String>, effect: ToolEffect) -> ToolOutcome {
    ToolOutcome { label: Label::PLATFORM, effect: Some(effect), ..outcome(text) }
}
