//! What becomes of an answer: the message that stays in the conversation, and the calls that it asks for.
//!
//! Whatever a provider or a weak model sends, the conversation stays one that every provider accepts: no
//! empty message, no block of the wrong kind, no two calls with one id, and a result for every call.

use std::collections::HashSet;

use cofferdam_domain::{
    Answer, Block, CallId, Message, Role, StopReason, ToolCall, ToolSpec, delegation::DELEGATE,
};

use crate::{
    calls::{Call, Calls},
    wording,
};

/// The tool that ends the work.
pub(crate) const FINISH: &str = "finish";

/// More calls in one answer are not run: no honest answer needs them, and each costs at least two events.
const MOST_RUN: usize = 64;
/// More calls in one answer are not even answered: the conversation goes on as if they had not been made.
const MOST_KEPT: usize = 128;

/// What is made of an answer.
pub(crate) struct Settled {
    /// What stays in the conversation.
    pub(crate) message: Message,
    /// What it asks for.
    pub(crate) calls: Calls,
    /// How it went.
    pub(crate) manner: Manner,
}

/// How an answer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It asks for tools.
    Calls,
    /// It asks for nothing.
    Silent,
    /// It was cut at its limit.
    Truncated,
    /// It was refused.
    Refused,
}

/// The tool that proposes a plan.
pub(crate) const PROPOSE_PLAN: &str = "propose_plan";

/// Which calls of an answer are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permitted {
    /// All, but there is no plan to be proposed.
    All,
    /// Those of tools that leave the sandbox as it is.
    Reading,
    /// The one that ends the work.
    Finish,
}

impl Permitted {
    /// Why a call is not run, if it is not. The name is taken as the model wrote it: one that only resembles a tool's is none.
    fn refuses(self, call: &ToolCall, tools: &[ToolSpec]) -> Option<&'static str> {
        match self {
            // Where there is no such tool at all, whoever carries calls out says so.
            Self::All => {
                let known = call.name == PROPOSE_PLAN && tools.iter().any(|tool| tool.name == PROPOSE_PLAN);
                known.then_some(wording::CALL_PLAN_APPROVED)
            }
            Self::Reading => {
                let reads = tools.iter().any(|tool| tool.name == call.name && tool.read_only);
                (!reads).then_some(wording::CALL_BEFORE_APPROVAL)
            }
            Self::Finish => (call.name != FINISH).then_some(wording::CALL_AFTER_LIMIT),
        }
    }
}

/// Takes an answer apart.
pub(crate) fn settle(step: u32, answer: &Answer, tools: &[ToolSpec], permitted: Permitted) -> Settled {
    if matches!(answer.stop, StopReason::Refusal { .. }) {
        return refused(answer);
    }
    let truncated = matches!(answer.stop, StopReason::MaxTokens | StopReason::ContextFull);
    let final_block = answer.blocks.len().saturating_sub(1);
    let mut ids = HashSet::new();
    let mut calls = Vec::new();
    let mut blocks = Vec::with_capacity(answer.blocks.len());
    for (place, block) in answer.blocks.iter().enumerate() {
        match block {
            Block::Text { text } if text.trim().is_empty() => {}
            Block::Text { .. } | Block::Reasoning(_) => blocks.push(block.clone()),
            Block::ToolCall(_) if calls.len() >= MOST_KEPT => {}
            Block::ToolCall(call) => {
                let id = CallId { step, index: u16::try_from(calls.len()).unwrap_or(u16::MAX) };
                let call = with_unique_id(call, id, &mut ids);
                let not_run = if truncated && place == final_block && is_cut(&call) {
                    Some(wording::CALL_CUT)
                } else if let Some(reason) = permitted.refuses(&call, tools) {
                    Some(reason)
                } else {
                    (calls.len() >= MOST_RUN).then_some(wording::CALL_TOO_MANY)
                };
                let delegates = call.name == DELEGATE && tools.iter().any(|tool| tool.name == DELEGATE);
                let new = Call::new(id, call.clone(), runs_beside_others(&call, tools), not_run);
                calls.push(new.by_another(delegates));
                blocks.push(Block::ToolCall(call));
            }
            // An answer cannot hold what only the platform sends.
            Block::ToolResult(_) | Block::Image(_) => {}
        }
    }
    // Reasoning alone is no message: some providers want something after it.
    if !matches!(blocks.last(), Some(Block::Text { .. } | Block::ToolCall(_))) {
        blocks.push(Block::text(wording::EMPTY_ANSWER));
    }
    let manner = match (truncated, calls.is_empty()) {
        (true, _) => Manner::Truncated,
        (false, true) => Manner::Silent,
        (false, false) => Manner::Calls,
    };
    Settled { message: Message { role: Role::Assistant, blocks }, calls: Calls::new(calls), manner }
}

/// Of a refused answer only its plain text stays: reasoning and calls may be cut anywhere.
fn refused(answer: &Answer) -> Settled {
    let text = answer.text();
    let text = if text.trim().is_empty() { wording::REFUSED_ANSWER.to_owned() } else { text };
    Settled {
        message: Message { role: Role::Assistant, blocks: vec![Block::text(text)] },
        calls: Calls::default(),
        manner: Manner::Refused,
    }
}

fn with_unique_id(call: &ToolCall, id: CallId, taken: &mut HashSet<String>) -> ToolCall {
    let mut call = call.clone();
    if call.provider_id.is_empty() || taken.contains(&call.provider_id) {
        call.provider_id = id.to_string();
    }
    // A model may also give a call the very id that was made up for another.
    while !taken.insert(call.provider_id.clone()) {
        call.provider_id.push('_');
    }
    call
}

/// Whether the arguments are not whole. Empty ones count as cut here: a call is cut before its first argument
/// as easily as later.
fn is_cut(call: &ToolCall) -> bool {
    call.arguments.trim().is_empty() || call.object().is_err()
}

fn runs_beside_others(call: &ToolCall, tools: &[ToolSpec]) -> bool {
    call.name != FINISH && tools.iter().any(|tool| tool.name == call.name && tool.parallel)
}
