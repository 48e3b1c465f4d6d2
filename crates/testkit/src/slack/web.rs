//! The methods of the Web API.

use std::sync::{Arc, Mutex};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    Arguments, Slack, locked,
    state::{SlackFault, SlackMessage, State},
};

/// What is said, or why not.
type Answer = Result<Value, &'static str>;

pub(super) async fn answer(state: Arc<Mutex<State>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let method = parts.uri.path().strip_prefix("/api/").unwrap_or_default().to_owned();
    let query = parts.uri.query().unwrap_or_default();
    let arguments = arguments(&parts.headers, query, &body);
    let (fault, answer, scopes) = {
        let mut state = locked(&state);
        state.note(&method, &arguments);
        let fault = state.fault(&method);
        let answer = match &fault {
            None | Some(SlackFault::Lost | SlackFault::Slow(_)) => {
                answered(&mut state, &method, &parts.headers, &arguments)
            }
            Some(SlackFault::Status(..) | SlackFault::Error(_) | SlackFault::Nonsense) => Ok(Value::Null),
        };
        (fault, answer, state.scopes.clone())
    };
    match fault {
        None => {}
        Some(SlackFault::Status(status, after)) => {
            let mut response = StatusCode::from_u16(status).unwrap().into_response();
            if let Some(after) = after {
                response.headers_mut().insert(header::RETRY_AFTER, after.into());
            }
            return response;
        }
        Some(SlackFault::Error(error)) => return json_of(&json!({ "ok": false, "error": error }), &scopes),
        Some(SlackFault::Nonsense) => return "<html>".into_response(),
        Some(SlackFault::Lost) => {
            let broken =
                futures_util::stream::once(async { Err::<bytes::Bytes, _>(std::io::Error::other("cut")) });
            return Response::new(Body::from_stream(broken));
        }
        Some(SlackFault::Slow(wait)) => tokio::time::sleep(wait).await,
    }
    let body = match answer {
        Ok(mut body) => {
            body["ok"] = true.into();
            body
        }
        Err("missing_scope") => {
            json!({ "ok": false, "error": "missing_scope", "needed": method, "provided": scopes })
        }
        Err(error) => json!({ "ok": false, "error": error }),
    };
    json_of(&body, &scopes)
}

fn json_of(body: &Value, scopes: &str) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    let mut response = (headers, body.to_string()).into_response();
    response.headers_mut().insert("x-oauth-scopes", scopes.parse().unwrap());
    response
}

/// The arguments of a request: in its query, and in its body as a form or as JSON.
fn arguments(headers: &HeaderMap, query: &str, body: &[u8]) -> Arguments {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let mut arguments: Arguments = form(query.as_bytes());
    if kind.starts_with("application/json") && !body.is_empty() {
        let json: Value = serde_json::from_slice(body).unwrap();
        arguments.extend(
            json.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())),
        );
    } else {
        arguments.extend(form(body));
    }
    arguments
}

fn form(text: &[u8]) -> Arguments {
    let pairs = url::form_urlencoded::parse(text);
    pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect()
}

/// A text among the arguments.
fn text<'a>(arguments: &'a Arguments, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// An argument that is JSON: as such, or as a text in a form.
fn structured(arguments: &Arguments, name: &str) -> Result<Value, &'static str> {
    match arguments.get(name) {
        None => Ok(Value::Null),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| "invalid_arguments"),
        Some(value) => Ok(value.clone()),
    }
}

fn answered(state: &mut State, method: &str, headers: &HeaderMap, arguments: &Arguments) -> Answer {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = bearer.strip_prefix("Bearer ").unwrap_or_default();
    let wanted = if method == "apps.connections.open" { Slack::APP_TOKEN } else { Slack::BOT_TOKEN };
    if token.is_empty() {
        return Err("not_authed");
    }
    if token != wanted {
        return Err("invalid_auth");
    }
    if state.revoked {
        return Err("token_revoked");
    }
    let known: &[&str] = match method {
        "auth.test" | "api.test" | "apps.connections.open" => &[],
        "users.info" => &["user", "include_locale"],
        "usergroups.users.list" => &["usergroup", "include_disabled", "team_id"],
        "conversations.replies" => {
            &["channel", "ts", "cursor", "include_all_metadata", "inclusive", "latest", "limit", "oldest"]
        }
        "reactions.add" => &["channel", "timestamp", "name"],
        "chat.postMessage" => &[
            "channel",
            "thread_ts",
            "reply_broadcast",
            "text",
            "blocks",
            "metadata",
            "unfurl_links",
            "unfurl_media",
            "link_names",
            "parse",
            "mrkdwn",
        ],
        "chat.update" => &["channel", "ts", "text", "blocks", "metadata", "link_names", "parse"],
        _ => return Err("unknown_method"),
    };
    if arguments.keys().any(|name| !known.contains(&name.as_str())) {
        return Err("invalid_arguments");
    }
    match method {
        "auth.test" => Ok(json!({
            "url": "https://workspace.slack.com/", "team": "Workspace", "user": "cofferdam", "team_id": Slack::TEAM,
            "user_id": Slack::APP.0, "bot_id": Slack::APP.1, "is_enterprise_install": false,
        })),
        "users.info" => state
            .people
            .get(text(arguments, "user"))
            .map(|user| json!({ "user": user }))
            .ok_or("user_not_found"),
        "usergroups.users.list" => {
            if !state.scopes.contains("usergroups:read") {
                return Err("missing_scope");
            }
            state
                .groups
                .get(text(arguments, "usergroup"))
                .map(|users| json!({ "users": users }))
                .ok_or("no_such_subteam")
        }
        "conversations.replies" => replies(state, arguments),
        "reactions.add" => react(state, arguments),
        "chat.postMessage" => post(state, arguments),
        "chat.update" => update(state, arguments),
        "apps.connections.open" => {
            let ticket = format!("ticket-{}", state.next());
            let url = format!("{}?ticket={ticket}&app_id=A0APP", state.socket);
            state.tickets.insert(ticket);
            Ok(json!({ "url": url }))
        }
        _ => Ok(json!({})),
    }
}

fn replies(state: &State, arguments: &Arguments) -> Answer {
    let (channel, ts, latest) =
        (text(arguments, "channel"), text(arguments, "ts"), text(arguments, "latest"));
    let oldest = text(arguments, "oldest");
    let limit: usize = text(arguments, "limit").parse().unwrap_or(1000);
    let metadata = matches!(text(arguments, "include_all_metadata"), "true" | "1");
    let thread: Vec<&SlackMessage> = state
        .messages
        .iter()
        .filter(|message| {
            message.channel == channel && (message.ts == ts || message.thread.as_deref() == Some(ts))
        })
        .filter(|message| latest.is_empty() || *message.ts <= *latest)
        // The first one of a thread always comes with it.
        .filter(|message| oldest.is_empty() || *message.ts > *oldest || message.ts == ts)
        .collect();
    if thread.is_empty() {
        return Err("thread_not_found");
    }
    let start: usize = text(arguments, "cursor").parse().unwrap_or_default();
    let page: Vec<Value> =
        thread.iter().skip(start).take(limit).map(|message| shown(message, metadata)).collect();
    let next = start + page.len();
    let more = next < thread.len();
    let cursor = if more { next.to_string() } else { String::new() };
    Ok(json!({ "messages": page, "has_more": more, "response_metadata": { "next_cursor": cursor } }))
}

fn shown(message: &SlackMessage, metadata: bool) -> Value {
    let mut shown = json!({ "type": "message", "user": message.user, "text": message.text, "ts": message.ts, "team": Slack::TEAM });
    if let Some(thread) = &message.thread {
        shown["thread_ts"] = thread.as_str().into();
    }
    if message.bot {
        shown["bot_id"] = Slack::APP.1.into();
        shown["blocks"] = message.blocks.clone();
    }
    if metadata && !message.metadata.is_null() {
        shown["metadata"] = message.metadata.clone();
    }
    shown
}

fn react(state: &mut State, arguments: &Arguments) -> Answer {
    let (channel, ts, name) =
        (text(arguments, "channel"), text(arguments, "timestamp"), text(arguments, "name"));
    if state.message(channel, ts).is_none() {
        return Err("message_not_found");
    }
    let reactions = state.reactions.entry((channel.to_owned(), ts.to_owned())).or_default();
    if reactions.iter().any(|known| known == name) {
        return Err("already_reacted");
    }
    reactions.push(name.to_owned());
    Ok(json!({}))
}

/// What is to be shown, within its limits.
fn content(arguments: &Arguments) -> Result<(String, Value, Value), &'static str> {
    let (said, blocks) = (text(arguments, "text").to_owned(), structured(arguments, "blocks")?);
    let metadata = structured(arguments, "metadata")?;
    if said.is_empty() && blocks.is_null() {
        return Err("no_text");
    }
    if said.chars().count() > 40_000 {
        return Err("msg_too_long");
    }
    let list = blocks.as_array().map(Vec::as_slice).unwrap_or_default();
    let fits = |block: &Value| match block["type"].as_str() {
        Some("section") => {
            (1..=3_000).contains(&block["text"]["text"].as_str().unwrap_or_default().chars().count())
        }
        Some("actions") => {
            let elements = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
            let fits = |button: &Value| {
                let (text, url) = (&button["text"]["text"], button["url"].as_str().unwrap_or_default());
                text.as_str().is_some_and(|text| text.chars().count() <= 75)
                    && url.len() <= 3_000
                    && button["action_id"].is_string()
            };
            (1..=25).contains(&elements.len()) && elements.iter().all(fits)
        }
        Some("rich_text") => block["elements"].is_array(),
        Some(_) | None => false,
    };
    if list.len() > 50 || !list.iter().all(fits) {
        return Err("invalid_blocks");
    }
    let is_metadata = metadata["event_type"].is_string() && metadata["event_payload"].is_object();
    if !metadata.is_null() && !is_metadata {
        return Err("invalid_metadata_format");
    }
    Ok((said, blocks, metadata))
}

fn post(state: &mut State, arguments: &Arguments) -> Answer {
    let (channel, thread) = (text(arguments, "channel"), text(arguments, "thread_ts"));
    let (said, blocks, metadata) = content(arguments)?;
    if !channel.starts_with(['C', 'G', 'D']) {
        return Err("channel_not_found");
    }
    let thread = Some(thread).filter(|thread| !thread.is_empty());
    let message = SlackMessage::of(Slack::APP.0, channel, thread, &said);
    let message = SlackMessage { bot: true, blocks, metadata, ..message };
    let ts = state.say(message);
    let message = state.message(channel, &ts).map(|message| shown(message, true)).unwrap_or_default();
    Ok(json!({ "channel": channel, "ts": ts, "message": message }))
}

fn update(state: &mut State, arguments: &Arguments) -> Answer {
    let (channel, ts) = (text(arguments, "channel").to_owned(), text(arguments, "ts").to_owned());
    let (said, blocks, metadata) = content(arguments)?;
    let message = state.message(&channel, &ts).ok_or("message_not_found")?;
    if !message.bot {
        return Err("cant_update_message");
    }
    message.text.clone_from(&said);
    message.blocks = blocks;
    if !metadata.is_null() {
        message.metadata = metadata;
    }
    message.changed += 1;
    Ok(json!({ "channel": channel, "ts": ts, "text": said }))
}
