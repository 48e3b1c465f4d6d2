//! How a repository is set up around this platform.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{Gitea, PAGE};
use crate::remote::{At, HookSeen, Setup, TalkError, wire::told};

/// Where workflows are: Gitea's, Forgejo's, and GitHub's, which both of them read.
const FOLDERS: [&str; 3] = [".gitea", ".forgejo", ".github"];
/// Workflows that are looked at, and bytes of each.
const MOST_WORKFLOWS: usize = 20;
const LARGEST_WORKFLOW: u64 = 64 << 10;

#[derive(Deserialize)]
struct Hook {
    config: Config,
    #[serde(default)]
    active: bool,
    events: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    url: String,
}

#[derive(Deserialize)]
struct Branch {
    protected: bool,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    size: u64,
}

#[derive(Deserialize)]
struct File {
    content: Option<String>,
}

pub(super) async fn look(forge: &Gitea, at: &At, branch: &str) -> Result<Setup, TalkError> {
    let hooks = forge.see(at, "the webhooks", &["hooks"]).await?.query("limit", PAGE);
    let hooks = told(hooks.read::<Vec<Hook>>().await)?;
    let protected = forge.see(at, format!("branch {branch}"), &["branches", branch]).await?;
    let protected = told(protected.read::<Branch>().await)?;
    let seen = |hook: Hook| HookSeen {
        url: hook.config.url,
        active: hook.active,
        events: hook.events.unwrap_or_default(),
        last: None,
    };
    Ok(Setup {
        // Only the account's password opens the list of its tokens.
        scopes: None,
        hooks: hooks.map(|hooks| hooks.into_iter().map(seen).collect()),
        protected: protected.map(|branch| branch.protected),
        workflows: Some(workflows(forge, at).await?),
    })
}

async fn workflows(forge: &Gitea, at: &At) -> Result<Vec<(String, String)>, TalkError> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        let asked = forge.see(at, "the workflows", &["contents", folder, "workflows"]).await?;
        let Some(entries) = told(asked.read::<Vec<Entry>>().await)? else { continue };
        let is_one = |entry: &Entry| {
            let named = entry.name.ends_with(".yml") || entry.name.ends_with(".yaml");
            named && entry.kind == "file" && entry.size <= LARGEST_WORKFLOW
        };
        for entry in entries.into_iter().filter(is_one) {
            if found.len() == MOST_WORKFLOWS {
                return Ok(found);
            }
            let path = ["contents", folder, "workflows", &entry.name];
            let asked = forge.see(at, format!("workflow {}", entry.name), &path).await?;
            let Some(file) = told(asked.read::<File>().await)? else { continue };
            let bytes = STANDARD.decode(file.content.unwrap_or_default()).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            found.push((format!("{folder}/workflows/{}", entry.name), text));
        }
    }
    Ok(found)
}
