//! One session, event by event: the only truth about it.
//!
//! An event is durable before its effect starts, and the log is a hash chain: each event's hash covers its
//! place, its time, its body exactly as stored, and the hash before it. Changing, dropping or reordering
//! anything shows.
//!
//! **Compatibility.** [`SCHEMA`] is stored with every event and covered by its hash. Reading is by the body's
//! stored text, which is never rewritten. A new variant or field may be added with a default; a change of
//! meaning takes a new schema number and a reader for the old one.

mod about;
mod fixed;
mod instructions;
mod repository;
mod routes;
mod work;

use serde::{Deserialize, Serialize};

pub use self::{
    fixed::{EditFormat, Fixed, ModelInfo},
    instructions::{Applies, Giver, Instruction, InstructionKind, Instructions},
    repository::{Merged, Moved, Repository, Submodule, SubmoduleReading},
    routes::{ModelRole, Routes},
    work::{ModelFailure, NudgeReason, PlanDecision, Stage},
};
use crate::{
    Answer, BlobRef, CallId, Digest, EventId, EvidenceRun, Finding, Outcome, Part, PullRequest, SandboxId,
    SessionId, Spent, Task, Timestamp, ToolOutcome, Verdict, change::Received, policy::LimitKind,
    pull_request::PullRequestState, tool::Finish,
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
    /// What advises agents was looked for in the base commit, and something was found. No more is looked for in the session.
    InstructionsFound(Box<Instructions>),
    /// What was noted for sessions on this repository was looked for, and something was found.
    MemoriesRecalled(Box<crate::Memories>),
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
    /// A tool call is to be carried out by a session of its own.
    Delegated {
        /// Which call.
        call: CallId,
        /// The session that works on it.
        session: SessionId,
        /// What for.
        kind: crate::SubagentKind,
        /// What it may use. Nobody else has that meanwhile.
        share: crate::Budget,
        /// The kind that was asked for, where a file describes it: `kind` is what that comes down to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        named: Option<String>,
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
        /// What the platform itself knows of what is gone, as the model is told. None where an earlier version wrote the log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        facts: Option<String>,
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
    /// A fresh look was taken at the change before it is delivered.
    SelfReviewed(Box<crate::SelfReview>),
    /// The change of one of several attempts is ready, and is delivered once somebody has chosen it.
    AttemptReady {
        /// Its head commit, object id in hexadecimal; with several repositories those of all that have changed, with `+` between them.
        commit: String,
    },
    /// This attempt is the one that is delivered.
    AttemptChosen {
        /// Who chose it, as text for people; a rule has a name too.
        by: String,
        /// What was ready when it was chosen. Nothing else is delivered for that.
        commit: String,
    },
    /// Another attempt is delivered, and this one is not.
    AttemptPassedOver {
        /// Who chose, as text for people.
        by: String,
        /// Which was chosen.
        chosen: SessionId,
        /// What that one had ready.
        commit: String,
    },
    /// The branch stands on the forge.
    Pushed {
        /// Its name.
        branch: String,
        /// Its commit, object id in hexadecimal.
        commit: String,
    },
    /// Others have pushed to the session's branch while the change was made ready: it is not pushed, and a turn begins that builds on theirs.
    Overtaken {
        /// What stands on the branch, as far as it is known: an object id in hexadecimal.
        found: String,
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
    /// Something that concerns another one of the session's repositories: one of the events from `StageStarted` on that would otherwise be about the
    /// task's own.
    Beside {
        /// Which.
        part: Part,
        /// What.
        body: Box<Self>,
    },
}
