//! How a repository is set up around this platform (<https://docs.github.com/en/rest/repos/webhooks>,
//! <https://docs.github.com/en/rest/apps/webhooks>, <https://docs.github.com/en/rest/repos/rules>).

use serde::Deserialize;

use super::{Auth, GitHub, app::App, here::Here};
use crate::remote::{HookSeen, Setup, TalkError, wire::told};

/// Workflows that are looked at, and bytes of each.
const MOST_WORKFLOWS: usize = 20;
const LARGEST_WORKFLOW: usize = 64 << 10;
const FOLDER: &str = ".github/workflows";
/// Hands a file out as it is.
const RAW: &str = "application/vnd.github.raw+json";

#[derive(Deserialize)]
struct Hook {
    config: Config,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    events: Vec<String>,
    last_response: Option<Last>,
}

#[derive(Deserialize)]
struct Config {
    url: Option<String>,
}

#[derive(Deserialize)]
struct Last {
    code: Option<u16>,
}

#[derive(Deserialize)]
struct Delivered {
    status_code: Option<u16>,
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
    size: usize,
}

impl Here<'_> {
    /// An account's token does not tell what it may do, unless it is of the older kind.
    pub(super) async fn setup(&self, branch: &str) -> Result<Setup, TalkError> {
        let (scopes, hooks) = match &self.github.auth {
            Auth::Token(_) => (None, self.hooks().await?),
            Auth::App(app) => {
                let granted = self.github.granted(app, &self.at).await?;
                (Some(granted), self.github.hook_of(app).await?)
            }
        };
        Ok(Setup {
            scopes,
            hooks,
            protected: self.protected(branch).await?,
            workflows: self.workflows().await?,
        })
    }

    async fn hooks(&self) -> Result<Option<Vec<HookSeen>>, TalkError> {
        let found =
            told(self.read::<Vec<Hook>>(self.get("webhooks", &["hooks"]).query("per_page", 100)).await)?;
        let seen = |hook: Hook| HookSeen {
            url: hook.config.url.unwrap_or_default(),
            active: hook.active,
            events: hook.events,
            // 0 where nothing was delivered yet.
            last: hook.last_response.and_then(|last| last.code).filter(|code| *code != 0),
        };
        Ok(found.map(|found| found.into_iter().map(seen).collect()))
    }

    /// By a protection of the older kind, or by a ruleset.
    async fn protected(&self, branch: &str) -> Result<Option<bool>, TalkError> {
        let ask = self.get(format!("branch {branch}"), &["branches", branch]);
        let older = told(self.read::<Branch>(ask).await)?.map(|branch| branch.protected);
        if older == Some(true) {
            return Ok(older);
        }
        let ask = self.get(format!("rules for branch {branch}"), &["rules", "branches", branch]);
        let rules = told(self.read::<Vec<serde::de::IgnoredAny>>(ask).await)?;
        Ok(rules.map(|rules| !rules.is_empty()).or(older))
    }

    async fn workflows(&self) -> Result<Option<Vec<(String, String)>>, TalkError> {
        let Some((folder, below)) = FOLDER.split_once('/') else { return Ok(None) };
        let entries = match self.read::<Vec<Entry>>(self.get("workflows", &["contents", folder, below])).await
        {
            // There are none, or it may not be known: an empty repository answers like this as well.
            Err(TalkError::Missing { .. }) => Vec::new(),
            Err(TalkError::Forbidden { .. }) => return Ok(None),
            answered => answered?,
        };
        let is_one = |entry: &Entry| {
            let named = entry.name.ends_with(".yml") || entry.name.ends_with(".yaml");
            named && entry.kind == "file" && entry.size <= LARGEST_WORKFLOW
        };
        let mut found = Vec::new();
        for entry in entries.into_iter().filter(is_one).take(MOST_WORKFLOWS) {
            let ask = self.get(format!("workflow {}", entry.name), &["contents", folder, below, &entry.name]);
            if let Some(text) = told(self.tail(ask.accept(RAW), LARGEST_WORKFLOW).await)? {
                found.push((format!("{FOLDER}/{}", entry.name), text));
            }
        }
        Ok(Some(found))
    }
}

impl GitHub {
    /// An app has one webhook for all repositories.
    async fn hook_of(&self, app: &App) -> Result<Option<Vec<HookSeen>>, TalkError> {
        let proof = self.proof(app)?;
        let config =
            self.get("webhook of the app", &["app", "hook", "config"]).bearer(&proof).read::<Config>();
        let Some(url) = told(config.await)?.and_then(|config| config.url) else { return Ok(None) };
        let deliveries =
            self.get("deliveries of the app", &["app", "hook", "deliveries"]).query("per_page", 1);
        let last = told(deliveries.bearer(&proof).read::<Vec<Delivered>>().await)?;
        Ok(Some(vec![HookSeen {
            url,
            active: true,
            events: self.app_itself(app).await?.events.clone(),
            last: last.and_then(|last| last.first()?.status_code),
        }]))
    }
}
