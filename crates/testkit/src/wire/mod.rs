//! The wire formats as a provider sees them: requests are read and held against the rules, answers are
//! written as event streams.

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &[&str] = &["x-api-key", "x-goog-api-key"];

    fn path(family: Family) -> &'static str {
        match family {
            Family::Anthropic => "/v1/messages",
            Family::OpenaiResponses => "/v1/responses",
            Family::OpenaiChat | Family::Scripted => "/v1/chat/completions",
            Family::Gemini => "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse",
        }
    }

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        headers.insert("anthropic-version", "2023-06-01".parse().unwrap());
        headers.insert("authorization", "Bearer k".parse().unwrap());
        for name in KEY {
            headers.insert(*name, "k".parse().unwrap());
        }
        headers
    }

    /// A request with a call and its result that keeps all rules.
    fn good(family: Family) -> Value {
        let schema = json!({"type": "object"});
        match family {
            Family::Anthropic => json!({
                "model": "m", "max_tokens": 9, "stream": true,
                "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
                "tools": [{"name": "t", "description": "d", "input_schema": schema}],
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "go"}]},
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "t", "input": {}}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": []}]},
                ],
            }),
            Family::OpenaiResponses => json!({
                "model": "gpt-5", "max_output_tokens": 99, "stream": true, "store": false, "prompt_cache_key": "k",
                "include": ["reasoning.encrypted_content"], "instructions": "s",
                "tools": [{"type": "function", "name": "t", "parameters": schema}],
                "input": [
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]},
                    {"type": "function_call", "call_id": "c1", "name": "t", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c1", "output": "r"},
                ],
            }),
            Family::OpenaiChat | Family::Scripted => {
                let call =
                    json!({"id": "c1", "type": "function", "function": {"name": "t", "arguments": "{}"}});
                json!({
                    "model": "m", "max_tokens": 9, "stream": true, "stream_options": {"include_usage": true},
                    "tools": [{"type": "function", "function": {"name": "t", "parameters": schema}}],
                    "messages": [
                        {"role": "user", "content": "go"},
                        {"role": "assistant", "content": null, "tool_calls": [call]},
                        {"role": "tool", "tool_call_id": "c1", "content": "r"},
                    ],
                })
            }
            Family::Gemini => json!({
                "tools": [{"functionDeclarations": [{"name": "t", "parametersJsonSchema": schema}]}],
                "generationConfig": {"maxOutputTokens": 9},
                "contents": [
                    {"role": "user", "parts": [{"text": "go"}]},
                    {"role": "model", "parts": [{
                        "functionCall": {"id": "c1", "name": "t", "args": {}}, "thoughtSignature": crate::rules::seal("c1"),
                    }]},
                    {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "t", "response": {"output": "r"}}}]},
                ],
            }),
        }
    }

    fn broken(family: Family, body: &Value) -> Vec<String> {
        let uri = path(family).parse().unwrap();
        read(family, &uri, &headers(), body.to_string().as_bytes()).err().unwrap_or_default()
    }

    /// Whether a good request in which `pointer` is replaced (or, with null, removed) is refused, and why.
    fn refused(family: Family, pointer: &str, value: Value) -> String {
        let mut body = good(family);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = body.pointer_mut(parent).unwrap();
        match (parent.as_array_mut(), value.is_null()) {
            (Some(items), true) => drop(items.remove(name.parse().unwrap())),
            (Some(items), false) => items[name.parse::<usize>().unwrap()] = value,
            (None, true) => drop(parent.as_object_mut().unwrap().remove(name)),
            (None, false) => parent[name] = value,
        }
        broken(family, &body).join("; ")
    }

    #[test]
    fn good_requests_pass_and_keys_and_paths_matter() {
        for family in [Family::Anthropic, Family::OpenaiResponses, Family::OpenaiChat, Family::Gemini] {
            assert_eq!(broken(family, &good(family)), Vec::<String>::new(), "{family:?}");
            let body = good(family).to_string();
            let elsewhere = "/elsewhere".parse().unwrap();
            assert!(read(family, &elsewhere, &headers(), body.as_bytes()).is_err(), "{family:?}");
            let bare = HeaderMap::new();
            assert!(
                read(family, &path(family).parse().unwrap(), &bare, body.as_bytes()).is_err(),
                "{family:?}"
            );
            assert!(read(family, &path(family).parse().unwrap(), &headers(), b"{").is_err(), "{family:?}");
        }
    }

    #[test]
    fn broken_requests_are_refused() {
        use Family::{Anthropic, Gemini, OpenaiChat, OpenaiResponses};
        let blank = json!([{"type": "text", "text": " "}]);
        let cases = [
            (Anthropic, "/max_tokens", Value::Null, "most tokens"),
            (Anthropic, "/temperatur", json!(1), "unknown field"),
            (Anthropic, "/messages/2", Value::Null, "end with the user"),
            (Anthropic, "/messages/1", Value::Null, "alternate"),
            (Anthropic, "/messages/0/content", blank, "must not be blank"),
            (Anthropic, "/messages/1/content/0/input", json!("{}"), "input must be an object"),
            (Anthropic, "/messages/1/content/0/id", json!("c2"), "has 0 results"),
            (Anthropic, "/messages/1/content/0/name", json!("a b"), "must match"),
            (Anthropic, "/system/0/cache_control", Value::Null, "cache marks"),
            (
                Anthropic,
                "/thinking",
                json!({"type": "enabled", "budget_tokens": 2000}),
                "Expected `thinking`",
            ),
            (OpenaiResponses, "/store", json!(true), "store must be false"),
            (OpenaiResponses, "/include", Value::Null, "encrypted reasoning"),
            (OpenaiResponses, "/input/2/call_id", json!("other"), "answers no call"),
            (OpenaiResponses, "/input/1/arguments", json!("{"), "text of an object"),
            (
                OpenaiResponses,
                "/input/1",
                json!({"type": "reasoning", "id": "rs_1", "summary": []}),
                "could not be verified",
            ),
            (OpenaiChat, "/stream_options", Value::Null, "usage must be asked for"),
            (
                OpenaiChat,
                "/messages/2",
                json!({"role": "user", "content": "x"}),
                "must be followed by tool messages",
            ),
            (OpenaiChat, "/messages/1/tool_calls", Value::Null, "content is missing"),
            (OpenaiChat, "/tools/0/function/parameters", json!({}), "type object"),
            (Gemini, "/contents/2/parts/0", json!({"text": "x"}), "number of function response parts"),
            (Gemini, "/contents/1/parts/0/thoughtSignature", Value::Null, "thought_signature"),
            (Gemini, "/generationConfig", Value::Null, "most tokens"),
        ];
        for (family, pointer, value, rule) in cases {
            let broken = refused(family, pointer, value);
            assert!(broken.contains(rule), "{family:?} {pointer}: {broken:?}");
        }
    }
}
