//! Requests in the Anthropic Messages format.
//!
//! The last block of the last message is written without its closing brace: the tail closes it, with a
//! `cache_control` mark, and the next message closes it without. So the mark moves on with every request and
//! the bytes before it stay as they are.

use cofferdam_domain::{
    Block, Message, ModelRequest, Role, Secret, ToolSpec,
    message::{Family, Image, ToolResult},
};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::decode::Decode;
use crate::{
    config::Effort,
    text_calls::offered,
    wire::{Decoder, Given, Wire, arguments, json as text_of, plain_name, put},
};

/// How a Claude model is asked to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// Nothing is said about it: a model of unknown abilities, or another maker's.
    Unsaid,
    /// The model decides how much: Claude 4.6 and later.
    Adaptive(Option<Effort>),
    /// A budget in tokens: Claude 4.5 and earlier.
    Budget(Effort),
}

/// The encoder.
pub(crate) struct Anthropic {
    model: String,
    thinking: Thinking,
    images: bool,
    /// The role of the message that the bytes end in, which is still open.
    open: Option<Role>,
    /// Whether the block that the bytes end in may carry a cache mark.
    markable: bool,
    /// Whether every turn of the model since the last word of a person began with thinking: only then does
    /// the API take a budget.
    loop_thinks: bool,
}

impl Anthropic {
    pub(crate) fn new(model: &str, thinking: Thinking, images: bool) -> Self {
        Self { model: model.to_owned(), thinking, images, open: None, markable: false, loop_thinks: true }
    }

    /// Opens a message of `role`, or goes on with the one that is open.
    fn begin(&mut self, role: Role, out: &mut Vec<u8>) {
        let word = match role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        match self.open {
            Some(open) if open == role => out.extend_from_slice(b"},"),
            Some(_) => out.extend_from_slice(format!(r#"}}]}},{{"role":"{word}","content":["#).as_bytes()),
            None => out.extend_from_slice(format!(r#"{{"role":"{word}","content":["#).as_bytes()),
        }
        self.open = Some(role);
    }

    /// Writes one content block, given as the text of a JSON object, without its closing brace.
    fn block(&mut self, role: Role, block: &str, out: &mut Vec<u8>) {
        self.begin(role, out);
        let block = block.trim_end();
        out.extend_from_slice(block.strip_suffix('}').unwrap_or(block).as_bytes());
        self.markable = role == Role::User;
    }

    fn image(&self, image: &Image, given: &Given<'_>) -> Value {
        match given.picture(image, self.images) {
            Ok(data) => {
                json!({"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": data}})
            }
            Err(instead) => json!({"type": "text", "text": instead}),
        }
    }

    fn result(&self, result: &ToolResult, given: &Given<'_>) -> String {
        let mut content = Vec::new();
        if !result.text.trim().is_empty() {
            content.push(json!({"type": "text", "text": result.text}));
        }
        content.extend(result.images.iter().map(|image| self.image(image, given)));
        let id = plain_name(&result.provider_id);
        let mut block = json!({"type": "tool_result", "tool_use_id": id, "content": content});
        if result.is_error {
            block["is_error"] = true.into();
        }
        text_of(&block)
    }

    fn encoded(&self, block: &Block, given: &Given<'_>) -> Option<String> {
        match block {
            Block::Text { text } if text.trim().is_empty() => None,
            Block::Text { text } => Some(text_of(&json!({"type": "text", "text": text}))),
            Block::Reasoning(reasoning) => {
                let opaque = given.opaque(reasoning, Family::Anthropic)?;
                serde_json::from_str::<Map<String, Value>>(opaque).is_ok().then(|| opaque.to_owned())
            }
            Block::ToolCall(call) => {
                let (id, name) = (plain_name(&call.provider_id), plain_name(&call.name));
                let input = arguments(call);
                Some(format!(r#"{{"type":"tool_use","id":"{id}","name":"{name}","input":{input}}}"#))
            }
            Block::ToolResult(result) => Some(self.result(result, given)),
            Block::Image(image) => Some(text_of(&self.image(image, given))),
        }
    }

    /// Notes what a thinking budget depends on.
    fn watch_thinking(&mut self, message: &Message, given: &Given<'_>) {
        let has = |wanted: fn(&Block) -> bool| message.blocks.iter().any(wanted);
        match message.role {
            Role::User if !has(|block| matches!(block, Block::ToolResult(_))) => self.loop_thinks = true,
            Role::User => (),
            Role::Assistant => {
                let thinks = message.blocks.iter().any(|block| {
                    matches!(block, Block::Reasoning(reasoning) if given.opaque(reasoning, Family::Anthropic).is_some())
                });
                self.loop_thinks &= thinks || !has(|block| matches!(block, Block::ToolCall(_)));
            }
        }
    }
}

impl Wire for Anthropic {
    fn path(&self) -> String {
        "/messages".to_owned()
    }

    fn headers(&self, key: Option<&Secret>) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers =
            vec![(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"))];
        if matches!(self.thinking, Thinking::Budget(_)) {
            let beta = HeaderValue::from_static("interleaved-thinking-2025-05-14");
            headers.push((HeaderName::from_static("anthropic-beta"), beta));
        }
        headers.extend(crate::http::key_header("x-api-key", "", key));
        headers
    }

    fn header(&mut self, request: &ModelRequest, out: &mut Vec<u8>) {
        (self.open, self.markable, self.loop_thinks) = (None, false, true);
        out.extend_from_slice(br#"{"model":"#);
        put(out, &self.model);
        if !request.tools.is_empty() {
            out.extend_from_slice(br#","tools":"#);
            put(out, &tools(&request.tools));
        }
        if !request.system.trim().is_empty() {
            out.extend_from_slice(br#","system":"#);
            put(
                out,
                &json!([{"type": "text", "text": *request.system, "cache_control": {"type": "ephemeral"}}]),
            );
        }
        out.extend_from_slice(br#","messages":["#);
    }

    fn append(&mut self, message: &Message, given: &Given<'_>, out: &mut Vec<u8>) {
        self.watch_thinking(message, given);
        // The API wants results before anything else that a user says.
        let (results, others): (Vec<_>, Vec<_>) =
            message.blocks.iter().partition(|block| matches!(block, Block::ToolResult(_)));
        let mut written = false;
        for block in results.into_iter().chain(others) {
            if let Some(block) = self.encoded(block, given) {
                self.block(message.role, &block, out);
                written = true;
            }
        }
        // An assistant message of which nothing is left is left out and its neighbours merge; a user message
        // must stay.
        if !written && message.role == Role::User {
            self.block(message.role, r#"{"type":"text","text":"(nothing)"}"#, out);
        }
    }

    fn tail(&self, request: &ModelRequest, out: &mut Vec<u8>) {
        match self.open {
            Some(_) if self.markable => {
                out.extend_from_slice(br#","cache_control":{"type":"ephemeral"}}]}]"#)
            }
            Some(_) => out.extend_from_slice(b"}]}]"),
            None => out.push(b']'),
        }
        let max = request.max_output_tokens;
        out.extend_from_slice(format!(r#","max_tokens":{max},"stream":true"#).as_bytes());
        match self.thinking {
            Thinking::Unsaid => (),
            Thinking::Adaptive(effort) => {
                out.extend_from_slice(br#","thinking":{"type":"adaptive","display":"summarized"}"#);
                if let Some(effort) = effort {
                    let word = effort.word();
                    out.extend_from_slice(format!(r#","output_config":{{"effort":"{word}"}}"#).as_bytes());
                }
            }
            Thinking::Budget(effort) => {
                if let Some(budget) = budget(effort, max).filter(|_| self.loop_thinks) {
                    let thinking = format!(r#","thinking":{{"type":"enabled","budget_tokens":{budget}}}"#);
                    out.extend_from_slice(thinking.as_bytes());
                }
            }
        }
        out.push(b'}');
    }

    fn decoder(&self, request: &ModelRequest) -> Box<dyn Decoder> {
        Box::new(Decode::new(&self.model, offered(&self.model, request)))
    }
}

/// The thinking budget: at least 1,024 tokens (the API's least) and at most half of the answer.
fn budget(effort: Effort, max_tokens: u32) -> Option<u32> {
    let wanted = match effort {
        Effort::Low => 4_000,
        Effort::Medium => 12_000,
        Effort::High => 24_000,
    };
    Some(wanted.min(max_tokens / 2)).filter(|budget| *budget >= 1024)
}

/// The tools, with a cache mark on the last.
fn tools(tools: &[ToolSpec]) -> Value {
    let mut list: Vec<_> = tools
        .iter()
        .map(|tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters}))
        .collect();
    if let Some(last) = list.last_mut() {
        last["cache_control"] = json!({"type": "ephemeral"});
    }
    list.into()
}
