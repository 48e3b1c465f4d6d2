//! The `[[forge]]` tables of the configuration.

use std::{sync::Arc, time::Duration};

use cofferdam_domain::Secret;
use cofferdam_forge::{
    hook::{ForgeKind, HookSecrets},
    remote::{self, OpenError, Right, Site, SiteCredential, SiteError, Talk},
};
use cofferdam_store::Everything;
use cofferdam_tell::SecretPlace;
use serde::Deserialize;

use super::{ForgeWay, TogetherSettings};
use crate::{
    Place,
    table::{organisation, secret},
};

/// The most attempts at failed checks in a row.
const MOST_FIXES: u32 = 20;
/// How often a forge may be asked at most and at least.
const SHORTEST_POLL: Duration = Duration::from_secs(1);
const LONGEST_POLL: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest label and mention, in characters.
const LONGEST_NAME: usize = 100;

/// One `[[forge]]` table: a forge, as whom it is asked, and what asks for work there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgeSettings {
    /// Names it here; its webhooks are posted to `/hooks/` and this name.
    pub name: String,
    /// Its family.
    pub kind: Kind,
    /// The address that people know.
    pub url: String,
    /// Where its API is, if not where its family has it.
    pub api: Option<String>,
    /// Where the token is of the account that this platform is there.
    pub token: Option<SecretPlace>,
    /// The app that it is there.
    pub app: Option<AppSettings>,
    /// Where the secret is that proves its webhooks; without one none are taken, and it must be asked (`poll`).
    pub hook_secret: Option<SecretPlace>,
    /// Where secrets are that still prove them while they are being replaced.
    #[serde(default)]
    pub earlier_hook_secrets: Vec<SecretPlace>,
    /// The organisation whose sessions begin there, by name.
    #[serde(default = "organisation")]
    pub organisation: String,
    /// The project that they are in, by name; the organisation's first where it is not said.
    pub project: Option<String>,
    /// The label that asks for work on an issue; none does where it is empty.
    #[serde(default = "label")]
    pub label: String,
    /// The name that asks for work when it is called in a comment, without `@`: the account's own where it is not said.
    pub mention: Option<String>,
    /// What somebody may do at least in a repository who asks for work there.
    #[serde(default)]
    pub least_right: LeastRight,
    /// How many failed checks in a row are tried to be mended.
    #[serde(default = "fixes")]
    pub fixes: u32,
    /// Whether, and when, pull requests of others are reviewed.
    #[serde(default)]
    pub reviews: Reviews,
    /// Accounts, by login, that are programs although the forge does not say so: they never ask.
    #[serde(default)]
    pub bots: Vec<String>,
    /// Repositories that tasks are about together.
    #[serde(default)]
    pub together: Vec<TogetherSettings>,
    /// How often it is asked what has happened, where its webhooks cannot reach this server: `30s`, `1m`, `2h`.
    pub poll: Option<String>,
    /// Whether it may be reached without encryption, on this machine alone.
    #[serde(default)]
    pub plain_http: bool,
    /// Whether everybody on the internet can reach it, so that repositories which it calls public hold nothing private. Known of the great public
    /// ones.
    pub open: Option<bool>,
}

fn label() -> String {
    "cofferdam".to_owned()
}

const fn fixes() -> u32 {
    3
}

/// The families of forges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// github.com and GitHub Enterprise Server.
    GitHub,
    /// gitlab.com and self-managed GitLab.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
}

impl From<Kind> for ForgeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::GitHub => Self::GitHub,
            Kind::GitLab => Self::GitLab,
            Kind::Gitea => Self::Gitea,
        }
    }
}

/// When pull requests of others are reviewed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reviews {
    /// Never.
    #[default]
    Never,
    /// When somebody who may asks: by the label, by wanting a review of the account, or in a comment.
    Asked,
    /// Also when somebody who may has opened one that is no draft, or made one ready.
    Opened,
}

/// What somebody may do at least who asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeastRight {
    /// Sort issues.
    Triage,
    /// Push.
    #[default]
    Write,
    /// Change the repository's settings.
    Admin,
}

impl From<LeastRight> for Right {
    fn from(least: LeastRight) -> Self {
        match least {
            LeastRight::Triage => Self::Triage,
            LeastRight::Write => Self::Write,
            LeastRight::Admin => Self::Admin,
        }
    }
}

/// An app of GitHub's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSettings {
    /// Its number or client id.
    pub id: String,
    /// Where its private key is, in PEM.
    pub key: SecretPlace,
}

/// What asks for work on a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) label: String,
    pub(super) mention: Option<String>,
    pub(super) least: Right,
    pub(super) fixes: u32,
    pub(super) reviews: Reviews,
    pub(super) bots: Vec<String>,
    pub(super) together: Vec<TogetherSettings>,
}

/// A `[[forge]]` table cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ForgeTrouble {
    /// Its name.
    #[error("[[forge]]: each table has a name of its own: {name:?} is there twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// What is wrong with it.
    #[error("[[forge]] {name:?}: {problem}")]
    Table {
        /// Its name.
        name: String,
        /// The problem, in words, with its remedy.
        problem: String,
    },
    /// It cannot be asked so.
    #[error("[[forge]] {name:?}: {source}")]
    Site {
        /// Its name.
        name: String,
        /// Why.
        source: SiteError,
    },
    /// No client can be made for it.
    #[error("[[forge]] {name:?}")]
    Client {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: OpenError,
    },
}

/// A forge that can be asked.
#[derive(Clone)]
pub struct OpenForge {
    /// Its table.
    pub settings: ForgeSettings,
    /// Where it is.
    pub site: Site,
    /// All that is asked of it.
    pub talk: Arc<dyn Talk>,
}

impl std::fmt::Debug for OpenForge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenForge").field("site", &self.site).finish_non_exhaustive()
    }
}

impl ForgeSettings {
    /// The forges of all tables. `environment` reads a variable. Nothing is asked of them yet.
    ///
    /// # Errors
    /// For the first table that cannot be; says what is wrong with it.
    pub fn open(
        tables: &[Self],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<OpenForge>, ForgeTrouble> {
        let mut open: Vec<OpenForge> = Vec::new();
        for table in tables {
            if open.iter().any(|known| known.settings.name == table.name) {
                return Err(ForgeTrouble::Twice { name: table.name.clone() });
            }
            open.push(table.open_one(environment)?);
        }
        Ok(open)
    }

    fn open_one(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<OpenForge, ForgeTrouble> {
        let name = || self.name.clone();
        let wrong = |problem: String| ForgeTrouble::Table { name: name(), problem };
        self.check().map_err(|problem| wrong(problem.to_owned()))?;
        let credential = match (&self.token, &self.app) {
            (Some(token), None) => SiteCredential::Token(secret("token", token, environment).map_err(wrong)?),
            (None, Some(app)) => SiteCredential::App {
                id: app.id.clone(),
                key: secret("app.key", &app.key, environment).map_err(wrong)?,
            },
            (Some(_), Some(_)) => {
                return Err(wrong("it has both a `token` and an `app`: keep one of them".to_owned()));
            }
            (None, None) => {
                return Err(wrong(
                    "it has neither a `token` nor an `app`: write token = { file = \"…\" } or { env = \"…\" }".to_owned(),
                ));
            }
        };
        let site = Site::new(
            &self.name,
            self.kind.into(),
            &self.url,
            self.api.as_deref(),
            credential,
            self.plain_http,
        );
        let site = site.map_err(|source| ForgeTrouble::Site { name: name(), source })?;
        let open = self.open.unwrap_or_else(|| site.is_open());
        let site = site.opened(open);
        let talk = remote::open(&site).map_err(|source| ForgeTrouble::Client { name: name(), source })?;
        Ok(OpenForge { settings: self.clone(), site, talk })
    }

    /// Looks at everything that can be looked at without reading secrets.
    ///
    /// # Errors
    /// What is wrong with the table, and how to mend it.
    pub fn check(&self) -> Result<(), &'static str> {
        let plain = |text: &str| {
            text.trim() == text && text.chars().count() <= LONGEST_NAME && !text.contains(char::is_control)
        };
        if !plain(&self.label) {
            return Err(
                "`label` is the name of a label, of at most 100 characters, or empty where none asks for work",
            );
        }
        if self
            .mention
            .as_deref()
            .is_some_and(|name| name.is_empty() || name.starts_with('@') || !plain(name))
        {
            return Err("`mention` is a name without `@`: leave it out for the account's own");
        }
        if self.fixes > MOST_FIXES {
            return Err("`fixes` is at most 20: each attempt is a turn of its own");
        }
        if self.bots.iter().any(|name| name.is_empty() || name.starts_with('@')) {
            return Err("`bots` are names of accounts, without `@`");
        }
        TogetherSettings::check(&self.together)?;
        match (&self.hook_secret, &self.poll) {
            (_, Some(_)) if self.every().is_none() => {
                Err("`poll` is a time from 1s to 24h: a number and `s`, `m` or `h`, such as \"1m\"")
            }
            (None, None) => {
                Err("it has neither a `hook_secret` nor `poll`: nothing that happens there would be heard of")
            }
            (None, Some(_)) if !self.earlier_hook_secrets.is_empty() => {
                Err("it has `earlier_hook_secrets` and no `hook_secret`: put the present one there")
            }
            (_, _) => Ok(()),
        }
    }

    /// How often it is asked, if that is said and can be.
    #[must_use]
    pub fn every(&self) -> Option<Duration> {
        let text = self.poll.as_deref()?;
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            _ => return None,
        };
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = number.parse().ok().filter(|_| digits)?;
        let every = Duration::from_secs(number.checked_mul(seconds)?);
        (every >= SHORTEST_POLL && every <= LONGEST_POLL).then_some(every)
    }

    fn hook_secrets(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<HookSecrets>, String> {
        let Some(present) = &self.hook_secret else { return Ok(None) };
        let present = secret("hook_secret", present, environment)?;
        let earlier: Result<Vec<Secret>, String> = self
            .earlier_hook_secrets
            .iter()
            .map(|place| secret("earlier_hook_secrets", place, environment))
            .collect();
        let secrets = HookSecrets::new(present, earlier?)
            .ok_or_else(|| "a `hook_secret` is empty: `openssl rand -hex 32` makes one".to_owned())?;
        Ok(Some(secrets))
    }
}

impl OpenForge {
    /// The way in by this forge. `model` is what its sessions are worked on with, unless workers know better.
    ///
    /// # Errors
    /// When its hooks' secrets cannot be read.
    pub fn way(
        &self,
        store: Arc<dyn Everything>,
        place: Place,
        model: Option<String>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<ForgeWay, ForgeTrouble> {
        let settings = &self.settings;
        let secrets = settings
            .hook_secrets(environment)
            .map_err(|problem| ForgeTrouble::Table { name: settings.name.clone(), problem })?;
        let wanted = Wanted {
            label: settings.label.clone(),
            mention: settings.mention.clone(),
            least: settings.least_right.into(),
            fixes: settings.fixes,
            reviews: settings.reviews,
            bots: settings.bots.clone(),
            together: settings.together.clone(),
        };
        let site = (self.site.clone(), Arc::clone(&self.talk));
        Ok(ForgeWay::new(store, site, place, model, secrets, wanted).asked_every(settings.every()))
    }
}

#[cfg(test)]
mod tests;
