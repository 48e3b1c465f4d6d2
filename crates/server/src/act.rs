//! What can be done with a session, as a value: the command line has one of these, and does it here or asks a server for it.

use cofferdam_domain::{CallId, Digest, Seq, Timestamp, event::PlanDecision};
use serde_json::{Value, json};

/// One thing to do with a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Write to it.
    Message {
        /// What.
        text: String,
    },
    /// Ask it to wait.
    Pause,
    /// Let it go on.
    Continue,
    /// End it.
    Cancel,
    /// Answer a question.
    Answer {
        /// The call that asks.
        call: CallId,
        /// The answer.
        text: String,
    },
    /// Decide about its plan.
    Plan {
        /// The digest of the plan that was looked at.
        digest: Digest,
        /// What is decided.
        decision: PlanDecision,
    },
    /// Take it back.
    RollBack {
        /// The last event that counts.
        to: Seq,
        /// What the agent is told to do instead.
        instruction: Option<String>,
    },
    /// Decide about a request for access.
    Access {
        /// The digest of the rule.
        rule: Digest,
        /// Whether it may pass.
        grant: bool,
        /// Until when, if not to the end of the session.
        until: Option<Timestamp>,
    },
    /// Choose it among the attempts at its task.
    Choose {
        /// The head commit that was looked at.
        commit: String,
    },
    /// Merge its pull request.
    Merge {
        /// The head commit that was looked at.
        commit: String,
    },
    /// Close its pull request.
    Close,
    /// Freeze its sandbox.
    Freeze,
    /// Let it go on after its sandbox was frozen.
    Release,
}

impl Act {
    /// Where the API takes it, after the session's own address, and the body that it takes.
    pub(crate) fn route(&self) -> (String, Option<Value>) {
        let plain = |path: &str| (path.to_owned(), None);
        let with = |path: &str, body: Value| (path.to_owned(), Some(body));
        match self {
            Self::Message { text } => with("messages", json!({ "text": text })),
            Self::Pause => plain("pause"),
            Self::Continue => plain("continue"),
            Self::Cancel => plain("cancel"),
            Self::Answer { call, text } => with("answers", json!({ "call": call, "text": text })),
            Self::Plan { digest, decision: PlanDecision::Approved { text } } => {
                with("plan", json!({ "digest": digest, "approve": true, "text": text }))
            }
            Self::Plan { digest, decision: PlanDecision::Rejected { text } } => {
                with("plan", json!({ "digest": digest, "approve": false, "text": text }))
            }
            Self::RollBack { to, instruction } => {
                with("rollback", json!({ "to": to, "instruction": instruction }))
            }
            Self::Access { rule, grant, until } => {
                (format!("access/{rule}"), Some(json!({ "grant": grant, "until": until })))
            }
            Self::Choose { commit } => with("choose", json!({ "commit": commit })),
            Self::Merge { commit } => with("merge", json!({ "commit": commit })),
            Self::Close => plain("close"),
            Self::Freeze => plain("freeze"),
            Self::Release => plain("release"),
        }
    }
}
