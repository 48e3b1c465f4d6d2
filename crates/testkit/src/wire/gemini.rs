//! Google Gemini (<https://ai.google.dev/api/generate-content>).

use axum::http::{HeaderMap, Uri};
use cofferdam_domain::{
    Answer, Block, ModelRequest, Role, StopReason, ToolCall, ToolSpec, message::ToolResult,
};
use serde_json::{Value, json};

use super::{Content, add, image, items, text};
use crate::rules::{Rules, pieces, seal};

pub(super) fn read(rules: &mut Rules, uri: &Uri, headers: &HeaderMap, body: &Value) -> Content {
    let path = uri.path().starts_with("/v1beta/models/") && uri.path().ends_with(":streamGenerateContent");
    rules.need(
        path && uri.query() == Some("alt=sse"),
        "the path must be /v1beta/models/MODEL:streamGenerateContent?alt=sse",
    );
    rules.need(headers.contains_key("x-goog-api-key"), "x-goog-api-key is missing");
    rules.only("body", body, &["systemInstruction", "tools", "contents", "generationConfig"]);
    let tool = |tool: &Value| ToolSpec {
        name: text(tool, "name").to_owned(),
        description: text(tool, "description").to_owned(),
        parameters: tool.get("parametersJsonSchema").cloned().unwrap_or_default(),
        parallel: true,
        read_only: false,
    };
    let tools = items(body, "tools")
        .iter()
        .flat_map(|entry| items(entry, "functionDeclarations"))
        .map(tool)
        .collect();
    let mut messages = Vec::new();
    let mut before = None;
    let mut calls = 0;
    for (index, value) in items(body, "contents").iter().enumerate() {
        let place = format!("contents.{index}");
        let role = match text(value, "role") {
            "user" => Role::User,
            "model" => Role::Assistant,
            other => {
                rules.need(false, format!("{place}: unknown role {other:?}"));
                continue;
            }
        };
        rules.need(before != Some(role), format!("{place}: the roles must alternate"));
        before = Some(role);
        let parts = items(value, "parts");
        rules.need(!parts.is_empty(), format!("{place}: parts must not be empty"));
        let count = |name: &str| parts.iter().filter(|part| part.get(name).is_some()).count();
        rules.need(
            count("functionResponse") == std::mem::replace(&mut calls, count("functionCall")),
            format!(
                "{place}: the number of function response parts must equal that of the function call parts"
            ),
        );
        signatures(rules, &place, parts);
        let blocks = parts.iter().map(|part| block(rules, &place, role, part)).collect();
        add(&mut messages, role, blocks);
    }
    let max = body.pointer("/generationConfig/maxOutputTokens").and_then(Value::as_u64);
    let system = body
        .pointer("/systemInstruction/parts/0/text")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    Content { system, tools, messages, max_tokens: max.unwrap_or(0) }
}

/// The first call of an answer carries a signature: its own, or the word that stands in for one.
fn signatures(rules: &mut Rules, place: &str, parts: &[Value]) {
    let Some(part) = parts.iter().find(|part| part.get("functionCall").is_some()) else { return };
    let signature = text(part, "thoughtSignature");
    let own = seal(text(&part["functionCall"], "id"));
    let good = signature == own || signature == "skip_thought_signature_validator";
    rules.need(good, format!("{place}: Function call is missing a thought_signature"));
}

fn block(rules: &mut Rules, place: &str, role: Role, part: &Value) -> Block {
    let user = role == Role::User;
    if let Some(call) = part.get("functionCall").filter(|_| !user) {
        rules.name(place, text(call, "name"));
        rules.need(call["args"].is_object(), format!("{place}: args must be an object"));
        return Block::ToolCall(ToolCall {
            provider_id: text(call, "id").to_owned(),
            name: text(call, "name").to_owned(),
            arguments: call["args"].to_string(),
            opaque: None,
        });
    }
    if let Some(response) = part.get("functionResponse").filter(|_| user) {
        let output = response.pointer("/response/output").and_then(Value::as_str);
        let error = response.pointer("/response/error").and_then(Value::as_str);
        rules.need(output.is_some() != error.is_some(), format!("{place}: a response has output or error"));
        return Block::ToolResult(ToolResult {
            provider_id: text(response, "id").to_owned(),
            name: text(response, "name").to_owned(),
            text: output.or(error).unwrap_or_default().to_owned(),
            images: Vec::new(),
            is_error: error.is_some(),
        });
    }
    if let Some(data) = part.get("inlineData").filter(|_| user) {
        return image(text(data, "mimeType"), &rules.text(place, data, "/data"));
    }
    rules.need(
        part.get("text").is_some_and(Value::is_string),
        format!("{place}: a part that may not stand here: {part}"),
    );
    Block::text(text(part, "text"))
}

pub(super) fn stream(answer: &Answer, request: &ModelRequest) -> Vec<String> {
    let chunk = |part: Value, finish: Value| {
        let mut candidate = json!({"content": {"role": "model", "parts": [part]}, "index": 0});
        if !finish.is_null() {
            candidate["finishReason"] = finish;
        }
        let counts = json!({
            "promptTokenCount": answer.usage.prompt(), "cachedContentTokenCount": answer.usage.cache_read,
            "candidatesTokenCount": answer.usage.output, "totalTokenCount": answer.usage.total(),
        });
        let data = json!({"candidates": [candidate], "usageMetadata": counts, "modelVersion": answer.model, "responseId": "r1"});
        format!("data: {data}\r\n\r\n")
    };
    let mut events = Vec::new();
    let mut signed = false;
    for block in &answer.blocks {
        match block {
            Block::Reasoning(reasoning) => {
                let thoughts = pieces(&reasoning.text, 9).into_iter();
                events.extend(
                    thoughts.map(|piece| chunk(json!({"text": piece, "thought": true}), Value::Null)),
                );
            }
            Block::Text { text } => {
                events.extend(
                    pieces(text, 11).into_iter().map(|piece| chunk(json!({ "text": piece }), Value::Null)),
                );
            }
            Block::ToolCall(call) => {
                // Gemini has no malformed arguments: what is not an object arrives as none.
                let args: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
                let mut part =
                    json!({"functionCall": {"id": call.provider_id, "name": call.name, "args": args}});
                if !std::mem::replace(&mut signed, true) {
                    part["thoughtSignature"] = seal(&call.provider_id).into();
                }
                events.push(chunk(part, Value::Null));
            }
            Block::ToolResult(_) | Block::Image(_) => (),
        }
    }
    let finish = match &answer.stop {
        StopReason::EndTurn | StopReason::ToolUse => "STOP",
        StopReason::MaxTokens | StopReason::ContextFull => "MAX_TOKENS",
        StopReason::Refusal { .. } => "SAFETY",
        StopReason::Other { name } => name,
    };
    // The signature of an answer without calls arrives with an empty text at its end.
    let mut last = json!({"text": ""});
    if !signed && !request.tools.is_empty() {
        last["thoughtSignature"] = seal("").into();
    }
    events.push(chunk(last, finish.into()));
    events
}
