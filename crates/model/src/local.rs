//! Model servers on this machine.

use std::time::Duration;

use reqwest::{Client, Url};
use serde_json::Value;
use tokio::time::timeout;

use crate::{config::RetryConfig, http, providers::Provider};

/// How long a server may take to say what it has: on this machine it is there at once or not at all.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most bytes of a list that are read.
const MAX_LIST: usize = 1 << 20;

/// What a server on this machine said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) models: Vec<String>,
    /// The window that it was started with, where it says so.
    pub(crate) window: Option<u64>,
}

/// Asks the server at the provider's address what it has. `None` when nothing answers there as such a server
/// does.
pub(crate) async fn ask(provider: &Provider, limits: &RetryConfig) -> Option<Local> {
    let url = Url::parse(&provider.base_url).ok().filter(http::is_loopback)?;
    let client = http::client(&provider.base_url, limits).ok()?;
    let (list, entries, name) = if provider.name == "ollama" {
        (url.join("/api/tags").ok()?, "models", "name")
    } else {
        (Url::parse(&format!("{}/models", provider.base_url.trim_end_matches('/'))).ok()?, "data", "id")
    };
    let answer = get(&client, list).await?;
    let named = |entry: &Value| entry.get(name)?.as_str().map(str::to_owned);
    let models: Vec<String> = answer.get(entries)?.as_array()?.iter().filter_map(named).collect();
    let props = match (models.is_empty(), provider.name.as_str()) {
        (true, _) => return None,
        (false, "llamacpp") => get(&client, url.join("/props").ok()?).await,
        (false, _) => None,
    };
    let window = props.and_then(|props| props.pointer("/default_generation_settings/n_ctx")?.as_u64());
    Some(Local { models, window: window.filter(|window| *window > 0) })
}

async fn get(client: &Client, url: Url) -> Option<Value> {
    let read = async {
        let mut response = client.get(url).send().await.ok()?.error_for_status().ok()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_LIST {
                return None;
            }
        }
        serde_json::from_slice(&body).ok()
    };
    timeout(PATIENCE, read).await.ok()?
}
