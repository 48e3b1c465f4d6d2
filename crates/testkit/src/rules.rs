//! What the providers' rules have in common.

use cofferdam_domain::{Block, Digest, Message, Role};
use serde_json::Value;

/// What a request was found to break, one sentence each.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) broken: Vec<String>,
}

impl Rules {
    pub(crate) fn need(&mut self, holds: bool, rule: impl Into<String>) {
        if !holds {
            self.broken.push(rule.into());
        }
    }

    /// Only these fields may stand in `object`.
    pub(crate) fn only(&mut self, place: &str, object: &Value, known: &[&str]) {
        for name in object.as_object().into_iter().flat_map(serde_json::Map::keys) {
            self.need(known.contains(&name.as_str()), format!("{place}: unknown field {name:?}"));
        }
    }

    /// A non-empty text at `pointer`.
    pub(crate) fn text(&mut self, place: &str, value: &Value, pointer: &str) -> String {
        let text = value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.need(!text.is_empty(), format!("{place}: {pointer} must be a non-empty text"));
        text
    }

    /// A name or id as all providers take it.
    pub(crate) fn name(&mut self, place: &str, name: &str) {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        self.need(
            plain && (1..=64).contains(&name.len()),
            format!("{place}: {name:?} must match ^[a-zA-Z0-9_-]{{1,64}}$"),
        );
    }

    /// The rules of every conversation: it begins and ends with the user, and the calls of an answer have one
    /// result each, in the message that follows.
    pub(crate) fn conversation(&mut self, messages: &[Message]) {
        let role = |message: Option<&Message>| message.map(|message| message.role);
        self.need(role(messages.first()) == Some(Role::User), "the conversation must begin with the user");
        self.need(role(messages.last()) == Some(Role::User), "the conversation must end with the user");
        for (index, message) in messages.iter().enumerate() {
            let calls = calls(message);
            let mut sorted = calls.clone();
            sorted.sort_unstable();
            sorted.dedup();
            self.need(sorted.len() == calls.len(), format!("message {index}: two calls have the same id"));
            let results = messages.get(index + 1).map(results).unwrap_or_default();
            for call in &calls {
                let count = results.iter().filter(|result| *result == call).count();
                self.need(
                    count == 1,
                    format!("message {index}: the call {call} has {count} results in the next message"),
                );
            }
            let asked = index.checked_sub(1).map(|before| self::calls(&messages[before])).unwrap_or_default();
            for result in self::results(message) {
                self.need(
                    asked.contains(&result),
                    format!("message {index}: the result {result} answers no call of the message before"),
                );
            }
        }
    }
}

fn calls(message: &Message) -> Vec<&str> {
    let call = |block: &'_ Block| matches!(block, Block::ToolCall(_));
    message.blocks.iter().filter(|block| call(block)).filter_map(id).collect()
}

fn results(message: &Message) -> Vec<&str> {
    let result = |block: &'_ Block| matches!(block, Block::ToolResult(_));
    message.blocks.iter().filter(|block| result(block)).filter_map(id).collect()
}

fn id(block: &Block) -> Option<&str> {
    match block {
        Block::ToolCall(call) => Some(&call.provider_id),
        Block::ToolResult(result) => Some(&result.provider_id),
        Block::Text { .. } | Block::Reasoning(_) | Block::Image(_) => None,
    }
}

/// What the fakes sign reasoning with, so that they see whether it comes back as it was.
pub(crate) fn seal(text: &str) -> String {
    format!("sealed-{}", Digest::of(text.as_bytes()).short())
}

/// Cuts a text into pieces of at most `size` characters, as streams do.
pub(crate) fn pieces(text: &str, size: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(size).map(|piece| piece.iter().collect()).collect()
}
