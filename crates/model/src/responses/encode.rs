//! Requests in the OpenAI Responses format.

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

/// The encoder.
pub(crate) struct Responses {
    model: String,
    /// Whether it is a reasoning model, which alone takes the parameters about reasoning; and how hard it is
    /// to think.
    reasons: bool,
    effort: Option<Effort>,
    /// Whether summaries of the reasoning are asked for: some accounts may not have them.
    summaries: bool,
    images: bool,
    empty: bool,
}

impl Responses {
    pub(crate) fn new(model: &str, reasons: bool, effort: Option<Effort>, images: bool) -> Self {
        Self { model: model.to_owned(), reasons, effort, summaries: true, images, empty: true }
    }

    fn item(&mut self, item: &str, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.empty, false) {
            out.push(b',');
        }
        out.extend_from_slice(item.as_bytes());
    }

    fn image(&self, image: &Image, given: &Given<'_>) -> Value {
        match given.picture(image, self.images) {
            Ok(data) => {
                let url = format!("data:{};base64,{data}", image.media_type);
                json!({"type": "input_image", "image_url": url})
            }
            Err(instead) => json!({"type": "input_text", "text": instead}),
        }
    }

    fn result(&self, result: &ToolResult, given: &Given<'_>) -> Value {
        let call_id = plain_name(&result.provider_id);
        // The format has no mark for a failed call; the text says it.
        let output = if result.images.is_empty() {
            json!(result.text)
        } else {
            let mut parts = vec![json!({"type": "input_text", "text": result.text})];
            parts.extend(result.images.iter().map(|image| self.image(image, given)));
            json!(parts)
        };
        json!({"type": "function_call_output", "call_id": call_id, "output": output})
    }

    fn user(&mut self, message: &Message, given: &Given<'_>, out: &mut Vec<u8>) {
        let mut content = Vec::new();
        for block in &message.blocks {
            match block {
                Block::ToolResult(result) => {
                    let item = text_of(&self.result(result, given));
                    self.item(&item, out);
                }
                Block::Text { text } => content.push(json!({"type": "input_text", "text": text})),
                Block::Image(image) => content.push(self.image(image, given)),
                Block::Reasoning(_) | Block::ToolCall(_) => (),
            }
        }
        if !content.is_empty() {
            self.item(&text_of(&json!({"type": "message", "role": "user", "content": content})), out);
        }
    }

    fn assistant(&mut self, message: &Message, given: &Given<'_>, out: &mut Vec<u8>) {
        // Reasoning must be followed by what it led to; of an answer that was cut short, the rest is missing.
        let is_reasoning = |block: &Block| matches!(block, Block::Reasoning(_));
        let end = message.blocks.iter().rposition(|block| !is_reasoning(block)).map_or(0, |last| last + 1);
        let mut phase = None;
        for block in &message.blocks[..end] {
            match block {
                Block::Reasoning(reasoning) => {
                    let Some(opaque) = given.opaque(reasoning, Family::OpenaiResponses) else { continue };
                    match Opaque::read(opaque) {
                        Opaque::Item => self.item(opaque.trim(), out),
                        Opaque::Phase(name) => phase = Some(name),
                        Opaque::Unreadable => (),
                    }
                }
                Block::Text { text } if text.is_empty() => (),
                Block::Text { text } => {
                    let mut item = json!({
                        "type": "message", "role": "assistant",
                        "content": [{"type": "output_text", "text": text, "annotations": []}],
                    });
                    if let Some(phase) = phase.take() {
                        item["phase"] = phase.into();
                    }
                    self.item(&text_of(&item), out);
                }
                Block::ToolCall(call) => {
                    let (id, name) = (plain_name(&call.provider_id), plain_name(&call.name));
                    let item = json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments(call)});
                    self.item(&text_of(&item), out);
                }
                Block::ToolResult(_) | Block::Image(_) => (),
            }
        }
    }
}

/// What the opaque part of a reasoning block holds.
enum Opaque {
    /// A `reasoning` item, verbatim.
    Item,
    /// The `phase` of the message that follows: see the decoder.
    Phase(String),
    Unreadable,
}

impl Opaque {
    fn read(json: &str) -> Self {
        let Ok(fields) = serde_json::from_str::<Map<String, Value>>(json) else { return Self::Unreadable };
        match (fields.get("type").and_then(Value::as_str), fields.get("phase").and_then(Value::as_str)) {
            (Some("reasoning"), _) => Self::Item,
            (None, Some(phase)) => Self::Phase(phase.to_owned()),
            _ => Self::Unreadable,
        }
    }
}

impl Wire for Responses {
    fn path(&self) -> String {
        "/responses".to_owned()
    }

    fn headers(&self, key: Option<&Secret>) -> Vec<(HeaderName, HeaderValue)> {
        crate::http::key_header("authorization", "Bearer ", key).into_iter().collect()
    }

    fn header(&mut self, request: &ModelRequest, out: &mut Vec<u8>) {
        self.empty = true;
        out.extend_from_slice(br#"{"model":"#);
        put(out, &self.model);
        if !request.tools.is_empty() {
            out.extend_from_slice(br#","tools":"#);
            put(out, &request.tools.iter().map(tool).collect::<Vec<_>>());
            out.extend_from_slice(br#","parallel_tool_calls":true"#);
        }
        out.extend_from_slice(br#","instructions":"#);
        put(out, &*request.system);
        out.extend_from_slice(br#","input":["#);
    }

    fn append(&mut self, message: &Message, given: &Given<'_>, out: &mut Vec<u8>) {
        match message.role {
            Role::User => self.user(message, given, out),
            Role::Assistant => self.assistant(message, given, out),
        }
    }

    fn tail(&self, request: &ModelRequest, out: &mut Vec<u8>) {
        let mut rest = json!({
            "max_output_tokens": request.max_output_tokens,
            "prompt_cache_key": request.cache_key,
            "store": false,
            "stream": true,
        });
        if self.reasons {
            rest["include"] = json!(["reasoning.encrypted_content"]);
            let mut reasoning = Map::new();
            if self.summaries {
                reasoning.insert("summary".into(), "auto".into());
            }
            if let Some(effort) = self.effort {
                reasoning.insert("effort".into(), effort.word().into());
            }
            rest["reasoning"] = reasoning.into();
        }
        out.extend_from_slice(b"],");
        out.extend_from_slice(&text_of(&rest).as_bytes()[1..]);
    }

    fn reasoning_refused(&mut self) {
        self.summaries = false;
    }

    fn decoder(&self, request: &ModelRequest) -> Box<dyn Decoder> {
        Box::new(Decode::new(&self.model, offered(&self.model, request)))
    }
}

fn tool(tool: &ToolSpec) -> Value {
    json!({
        "type": "function", "name": tool.name, "description": tool.description,
        "parameters": tool.parameters, "strict": false,
    })
}
