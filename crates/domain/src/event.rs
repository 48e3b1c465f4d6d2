//! One session, event by event: the only truth about it.
//!
//! An event is durable before its effect starts, and the log is a hash chain: each event's hash covers its
//! place, its time, its body exactly as stored, and the hash before it. Changing, dropping or reordering
//! anything shows.
//!
//! **Compatibility.** [`SCHEMA`] is stored with every event and covered by its hash. Reading is by the body's
//! stored text, which is never rewritten. A new variant or field may be added with a default; a change of
//! meaning takes a new schema number and a reader for the old one.

use serde::{Deserialize, Serialize};

use crate::{
    Answer, BlobRef, CallId, Digest, EventId, EvidenceRun, Finding, Outcome, Policy, PullRequest, SandboxId,
    SessionId, Side, Spent, Task, Timestamp, ToolOutcome, ToolSpec, Verdict, change::Received,
    message::Family, money::Prices, policy::LimitKind, pull_request::PullRequestState, tool::Finish,
};

/// The schema that this crate writes.
pub const SCHEMA: u16 = 1;

/// An event's place in its session's log, counted from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One entry of a session's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub id: EventId,
    /// Whose log it is in.
    pub session: SessionId,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    pub body: EventBody,
    /// The hash of the event before it; [`Digest::ZERO`] for the first.
    pub previous: Digest,
    /// Its own hash: see [`hash`].
    pub hash: Digest,
}

/// The hash of an event: SHA-256 over schema, session, place, id, time, the hash before it, and the body's
/// stored text.
#[must_use]
pub fn hash(
    session: SessionId,
    seq: Seq,
    id: EventId,
    at: Timestamp,
    previous: Digest,
    body_json: &str,
) -> Digest {
    let mut bytes = Vec::with_capacity(128 + body_json.len());
    bytes.extend_from_slice(b"cofferdam event\0");
    bytes.extend_from_slice(&SCHEMA.to_be_bytes());
    bytes.extend_from_slice(&session.as_u128().to_be_bytes());
    bytes.extend_from_slice(&seq.0.to_be_bytes());
    bytes.extend_from_slice(&id.as_u128().to_be_bytes());
    bytes.extend_from_slice(&at.0.to_be_bytes());
    bytes.extend_from_slice(previous.as_bytes());
    bytes.extend_from_slice(body_json.as_bytes());
    Digest::of(&bytes)
}

/// What happened. Variants are in the order in which a session usually meets them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventBody {
    /// A task was accepted. The first event of every session.
    TaskAccepted {
        /// What was asked.
        task: Task,
    },
    /// A worker took the session. Again after a crash, with a higher fence.
    Claimed {
        /// Which worker, as text for people.
        worker: String,
        /// Rises with every claim; writes under a lower fence are refused.
        fence: u64,
    },
    /// What the session may do and with what. Nothing later in the session changes these except a person.
    PolicyFixed(Box<Fixed>),
    /// The worker is about to do something that may be cut short; its result is an event of its own. Doing it
    /// again is harmless.
    StageStarted {
        /// What.
        stage: Stage,
    },
    /// The worker's own work cannot be done, and doing it again would not help: the base ref does not exist,
    /// the agent's objects are not acceptable. The session ends as failed with this reason. (A fault of the
    /// machine, such as a full disk, is no event: the worker stops, and the session is resumed.)
    StageFailed {
        /// What could not be done.
        stage: Stage,
        /// Why, and what to do about it.
        reason: String,
    },
    /// The base commit is known, and a read-only copy of its tree stands ready for sandboxes.
    RepositoryReady(Repository),
    /// A sandbox is up, with the agent's workspace in it.
    SandboxReady {
        /// Which.
        sandbox: SandboxId,
        /// What isolates it, in words: the driver and the level in force.
        level: String,
        /// What others have put on the session's branch since it was last pushed, where the files begin with that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moved: Option<Moved>,
    },
    /// The model is about to be asked. Again for the same step after a crash, or after a failure that was
    /// worth another try.
    ModelAsked {
        /// The step, counted from 1.
        step: u32,
        /// Identifies the request; re-folding the log gives the request itself.
        request: Digest,
        /// Whether the answer is to become a summary (compaction) rather than a step.
        #[serde(default)]
        compaction: bool,
    },
    /// The model answered.
    ModelAnswered {
        /// The step.
        step: u32,
        /// The answer.
        answer: Answer,
        /// Milliseconds from sending the request to the end of the answer.
        millis: u64,
    },
    /// The model could not be asked, after all tries and fallbacks.
    ModelFailed {
        /// The step.
        step: u32,
        /// Which kind of failure; decides what the agent does next.
        kind: ModelFailure,
        /// What happened and what to do, for people.
        message: String,
    },
    /// The agent saw itself going wrong and will be told so.
    Nudged {
        /// Why, as a stable name.
        reason: NudgeReason,
        /// What the model is told.
        text: String,
    },
    /// A tool call is about to run.
    ToolStarted {
        /// Which call.
        call: CallId,
        /// The tool's name, for people and filters.
        tool: String,
    },
    /// A tool call ended.
    ToolFinished {
        /// Which call.
        call: CallId,
        /// What came of it.
        outcome: ToolOutcome,
        /// Milliseconds it took.
        millis: u64,
    },
    /// A tool call was cut short by a crash: whether it had its effect is unknown. The agent is told so.
    ToolLost {
        /// Which call.
        call: CallId,
    },
    /// The egress door let a request out. Written before it is sent.
    EgressAllowed(crate::egress::Passed),
    /// The egress door refused something.
    EgressRefused(Box<crate::egress::Refused>),
    /// A package came through the egress door.
    PackageFetched(crate::egress::Fetched),
    /// The agent asks that something be let out.
    AccessAsked(Box<crate::egress::AccessAsk>),
    /// A person, or the policy, decided about that.
    AccessDecided(crate::egress::Access),
    /// A rule over the session's events was met.
    AlarmRaised {
        /// Its name: see [`crate::alarm`].
        rule: String,
        /// What met it, for people. Names and places in it may be chosen by programs in the sandbox.
        what: String,
        /// What follows.
        then: crate::alarm::Consequence,
    },
    /// The session's sandbox was frozen, to be looked at by a person.
    SandboxFrozen {
        /// Which.
        sandbox: SandboxId,
        /// Why.
        reason: String,
    },
    /// A person released the frozen sandbox.
    SandboxReleased {
        /// Which.
        sandbox: SandboxId,
        /// Who, as text for people.
        by: String,
    },
    /// Earlier messages were replaced by a summary.
    Compacted {
        /// The model's summary of what is gone.
        summary: String,
        /// How many of the conversation's messages the summary replaces, counted from the start.
        replaced: u32,
        /// What the summary cost in tokens is in the `ModelAnswered` before it; this is its own size in
        /// bytes.
        size: u64,
    },
    /// Somebody wrote to the session.
    MessageReceived {
        /// Who, as text for people.
        from: String,
        /// What.
        text: String,
        /// How far it may be believed.
        label: crate::Label,
        /// What it is about, where it came in from a forge.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        about: Option<Box<crate::About>>,
    },
    /// A hard limit was reached; the agent may wrap up in one more answer.
    LimitReached {
        /// Which.
        limit: LimitKind,
        /// What had been used by then.
        spent: Spent,
    },
    /// Somebody asked that the agent stop and wait.
    PauseAsked {
        /// Who, as text for people.
        by: String,
    },
    /// Somebody asked that a session which waits go on: after a pause, without the answer to a question, past a budget.
    ContinueAsked {
        /// Who, as text for people.
        by: String,
    },
    /// The agent's question is put to people, and the session waits for the answer.
    QuestionAsked {
        /// The call that asks.
        call: CallId,
        /// The question.
        question: String,
    },
    /// Somebody answered it.
    QuestionAnswered {
        /// The call that asked.
        call: CallId,
        /// Who, as text for people.
        by: String,
        /// The answer.
        text: String,
    },
    /// The agent has a plan, and may change nothing before somebody has approved it.
    PlanProposed {
        /// The call that proposes it.
        call: CallId,
        /// The plan. Prose.
        text: String,
        /// The digest of that text: what people decide about.
        digest: Digest,
    },
    /// Somebody decided about a plan.
    PlanDecided {
        /// The digest of the plan's text as it was proposed. A decision about another text is none.
        digest: Digest,
        /// Who, as text for people.
        by: String,
        /// What.
        decision: PlanDecision,
    },
    /// The files of the sandbox as they were after a step are kept, to be gone back to.
    Checkpointed {
        /// The last step that may have changed them; 0 before the first.
        step: u32,
        /// The name of the snapshot on the worker's machine.
        snapshot: String,
    },
    /// The files of a checkpoint are kept where other machines can have them too.
    CheckpointStored {
        /// The name of the snapshot.
        snapshot: String,
        /// Its archive.
        archive: BlobRef,
    },
    /// Files that the repository had when the session began are gone since the checkpoint before. What turned up under the same name elsewhere
    /// is not counted.
    FilesDeleted {
        /// The last step that may have deleted them.
        step: u32,
        /// How many.
        files: u64,
        /// Of how many there were.
        of: u64,
    },
    /// Somebody took the session back: the events after `to` count no more, see [`crate::effective`].
    RolledBack {
        /// The last event that counts.
        to: Seq,
        /// Who, as text for people.
        by: String,
        /// What the agent is told to do instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instruction: Option<String>,
    },
    /// The session goes on from a place in another one's log. The events before this are copies of that one's.
    Forked {
        /// Which session.
        from: SessionId,
        /// The last event of it that was copied.
        at: Seq,
        /// Who, as text for people.
        by: String,
        /// Another model to go on with, by the name that a task gives.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        /// What the agent is told to do instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instruction: Option<String>,
    },
    /// A person works in the sandbox, and the agent waits meanwhile.
    TerminalOpened {
        /// Who, as text for people.
        by: String,
    },
    /// That person has gone.
    TerminalClosed {
        /// Who, as text for people.
        by: String,
        /// What was seen on the terminal, as asciicast v2.
        recording: BlobRef,
    },
    /// A budget for a day is used up. The session waits until somebody continues it or the day (UTC) is over.
    BudgetExceeded {
        /// Which budget, how much, and when it begins anew, for people.
        what: String,
    },
    /// Somebody asked that the session be cancelled.
    CancelAsked {
        /// Who, as text for people.
        by: String,
    },
    /// The agent's work is over: it said so, fell silent, or was stopped. It has no say in what follows.
    WorkFinished {
        /// What the agent says about it. Prose.
        finish: Finish,
        /// The limit that ended it, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<LimitKind>,
    },
    /// The agent's commits are in quarantine.
    ObjectsReceived(Received),
    /// The workspace is as it was at the start.
    NothingChanged,
    /// The gate has looked at the change.
    Examined {
        /// What it saw.
        findings: Vec<Finding>,
        /// What it decides.
        verdict: Verdict,
    },
    /// The platform ran the repository's tests.
    EvidenceRun(EvidenceRun),
    /// No test command is known for the repository.
    EvidenceMissing {
        /// Why, and how to name one.
        reason: String,
    },
    /// The branch stands on the forge.
    Pushed {
        /// Its name.
        branch: String,
        /// Its commit, object id in hexadecimal.
        commit: String,
    },
    /// The pull request stands on the forge.
    PullRequestOpened(Box<PullRequest>),
    /// The session is over.
    SessionEnded {
        /// How.
        outcome: Outcome,
    },
    /// Somebody asked that the pull request be merged.
    MergeAsked {
        /// Who, as text for people.
        by: String,
        /// The head commit that they looked at, object id in hexadecimal. No other is merged.
        commit: String,
    },
    /// Somebody asked that the pull request be closed without merging.
    CloseAsked {
        /// Who, as text for people.
        by: String,
    },
    /// The pull request could not be merged, or not be closed.
    MergeFailed {
        /// Why, and what to do about it.
        reason: String,
    },
    /// A person merged or closed the pull request.
    PullRequestClosed {
        /// How.
        state: PullRequestState,
    },
}

/// What somebody decided about a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum PlanDecision {
    /// The agent may begin.
    Approved {
        /// The plan as that person has changed it; `None` where it stays as it was proposed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// The agent is to make another plan.
    Rejected {
        /// What is wrong with this one.
        text: String,
    },
}

/// What [`EventBody::PolicyFixed`] fixes: enough to make every request of the session again from the log
/// alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fixed {
    /// What the session may do.
    pub policy: Policy,
    /// The model it runs on.
    pub model: ModelInfo,
    /// The system prompt.
    pub system: String,
    /// The tools on offer, in order.
    pub tools: Vec<ToolSpec>,
    /// The version of Cofferdam that fixed it.
    pub version: String,
}

/// What the agent needs to know about a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The model's name at the provider.
    pub name: String,
    /// The wire format.
    pub family: Family,
    /// Tokens that prompt and answer may have together.
    pub context_window: u64,
    /// Tokens that an answer may have.
    pub max_output: u32,
    /// What it charges; `None` where that is not known or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Which edit tool the family was trained on.
    pub edits: EditFormat,
    /// Whether it can be shown pictures.
    pub images: bool,
    /// The file of a recording that was named by its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
}

impl ModelInfo {
    /// The name by which it can be opened again: `provider/name`, or `scripted:FILE`.
    #[must_use]
    pub fn reference(&self) -> String {
        match &self.transcript {
            Some(file) => format!("scripted:{file}"),
            None => format!("{}/{}", self.provider, self.name),
        }
    }
}

/// The edit tools that models are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditFormat {
    /// Exact replacement of text.
    Replace,
    /// Patches in the `*** Begin Patch` format.
    ApplyPatch,
}

/// The session's branch as others have left it. What is pushed next follows from that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The commit that the branch stands on, object id in hexadecimal.
    pub branch: String,
    /// The commit that the files begin with: the same, or one on top of it with what the session had not published yet.
    pub start: String,
}

/// The repository as the session will work on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The base commit, object id in hexadecimal.
    pub base_commit: String,
    /// Its tree, object id in hexadecimal.
    pub base_tree: String,
    /// The branch that the pull request will be meant for.
    pub base_branch: String,
    /// Things worth knowing about the repository: shallow history, LFS pointers, submodules left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Pieces of a worker's work that are done again after a crash. Each has a result event of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Mirror the repository and prepare the base tree → `RepositoryReady`.
    Repository,
    /// Make a sandbox → `SandboxReady`.
    Sandbox,
    /// Take the agent's objects out of the sandbox → `ObjectsReceived` or `NothingChanged`.
    Collect,
    /// Examine the change → `Examined`.
    Examine,
    /// Run the tests → `EvidenceRun` or `EvidenceMissing`.
    Evidence {
        /// On which tree.
        side: Side,
    },
    /// Push the branch → `Pushed`.
    Push,
    /// Open the pull request, or bring it up to date → `PullRequestOpened`.
    PullRequest,
    /// Merge the pull request → `PullRequestClosed` or `MergeFailed`.
    Merge,
    /// Close the pull request → `PullRequestClosed` or `MergeFailed`.
    Close,
}

/// Kinds of model failure that call for different next actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelFailure {
    /// The prompt does not fit: compact and ask again.
    ContextOverflow,
    /// The provider does not accept the key: a person must act.
    Unauthorised,
    /// The provider does not accept the request, and never will.
    Rejected,
    /// Overloaded, unreachable or broken, after all tries.
    Unavailable,
}

/// Why the agent was nudged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NudgeReason {
    /// The same call with the same result, again and again.
    RepeatedCall,
    /// One error after another.
    RepeatedError,
    /// Two calls in turn, again and again.
    PingPong,
    /// Many steps in which nothing changed.
    NoProgress,
    /// An answer without a tool call and without `finish`.
    Silent,
    /// An answer that was cut at its token limit.
    Truncated,
    /// An answer that was refused.
    Refused,
    /// A limit is near or reached: wrap up.
    WrapUp,
    /// The gate sent the change back.
    GateFindings,
    /// Somebody wrote while the change was being delivered: a new turn begins.
    FollowUp,
}

impl EventBody {
    /// The variant's name as stored, for filters and people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TaskAccepted { .. } => "task_accepted",
            Self::Claimed { .. } => "claimed",
            Self::PolicyFixed(_) => "policy_fixed",
            Self::StageStarted { .. } => "stage_started",
            Self::StageFailed { .. } => "stage_failed",
            Self::RepositoryReady(_) => "repository_ready",
            Self::SandboxReady { .. } => "sandbox_ready",
            Self::ModelAsked { .. } => "model_asked",
            Self::ModelAnswered { .. } => "model_answered",
            Self::ModelFailed { .. } => "model_failed",
            Self::Nudged { .. } => "nudged",
            Self::ToolStarted { .. } => "tool_started",
            Self::ToolFinished { .. } => "tool_finished",
            Self::ToolLost { .. } => "tool_lost",
            Self::EgressAllowed(_) => "egress_allowed",
            Self::EgressRefused(_) => "egress_refused",
            Self::PackageFetched(_) => "package_fetched",
            Self::AccessAsked(_) => "access_asked",
            Self::AccessDecided(_) => "access_decided",
            Self::AlarmRaised { .. } => "alarm_raised",
            Self::SandboxFrozen { .. } => "sandbox_frozen",
            Self::SandboxReleased { .. } => "sandbox_released",
            Self::Compacted { .. } => "compacted",
            Self::MessageReceived { .. } => "message_received",
            Self::LimitReached { .. } => "limit_reached",
            Self::PauseAsked { .. } => "pause_asked",
            Self::ContinueAsked { .. } => "continue_asked",
            Self::QuestionAsked { .. } => "question_asked",
            Self::QuestionAnswered { .. } => "question_answered",
            Self::PlanProposed { .. } => "plan_proposed",
            Self::PlanDecided { .. } => "plan_decided",
            Self::Checkpointed { .. } => "checkpointed",
            Self::FilesDeleted { .. } => "files_deleted",
            Self::CheckpointStored { .. } => "checkpoint_stored",
            Self::RolledBack { .. } => "rolled_back",
            Self::Forked { .. } => "forked",
            Self::TerminalOpened { .. } => "terminal_opened",
            Self::TerminalClosed { .. } => "terminal_closed",
            Self::BudgetExceeded { .. } => "budget_exceeded",
            Self::CancelAsked { .. } => "cancel_asked",
            Self::WorkFinished { .. } => "work_finished",
            Self::ObjectsReceived(_) => "objects_received",
            Self::NothingChanged => "nothing_changed",
            Self::Examined { .. } => "examined",
            Self::EvidenceRun(_) => "evidence_run",
            Self::EvidenceMissing { .. } => "evidence_missing",
            Self::Pushed { .. } => "pushed",
            Self::PullRequestOpened(_) => "pull_request_opened",
            Self::SessionEnded { .. } => "session_ended",
            Self::MergeAsked { .. } => "merge_asked",
            Self::CloseAsked { .. } => "close_asked",
            Self::MergeFailed { .. } => "merge_failed",
            Self::PullRequestClosed { .. } => "pull_request_closed",
        }
    }

    /// Whether the content that the event refers to may expire before the event: it says nothing that the log does not.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::CheckpointStored { .. })
    }

    /// Blobs that the event refers to.
    #[must_use]
    pub fn blobs(&self) -> Vec<BlobRef> {
        match self {
            Self::ToolFinished { outcome, .. } => {
                outcome.whole.into_iter().chain(outcome.images.iter().map(|image| image.blob)).collect()
            }
            Self::EvidenceRun(run) => vec![run.output],
            Self::ObjectsReceived(received) => received.patch.into_iter().chain(received.objects).collect(),
            Self::TerminalClosed { recording, .. } => vec![*recording],
            Self::CheckpointStored { archive, .. } => vec![*archive],
            Self::TaskAccepted { .. }
            | Self::Claimed { .. }
            | Self::PolicyFixed(_)
            | Self::StageStarted { .. }
            | Self::StageFailed { .. }
            | Self::RepositoryReady(_)
            | Self::SandboxReady { .. }
            | Self::ModelAsked { .. }
            | Self::ModelAnswered { .. }
            | Self::ModelFailed { .. }
            | Self::Nudged { .. }
            | Self::ToolStarted { .. }
            | Self::ToolLost { .. }
            | Self::EgressAllowed(_)
            | Self::EgressRefused(_)
            | Self::PackageFetched(_)
            | Self::AccessAsked(_)
            | Self::AccessDecided(_)
            | Self::AlarmRaised { .. }
            | Self::SandboxFrozen { .. }
            | Self::SandboxReleased { .. }
            | Self::Compacted { .. }
            | Self::MessageReceived { .. }
            | Self::LimitReached { .. }
            | Self::PauseAsked { .. }
            | Self::ContinueAsked { .. }
            | Self::QuestionAsked { .. }
            | Self::QuestionAnswered { .. }
            | Self::PlanProposed { .. }
            | Self::PlanDecided { .. }
            | Self::Checkpointed { .. }
            | Self::FilesDeleted { .. }
            | Self::RolledBack { .. }
            | Self::Forked { .. }
            | Self::TerminalOpened { .. }
            | Self::BudgetExceeded { .. }
            | Self::CancelAsked { .. }
            | Self::WorkFinished { .. }
            | Self::NothingChanged
            | Self::Examined { .. }
            | Self::EvidenceMissing { .. }
            | Self::Pushed { .. }
            | Self::PullRequestOpened(_)
            | Self::SessionEnded { .. }
            | Self::MergeAsked { .. }
            | Self::CloseAsked { .. }
            | Self::MergeFailed { .. }
            | Self::PullRequestClosed { .. } => Vec::new(),
        }
    }
}
