//! The model that all peers ask: plays the same steps in the words of each one's own tools, over the wire format that it speaks, and writes down
//! what it was asked when. It runs in a process of its own, so that its work is not counted.
//!
//! Chat Completions and Responses as OpenAI documents them (<https://developers.openai.com/api/reference/resources/chat>,
//! <https://developers.openai.com/api/reference/resources/responses>), as much of them as the peers read.

use std::{
    ffi::OsStr,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{peer::Peer, prompt};
use crate::{figures::say, model_server::ModelServer, options::Options, session::now};

/// The name of the hidden benchmark that is the server.
pub(crate) const SERVE: &str = "serve-peers";
/// No request is longer.
const LONGEST: usize = 64 << 20;

/// What the server saw; times in nanoseconds of the monotonic clock.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Served {
    /// When each request for a step arrived.
    pub(super) asked: Vec<u64>,
    /// When each answer was handed to the kernel.
    pub(super) answered: Vec<u64>,
    /// The size of each request's body in bytes.
    pub(super) bodies: Vec<usize>,
    /// Bytes of other requests: for titles, summaries and the like.
    pub(super) beside: usize,
    /// Requests that contain the one before them whole.
    pub(super) extending: usize,
    /// The share of all prompts that a perfect cache could serve.
    pub(super) kept: f64,
}

/// Starts one that plays so many steps for a peer.
pub(super) fn start(peer: Peer, steps: usize, repository: &Path) -> Result<ModelServer> {
    let steps = steps.to_string();
    let told = [SERVE, "--peer", peer.name(), "--steps", &steps, "--repository"].map(OsStr::new);
    ModelServer::start(told.into_iter().chain([repository.as_os_str()]))
}

/// What is played, and what was seen.
struct Play {
    peer: Peer,
    steps: usize,
    repository: PathBuf,
    seen: Mutex<(Served, Vec<Value>)>,
}

/// Is the server: serves until standard input ends, then tells what it saw.
pub(crate) fn serve(arguments: impl Iterator<Item = String>) -> Result<()> {
    let options = Options::parse(arguments, &["peer", "steps", "repository"])?;
    let name = options.text("peer").context("--peer is missing")?;
    let play = Arc::new(Play {
        peer: Peer::ALL.into_iter().find(|peer| peer.name() == name).context("there is no such peer")?,
        steps: options.count("steps", 1)?,
        repository: options.path("repository").context("--repository is missing")?,
        seen: Mutex::default(),
    });
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        say(&format!("http://{}/v1", listener.local_addr()?));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&play));
        tokio::spawn(async move { axum::serve(listener, router).await });
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        let (mut served, bodies) =
            std::mem::take(&mut *play.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let mut prompts = prompt::Prompts::default();
        bodies.into_iter().for_each(|body| prompts.add(prompt::canonical(body)));
        (served.extending, served.kept) = (prompts.extending, prompts.kept());
        say(&serde_json::to_string(&served)?);
        Ok(())
    })
}

async fn answer(State(play): State<Arc<Play>>, request: Request) -> Response {
    let arrived = now();
    let path = request.uri().path().to_owned();
    let Ok(bytes) = to_bytes(request.into_body(), LONGEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        // Some ask first which models there are.
        let models = json!({ "object": "list", "data": [{ "id": "recorded", "object": "model" }] });
        return plain(&models);
    };
    let streamed = body["stream"] == true;
    // Whoever offers no tools wants a title or a summary.
    let step = body["tools"].as_array().is_some_and(|tools| !tools.is_empty()).then(|| {
        let mut seen = play.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0.asked.push(arrived);
        seen.0.bodies.push(bytes.len());
        seen.1.push(body);
        seen.0.asked.len() - 1
    });
    let (text, call) = match step {
        Some(step) => play.peer.said(step, play.steps, &play.repository),
        None => ("Marks in notes".to_owned(), None),
    };
    let response = if path.ends_with("/responses") {
        responses(&text, call.as_ref(), step)
    } else {
        chat(&text, call.as_ref(), step, streamed)
    };
    let mut seen = play.seen.lock().unwrap_or_else(PoisonError::into_inner);
    match step {
        Some(_) => seen.0.answered.push(now()),
        None => seen.0.beside += bytes.len(),
    }
    response
}

fn plain(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn events(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from(text)).into_response()
}

/// An answer of Chat Completions, streamed or not.
fn chat(text: &str, call: Option<&(&str, Value)>, step: Option<usize>, streamed: bool) -> Response {
    let mut message = json!({ "role": "assistant", "content": text });
    if let Some((tool, arguments)) = call {
        let function = json!({ "name": tool, "arguments": arguments.to_string() });
        let id = format!("call_{}", step.unwrap_or_default());
        message["tool_calls"] = json!([{ "index": 0, "id": id, "type": "function", "function": function }]);
    }
    let finish = if call.is_some() { "tool_calls" } else { "stop" };
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 });
    if !streamed {
        return plain(&json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "recorded", "usage": usage,
            "choices": [{ "index": 0, "message": message, "finish_reason": finish }],
        }));
    }
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "recorded", "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    events(
        [
            chunk(json!([{ "index": 0, "delta": message, "finish_reason": null }]), Value::Null),
            chunk(json!([{ "index": 0, "delta": {}, "finish_reason": finish }]), Value::Null),
            chunk(json!([]), usage),
            "data: [DONE]\n\n".to_owned(),
        ]
        .concat(),
    )
}

/// A streamed answer of Responses.
fn responses(text: &str, call: Option<&(&str, Value)>, step: Option<usize>) -> Response {
    let step = step.unwrap_or_default();
    let part = json!({ "type": "output_text", "text": text, "annotations": [] });
    let mut output = vec![json!({
        "id": format!("msg_{step}"), "type": "message", "role": "assistant", "status": "completed", "content": [part],
    })];
    output.extend(call.map(|(tool, arguments)| {
        json!({
            "id": format!("fc_{step}"), "type": "function_call", "status": "completed", "call_id": format!("call_{step}"),
            "name": tool, "arguments": arguments.to_string(),
        })
    }));
    let id = format!("resp_{step}");
    let mut all = vec![json!({ "type": "response.created", "response": { "id": id } })];
    for (index, item) in output.iter().enumerate() {
        for kind in ["response.output_item.added", "response.output_item.done"] {
            all.push(json!({ "type": kind, "output_index": index, "item": item }));
        }
    }
    let usage = json!({
        "input_tokens": 100, "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": 10, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 110,
    });
    all.push(json!({ "type": "response.completed", "response": {
        "id": id, "status": "completed", "output": output, "usage": usage,
    } }));
    events(
        all.iter()
            .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
            .collect(),
    )
}
