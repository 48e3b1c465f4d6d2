//! How a project is set up around this platform.
//!
//! <https://docs.gitlab.com/api/personal_access_tokens/>, <https://docs.gitlab.com/api/project_webhooks/>, <https://docs.gitlab.com/api/branches/>,
//! <https://docs.gitlab.com/api/repository_files/>.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{GitLab, PER_PAGE};
use crate::remote::{At, HookSeen, Setup, TalkError, wire::told};

/// What says which jobs run, unless a project has it elsewhere.
const JOBS: &str = ".gitlab-ci.yml";
/// Webhooks that are looked at.
const MOST_HOOKS: usize = 200;

#[derive(Deserialize)]
struct Token {
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct Branch {
    protected: bool,
}

#[derive(Deserialize)]
struct File {
    content: String,
}

#[derive(Deserialize)]
struct Hook {
    url: String,
    /// `executable`, or `disabled` after failures.
    #[serde(default)]
    alert_status: Option<String>,
    /// Whether it is told of each kind of thing: `issues_events`, `note_events`…
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl From<Hook> for HookSeen {
    fn from(hook: Hook) -> Self {
        let told = |(name, value): (&String, &Value)| {
            (name.ends_with("_events") && value == &Value::Bool(true)).then(|| name.clone())
        };
        Self {
            url: hook.url,
            active: hook.alert_status.is_none_or(|status| status == "executable"),
            events: hook.rest.iter().filter_map(told).collect(),
            last: None,
        }
    }
}

impl GitLab {
    /// What GitLab tells of it to whoever has this token.
    pub(super) async fn look_around(&self, at: &At, branch: &str) -> Result<Setup, TalkError> {
        let token = self.wire.get("the token", &["personal_access_tokens", "self"]).read::<Token>().await;
        let hooks = self.get("the webhooks", at, &["hooks"]).query("per_page", PER_PAGE);
        let hooks = told(hooks.pages::<Hook>(MOST_HOOKS).await)?;
        let path = ["repository", "branches", branch];
        let found = self.get(format!("branch {branch}"), at, &path).read::<Branch>().await;
        let jobs =
            self.get(JOBS, at, &["repository", "files", JOBS]).query("ref", branch).read::<File>().await;
        let text = |file: File| {
            let bytes = STANDARD.decode(file.content).unwrap_or_default();
            (JOBS.to_owned(), String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Setup {
            scopes: told(token)?.map(|token| token.scopes),
            hooks: hooks.map(|hooks| hooks.into_iter().map(Into::into).collect()),
            protected: told(found)?.map(|branch| branch.protected),
            workflows: Some(told(jobs)?.map(text).into_iter().collect()),
        })
    }
}
