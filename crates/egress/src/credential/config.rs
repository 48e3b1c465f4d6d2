//! Credentials as they are configured: which secret, from where, and the one place where it may be used.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cofferdam_domain::{
    Secret,
    egress::{HostName, InvalidPath, Method, PathPattern, Scheme},
};
use http::HeaderName;
use serde::{Deserialize, Deserializer, de};

/// One credential. It is used for its host, methods and paths only, in its header only.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Names it in rules and in the log.
    pub name: String,
    /// The host, exactly.
    pub host: HostName,
    /// Encrypted, unless it is said here that the secret may cross the network in the clear.
    #[serde(default)]
    pub scheme: Scheme,
    /// The port; by default the scheme's own.
    #[serde(default)]
    pub port: Option<u16>,
    /// The methods.
    #[serde(default = "reading")]
    pub methods: Vec<Method>,
    /// The paths; `{repository}` stands for `owner/name` of the session's repository.
    #[serde(default = "everything")]
    pub paths: Vec<PathTemplate>,
    /// The request header that carries it.
    #[serde(default = "authorization", deserialize_with = "header")]
    pub header: HeaderName,
    /// How the header is written.
    #[serde(default)]
    pub format: HeaderFormat,
    /// Variables that hold a stand-in for it inside the sandbox, for programs that want to see one.
    #[serde(default)]
    pub placeholder: Vec<String>,
    /// Where the secret comes from.
    pub source: CredentialSource,
}

fn reading() -> Vec<Method> {
    vec![Method::GET, Method::HEAD]
}

fn everything() -> Vec<PathTemplate> {
    vec![PathTemplate("/**".to_owned())]
}

fn authorization() -> HeaderName {
    http::header::AUTHORIZATION
}

/// Headers that say where a message goes or ends are not for secrets.
fn header<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderName, D::Error> {
    let text = String::deserialize(deserializer)?;
    let name: HeaderName = text.parse().map_err(|_| de::Error::custom("not the name of a header"))?;
    let framing =
        ["host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"];
    if framing.contains(&name.as_str()) {
        return Err(de::Error::custom("this header cannot carry a credential"));
    }
    Ok(name)
}

impl Credential {
    /// The port that it is for.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(self.scheme.port())
    }
}

/// A path pattern in which `{repository}` may stand for `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate(String);

const REPOSITORY: &str = "{repository}";

impl PathTemplate {
    /// The pattern in a session on this repository; none where it needs a repository and there is none.
    pub(super) fn pattern(&self, repository: Option<&RepositoryName>) -> Option<PathPattern> {
        match repository {
            Some(repository) => self.0.replace(REPOSITORY, &repository.0).parse().ok(),
            None => self.0.parse().ok(),
        }
    }
}

impl FromStr for PathTemplate {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        text.replace(REPOSITORY, "owner/name").parse::<PathPattern>()?;
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for PathTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// `owner/name` of a repository at a forge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryName(String);

/// The text is not `owner/name`.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("not a repository's name: owner/name is expected, of letters, digits, `-`, `_` and `.`")]
pub struct InvalidRepository;

impl RepositoryName {
    /// As it stands.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the owner.
    pub(super) fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidRepository;

    fn from_str(text: &str) -> Result<Self, InvalidRepository> {
        let part = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.len() <= 100
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let known = text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name));
        if known { Ok(Self(text.to_owned())) } else { Err(InvalidRepository) }
    }
}

impl<'de> Deserialize<'de> for RepositoryName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// How a header carries the secret: text with `{}` in its place. What follows `Basic ` is encoded in Base64 if there is a
/// colon in it (RFC 7617): `Basic user:{}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderFormat {
    before: String,
    after: String,
    basic: bool,
}

/// The text does not say where the secret stands.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error(
    "a format has `{{}}` once, in the place of the secret: \"Bearer {{}}\", \"token {{}}\", \"Basic user:{{}}\""
)]
pub struct InvalidFormat;

impl HeaderFormat {
    /// The header's value.
    pub(super) fn value(&self, secret: &Secret) -> String {
        let text = format!("{}{}{}", self.before, secret.expose(), self.after);
        if self.basic { format!("Basic {}", STANDARD.encode(text)) } else { text }
    }

    /// The password in a secret that is a user and a password, encoded already.
    pub(super) fn password(&self, secret: &Secret) -> Option<Secret> {
        let encoded = !self.basic && self.before == "Basic " && self.after.is_empty();
        let both = STANDARD.decode(secret.expose()).ok().filter(|_| encoded)?;
        let both = String::from_utf8(both).ok()?;
        both.split_once(':').map(|(_, password)| Secret::new(password))
    }
}

impl Default for HeaderFormat {
    fn default() -> Self {
        Self { before: "Bearer ".to_owned(), after: String::new(), basic: false }
    }
}

impl FromStr for HeaderFormat {
    type Err = InvalidFormat;

    fn from_str(text: &str) -> Result<Self, InvalidFormat> {
        let basic = text.strip_prefix("Basic ").filter(|rest| rest.contains(':'));
        let (before, after) = basic.unwrap_or(text).split_once("{}").ok_or(InvalidFormat)?;
        let visible =
            |part: &str| part.len() <= 256 && part.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if after.contains("{}") || !visible(before) || !visible(after) {
            return Err(InvalidFormat);
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned(), basic: basic.is_some() })
    }
}

impl<'de> Deserialize<'de> for HeaderFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for HeaderFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let basic = if self.basic { "Basic " } else { "" };
        write!(f, "{basic}{}{{}}{}", self.before, self.after)
    }
}

/// Where a secret comes from. Only the worker ever looks there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialSource {
    /// An environment variable of the worker.
    Env(String),
    /// A file that has the secret and nothing else; read again when it has changed.
    File(PathBuf),
    /// A program that prints it.
    Command(CommandSource),
    /// `HashiCorp` Vault, or what speaks its API.
    Vault(VaultSource),
    /// An installation token of a GitHub App, made for the session's repository.
    GithubApp(GithubAppSource),
    /// What the session's organisation keeps under this name; see [`super::Keeper`].
    Stored(String),
    /// The secret itself, from a package manager's configuration. Cannot be written in ours.
    #[serde(skip)]
    Given(Secret),
}

/// A program that prints a secret: the secret alone, or JSON `{"secret": …, "expires_at": RFC 3339}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSource {
    /// The program and its arguments; no shell.
    pub argv: Vec<String>,
    /// For how many seconds what it printed is good, where it does not say so itself.
    #[serde(default = "five_minutes")]
    pub valid_seconds: u64,
}

/// A secret in a key-value engine of Vault (developer.hashicorp.com/vault/api-docs/secret/kv).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultSource {
    /// The server: `https://vault.example.com:8200`.
    pub address: String,
    /// Where the engine is mounted.
    #[serde(default = "secret_mount")]
    pub mount: String,
    /// The secret's path in it.
    pub path: String,
    /// The field of the secret.
    pub field: String,
    /// The engine's version: 1 or 2.
    #[serde(default)]
    pub version: KvVersion,
    /// The namespace, where the server has them.
    #[serde(default)]
    pub namespace: Option<String>,
    /// How the worker shows who it is.
    pub login: VaultLogin,
    /// For how many seconds what was read is good, where the server does not say less.
    #[serde(default = "five_minutes")]
    pub valid_seconds: u64,
}

/// The version of a key-value engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub enum KvVersion {
    /// Without versions of secrets.
    One,
    /// With versions of secrets.
    #[default]
    Two,
}

impl TryFrom<u8> for KvVersion {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err("key-value engines have version 1 or 2"),
        }
    }
}

/// How the worker shows Vault who it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VaultLogin {
    /// With a token in an environment variable of the worker.
    TokenEnv(String),
    /// With a token in a file, such as Vault's agent writes.
    TokenFile(PathBuf),
    /// With an `AppRole`.
    Approle {
        /// The role's id.
        role_id: String,
        /// A file with its secret id.
        secret_id_file: PathBuf,
    },
}

/// A GitHub App whose installation tokens are made for one repository
/// (docs.github.com/rest/apps/apps, "Create an installation access token for an app").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GithubAppSource {
    /// The app's id or client id.
    pub app_id: String,
    /// The file with its private key (PEM).
    pub private_key_file: PathBuf,
    /// The installation.
    pub installation_id: u64,
    /// The API's address; by default the credential's own host.
    #[serde(default)]
    pub api: Option<String>,
    /// The one repository; by default the session's.
    #[serde(default)]
    pub repository: Option<RepositoryName>,
    /// What the token may do there: `{ contents = "read" }`.
    pub permissions: BTreeMap<String, String>,
}

fn five_minutes() -> u64 {
    300
}

fn secret_mount() -> String {
    "secret".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_from_configuration() {
        let text = r#"
            name = "forge"
            host = "api.example.com"
            methods = ["GET", "POST"]
            paths = ["/repos/{repository}/**"]
            header = "X-Token"
            format = "token {}"
            placeholder = ["FORGE_TOKEN"]
            source = { github_app = { app_id = "7", private_key_file = "/k.pem", installation_id = 9, permissions = { contents = "read" } } }
        "#;
        let credential: Credential = toml::from_str(text).unwrap();
        assert_eq!((credential.header.as_str(), credential.port()), ("x-token", 443));
        let repository = "acme/tool".parse().unwrap();
        let pattern = credential.paths[0].pattern(Some(&repository)).unwrap();
        assert!(pattern.matches(&"/repos/acme/tool/pulls".parse().unwrap()));
        assert!(!pattern.matches(&"/repos/acme/other/pulls".parse().unwrap()));
        assert_eq!(credential.paths[0].pattern(None), None);
    }

    #[test]
    fn mistakes_are_refused() {
        for (line, expected) in [
            ("header = 'content-length'\nsource = { env = 'X' }", "cannot carry"),
            ("format = 'Bearer'\nsource = { env = 'X' }", "in the place of the secret"),
            ("paths = ['repos']\nsource = { env = 'X' }", "begins with a slash"),
            ("hosts = 'x'\nsource = { env = 'X' }", "unknown field"),
            ("source = { given = 'X' }", "unknown variant"),
            (
                "source = { vault = { address = 'https://v', path = 'a', field = 'b', version = 3, login = { token_env = 'V' } } }",
                "version 1 or 2",
            ),
            ("", "missing field `source`"),
        ] {
            let text = format!("name = 'a'\nhost = 'a.example.com'\n{line}");
            let problem = toml::from_str::<Credential>(&text).unwrap_err().to_string();
            assert!(problem.contains(expected), "{line}: {problem}");
        }
    }

    #[test]
    fn formats() {
        let secret = Secret::new("s3cret:x");
        for (format, expected) in [
            ("Bearer {}", "Bearer s3cret:x"),
            ("{}", "s3cret:x"),
            ("Basic {}", "Basic s3cret:x"),
            ("Basic user:{}", "Basic dXNlcjpzM2NyZXQ6eA=="),
        ] {
            let parsed: HeaderFormat = format.parse().unwrap();
            assert_eq!((parsed.value(&secret).as_str(), parsed.to_string().as_str()), (expected, format));
        }
        let both: HeaderFormat = "Basic {}".parse().unwrap();
        assert_eq!(both.password(&Secret::new("dXNlcjpzM2NyZXQ6eA==")), Some(Secret::new("s3cret:x")));
        assert_eq!(HeaderFormat::default().password(&Secret::new("dXNlcjpzM2NyZXQ6eA==")), None);
        assert!("{} {}".parse::<HeaderFormat>().is_err());
        assert!("a\r\nb: {}".parse::<HeaderFormat>().is_err());
    }
}
