//! Which model is opened.

use std::{io::Write as _, sync::Arc};

use axum::{Json, Router, routing::get};
use cofferdam_domain::message::Family;
use cofferdam_model::{KeyState, Model, ModelsConfig, NoBlobs, OpenError, list, open};
use serde_json::{Value, json};

fn config(text: &str) -> ModelsConfig {
    toml::from_str(text).unwrap()
}

/// No local server, whatever runs on this machine.
const ALONE: &str = "[providers.ollama]\nbase_url = 'http://127.0.0.1:9'\n[providers.llamacpp]\nbase_url = 'http://127.0.0.1:9/v1'\n";

async fn opened(text: &str, env: &[(&str, &str)], name: Option<&str>) -> Result<Box<dyn Model>, OpenError> {
    let lookup =
        |wanted: &str| env.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned());
    open(&config(text), &lookup, name, Arc::new(NoBlobs)).await
}

/// What a person is told: the error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

async fn named(text: &str, env: &[(&str, &str)], name: Option<&str>) -> String {
    let model =
        opened(text, env, name).await.map(|model| format!("{}/{}", model.info().provider, model.info().name));
    model.unwrap_or_else(|error| chain(&error))
}

#[tokio::test]
async fn the_first_provider_with_a_key() {
    let (anthropic, openai, google, router) = (
        ("ANTHROPIC_API_KEY", "a"),
        ("OPENAI_API_KEY", "b"),
        ("GOOGLE_API_KEY", "c"),
        ("OPENROUTER_API_KEY", "d"),
    );
    assert_eq!(named(ALONE, &[router, google, openai, anthropic], None).await, "anthropic/claude-sonnet-5-5");
    assert_eq!(
        named(ALONE, &[router, google, openai, ("ANTHROPIC_API_KEY", " ")], None).await,
        "openai/gpt-6.1-sol"
    );
    assert_eq!(named(ALONE, &[router, google], None).await, "gemini/gemini-3.8-flash");
    assert_eq!(named(ALONE, &[router], None).await, "openrouter/anthropic/claude-sonnet-5.5");
    let own = "[providers.work]\nkind = 'openai_chat'\nbase_url = 'http://10.1.1.1/v1'\ndefault = 'qwen'";
    assert_eq!(named(own, &[anthropic], None).await, "work/qwen");
    let chosen = format!("default = 'gemini/gemini-2.5-pro'\n{ALONE}");
    assert_eq!(named(&chosen, &[anthropic, google], None).await, "gemini/gemini-2.5-pro");
}

#[tokio::test]
async fn without_any_there_are_three_ways() {
    let error = named(ALONE, &[], None).await;
    for way in ["ANTHROPIC_API_KEY", "Ollama", "cofferdam demo"] {
        assert!(error.contains(way), "{error}");
    }
}

#[tokio::test]
async fn names_are_found_in_all_their_forms() {
    let env = [("ANTHROPIC_API_KEY", "a"), ("OPENROUTER_API_KEY", "d")];
    let own = format!(
        "{ALONE}[providers.work]\nkind = 'openai_chat'\nbase_url = 'https://work.example'\nmodels.qwen.max_output = 5"
    );
    for (name, expected) in [
        ("anthropic", "anthropic/claude-sonnet-5-5"),
        ("claude-opus-5-5", "anthropic/claude-opus-5-5"),
        ("openrouter/x-ai/grok-9", "openrouter/x-ai/grok-9"),
        ("qwen", "work/qwen"),
        ("work/other", "work/other"),
    ] {
        assert_eq!(named(&own, &env, Some(name)).await, expected);
    }
    for (name, expected) in [
        ("gpt-6.1-sol", "set OPENAI_API_KEY"),
        ("nonsense", "no provider is known for the model \"nonsense\""),
        ("work", "default is missing"),
        ("ollama/qwen", "no ollama server answers at http://127.0.0.1:9"),
        ("scripted:/no/such/file", "the transcript /no/such/file cannot be played"),
    ] {
        let error = named(&own, &env, Some(name)).await;
        assert!(error.contains(expected), "{error}");
    }
}

async fn serve(routes: &[(&'static str, Value)]) -> String {
    let mut router = Router::new();
    for (path, answer) in routes {
        let answer = answer.clone();
        router = router.route(path, get(move || async move { Json(answer) }));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/v1")
}

#[tokio::test]
async fn local_servers_are_found() {
    let ollama =
        serve(&[("/api/tags", json!({"models": [{"name": "qwen3-coder:30b"}, {"name": "b"}]}))]).await;
    let llama = serve(&[
        ("/v1/models", json!({"data": [{"id": "/models/q.gguf"}]})),
        ("/props", json!({"default_generation_settings": {"n_ctx": 8192}})),
    ])
    .await;
    let both =
        format!("[providers.ollama]\nbase_url = '{ollama}'\n[providers.llamacpp]\nbase_url = '{llama}'\n");
    assert_eq!(named(&both, &[], None).await, "llamacpp//models/q.gguf");
    assert_eq!(named(&both, &[], Some("ollama")).await, "ollama/qwen3-coder:30b");
    assert_eq!(named(&both, &[], Some("b")).await, "ollama/b");
    let model = opened(&both, &[], Some("llamacpp")).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (model.info().context_window, model.info().max_output, model.info().prices),
        (8192, 4096, None)
    );
    assert_eq!(
        named(&both, &[("GEMINI_API_KEY", "g")], None).await,
        "gemini/gemini-3.8-flash",
        "a key goes before"
    );
}

#[tokio::test]
async fn the_list_says_what_can_be_used() {
    let lookup = |name: &str| (name == "GEMINI_API_KEY").then(|| "g".to_owned());
    let rows = list(&config(ALONE), &lookup).await.unwrap();
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(row("gemini/gemini-3.8-flash").key, KeyState::Present);
    assert!(row("gemini/gemini-3.8-flash").chosen && row("gemini/gemini-3.8-flash").prices.is_some());
    assert!(
        matches!(&row("anthropic/claude-opus-5-5").key, KeyState::Missing(hint) if hint.contains("ANTHROPIC_API_KEY"))
    );
    assert_eq!(row("openai/gpt-6.1-sol").family, Family::OpenaiResponses);
    assert_eq!(rows.iter().filter(|row| row.chosen).count(), 1);
}

#[tokio::test]
async fn keys_come_from_files_too() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "sk-1").unwrap();
    let text = |path: &str| format!("[providers.openai]\nkey_file = '{path}'");
    assert_eq!(named(&text(file.path().to_str().unwrap()), &[], None).await, "openai/gpt-6.1-sol");
    assert!(
        named(&text("/no/such/key"), &[], None).await.contains("the key file /no/such/key cannot be read")
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "sk-1\nsk-2").unwrap();
    assert!(
        named(&text(file.path().to_str().unwrap()), &[], None)
            .await
            .contains("put in the key and nothing else")
    );
}

#[tokio::test]
async fn a_recording_is_played_only_when_it_is_asked_for() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "name = 'my recording'\n[[step]]\ntext = 'a'").unwrap();
    let path = file.path().to_str().unwrap();
    let own = format!("{ALONE}[providers.tape]\nkind = 'scripted'\ntranscript = '{path}'");
    assert!(named(&own, &[], None).await.contains("no model is at hand"));
    assert_eq!(named(&own, &[], Some("tape")).await, "scripted/my recording");
    assert_eq!(named(&own, &[], Some(&format!("scripted:{path}"))).await, "scripted/my recording");
    let rows = list(&config(&own), &|_| None).await.unwrap();
    assert!(rows.iter().any(|row| row.name == "tape/transcript" && row.key == KeyState::NotNeeded));
}

#[test]
fn unknown_keys_are_refused() {
    for bad in [
        "fallbacks = []",
        "[retry]\ntrys = 1",
        "[providers.x]\nurl = 'a'",
        "[providers.x.models.y]\nwindow = 1",
    ] {
        assert!(toml::from_str::<ModelsConfig>(bad).is_err(), "{bad}");
    }
}

/// The example in the documentation of the configuration.
#[tokio::test]
async fn the_example_works() {
    let source = include_str!("../../src/config.rs");
    let lines = source
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line));
    let inside: Vec<&str> =
        lines.skip_while(|line| *line != "```toml").skip(1).take_while(|line| *line != "```").collect();
    #[derive(serde::Deserialize)]
    struct Whole {
        models: ModelsConfig,
    }
    let whole: Whole = toml::from_str(&inside.join("\n")).unwrap();
    let lookup = |name: &str| matches!(name, "ANTHROPIC_API_KEY" | "WORK_MODEL_KEY").then(|| "k".to_owned());
    let model = open(&whole.models, &lookup, Some("work"), Arc::new(NoBlobs))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((model.info().context_window, model.info().prices.unwrap().input), (131_072, 200_000));
}

#[tokio::test]
async fn a_fallback_that_does_not_run_is_none_and_one_that_is_not_known_is_an_error() {
    let with = |fallback: &str| format!("fallback = ['{fallback}']\n{ALONE}");
    let key = [("ANTHROPIC_API_KEY", "a")];
    assert_eq!(named(&with("ollama/x"), &key, None).await, "anthropic/claude-sonnet-5-5");
    assert!(named(&with("olama/x"), &key, None).await.contains("no provider is known"));
}
