//! What an app may do where: tokens of its installations, each for one repository and one purpose, for an hour at most.
//!
//! Sources: <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>,
//! <https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps>.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use cofferdam_domain::{Secret, Timestamp};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync;

use super::{GitHub, app::App};
use crate::{
    hook::shapes::moment,
    remote::{
        At, TalkError,
        wire::{self, there},
    },
};

/// A token is not used in its last minutes, so that nothing is begun with it that it does not outlive.
const MARGIN: u64 = 5 * 60 * 1000;
const INSTALLATION: &str = "installation of the app";
/// Tokens that are kept.
const MOST_KEPT: usize = 2000;

/// What a token is for. It has the permissions for that and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// To look, to say something, to keep a pull request.
    Talk,
    /// To change what needs the right to push as well: merging, and marking a discussion as resolved.
    Change,
    /// To fetch and push.
    Push,
    /// To see how the repository is set up.
    Look,
}

impl Purpose {
    pub(super) const fn permissions(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Talk => &[
                ("actions", "read"),
                ("checks", "write"),
                ("issues", "write"),
                ("metadata", "read"),
                ("pull_requests", "write"),
            ],
            Self::Change => &[("contents", "write"), ("metadata", "read"), ("pull_requests", "write")],
            // Not `workflows`: a change to them is not pushed by a program.
            Self::Push => &[("contents", "write"), ("metadata", "read")],
            Self::Look => &[("administration", "read"), ("contents", "read"), ("metadata", "read")],
        }
    }

    /// Of these permissions, those that the app was granted.
    fn granted(self, granted: &BTreeMap<String, String>) -> Value {
        let level = |name: &str| granted.get(name).map(String::as_str);
        let least = |&(name, wanted): &(&str, &str)| match level(name)? {
            "read" => Some((name.to_owned(), "read".into())),
            _ => Some((name.to_owned(), wanted.into())),
        };
        self.permissions().iter().filter_map(least).collect::<serde_json::Map<_, _>>().into()
    }
}

/// A token, and until when it may be used.
#[derive(Debug)]
pub(super) struct Held {
    token: Secret,
    ends: Timestamp,
}

impl Held {
    pub(super) fn token(self) -> Secret {
        self.token
    }
}

/// Locked while a token is made, so that only one is.
type Slot = Arc<sync::Mutex<Option<Held>>>;

/// The tokens of an app.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<(u64, Purpose), Slot>>,
}

impl Tokens {
    fn slot(&self, repository: u64, purpose: Purpose) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST_KEPT {
            // Those that nobody asks for at this moment: they are made again when they are.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry((repository, purpose)).or_default())
    }
}

#[derive(Deserialize)]
pub(super) struct Installation {
    id: u64,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
    suspended_at: Option<String>,
}

impl Installation {
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// Whether nobody has suspended it.
    pub(super) const fn is_active(&self) -> bool {
        self.suspended_at.is_none()
    }
}

#[derive(Deserialize)]
struct Made {
    token: String,
    expires_at: String,
}

impl GitHub {
    /// A token of the app for this. One that is held already is used until shortly before it ends.
    pub(super) async fn app_token(&self, app: &App, at: &At, purpose: Purpose) -> Result<Secret, TalkError> {
        let slot = self.tokens.slot(at.id, purpose);
        let mut held = slot.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.ends.0 > wire::now().0 + MARGIN) {
            return Ok(held.token.clone());
        }
        let made = self.make_token(app, at, purpose).await?;
        Ok(held.insert(made).token.clone())
    }

    /// Throws a token away that is not accepted any more.
    pub(super) async fn throw_away(&self, at: &At, purpose: Purpose, token: &Secret) {
        let slot = self.tokens.slot(at.id, purpose);
        let mut held = slot.lock().await;
        if held.as_ref().is_some_and(|held| held.token == *token) {
            *held = None;
        }
    }

    /// A token of the app that nobody else has been given.
    pub(super) async fn fresh_token(
        &self,
        app: &App,
        at: &At,
        purpose: Purpose,
    ) -> Result<Secret, TalkError> {
        Ok(self.make_token(app, at, purpose).await?.token)
    }

    async fn make_token(&self, app: &App, at: &At, purpose: Purpose) -> Result<Held, TalkError> {
        let proof = self.proof(app)?;
        let installation = self.installation(&proof, at).await?;
        let wanted = json!({
            "repository_ids": [at.id],
            "permissions": purpose.granted(&installation.permissions),
        });
        self.installation_token(&proof, installation.id, &wanted).await
    }

    /// What the app may do in a repository, in GitHub's words: `contents: write`.
    pub(super) async fn granted(&self, app: &App, at: &At) -> Result<Vec<String>, TalkError> {
        let installation = self.installation(&self.proof(app)?, at).await?;
        Ok(installation.permissions.into_iter().map(|(name, level)| format!("{name}: {level}")).collect())
    }

    async fn installation(&self, proof: &Secret, at: &At) -> Result<Installation, TalkError> {
        let id = at.id.to_string();
        let by_number = ["repositories", id.as_str(), "installation"];
        // GitHub leads from an old name to the number; where another repository has the name by now, it does not.
        let named = match at.path.split_once('/') {
            Some((owner, name)) => {
                let ask = self.get(INSTALLATION, &["repos", owner, name, "installation"]);
                there(self.as_app(ask.only_to(&by_number[..2]).bearer(proof).read().await))?
            }
            None => None,
        };
        let found = match named {
            Some(found) => Some(found),
            None => there(self.as_app(self.get(INSTALLATION, &by_number).bearer(proof).read().await))?,
        };
        self.usable(found, &at.path)
    }

    /// A token with which a repository can be looked up whose number is not known yet, and nothing else.
    pub(super) async fn naming_token(&self, app: &App, path: &str) -> Result<Secret, TalkError> {
        let proof = self.proof(app)?;
        let (owner, name) = path.split_once('/').unwrap_or((path, ""));
        let ask = self.get(INSTALLATION, &["repos", owner, name, "installation"]).bearer(&proof);
        let Some(found) = there(self.as_app(ask.read().await))? else {
            let what = format!("repository {path} for which the app is installed");
            return Err(TalkError::Missing { forge: self.wire.forge().to_owned(), what });
        };
        let installation = self.usable(Some(found), path)?;
        let wanted = json!({ "permissions": { "metadata": "read" } });
        Ok(self.installation_token(&proof, installation.id, &wanted).await?.token)
    }

    fn usable(&self, found: Option<Installation>, path: &str) -> Result<Installation, TalkError> {
        let Some(installation) = found else {
            return Err(self.forbidden(format!(
                "the app is not installed for {path}: install it there, with this repository among those that it may use"
            )));
        };
        if installation.suspended_at.is_some() {
            return Err(self.forbidden(format!(
                "the app's installation for {path} is suspended: whoever suspended it can end that"
            )));
        }
        Ok(installation)
    }

    pub(super) async fn installation_token(
        &self,
        proof: &Secret,
        installation: u64,
        wanted: &Value,
    ) -> Result<Held, TalkError> {
        let what = "token of the app's installation";
        let path = ["app", "installations", &installation.to_string(), "access_tokens"];
        let ask = self.ask(Method::POST, what, &path).json(wanted).bearer(proof);
        let made: Made = self.as_app(ask.read().await)?;
        let ends = moment(Some(&made.expires_at))
            .ok_or_else(|| self.wire.malformed(what, "it has no time at which it ends"))?;
        Ok(Held { token: Secret::new(made.token), ends })
    }

    /// A token of any installation that may look at accounts and nothing else.
    pub(super) async fn looking_token(&self, app: &App) -> Result<Secret, TalkError> {
        let proof = self.proof(app)?;
        let ask = self.get("installations of the app", &["app", "installations"]).query("per_page", 1);
        let all: Vec<Installation> = self.as_app(ask.bearer(&proof).read().await)?;
        let Some(first) = all.first() else {
            let why = "the app is installed nowhere: install it for the repositories that it is to work on";
            return Err(self.forbidden(why));
        };
        let wanted = json!({ "permissions": { "metadata": "read" } });
        Ok(self.installation_token(&proof, first.id, &wanted).await?.token)
    }

    pub(super) fn proof(&self, app: &App) -> Result<Secret, TalkError> {
        app.proof(wire::now())
            .ok_or_else(|| self.forbidden("this machine has no random numbers to sign with"))
    }

    /// What it means that the app itself is not accepted.
    pub(super) fn as_app<T>(&self, answer: Result<T, TalkError>) -> Result<T, TalkError> {
        let Err(TalkError::Forbidden { reason, .. }) = answer else { return answer };
        Err(self.forbidden(format!(
            "it does not accept the app: are `id` and `key` those of one app, and is this machine's clock right? ({reason})"
        )))
    }

    pub(super) fn forbidden(&self, reason: impl Into<String>) -> TalkError {
        TalkError::Forbidden { forge: self.wire.forge().to_owned(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_what_its_purpose_needs_and_the_app_was_granted() {
        let granted = |all: &[(&str, &str)]| {
            all.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect()
        };
        let all = granted(&[
            ("contents", "write"),
            ("metadata", "read"),
            ("workflows", "write"),
            ("issues", "admin"),
        ]);
        assert_eq!(Purpose::Push.granted(&all), json!({ "contents": "write", "metadata": "read" }));
        assert_eq!(Purpose::Talk.granted(&all), json!({ "issues": "write", "metadata": "read" }));
        let less = granted(&[("contents", "read"), ("actions", "write")]);
        assert_eq!(Purpose::Change.granted(&less), json!({ "contents": "read" }));
        assert_eq!(Purpose::Talk.granted(&less), json!({ "actions": "read" }));
    }
}
