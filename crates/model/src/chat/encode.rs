//! Requests in the Chat Completions format.

use cofferdam_domain::{
    Block, Message, ModelRequest, Role, Secret,
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

/// In what compatible servers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// OpenAI itself: it calls the answer's limit `max_completion_tokens` and routes by `prompt_cache_key`.
    openai: bool,
    /// OpenRouter: it has its own word for effort, and caches for Claude when asked.
    openrouter: bool,
    /// The model's reasoning must be sent back as `reasoning_content` (DeepSeek, Kimi).
    echoes: bool,
}

impl Dialect {
    pub(crate) fn of(base_url: &str, model: &str) -> Self {
        let model = model.to_lowercase();
        Self {
            openai: base_url.contains("//api.openai.com"),
            openrouter: base_url.contains("//openrouter.ai"),
            echoes: ["deepseek", "kimi"].iter().any(|maker| model.contains(maker)),
        }
    }
}

/// The encoder.
pub(crate) struct Chat {
    model: String,
    dialect: Dialect,
    effort: Option<Effort>,
    images: bool,
    empty: bool,
}

impl Chat {
    pub(crate) fn new(model: &str, dialect: Dialect, effort: Option<Effort>, images: bool) -> Self {
        Self { model: model.to_owned(), dialect, effort, images, empty: true }
    }

    fn message(&mut self, message: &Value, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.empty, false) {
            out.push(b',');
        }
        put(out, message);
    }

    fn image(&self, image: &Image, given: &Given<'_>) -> Value {
        match given.picture(image, self.images) {
            Ok(data) => {
                let url = format!("data:{};base64,{data}", image.media_type);
                json!({"type": "image_url", "image_url": {"url": url}})
            }
            Err(instead) => json!({"type": "text", "text": instead}),
        }
    }

    /// Results are messages of their own, and cannot hold pictures: those follow in a user message.
    fn user(&mut self, message: &Message, given: &Given<'_>, out: &mut Vec<u8>) {
        let mut parts = Vec::new();
        for block in &message.blocks {
            match block {
                Block::ToolResult(result) => {
                    self.message(&tool(result), out);
                    if !result.images.is_empty() {
                        parts
                            .push(json!({"type": "text", "text": format!("What {} returned:", result.name)}));
                        parts.extend(result.images.iter().map(|image| self.image(image, given)));
                    }
                }
                Block::Text { text } => parts.push(json!({"type": "text", "text": text})),
                Block::Image(image) => parts.push(self.image(image, given)),
                Block::Reasoning(_) | Block::ToolCall(_) => (),
            }
        }
        if !parts.is_empty() {
            self.message(&json!({"role": "user", "content": plain_if_possible(parts)}), out);
        }
    }

    fn assistant(&mut self, message: &Message, given: &Given<'_>, out: &mut Vec<u8>) {
        let mut fields = Map::new();
        let mut texts = Vec::new();
        let mut calls = Vec::new();
        for block in &message.blocks {
            match block {
                Block::Text { text } => texts.push(text.as_str()),
                Block::Reasoning(reasoning) => {
                    let opaque = given.opaque(reasoning, Family::OpenaiChat);
                    let known =
                        opaque.and_then(|opaque| serde_json::from_str::<Map<String, Value>>(opaque).ok());
                    let allowed =
                        |name: &String| matches!(name.as_str(), "reasoning_content" | "reasoning_details");
                    fields.extend(known.into_iter().flatten().filter(|(name, _)| allowed(name)));
                }
                Block::ToolCall(call) => calls.push(json!({
                    "id": plain_name(&call.provider_id),
                    "type": "function",
                    "function": {"name": plain_name(&call.name), "arguments": arguments(call)},
                })),
                Block::ToolResult(_) | Block::Image(_) => (),
            }
        }
        let content = texts.join("\n\n");
        fields.insert("role".into(), "assistant".into());
        let content = if content.is_empty() && !calls.is_empty() { Value::Null } else { content.into() };
        fields.insert("content".into(), content);
        if !calls.is_empty() {
            fields.insert("tool_calls".into(), calls.into());
        }
        self.message(&fields.into(), out);
    }
}

fn tool(result: &ToolResult) -> Value {
    json!({"role": "tool", "tool_call_id": plain_name(&result.provider_id), "content": result.text})
}

/// One text where there are only texts: many servers' templates take nothing else.
fn plain_if_possible(parts: Vec<Value>) -> Value {
    let texts: Option<Vec<&str>> =
        parts.iter().map(|part| part.get("text").and_then(Value::as_str)).collect();
    match texts {
        Some(texts) => texts.join("\n\n").into(),
        None => parts.into(),
    }
}

impl Wire for Chat {
    fn path(&self) -> String {
        "/chat/completions".to_owned()
    }

    fn headers(&self, key: Option<&Secret>) -> Vec<(HeaderName, HeaderValue)> {
        crate::http::key_header("authorization", "Bearer ", key).into_iter().collect()
    }

    fn header(&mut self, request: &ModelRequest, out: &mut Vec<u8>) {
        self.empty = true;
        out.extend_from_slice(br#"{"model":"#);
        put(out, &self.model);
        if !request.tools.is_empty() {
            let tool = |tool: &cofferdam_domain::ToolSpec| {
                let function = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
                json!({"type": "function", "function": function})
            };
            out.extend_from_slice(br#","tools":"#);
            put(out, &request.tools.iter().map(tool).collect::<Vec<_>>());
        }
        out.extend_from_slice(br#","messages":["#);
        if !request.system.is_empty() {
            self.message(&json!({"role": "system", "content": *request.system}), out);
        }
    }

    fn append(&mut self, message: &Message, given: &Given<'_>, out: &mut Vec<u8>) {
        match message.role {
            Role::User => self.user(message, given, out),
            Role::Assistant => self.assistant(message, given, out),
        }
    }

    fn tail(&self, request: &ModelRequest, out: &mut Vec<u8>) {
        let mut rest = json!({"stream": true, "stream_options": {"include_usage": true}});
        let limit = if self.dialect.openai { "max_completion_tokens" } else { "max_tokens" };
        rest[limit] = request.max_output_tokens.into();
        if self.dialect.openai {
            rest["prompt_cache_key"] = request.cache_key.as_str().into();
        }
        if self.dialect.openrouter && self.model.starts_with("anthropic/") {
            rest["cache_control"] = json!({"type": "ephemeral"});
        }
        if let Some(effort) = self.effort {
            if self.dialect.openrouter {
                rest["reasoning"] = json!({"effort": effort.word()});
            } else {
                rest["reasoning_effort"] = effort.word().into();
            }
        }
        out.extend_from_slice(b"],");
        out.extend_from_slice(&text_of(&rest).as_bytes()[1..]);
    }

    fn decoder(&self, request: &ModelRequest) -> Box<dyn Decoder> {
        Box::new(Decode::new(&self.model, offered(&self.model, request), self.dialect.echoes))
    }
}
