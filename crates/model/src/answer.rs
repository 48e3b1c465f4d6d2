//! What holds for every answer, whichever provider gave it.

use std::collections::HashSet;

use cofferdam_domain::{Answer, Block, StopReason, ToolCall, Usage};

use crate::failure::Failure;

/// The most tool calls that one answer may have: their index must fit a call id, and no model has reason for
/// more.
const MAX_CALLS: usize = 256;

/// Puts an answer together: empty blocks go, call ids become unique, and an answer with calls waits for their
/// results whatever it says.
pub(crate) fn assemble(
    blocks: Vec<Block>,
    stop: StopReason,
    usage: Usage,
    model: String,
) -> Result<Answer, Failure> {
    let mut blocks: Vec<Block> = blocks.into_iter().filter(|block| !is_empty(block)).collect();
    let mut ids = HashSet::new();
    let mut calls = 0_usize;
    for block in &mut blocks {
        if let Block::ToolCall(ToolCall { provider_id, .. }) = block {
            if provider_id.is_empty() || ids.contains(provider_id) {
                *provider_id = made_up_id(calls);
            }
            ids.insert(provider_id.clone());
            calls += 1;
        }
    }
    if calls > MAX_CALLS {
        return Err(Failure::garbled("more than 256 tool calls in one answer"));
    }
    let stop = match stop {
        StopReason::EndTurn if calls > 0 => StopReason::ToolUse,
        StopReason::ToolUse if calls == 0 => StopReason::EndTurn,
        other @ (StopReason::EndTurn
        | StopReason::ToolUse
        | StopReason::MaxTokens
        | StopReason::Refusal { .. }
        | StopReason::ContextFull
        | StopReason::Other { .. }) => other,
    };
    Ok(Answer { blocks, stop, usage: believable(usage), model, cost: None })
}

/// Token counts come from outside and are added up later: none is so large that a sum could overflow.
fn believable(usage: Usage) -> Usage {
    let bounded = |tokens: u64| tokens.min(1 << 40);
    Usage {
        input: bounded(usage.input),
        cache_read: bounded(usage.cache_read),
        cache_write: bounded(usage.cache_write),
        output: bounded(usage.output),
        reasoning: bounded(usage.reasoning),
    }
}

/// How ids that we made up begin.
const MADE_UP: &str = "cofferdam_";

fn made_up_id(index: usize) -> String {
    format!("{MADE_UP}{index}_{:08x}", fastrand::u32(..))
}

/// Whether a provider never saw this id.
pub(crate) fn is_made_up(id: &str) -> bool {
    id.starts_with(MADE_UP)
}

fn is_empty(block: &Block) -> bool {
    match block {
        Block::Text { text } => text.trim().is_empty(),
        Block::Reasoning(reasoning) => reasoning.text.is_empty() && reasoning.opaque.is_none(),
        Block::ToolCall(_) | Block::ToolResult(_) | Block::Image(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> Block {
        let arguments = "{}".to_owned();
        Block::ToolCall(ToolCall { provider_id: id.into(), name: "shell".into(), arguments, opaque: None })
    }

    #[test]
    fn ids_are_unique_and_the_stop_fits_the_calls() {
        let blocks = vec![Block::text(" \n"), call("a"), call("a"), call("")];
        let answer = assemble(blocks, StopReason::EndTurn, Usage::default(), "m".into()).unwrap();
        let ids: HashSet<_> = answer.tool_calls().map(|call| call.provider_id.as_str()).collect();
        assert_eq!((ids.len(), answer.blocks.len(), answer.stop.clone()), (3, 3, StopReason::ToolUse));
        assert_eq!(ids.iter().filter(|id| is_made_up(id)).count(), 2);
        let none =
            assemble(vec![Block::text("x")], StopReason::ToolUse, Usage::default(), "m".into()).unwrap();
        assert_eq!(none.stop, StopReason::EndTurn);
        let many = (0..257).map(|_| call("")).collect();
        assert!(assemble(many, StopReason::EndTurn, Usage::default(), "m".into()).is_err());
    }
}
