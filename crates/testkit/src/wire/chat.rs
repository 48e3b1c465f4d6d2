//! OpenAI-compatible Chat Completions (<https://developers.openai.com/api/reference/resources/chat>).

use axum::http::{HeaderMap, Uri};
use cofferdam_domain::{Answer, Block, Role, StopReason, ToolCall, ToolSpec, message::ToolResult};
use serde_json::{Value, json};

use super::{Content, add, image, items, text};
use crate::rules::{Rules, pieces};

const FIELDS: &[&str] = &[
    "model",
    "messages",
    "tools",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "prompt_cache_key",
    "reasoning_effort",
    "reasoning",
    "cache_control",
];

pub(super) fn read(rules: &mut Rules, uri: &Uri, _headers: &HeaderMap, body: &Value) -> Content {
    rules.need(uri.path() == "/v1/chat/completions", "the path must be /v1/chat/completions");
    rules.only("body", body, FIELDS);
    rules.text("body", body, "/model");
    rules.need(body.get("stream") == Some(&json!(true)), "stream must be true");
    rules
        .need(body.pointer("/stream_options/include_usage") == Some(&json!(true)), "usage must be asked for");
    let tool = |tool: &Value| {
        let function = &tool["function"];
        ToolSpec {
            name: text(function, "name").to_owned(),
            description: text(function, "description").to_owned(),
            parameters: function.get("parameters").cloned().unwrap_or_default(),
            parallel: true,
            read_only: false,
        }
    };
    let max = body.get("max_tokens").or_else(|| body.get("max_completion_tokens")).and_then(Value::as_u64);
    let mut content = Content {
        tools: items(body, "tools").iter().map(tool).collect(),
        max_tokens: max.unwrap_or(0),
        ..Content::default()
    };
    let mut open: Vec<String> = Vec::new();
    for (index, value) in items(body, "messages").iter().enumerate() {
        let place = format!("messages.{index}");
        if text(value, "role") != "tool" {
            rules.need(
                open.is_empty(),
                format!("{place}: tool_calls must be followed by tool messages responding to each: {open:?}"),
            );
            open.clear();
        }
        message(rules, &place, value, &mut open, &mut content);
    }
    content
}

fn message(rules: &mut Rules, place: &str, value: &Value, open: &mut Vec<String>, content: &mut Content) {
    match text(value, "role") {
        "system" => {
            rules.need(
                content.messages.is_empty() && content.system.is_empty(),
                format!("{place}: system must come first"),
            );
            content.system = text(value, "content").to_owned();
        }
        "user" => {
            let blocks = match value["content"].as_str() {
                Some(text) => vec![Block::text(text)],
                None => items(value, "content").iter().map(|part| part_block(rules, place, part)).collect(),
            };
            rules.need(!blocks.is_empty(), format!("{place}: content must not be empty"));
            add(&mut content.messages, Role::User, blocks);
        }
        "assistant" => {
            let calls = items(value, "tool_calls");
            let said = value["content"].is_string();
            rules.need(said || !calls.is_empty(), format!("{place}: content is missing"));
            let mut blocks = vec![Block::text(text(value, "content"))];
            for call in calls {
                let arguments = text(&call["function"], "arguments").to_owned();
                let object =
                    serde_json::from_str::<Value>(&arguments).is_ok_and(|arguments| arguments.is_object());
                rules.need(object, format!("{place}: arguments must be the text of an object"));
                let (id, name) = (text(call, "id").to_owned(), text(&call["function"], "name").to_owned());
                rules.name(place, &id);
                rules.name(place, &name);
                open.push(id.clone());
                blocks.push(Block::ToolCall(ToolCall { provider_id: id, name, arguments, opaque: None }));
            }
            add(&mut content.messages, Role::Assistant, blocks);
        }
        "tool" => {
            rules.only(place, value, &["role", "tool_call_id", "content"]);
            let id = text(value, "tool_call_id").to_owned();
            rules.need(open.contains(&id), format!("{place}: no open call {id:?}"));
            open.retain(|call| *call != id);
            let text = text(value, "content").to_owned();
            let result = ToolResult {
                provider_id: id,
                name: String::new(),
                text,
                images: Vec::new(),
                is_error: false,
            };
            add(&mut content.messages, Role::User, vec![Block::ToolResult(result)]);
        }
        other => rules.need(false, format!("{place}: unknown role {other:?}")),
    }
}

fn part_block(rules: &mut Rules, place: &str, part: &Value) -> Block {
    match text(part, "type") {
        "text" => Block::text(text(part, "text")),
        "image_url" => image("image", &rules.text(place, part, "/image_url/url")),
        other => {
            rules.need(false, format!("{place}: unknown part {other:?}"));
            Block::text("")
        }
    }
}

pub(super) fn stream(answer: &Answer) -> Vec<String> {
    let chunk = |delta: Value, finish: Value, usage: Value| {
        let choices = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        let data = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": answer.model, "choices": choices, "usage": usage});
        format!("data: {data}\n\n")
    };
    let delta = |delta: Value| chunk(delta, Value::Null, Value::Null);
    let mut events = vec![": keep-alive\n\n".to_owned(), delta(json!({"role": "assistant", "content": ""}))];
    let mut calls = 0;
    for block in &answer.blocks {
        match block {
            Block::Reasoning(reasoning) => {
                events.extend(
                    pieces(&reasoning.text, 9)
                        .into_iter()
                        .map(|piece| delta(json!({"reasoning_content": piece}))),
                );
            }
            Block::Text { text } => {
                events.extend(pieces(text, 11).into_iter().map(|piece| delta(json!({"content": piece}))));
            }
            Block::ToolCall(call) => {
                let function = json!({"name": call.name, "arguments": ""});
                events.push(delta(json!({"tool_calls": [{"index": calls, "id": call.provider_id, "type": "function", "function": function}]})));
                events.extend(pieces(&call.arguments, 7).into_iter().map(|piece| {
                    delta(json!({"tool_calls": [{"index": calls, "function": {"arguments": piece}}]}))
                }));
                calls += 1;
            }
            Block::ToolResult(_) | Block::Image(_) => (),
        }
    }
    let finish = match &answer.stop {
        StopReason::EndTurn => "stop",
        StopReason::ToolUse => "tool_calls",
        StopReason::MaxTokens | StopReason::ContextFull => "length",
        StopReason::Refusal { .. } => "content_filter",
        StopReason::Other { name } => name,
    };
    events.push(chunk(json!({}), finish.into(), Value::Null));
    let usage = &answer.usage;
    let counts = json!({
        "prompt_tokens": usage.prompt(), "completion_tokens": usage.output, "total_tokens": usage.total(),
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
    });
    events.push(format!(
        "data: {}\n\n",
        json!({"id": "chatcmpl-1", "model": answer.model, "choices": [], "usage": counts})
    ));
    events.push("data: [DONE]\n\n".to_owned());
    events
}
