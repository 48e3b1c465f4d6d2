//! What the agent wants done.

use cofferdam_domain::{CallId, EventBody, ModelRequest, Part, Stage, ToolCall};

/// What is to be done now.
#[derive(Debug, Clone)]
pub enum Action {
    /// Decide what the session may do and with what → `PolicyFixed`.
    Fix,
    /// Do a piece of the worker's own work: `StageStarted`, then its result or `StageFailed`.
    Stage(Stage),
    /// The same on another one of the session's repositories; its events are about that one.
    Beside(Part, Stage),
    /// Ask the model: `ModelAsked`, then `ModelAnswered` or `ModelFailed`.
    AskModel {
        /// The step that the answer will be, or that the summary makes room for.
        step: u32,
        /// Whether the answer is to become a summary.
        compaction: bool,
        /// What to send.
        request: ModelRequest,
    },
    /// Run a tool: `ToolStarted`, then `ToolFinished`.
    RunTool {
        /// Which call.
        call: CallId,
        /// As the model wrote it; the provider's id is unique within the answer.
        tool: ToolCall,
    },
    /// A decision: append exactly this. It comes alone.
    Append(Box<EventBody>),
}

impl Action {
    /// Whether `body` is the event that starts this action, or is this decision.
    #[must_use]
    pub fn is_begun_by(&self, body: &EventBody) -> bool {
        match (self, body) {
            (Self::Fix, EventBody::PolicyFixed(_)) => true,
            (Self::Stage(stage), EventBody::StageStarted { stage: started }) => stage == started,
            (Self::Beside(part, stage), EventBody::Beside { part: of, body }) => {
                part == of && Self::Stage(*stage).is_begun_by(body)
            }
            (
                Self::AskModel { step, compaction, request },
                EventBody::ModelAsked { step: asked, request: digest, compaction: for_summary },
            ) => step == asked && compaction == for_summary && request.digest == *digest,
            (Self::RunTool { call, tool }, EventBody::ToolStarted { call: started, tool: name }) => {
                call == started && tool.name == *name
            }
            (Self::Append(decided), body) => **decided == *body,
            (
                Self::Fix | Self::Stage(_) | Self::Beside(..) | Self::AskModel { .. } | Self::RunTool { .. },
                _,
            ) => false,
        }
    }
}
