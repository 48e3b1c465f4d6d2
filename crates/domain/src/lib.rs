//! The words of Cofferdam as types: ids, tasks, sessions, events, policy, labels, budgets, changes, evidence.
//!
//! What this crate is for: every other crate speaks in these types, so that a wrong state (a finding without
//! a rule, a secret in a log line, an event without its place in the chain) does not compile or does not
//! parse.
//!
//! What it never does: I/O. There is no clock, no file, no network, no task runtime here; the only randomness
//! is in [`Id::generate`], which callers at the edge use. Text that came from outside keeps its [`Label`].
//!
//! Where to start reading: [`event`] (one session, event by event), then [`message`] (what a model is sent
//! and answers), then [`policy`].

#![forbid(unsafe_code)]

pub mod address;
pub mod alarm;
pub mod amount;
pub mod attempt;
pub mod causes;
pub mod change;
pub mod cone;
pub mod delegation;
pub mod digest;
pub mod effective;
pub mod egress;
pub mod event;
pub mod evidence;
pub mod finding;
pub mod foreign;
pub mod hidden;
pub mod ids;
pub mod label;
pub mod loopback;
pub mod memory;
pub mod message;
pub mod messages;
pub mod mixture;
pub mod money;
pub mod nearest;
pub mod notice;
pub mod origin;
pub mod part;
pub mod policy;
pub mod pull_request;
pub mod quotation;
pub mod quote;
pub mod readings;
pub mod schema;
pub mod secret;
pub mod self_review;
pub mod session;
pub mod structure;
pub mod task;
pub mod tenancy;
pub mod time;
pub mod tool;
pub mod trace;

pub use alarm::{AlarmRule, Alarms, Consequence};
pub use attempt::Attempt;
pub use change::{Change, ChangeKind, FileChange, FileMode};
pub use delegation::{Delegated, Parent, SubagentKind};
pub use digest::{BlobRef, Digest};
pub use event::{Event, EventBody, Seq, Stage};
pub use evidence::{EvidenceRun, Side};
pub use finding::{Finding, Severity, Verdict};
pub use ids::{
    AuditId, EventId, Id, LetterId, MemoryId, OrgId, ProjectId, SandboxId, SessionId, SignInId,
    StoredSecretId, TokenId, UserId, WorkerId,
};
pub use label::{Audience, Integrity, Label};
pub use memory::{Memories, Memory, MemoryProposal, MemorySource};
pub use message::{Answer, Block, Message, ModelRequest, Role, StopReason, ToolCall};
pub use messages::Messages;
pub use mixture::{Holdings, Mixture, Since};
pub use money::{Cost, Usage};
pub use notice::{Notice, NoticeKind};
pub use origin::{About, Asked, Conversation, Origin, Remark, Spoken, Subject, Thread};
pub use part::{Also, Part};
pub use policy::{Budget, Policy, Spent};
pub use pull_request::{PullRequest, PullRequestState};
pub use schema::ResultSchema;
pub use secret::Secret;
pub use self_review::SelfReview;
pub use session::{Outcome, SessionState, WaitingFor};
pub use task::{PlaybookUse, Source, Task, UnderReview, Wishes};
pub use tenancy::{Access, Actor, Owner, Rank};
pub use time::Timestamp;
pub use tool::{CallId, ToolOutcome, ToolSpec, ToolStatus};
pub use trace::TraceParent;
