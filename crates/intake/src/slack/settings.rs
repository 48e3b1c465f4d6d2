//! The `[[slack]]` tables of the configuration.

use std::{collections::BTreeMap, sync::Arc};

use cofferdam_domain::Secret;
use cofferdam_forge::hook::HookSecrets;
use cofferdam_store::Everything;
use cofferdam_tell::{SLACK, SecretPlace, Slack};
use serde::Deserialize;

use super::{Listener, SlackWay, event::is_id};
use crate::{
    Place,
    job::{Job, NO_NAME, is_name},
    table::{organisation, token},
};

/// Ids in one list.
const MOST: usize = 500;

/// One `[[slack]]` table: a workspace, as which app it is asked, and who may ask for what there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackSettings {
    /// Names it; its events are posted to `/hooks/` and this.
    pub name: String,
    /// Where the token of the app's bot is.
    pub bot_token: SecretPlace,
    /// Where the secret is that proves what is posted.
    pub signing_secret: Option<SecretPlace>,
    /// Where the app's own token is, with which a connection is opened instead (Socket Mode).
    pub app_token: Option<SecretPlace>,
    /// Who may ask.
    pub ask: Askers,
    /// The repository where no other one is named for the channel.
    pub repository: Option<String>,
    /// The ref to start from; the repository's default branch if none is named.
    pub base: Option<String>,
    /// The repositories that it is about beside that one, each an absolute path or a URL, with `#` and the ref to start from if need be.
    #[serde(default)]
    pub also: Vec<String>,
    /// Channels with another repository, by their ids.
    #[serde(default)]
    pub channels: BTreeMap<String, ChannelSettings>,
    /// The model, by its name in the configuration.
    pub model: Option<String>,
    /// A policy of the organisation's.
    pub policy: Option<String>,
    /// For which organisation.
    #[serde(default = "organisation")]
    pub organisation: String,
    /// In which project of it; in its first if none is named.
    pub project: Option<String>,
    /// Where its API is.
    #[serde(default = "slack")]
    pub api: String,
    /// Whether that may be reached without encryption, on this machine alone.
    #[serde(default)]
    pub plain_http: bool,
}

/// Who may ask: these, and nobody else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Askers {
    /// People, by their ids (`U…`).
    pub users: Vec<String>,
    /// The members of user groups, by their ids (`S…`).
    pub groups: Vec<String>,
    /// All members of the workspace, guests and people of other workspaces left out.
    pub workspace: bool,
}

/// What is worked on that is asked for in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSettings {
    /// The repository.
    pub repository: String,
    /// The ref to start from.
    pub base: Option<String>,
    /// The repositories that it is about beside that one.
    #[serde(default)]
    pub also: Vec<String>,
    /// The model; that of the table if none is named.
    pub model: Option<String>,
    /// The policy; that of the table if none is named.
    pub policy: Option<String>,
}

fn slack() -> String {
    SLACK.to_owned()
}

/// A `[[slack]]` table cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlackTrouble {
    /// Its name.
    #[error("[[slack]]: {NO_NAME}, and each table another one: {0:?}")]
    Name(String),
    /// Something of it.
    #[error("[[slack]] {name:?}: {problem}")]
    Table {
        /// Its name.
        name: String,
        /// What is wrong, in words, with its remedy.
        problem: String,
    },
}

/// A workspace that can be asked.
#[derive(Debug, Clone)]
pub struct OpenSlack {
    /// Its table.
    pub settings: SlackSettings,
    /// All that is asked of it.
    pub slack: Slack,
    pub(super) proof: Proof,
}

/// How what happens comes here.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    /// It is posted, and proved by one of these.
    Posted(HookSecrets),
    /// It is fetched with this.
    Fetched(Secret),
}

impl SlackSettings {
    /// The workspaces of all tables. `environment` reads a variable. Nothing is asked of them yet.
    ///
    /// # Errors
    /// For the first table that cannot be; says what is wrong with it.
    pub fn open(
        tables: &[Self],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<OpenSlack>, SlackTrouble> {
        let mut open: Vec<OpenSlack> = Vec::new();
        for table in tables {
            let name = table.name.clone();
            if !is_name(&name) || open.iter().any(|known| known.settings.name == name) {
                return Err(SlackTrouble::Name(name));
            }
            open.push(table.one(environment).map_err(|problem| SlackTrouble::Table { name, problem })?);
        }
        Ok(open)
    }

    fn one(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<OpenSlack, String> {
        self.ask.check()?;
        if self.repository.is_none() && self.channels.is_empty() {
            return Err("it needs a `repository`, or `channels` with one each".to_owned());
        }
        if self.channels.len() > MOST {
            return Err(format!("`channels` has at most {MOST} entries"));
        }
        if let Some(channel) =
            self.channels.keys().find(|channel| !is_id(channel) || !channel.starts_with(['C', 'G', 'D']))
        {
            return Err(format!(
                "`channels` has {channel:?}, which is no id of a channel, such as C0123ABCD"
            ));
        }
        for job in self
            .channels
            .keys()
            .map(Some)
            .chain([None])
            .filter_map(|channel| self.job(channel.map_or("", |id| id)))
        {
            job.check()?;
        }
        let bot = token("bot_token", &self.bot_token, environment)?;
        // A person's token (xoxp-) would have us speak in their name.
        if !bot.expose().starts_with("xoxb-") {
            return Err("`bot_token` is the bot's token, which begins with xoxb-".to_owned());
        }
        let proof = match (&self.signing_secret, &self.app_token) {
            (Some(place), None) => {
                let secret = token("signing_secret", place, environment)?;
                if secret.expose().len() < 16 {
                    return Err(
                        "`signing_secret` is the one under Basic Information of the app, of 32 characters"
                            .to_owned(),
                    );
                }
                Proof::Posted(HookSecrets::new(secret, Vec::new()).ok_or("`signing_secret` is empty")?)
            }
            (None, Some(place)) => {
                let secret = token("app_token", place, environment)?;
                if !secret.expose().starts_with("xapp-") {
                    return Err("`app_token` is the app's own token, which begins with xapp-".to_owned());
                }
                Proof::Fetched(secret)
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err("it has either a `signing_secret` (events are posted here) or an `app_token` (Socket Mode)".to_owned());
            }
        };
        let slack = Slack::new(&self.name, &self.api, bot, self.plain_http)?;
        Ok(OpenSlack { settings: self.clone(), slack, proof })
    }

    /// What is worked on that is asked for in a channel, if anything.
    pub(super) fn job(&self, channel: &str) -> Option<Job> {
        let own = self.channels.get(channel);
        let model = own.and_then(|own| own.model.as_deref()).or(self.model.as_deref());
        let policy = own.and_then(|own| own.policy.as_deref()).or(self.policy.as_deref());
        let at = match own {
            Some(own) => (&*own.repository, own.base.as_deref(), &*own.also),
            None => (self.repository.as_deref()?, self.base.as_deref(), &*self.also),
        };
        Some(Job::on(at, (model, policy)))
    }
}

impl Askers {
    fn check(&self) -> Result<(), String> {
        if self.users.is_empty() && self.groups.is_empty() && !self.workspace {
            return Err("`ask` says who may ask: `users`, `groups`, or `workspace = true`".to_owned());
        }
        if self.users.len() > MOST || self.groups.len() > MOST {
            return Err(format!("`users` and `groups` have at most {MOST} entries"));
        }
        if let Some(user) = self.users.iter().find(|id| !is_id(id) || !id.starts_with(['U', 'W'])) {
            return Err(format!("`users` has {user:?}, which is no id of a person, such as U0123ABCD"));
        }
        if let Some(group) = self.groups.iter().find(|id| !is_id(id) || !id.starts_with('S')) {
            return Err(format!("`groups` has {group:?}, which is no id of a user group, such as S0123ABCD"));
        }
        Ok(())
    }
}

impl OpenSlack {
    /// The way in by this workspace. `model` is what its sessions are worked on with where the table names none.
    #[must_use]
    pub fn way(&self, store: Arc<dyn Everything>, place: Place, model: Option<String>) -> SlackWay {
        SlackWay::new(store, self.clone(), place, model)
    }

    /// What fetches what happens there, if it is not posted.
    #[must_use]
    pub fn listener(&self, store: Arc<dyn Everything>, way: Arc<SlackWay>) -> Option<Listener> {
        match &self.proof {
            Proof::Posted(_) => None,
            Proof::Fetched(token) => Some(Listener::new(store, way, self.slack.clone(), token.clone())),
        }
    }

    /// Whether what happens is posted here.
    #[must_use]
    pub const fn is_posted(&self) -> bool {
        matches!(self.proof, Proof::Posted(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        slack: Vec<SlackSettings>,
    }

    fn open(text: &str) -> Result<Vec<OpenSlack>, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let environment = |name: &str| match name {
            "BOT" => Some("xoxb-1-2-3\n".to_owned()),
            "SECRET" => Some("8f742231b10e8888abcd99yyyzzz85a5".to_owned()),
            "APP" => Some("xapp-1-A-2-3".to_owned()),
            "SHORT" => Some("short".to_owned()),
            _ => None,
        };
        SlackSettings::open(&file.slack, &environment).map_err(|error| error.to_string())
    }

    fn table(rest: &str) -> String {
        format!("[[slack]]\nname = 'chat'\nbot_token = {{ env = 'BOT' }}\n{rest}\n")
    }

    const WHOLE: &str =
        "signing_secret = { env = 'SECRET' }\nask = { users = ['U0ANN'] }\nrepository = '/srv/a'";

    #[test]
    fn tables_become_workspaces() {
        let rest = WHOLE.to_owned()
            + "\nbase = 'main'\nmodel = 'm'\n[slack.channels.C0001]\nrepository = 'https://forge.example/a/b'\npolicy = 'p'";
        let [open] = open(&table(&rest)).unwrap().try_into().unwrap();
        let job = |channel| open.settings.job(channel).unwrap();
        assert_eq!((job("C2").repository, job("C2").base), ("/srv/a".into(), Some("main".into())));
        let own = job("C0001");
        assert_eq!((&*own.repository, own.base), ("https://forge.example/a/b", None));
        assert_eq!((own.wishes.model.as_deref(), own.wishes.policy.as_deref()), (Some("m"), Some("p")));
        assert!(open.is_posted() && open.slack.api().as_str() == SLACK);
        let fetched = WHOLE.replace("signing_secret = { env = 'SECRET' }", "app_token = { env = 'APP' }");
        assert!(!super::tests::open(&table(&fetched)).unwrap()[0].is_posted());
        assert!(!format!("{open:?}").contains("xoxb-1"));
    }

    #[test]
    fn mistakes_are_named() {
        let with = |from: &str, to: &str| table(WHOLE).replace(from, to);
        for (text, wanted) in [
            (with("'chat'", "'a b'"), "letters"),
            (table(WHOLE).repeat(2), "another one"),
            (with("env = 'BOT'", "env = 'NONE'"), "NONE is not set"),
            (with("env = 'BOT'", "env = 'APP'"), "xoxb-"),
            (with("env = 'SECRET'", "env = 'SHORT'"), "Basic Information"),
            (with("signing_secret", "app_token"), "xapp-"),
            (with("signing_secret = { env = 'SECRET' }", ""), "either"),
            (with("ask = { users = ['U0ANN'] }", "ask = {}"), "`ask` says"),
            (with("ask = { users = ['U0ANN'] }", ""), "ask"),
            (with("'U0ANN'", "'ann'"), "no id of a person"),
            (with("users = ['U0ANN']", "groups = ['U0ANN']"), "no id of a user group"),
            (with("users", "user"), "user"),
            (with("repository = '/srv/a'", ""), "`repository`"),
            (with("repository = '/srv/a'", "repository = 'srv'"), "repository"),
            (
                with("repository = '/srv/a'", "[slack.channels.general]\nrepository = '/srv/a'"),
                "no id of a channel",
            ),
            (with("repository", "api = 'http://slack.example/'\nrepository"), "https"),
            (
                with("repository", "api = 'http://slack.example/'\nplain_http = true\nrepository"),
                "this machine",
            ),
            (with("repository", "chanels = {}\nrepository"), "chanels"),
        ] {
            let error = open(&text).map(drop).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
