//! Anthropic Messages (<https://platform.claude.com/docs/en/api/messages>).

use axum::http::{HeaderMap, Uri};
use cofferdam_domain::{
    Answer, Block, Role, StopReason, ToolCall, ToolSpec,
    message::{Reasoning, ToolResult},
};
use serde_json::{Value, json};

use super::{Content, add, image, items, text};
use crate::rules::{Rules, pieces, seal};

const FIELDS: &[&str] =
    &["model", "max_tokens", "messages", "system", "tools", "stream", "thinking", "output_config"];

pub(super) fn read(rules: &mut Rules, uri: &Uri, headers: &HeaderMap, body: &Value) -> Content {
    rules.need(uri.path() == "/v1/messages", "the path must be /v1/messages");
    rules.need(
        headers.get("anthropic-version").is_some_and(|version| version == "2023-06-01"),
        "anthropic-version is missing",
    );
    rules.need(headers.contains_key("x-api-key"), "x-api-key is missing");
    rules.only("body", body, FIELDS);
    rules.text("body", body, "/model");
    rules.need(body.get("stream") == Some(&json!(true)), "stream must be true");
    let marks = body.to_string().matches(r#""cache_control":{"type":"ephemeral"}"#).count();
    rules.need(
        (1..=4).contains(&marks),
        format!("{marks} cache marks: at least 1 is useful and at most 4 are allowed"),
    );
    let max_tokens = body.get("max_tokens").and_then(Value::as_u64).unwrap_or(0);
    if let Some(budget) = body.pointer("/thinking/budget_tokens").and_then(Value::as_u64) {
        rules.need(
            (1024..max_tokens).contains(&budget),
            "budget_tokens must be at least 1024 and below max_tokens",
        );
    }
    let tool = |tool: &Value| ToolSpec {
        name: text(tool, "name").to_owned(),
        description: text(tool, "description").to_owned(),
        parameters: tool.get("input_schema").cloned().unwrap_or_default(),
        parallel: true,
        read_only: false,
    };
    let mut messages = Vec::new();
    let mut before = None;
    for (index, message) in items(body, "messages").iter().enumerate() {
        let place = format!("messages.{index}");
        let role = match text(message, "role") {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => {
                rules.need(false, format!("{place}: unknown role {other:?}"));
                continue;
            }
        };
        rules.need(before != Some(role), format!("{place}: the roles must alternate"));
        before = Some(role);
        let content = items(message, "content");
        rules.need(!content.is_empty(), format!("{place}: content must not be empty"));
        let is_result = |block: &Value| text(block, "type") == "tool_result";
        let late = content.iter().skip_while(|block| is_result(block)).any(is_result);
        rules.need(!late, format!("{place}: tool results must come first"));
        let blocks = content.iter().flat_map(|value| block(rules, &place, role, value)).collect();
        add(&mut messages, role, blocks);
    }
    if body.pointer("/thinking/type") == Some(&json!("enabled")) {
        thinking_leads(rules, body);
    }
    let system = items(body, "system").iter().map(|part| text(part, "text")).collect();
    Content { system, tools: items(body, "tools").iter().map(tool).collect(), messages, max_tokens }
}

/// With a thinking budget, a turn of the model that waits for results must have begun with thinking.
fn thinking_leads(rules: &mut Rules, body: &Value) {
    let messages = items(body, "messages");
    let Some([assistant, user]) = messages.last_chunk::<2>() else { return };
    let waits = items(user, "content").iter().any(|block| text(block, "type") == "tool_result");
    let first = items(assistant, "content").first().map(|block| text(block, "type")).unwrap_or_default();
    rules.need(
        !waits || first.ends_with("thinking"),
        format!("Expected `thinking` or `redacted_thinking`, but found `{first}`"),
    );
}

fn block(rules: &mut Rules, place: &str, role: Role, value: &Value) -> Vec<Block> {
    let user = role == Role::User;
    match text(value, "type") {
        "text" => {
            rules.only(place, value, &["type", "text", "cache_control"]);
            rules.need(!text(value, "text").trim().is_empty(), format!("{place}: text must not be blank"));
            vec![Block::text(text(value, "text"))]
        }
        "image" if user => {
            vec![image(text(&value["source"], "media_type"), &rules.text(place, value, "/source/data"))]
        }
        "thinking" if !user => {
            rules.only(place, value, &["type", "thinking", "signature"]);
            let thought = text(value, "thinking");
            rules.need(
                text(value, "signature") == seal(thought),
                format!("{place}: Invalid `signature` in `thinking` block"),
            );
            vec![Block::Reasoning(Reasoning { text: thought.to_owned(), opaque: None })]
        }
        "redacted_thinking" if !user => {
            rules.need(text(value, "data").starts_with("sealed-"), format!("{place}: bad redacted_thinking"));
            Vec::new()
        }
        "tool_use" if !user => {
            rules.only(place, value, &["type", "id", "name", "input"]);
            rules.name(place, text(value, "id"));
            rules.name(place, text(value, "name"));
            rules.need(
                value.get("input").is_some_and(Value::is_object),
                format!("{place}: input must be an object"),
            );
            vec![Block::ToolCall(ToolCall {
                provider_id: text(value, "id").to_owned(),
                name: text(value, "name").to_owned(),
                arguments: value["input"].to_string(),
                opaque: None,
            })]
        }
        "tool_result" if user => {
            rules.only(place, value, &["type", "tool_use_id", "content", "is_error", "cache_control"]);
            let parts = items(value, "content");
            vec![Block::ToolResult(ToolResult {
                provider_id: text(value, "tool_use_id").to_owned(),
                name: String::new(),
                text: parts.iter().map(|part| text(part, "text")).collect(),
                images: Vec::new(),
                is_error: value.get("is_error") == Some(&json!(true)),
            })]
        }
        other => {
            rules.need(false, format!("{place}: a block of type {other:?} may not stand here"));
            Vec::new()
        }
    }
}

pub(super) fn stream(answer: &Answer) -> Vec<String> {
    let event = |name: &str, data: Value| format!("event: {name}\ndata: {data}\n\n");
    let usage = &answer.usage;
    let start = json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": answer.model, "content": [],
        "stop_reason": null, "usage": {
            "input_tokens": usage.input, "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cache_read, "output_tokens": 1,
        },
    }});
    let mut events = vec![event("message_start", start), event("ping", json!({"type": "ping"}))];
    for (index, block) in answer.blocks.iter().enumerate() {
        let (start, deltas) = content(block);
        events.push(event(
            "content_block_start",
            json!({"type": "content_block_start", "index": index, "content_block": start}),
        ));
        events.extend(deltas.into_iter().map(|delta| {
            event(
                "content_block_delta",
                json!({"type": "content_block_delta", "index": index, "delta": delta}),
            )
        }));
        events.push(event("content_block_stop", json!({"type": "content_block_stop", "index": index})));
    }
    let stop = match &answer.stop {
        StopReason::EndTurn => "end_turn",
        StopReason::ToolUse => "tool_use",
        StopReason::MaxTokens => "max_tokens",
        StopReason::Refusal { .. } => "refusal",
        StopReason::ContextFull => "model_context_window_exceeded",
        StopReason::Other { name } => name,
    };
    let delta = json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null}, "usage": {"output_tokens": usage.output}});
    events.push(event("message_delta", delta));
    events.push(event("message_stop", json!({"type": "message_stop"})));
    events
}

fn content(block: &Block) -> (Value, Vec<Value>) {
    match block {
        Block::Reasoning(reasoning) if reasoning.text.starts_with("[redacted]") => {
            (json!({"type": "redacted_thinking", "data": seal(&reasoning.text)}), Vec::new())
        }
        Block::Reasoning(reasoning) => {
            let mut deltas: Vec<Value> = pieces(&reasoning.text, 9)
                .into_iter()
                .map(|piece| json!({"type": "thinking_delta", "thinking": piece}))
                .collect();
            deltas.push(json!({"type": "signature_delta", "signature": seal(&reasoning.text)}));
            (json!({"type": "thinking", "thinking": "", "signature": ""}), deltas)
        }
        Block::ToolCall(call) => {
            let deltas = std::iter::once(String::new()).chain(pieces(&call.arguments, 7));
            let deltas =
                deltas.map(|piece| json!({"type": "input_json_delta", "partial_json": piece})).collect();
            (json!({"type": "tool_use", "id": call.provider_id, "name": call.name, "input": {}}), deltas)
        }
        Block::Text { text } => {
            let deltas = pieces(text, 11)
                .into_iter()
                .map(|piece| json!({"type": "text_delta", "text": piece}))
                .collect();
            (json!({"type": "text", "text": ""}), deltas)
        }
        Block::ToolResult(_) | Block::Image(_) => (json!({"type": "text", "text": ""}), Vec::new()),
    }
}
