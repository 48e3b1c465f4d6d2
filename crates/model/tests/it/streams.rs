//! Event streams that real providers once sent, replayed to the decoder over HTTP; and requests of a real
//! session, which must extend each other.

use std::{env, fs, path::PathBuf, sync::Arc};

use axum::{Router, http::header, routing::post};
use cofferdam_domain::{Block, Message, Role, StopReason, ToolCall, message::ToolResult};
use cofferdam_model::{Model, ModelsConfig, NoBlobs, open};
use serde_json::Value;

use crate::support::{ask, request, user};

/// A folder of the test data, or `None` (loudly) where it is missing.
fn data(folder: &str) -> Option<PathBuf> {
    let found = env::var_os("COFFERDAM_TEST_DATA").map(|root| PathBuf::from(root).join(folder));
    let found = found.filter(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!(
            "SKIPPED: no recorded streams: set COFFERDAM_TEST_DATA to the folder that has them in {folder}"
        );
    }
    found
}

fn files(folder: PathBuf, prefix: &str) -> Vec<Value> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix));
    paths.sort();
    paths.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
}

async fn model_that_answers(body: String) -> Box<dyn Model> {
    let answer = move || {
        let body = body.clone();
        async move { ([(header::CONTENT_TYPE, "text/event-stream")], body) }
    };
    let router = Router::new().route("/v1/chat/completions", post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let text = format!(
        "retry.tries = 1\n[providers.x]\nkind = 'openai_chat'\nbase_url = 'http://{address}/v1'\ndefault = 'm'"
    );
    let config: ModelsConfig = toml::from_str(&text).unwrap();
    open(&config, &|_| None, None, Arc::new(NoBlobs)).await.unwrap()
}

#[tokio::test]
async fn every_recorded_stream_is_understood() {
    let Some(folder) = data("provider-streams") else { return };
    let exchanges: Vec<Value> =
        files(folder, "").into_iter().flat_map(|file| file.as_array().unwrap().clone()).collect();
    let streams: Vec<&Value> = exchanges
        .iter()
        .filter(|exchange| exchange["path"].as_str().is_some_and(|path| path.ends_with("/chat/completions")))
        .filter(|exchange| exchange["response"].as_str().is_some_and(|body| body.starts_with("data:")))
        .collect();
    assert!(streams.len() >= 10, "{}", streams.len());
    for stream in streams {
        let body = stream["response"].as_str().unwrap();
        let (answer, _) =
            ask(model_that_answers(body.to_owned()).await.as_mut(), &request(vec![user("x")])).await;
        let answer = answer.unwrap();
        assert!(!answer.blocks.is_empty() && answer.usage.output > 0 && answer.usage.prompt() > 0);
        assert!(answer.model.contains('/'), "{}", answer.model);
        assert_eq!(answer.tool_calls().count() > 0, answer.stop == StopReason::ToolUse);
        for call in answer.tool_calls() {
            assert!(call.object().is_ok() && !call.name.is_empty(), "{call:?}");
        }
        // Cut in the middle it must not pass for an answer.
        let cut = &body[..body.floor_char_boundary(body.len() / 2)];
        assert!(
            ask(model_that_answers(cut.to_owned()).await.as_mut(), &request(vec![user("x")]))
                .await
                .0
                .is_err()
        );
    }
}

/// The requests that a real session logged, sent through our encoder: each extends the one before, byte for
/// byte.
#[tokio::test]
async fn a_real_session_keeps_its_prefix() {
    let Some(folder) = data("llm-logs") else { return };
    let logs = files(folder, "anthropic");
    let transcript = "name = 'x'\nafter = 'repeat'\n[[step]]\ntext = 'ok'";
    let transcript = cofferdam_model::Transcript::parse(transcript).unwrap();
    let fake =
        cofferdam_testkit::FakeProvider::start(cofferdam_domain::message::Family::Anthropic, transcript)
            .await
            .unwrap();
    let config =
        crate::support::config(&fake, cofferdam_domain::message::Family::Anthropic, "claude-sonnet-4-6");
    let mut model = crate::support::model(&config).await;
    let mut messages: Vec<Arc<Message>> = Vec::new();
    for log in &logs {
        for message in read(log).into_iter().skip(messages.len()) {
            messages.push(Arc::new(message));
        }
        ask(model.as_mut(), &request(messages.clone())).await.0.unwrap();
    }
    fake.assert_clean();
    let bodies: Vec<_> = fake.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies.len(), 6);
    for pair in bodies.windows(2) {
        let shared = pair[0].iter().zip(&pair[1]).take_while(|(one, other)| one == other).count();
        assert!(pair[0].len() - shared < 160 && pair[1].len() > pair[0].len());
    }
}

/// The messages of a log in the Chat form, without its system message.
fn read(log: &Value) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for message in log["messages"].as_array().unwrap() {
        let parts = message["content"].as_array().cloned().unwrap_or_default();
        let text: String = parts.iter().filter_map(|part| part["text"].as_str()).collect();
        let (role, blocks) = match message["role"].as_str().unwrap() {
            "system" => continue,
            "user" => (Role::User, vec![Block::Text { text }]),
            "tool" => {
                let provider_id = message["tool_call_id"].as_str().unwrap().to_owned();
                let result =
                    ToolResult { provider_id, name: String::new(), text, images: vec![], is_error: false };
                (Role::User, vec![Block::ToolResult(result)])
            }
            _ => {
                let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| {
                    let text = |pointer: &str| call.pointer(pointer).unwrap().as_str().unwrap().to_owned();
                    let (provider_id, name, arguments) =
                        (text("/id"), text("/function/name"), text("/function/arguments"));
                    Block::ToolCall(ToolCall { provider_id, name, arguments, opaque: None })
                });
                (Role::Assistant, std::iter::once(Block::Text { text }).chain(calls).collect())
            }
        };
        match messages.last_mut() {
            Some(last) if last.role == role => last.blocks.extend(blocks),
            _ => messages.push(Message { role, blocks }),
        }
    }
    messages
}
