//! The loop of a session as a state machine over its log: [`Agent::apply`] folds an event in, [`Agent::next`]
//! says what is to be done now.
//!
//! What this crate is for: deciding. When the model is asked and with what, which tool calls run together,
//! when a budget is spent, when the agent goes in circles, what a crash cut short, what becomes of the
//! finished work. Resume, replay, audit and property tests are the same function called on the same log.
//!
//! What it never does: I/O, clock, randomness, tasks. Time and ids arrive inside events. It runs nothing and
//! believes nothing that the model says about itself.
//!
//! **How it is driven.** An action stays in [`Agent::next`] until the event that starts it is applied; from
//! then on it is in flight until its result is applied. [`Action::Append`] is a decision: it comes alone, and
//! everything else waits for it. A decision stands on the log as it was, so it is appended after exactly the
//! event that was folded last, or taken anew.
//!
//! **After a crash** the next `Claimed` tells that whatever was in flight was cut short: the model is asked
//! again with the same bytes, a stage is done again, a tool call is recorded as lost and the model told that
//! its outcome is unknown.
//!
//! **After the end** only a session that failed for want of a model goes on when it is claimed again
//! ([`Agent::resumable`]): the key or the provider can be mended, and no work should be lost for it. So does one
//! whose sandbox was frozen, once a person has released it. Every other end is final.
//!
//! Where to start reading: `agent.rs` (the state), `decide.rs` (what follows from it), `apply.rs` (how events
//! change it).

#![forbid(unsafe_code)]

mod access;
mod action;
mod advice;
mod agent;
mod alarms;
mod answer;
mod apply;
mod attempts;
mod calls;
mod clock;
mod compaction;
mod conversation;
#[cfg(test)]
mod cost;
mod decide;
mod delivery;
mod draft;
mod ending;
mod excerpt;
mod facts;
mod history;
mod leave;
mod memory;
mod people;
mod prompt;
mod recall;
mod remarks;
mod replay;
mod review;
mod routing;
mod self_review;
mod strand;
mod stuck;
mod subagents;
mod together;
mod wording;

pub use access::AccessRequest;
pub use action::Action;
pub use agent::Agent;
pub use history::Restore;
pub use leave::{Leave, Ruling};
pub use prompt::{
    Brief, LookedAt, Network, PromptInput, TestsRun, review_prompt, self_review_prompt, subagent_prompt,
    system_prompt,
};
pub use replay::{ReplayMismatch, Replayed, replay};
pub use self_review::Reviewer;
pub use subagents::Assignment;

/// The version of the loop's rules and words that new sessions begin with. It rises when something is said to the model otherwise than before, so
/// that a session which began with an earlier program goes on, and is replayed, as it began.
pub const RULES: u16 = 4;
