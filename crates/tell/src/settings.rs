//! The `[[tell]]` tables of the configuration.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use cofferdam_domain::{NoticeKind, egress::Addresses};
use serde::Deserialize;
use url::{Host, Url};

use crate::{
    Channel, Patience, Route, SigningSecret,
    command::Program,
    webhook::{Webhook, WebhookError},
};

/// The longest name of a channel.
const LONGEST_NAME: usize = 64;
/// The longest time limit of a program, in seconds.
const LONGEST_SECONDS: u32 = 60;

/// One `[[tell]]` table: who is told, of what, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TellSettings {
    /// Names the channel, in the outbox too: letters that wait for a name that is configured nowhere any more are not told.
    pub name: String,
    /// Of what; where the list is empty, of everything but `moved`.
    #[serde(default)]
    pub kinds: Vec<NoticeKind>,
    /// Only of sessions of these organisations, by name.
    #[serde(default)]
    pub organisations: Vec<String>,
    /// Only of sessions in these projects, by name.
    #[serde(default)]
    pub projects: Vec<String>,
    /// By a signed request.
    pub webhook: Option<WebhookSettings>,
    /// By a program.
    pub command: Option<CommandSettings>,
}

/// A signed webhook.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where to.
    pub url: String,
    /// Where the secret is that requests are signed with.
    pub secret: SecretPlace,
    /// Where the host may be. An address in the URL itself is what the operator has written.
    #[serde(default)]
    pub addresses: Addresses,
}

/// A program of the operator's. It has the message on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSettings {
    /// The program and its arguments. No shell sees them.
    pub argv: Vec<String>,
    /// How long it may run.
    #[serde(default = "half_a_minute")]
    pub seconds: u32,
}

const fn half_a_minute() -> u32 {
    30
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretPlace {
    /// In a file with nothing else.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

/// A `[[tell]]` table cannot be.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// Its name.
    #[error(
        "[[tell]]: a name has 1 to {LONGEST_NAME} letters, digits, `-` and `_`, and each table another one: {name:?}"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// What is wrong with it.
    #[error("[[tell]] {name:?}: {problem}")]
    Channel {
        /// Its name.
        name: String,
        /// The problem, in words.
        problem: String,
    },
}

impl TellSettings {
    /// The channels of all tables, with what each is told of. `environment` reads a variable.
    ///
    /// # Errors
    /// For the first table that cannot be; says what is wrong with it.
    pub fn routes(
        tables: &[Self],
        patience: Patience,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<Route>, TellError> {
        let mut routes: Vec<Route> = Vec::new();
        for table in tables {
            if routes.iter().any(|route| route.name == table.name) || !is_name(&table.name) {
                return Err(TellError::Name { name: table.name.clone() });
            }
            routes.push(table.route(patience, environment)?);
        }
        Ok(routes)
    }

    fn route(
        &self,
        patience: Patience,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Route, TellError> {
        let Self { name, kinds, organisations, projects, webhook, command } = self.clone();
        let wrong = |problem: String| TellError::Channel { name: name.clone(), problem };
        let channel: Arc<dyn Channel> = match (webhook, command) {
            (Some(webhook), None) => Arc::new(webhook.channel(patience, environment).map_err(wrong)?),
            (None, Some(command)) => Arc::new(command.channel().map_err(wrong)?),
            (Some(_), Some(_)) | (None, None) => {
                return Err(wrong("it has either a `webhook` or a `command`".to_owned()));
            }
        };
        Ok(Route { name, kinds, organisations, projects, channel })
    }
}

fn is_name(name: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(fits)
}

impl WebhookSettings {
    fn channel(
        self,
        patience: Patience,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Webhook, String> {
        let Self { url, secret, addresses } = self;
        let url = Url::parse(&url).map_err(|error| format!("its URL is none: {error}"))?;
        let literal = matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_)));
        let near = literal || addresses != Addresses::Public;
        match url.scheme() {
            "https" => {}
            "http" if near => {}
            "http" => {
                return Err(
                    "its URL is https, unless its host is near: nothing would be encrypted".to_owned()
                );
            }
            _ => return Err("its URL begins with https://".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("its URL has no user, password or fragment: the signature says who sends".to_owned());
        }
        let secret: SigningSecret = secret
            .read(environment)?
            .trim()
            .parse()
            .map_err(|error: crate::InvalidSecret| error.to_string())?;
        Webhook::new(url, secret, addresses, patience.request)
            .map_err(|error: WebhookError| error.to_string())
    }
}

impl CommandSettings {
    fn channel(self) -> Result<Program, String> {
        let Self { argv, seconds } = self;
        if !(1..=LONGEST_SECONDS).contains(&seconds) {
            return Err(format!("`seconds` is between 1 and {LONGEST_SECONDS}"));
        }
        let (program, arguments) = argv.split_first().ok_or("`argv` needs a program")?;
        Ok(Program::new(program.clone(), arguments.to_vec(), Duration::from_secs(seconds.into())))
    }
}

impl SecretPlace {
    /// The secret. `environment` reads a variable.
    ///
    /// # Errors
    /// When there is none, in words.
    pub fn read(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
        match self {
            Self::File(path) => fs::read_to_string(path)
                .map_err(|error| format!("its secret cannot be read from {}: {error}", path.display())),
            Self::Env(variable) => environment(variable).ok_or_else(|| format!("{variable} is not set")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[derive(Debug, Deserialize)]
    struct File {
        tell: Vec<TellSettings>,
    }

    fn routes(text: &str) -> Result<Vec<Route>, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let environment = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
        TellSettings::routes(&file.tell, Patience::default(), &environment).map_err(|error| error.to_string())
    }

    fn webhook(rest: &str) -> String {
        format!("[[tell]]\nname = 'ops'\nwebhook = {{ secret = {{ env = 'SECRET' }}, {rest} }}\n")
    }

    #[test]
    fn tables_become_channels() {
        let text = webhook("url = 'https://hooks.example.com/x?y=1'")
            + "[[tell]]\nname = 'here'\nkinds = ['frozen', 'dead_letter']\norganisations = ['local']\ncommand = { argv = ['true'] }\n";
        let routes = routes(&text).unwrap();
        assert_eq!(routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(), ["ops", "here"]);
        assert_eq!(routes[1].kinds, [NoticeKind::Frozen, NoticeKind::DeadLetter]);
        for near in [
            "url = 'http://127.0.0.1:9/x'",
            "url = 'http://[::1]:9/x'",
            "url = 'http://hooks.internal/x', addresses = 'private'",
            "url = 'http://hooks.internal/x', addresses = { at = '10.0.0.7:80' }",
        ] {
            assert!(super::tests::routes(&webhook(near)).is_ok(), "{near}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            (webhook("url = 'http://hooks.example.com/'"), "https"),
            (webhook("url = 'ftp://hooks.example.com/'"), "https"),
            (webhook("url = 'https://a:b@hooks.example.com/'"), "user"),
            (webhook("url = 'nowhere'"), "relative URL"),
            (webhook("url = 'https://a.example', secrets = 'x'"), "secrets"),
            (webhook("url = 'https://a.example'").replace("SECRET", "OTHER"), "OTHER is not set"),
            ("[[tell]]\nname = 'a'\n".into(), "either"),
            ("[[tell]]\nname = 'a b'\ncommand = { argv = ['true'] }\n".into(), "letters"),
            ("[[tell]]\nname = 'a'\ncommand = { argv = [] }\n".into(), "program"),
            ("[[tell]]\nname = 'a'\ncommand = { argv = ['true'], seconds = 61 }\n".into(), "seconds"),
            ("[[tell]]\nname = 'a'\nkinds = ['all']\ncommand = { argv = ['true'] }\n".into(), "all"),
            ("[[tell]]\nname = 'a'\ncommand = { argv = ['x'] }\n".repeat(2), "another one"),
        ] {
            let error = routes(&text).map(drop).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
