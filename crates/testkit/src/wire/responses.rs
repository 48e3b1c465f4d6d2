//! OpenAI Responses (<https://developers.openai.com/api/reference/resources/responses>).

use axum::http::{HeaderMap, Uri};
use cofferdam_domain::{
    Answer, Block, Role, StopReason, ToolCall, ToolSpec,
    message::{Reasoning, ToolResult},
};
use serde_json::{Value, json};

use super::{Content, add, image, items, text};
use crate::rules::{Rules, pieces, seal};

const FIELDS: &[&str] = &[
    "model",
    "instructions",
    "tools",
    "parallel_tool_calls",
    "input",
    "max_output_tokens",
    "prompt_cache_key",
    "store",
    "stream",
    "include",
    "reasoning",
];

pub(super) fn read(rules: &mut Rules, uri: &Uri, headers: &HeaderMap, body: &Value) -> Content {
    rules.need(uri.path() == "/v1/responses", "the path must be /v1/responses");
    let bearer = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("Bearer "));
    rules.need(bearer, "authorization is missing");
    rules.only("body", body, FIELDS);
    let model = rules.text("body", body, "/model");
    rules.need(body.get("stream") == Some(&json!(true)), "stream must be true");
    rules.need(body.get("store") == Some(&json!(false)), "store must be false");
    let key = rules.text("body", body, "/prompt_cache_key");
    rules.need(key.len() <= 64, "prompt_cache_key must have at most 64 characters");
    let sealed = items(body, "include").contains(&json!("reasoning.encrypted_content"));
    rules.need(
        reasons(&model).is_none_or(|reasons| reasons == sealed),
        "encrypted reasoning must be asked for from reasoning models, and only from them",
    );
    let tool = |tool: &Value| ToolSpec {
        name: text(tool, "name").to_owned(),
        description: text(tool, "description").to_owned(),
        parameters: tool.get("parameters").cloned().unwrap_or_default(),
        parallel: true,
        read_only: false,
    };
    let mut messages = Vec::new();
    let input = items(body, "input");
    for (index, value) in input.iter().enumerate() {
        let next = input.get(index + 1).map(|next| text(next, "type")).unwrap_or_default();
        item(rules, &format!("input.{index}"), value, next, &mut messages);
    }
    Content {
        system: text(body, "instructions").to_owned(),
        tools: items(body, "tools").iter().map(tool).collect(),
        messages,
        max_tokens: body
            .get("max_output_tokens")
            .and_then(Value::as_u64)
            .filter(|max| *max >= 16)
            .unwrap_or(0),
    }
}

/// Whether a model at OpenAI is a reasoning model, by its name; `None` for names of nobody's, as other servers have them.
fn reasons(model: &str) -> Option<bool> {
    let mut rest = model.strip_prefix("gpt-").or(model.strip_prefix('o'))?.chars();
    let generation = rest.next()?.to_digit(10)?;
    Some(model.starts_with('o') || generation >= 5)
}

fn item(
    rules: &mut Rules,
    place: &str,
    value: &Value,
    next: &str,
    messages: &mut Vec<cofferdam_domain::Message>,
) {
    let (role, block) = match text(value, "type") {
        "message" => {
            let user = text(value, "role") == "user";
            rules.need(user || text(value, "role") == "assistant", format!("{place}: unknown role"));
            rules.only(place, value, &["type", "role", "content", "phase"]);
            let role = if user { Role::User } else { Role::Assistant };
            let blocks = items(value, "content").iter().map(|part| match (text(part, "type"), user) {
                ("input_text", true) | ("output_text", false) => Block::text(text(part, "text")),
                ("input_image", true) => image("image", text(part, "image_url")),
                (other, _) => {
                    rules.need(false, format!("{place}: a part of type {other:?} may not stand here"));
                    Block::text("")
                }
            });
            let blocks: Vec<Block> = blocks.collect();
            rules.need(!blocks.is_empty(), format!("{place}: content must not be empty"));
            add(messages, role, blocks);
            return;
        }
        "reasoning" => {
            let thought: String = items(value, "summary").iter().map(|part| text(part, "text")).collect();
            rules.need(
                text(value, "encrypted_content") == seal(&thought),
                format!("{place}: The encrypted content could not be verified"),
            );
            rules.need(
                text(value, "id").starts_with("rs_"),
                format!("{place}: the id of the reasoning item is missing"),
            );
            let followed = matches!(next, "function_call" | "reasoning" | "message");
            rules.need(
                followed,
                format!("{place}: reasoning was provided without its required following item"),
            );
            (Role::Assistant, Block::Reasoning(Reasoning { text: thought, opaque: None }))
        }
        "function_call" => {
            rules.only(place, value, &["type", "call_id", "name", "arguments"]);
            let arguments = text(value, "arguments").to_owned();
            let object =
                serde_json::from_str::<Value>(&arguments).is_ok_and(|arguments| arguments.is_object());
            rules.need(object, format!("{place}: arguments must be the text of an object"));
            rules.name(place, text(value, "call_id"));
            rules.name(place, text(value, "name"));
            let (provider_id, name) = (text(value, "call_id").to_owned(), text(value, "name").to_owned());
            (Role::Assistant, Block::ToolCall(ToolCall { provider_id, name, arguments, opaque: None }))
        }
        "function_call_output" => {
            rules.only(place, value, &["type", "call_id", "output"]);
            let output = value.get("output").cloned().unwrap_or_default();
            let parts = output.as_array().into_iter().flatten().map(|part| text(part, "text"));
            let result = ToolResult {
                provider_id: text(value, "call_id").to_owned(),
                name: String::new(),
                text: output.as_str().map_or_else(|| parts.collect(), str::to_owned),
                images: Vec::new(),
                is_error: false,
            };
            (Role::User, Block::ToolResult(result))
        }
        other => {
            rules.need(false, format!("{place}: unknown item type {other:?}"));
            return;
        }
    };
    add(messages, role, vec![block]);
}

pub(super) fn stream(answer: &Answer) -> Vec<String> {
    let event = |data: Value| format!("event: {}\ndata: {data}\n\n", text(&data, "type"));
    let mut events =
        vec![event(json!({"type": "response.created", "response": {"id": "resp_1", "model": answer.model}}))];
    let mut output = Vec::new();
    for (index, block) in answer.blocks.iter().enumerate() {
        let (begun, deltas, done) = content(index, block, &answer.stop);
        events
            .push(event(json!({"type": "response.output_item.added", "output_index": index, "item": begun})));
        events.extend(deltas.into_iter().map(|(kind, delta)| {
            event(json!({"type": kind, "output_index": index, "item_id": "x", "delta": delta}))
        }));
        events.push(event(json!({"type": "response.output_item.done", "output_index": index, "item": done})));
        output.push(done);
    }
    let (kind, status, why) = if answer.stop == StopReason::MaxTokens {
        ("response.incomplete", "incomplete", json!({"reason": "max_output_tokens"}))
    } else {
        ("response.completed", "completed", Value::Null)
    };
    let usage = &answer.usage;
    events.push(event(json!({"type": kind, "response": {
        "id": "resp_1", "model": answer.model, "status": status, "incomplete_details": why, "output": output,
        "usage": {
            "input_tokens": usage.prompt(), "input_tokens_details": {"cached_tokens": usage.cache_read},
            "output_tokens": usage.output, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.total(),
        },
    }})));
    events
}

/// An item as it begins, its deltas, and as it is done.
fn content(index: usize, block: &Block, stop: &StopReason) -> (Value, Vec<(&'static str, String)>, Value) {
    let deltas = |kind, text: &str| pieces(text, 9).into_iter().map(|piece| (kind, piece)).collect();
    match block {
        Block::Reasoning(reasoning) => {
            let done = json!({
                "id": format!("rs_{index}"), "type": "reasoning", "encrypted_content": seal(&reasoning.text),
                "summary": [{"type": "summary_text", "text": reasoning.text}],
            });
            let begun = json!({"id": format!("rs_{index}"), "type": "reasoning", "summary": []});
            (begun, deltas("response.reasoning_summary_text.delta", &reasoning.text), done)
        }
        Block::ToolCall(call) => {
            let item = |arguments: &str| {
                json!({
                    "id": format!("fc_{index}"), "type": "function_call", "status": "completed",
                    "call_id": call.provider_id, "name": call.name, "arguments": arguments,
                })
            };
            (
                item(""),
                deltas("response.function_call_arguments.delta", &call.arguments),
                item(&call.arguments),
            )
        }
        Block::Text { text } => {
            let refused = matches!(stop, StopReason::Refusal { .. });
            let part = if refused {
                json!({"type": "refusal", "refusal": text})
            } else {
                json!({"type": "output_text", "text": text, "annotations": []})
            };
            let item = |content: Vec<Value>| {
                json!({
                    "id": format!("msg_{index}"), "type": "message", "role": "assistant", "status": "completed",
                    "content": content, "phase": "commentary",
                })
            };
            (item(Vec::new()), deltas("response.output_text.delta", text), item(vec![part]))
        }
        Block::ToolResult(_) | Block::Image(_) => {
            (json!({"type": "other"}), Vec::new(), json!({"type": "other"}))
        }
    }
}
