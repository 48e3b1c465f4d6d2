//! The wire formats as a provider sees them: requests are read and held against the rules, answers are written as event streams.

mod anthropic;
mod chat;
mod gemini;
mod responses;

use std::sync::Arc;

use axum::http::{HeaderMap, Uri};
use cofferdam_domain::{Digest, Message, ModelRequest, ToolSpec, message::Family};
use cofferdam_model::Played;
use serde_json::Value;

use crate::rules::Rules;

/// A request that kept the rules.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) request: ModelRequest,
}

/// What a format's reader finds in a body.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) system: String,
    pub(crate) tools: Vec<ToolSpec>,
    pub(crate) messages: Vec<Message>,
    pub(crate) max_tokens: u64,
}

/// Reads a request, or says which rules it breaks.
pub(crate) fn read(
    family: Family,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Received, Vec<String>> {
    let mut rules = Rules::default();
    let json = headers.get("content-type").is_some_and(|kind| kind == "application/json");
    rules.need(json, "content-type must be application/json");
    let body: Value =
        serde_json::from_slice(body).map_err(|error| vec![format!("the body is not JSON: {error}")])?;
    let content = match family {
        Family::Anthropic => anthropic::read(&mut rules, uri, headers, &body),
        Family::OpenaiResponses => responses::read(&mut rules, uri, headers, &body),
        Family::OpenaiChat | Family::Scripted => chat::read(&mut rules, uri, headers, &body),
        Family::Gemini => gemini::read(&mut rules, uri, headers, &body),
    };
    rules.need(content.max_tokens > 0, "the most tokens of the answer must be given");
    for tool in &content.tools {
        rules.name("tools", &tool.name);
        let object = tool.parameters.get("type").is_some_and(|kind| kind == "object");
        rules.need(object, format!("tool {}: the schema must be of type object", tool.name));
    }
    rules.conversation(&content.messages);
    if !rules.broken.is_empty() {
        return Err(rules.broken);
    }
    let request = ModelRequest {
        system: content.system.into(),
        tools: content.tools.into(),
        messages: content.messages.into_iter().map(Arc::new).collect(),
        max_output_tokens: u32::try_from(content.max_tokens).unwrap_or(u32::MAX),
        epoch: 0,
        cache_key: String::new(),
        digest: Digest::ZERO,
    };
    Ok(Received { request })
}

/// The answer as events, each with the empty line that ends it.
pub(crate) fn stream(family: Family, request: &ModelRequest, played: &Played) -> Vec<String> {
    let answer = &played.answer;
    match family {
        Family::Anthropic => anthropic::stream(answer),
        Family::OpenaiResponses => responses::stream(answer),
        Family::OpenaiChat | Family::Scripted => chat::stream(answer),
        Family::Gemini => gemini::stream(answer, request),
    }
}

/// The elements of an array field.
fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A text field, or nothing.
fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A picture's place: the fakes do not keep its bytes.
fn image(media_type: &str, data: &str) -> cofferdam_domain::Block {
    let blob = cofferdam_domain::BlobRef { digest: Digest::of(data.as_bytes()), size: data.len() as u64 };
    cofferdam_domain::Block::Image(cofferdam_domain::message::Image {
        media_type: media_type.to_owned(),
        blob,
    })
}

/// Adds blocks to a message of the role: to the last one if it has it.
fn add(messages: &mut Vec<Message>, role: cofferdam_domain::Role, blocks: Vec<cofferdam_domain::Block>) {
    match messages.last_mut() {
        Some(last) if last.role == role => last.blocks.extend(blocks),
        _ => messages.push(Message { role, blocks }),
    }
}
