//! The tables of a service: `[server]`, `[worker]`, `[store]`, `[secrets]`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use cofferdam_domain::Secret;
use cofferdam_store::{BucketOptions, Keeping, Retention, seal::KeySource};
use serde::{Deserialize, Deserializer};

use super::{Environment, OpenIdTable};

/// The `[server]` table: where a server listens, or which one the command line asks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerSettings {
    /// The server that the command line asks; without one it works on the data directory.
    pub(crate) url: Option<String>,
    /// A file with the API token for it.
    pub(crate) token_file: Option<PathBuf>,
    /// Where a server listens.
    pub(crate) listen: SocketAddr,
    /// Under which address browsers know it.
    pub(crate) origin: Option<String>,
    /// Where repositories may be; anywhere where the list is empty, on the worker's own machine only for those who sit at it.
    pub(crate) repositories: Vec<String>,
    /// Models on offer, the first of them where a task names none; all that are ready where the list is empty.
    pub(crate) models: Vec<String>,
    /// Who else says who somebody is.
    pub(crate) openid: Option<OpenIdTable>,
    /// Addresses, beside github.com, at which admins may make apps on the pages.
    pub(crate) github_enterprise: Vec<String>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            url: None,
            token_file: None,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7480)),
            origin: None,
            repositories: Vec::new(),
            models: Vec::new(),
            openid: None,
            github_enterprise: Vec::new(),
        }
    }
}

impl ServerSettings {
    /// The same with what the environment says: `COFFERDAM_SERVER`.
    pub(super) fn with(mut self, environment: Environment<'_>) -> Self {
        self.url = environment("COFFERDAM_SERVER").or(self.url);
        self
    }

    /// The token for the server that the command line asks: `COFFERDAM_TOKEN`, or the file's.
    pub(crate) fn token(&self, environment: Environment<'_>) -> Result<Secret> {
        if let Some(token) = environment("COFFERDAM_TOKEN") {
            return Ok(Secret::new(token));
        }
        let Some(file) = &self.token_file else {
            bail!("there is a server but no token for it: set COFFERDAM_TOKEN, or [server] token_file");
        };
        let text = one_line(file)?;
        Ok(Secret::new(text))
    }
}

fn one_line(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let line = text.trim();
    ensure!(!line.is_empty() && line.lines().count() == 1, "{} must have one line", file.display());
    Ok(line.to_owned())
}

/// The `[worker]` table: how much a worker takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WorkerSettings {
    /// Sessions that one worker has at once.
    pub(crate) slots: NonZeroU32,
    /// Sessions of one user at once, on whichever workers.
    pub(crate) per_user: NonZeroU32,
    /// Sessions of one organisation at once.
    pub(crate) per_organisation: NonZeroU32,
    /// Sessions on one repository at once.
    pub(crate) per_repository: NonZeroU32,
    /// Seconds for which a worker may be silent before others take its sessions over.
    pub(crate) patience: NonZeroU32,
    /// Where a worker without a server shows its numbers.
    pub(crate) metrics: Option<SocketAddr>,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            slots: number(4),
            per_user: number(16),
            per_organisation: number(64),
            per_repository: number(8),
            patience: number(15),
            metrics: None,
        }
    }
}

/// The `[store]` table: where sessions are kept, if not in the data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreSettings {
    /// `postgres://…`.
    #[serde(deserialize_with = "secret")]
    pub(crate) url: Option<Secret>,
    /// A file with that address.
    pub(crate) url_file: Option<PathBuf>,
    /// `s3://bucket/prefix`: where content is kept, if not with the rest.
    pub(crate) blobs: Option<String>,
    /// Where that bucket is, if not at Amazon's.
    pub(crate) endpoint: Option<String>,
    /// The bucket's region.
    pub(crate) region: Option<String>,
    /// A file with the key for the bucket, if neither the environment nor the machine has one.
    pub(crate) credentials: Option<PathBuf>,
}

/// Variables of the environment that say how a bucket is reached, as Amazon's own programs know them.
const BUCKET_VARIABLES: [&str; 10] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
];

/// What may stand in a file with a key, as in Amazon's own.
const KEY_NAMES: [&str; 3] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];

impl StoreSettings {
    /// The database's address; nothing where the data directory is the store.
    pub(crate) fn address(&self) -> Result<Option<Secret>> {
        match (&self.url, &self.url_file) {
            (Some(_), Some(_)) => bail!("[store] has both url and url_file: keep one of them"),
            (Some(url), None) => Ok(Some(url.clone())),
            (None, Some(file)) => Ok(Some(Secret::new(one_line(file)?))),
            (None, None) => Ok(None),
        }
    }

    /// The bucket in which content is kept, if there is one.
    pub(crate) fn bucket(&self, environment: Environment<'_>) -> Result<Option<BucketOptions>> {
        let Some(address) = &self.blobs else {
            let idle = self.endpoint.is_some() || self.region.is_some() || self.credentials.is_some();
            ensure!(
                !idle,
                "[store] says how a bucket is reached but not which: set blobs = \"s3://bucket/prefix\""
            );
            return Ok(None);
        };
        let mut bucket = BucketOptions::parse(address).context("[store] blobs")?;
        for name in BUCKET_VARIABLES {
            if let Some(value) = environment(name) {
                bucket = bucket.with(name, Secret::new(value))?;
            }
        }
        if let Some(file) = &self.credentials {
            for (name, value) in key_in(file)? {
                bucket = bucket.with(name, value)?;
            }
        }
        if let Some(region) = &self.region {
            bucket = bucket.with("AWS_REGION", Secret::new(region.as_str()))?;
        }
        match &self.endpoint {
            Some(endpoint) => Ok(Some(bucket.at(endpoint).context("[store] endpoint")?)),
            None => Ok(Some(bucket)),
        }
    }

    /// Whether the data directory is the store.
    pub(crate) const fn is_in_data(&self) -> bool {
        self.url.is_none() && self.url_file.is_none()
    }
}

/// The key in a file: lines like `aws_access_key_id = …`, as Amazon's own programs write them.
fn key_in(file: &Path) -> Result<Vec<(&'static str, Secret)>> {
    let shown = file.display();
    let metadata = file.metadata().with_context(|| format!("failed to read {shown}"))?;
    ensure!(metadata.permissions().mode() & 0o077 == 0, "others may read {shown}: run `chmod 600 {shown}`");
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {shown}"))?;
    let mut key = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with(['#', ';']) || line == "[default]" {
            continue;
        }
        let known = line.split_once('=').and_then(|(name, value)| {
            let name = KEY_NAMES.into_iter().find(|known| *known == name.trim())?;
            Some((name, Secret::new(value.trim())))
        });
        let Some(known) = known else {
            bail!("line {number} of {shown} is none of {}", KEY_NAMES.join(", "));
        };
        ensure!(key.iter().all(|(name, _)| *name != known.0), "{shown} says {} twice", known.0);
        key.push(known);
    }
    Ok(key)
}

/// The `[retention]` table: for how many days things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionSettings {
    /// Sessions, after their end; 0 for as long as nobody deletes them.
    pub(crate) sessions: u32,
    /// The layers and checkpoints of sessions, after their end; 0 for as long as the session is kept.
    pub(crate) files: u32,
    /// Whether sessions that somebody archived stay, with their files.
    pub(crate) archived_stay: bool,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self { sessions: 0, files: 30, archived_stay: false }
    }
}

impl From<RetentionSettings> for Retention {
    fn from(settings: RetentionSettings) -> Self {
        let RetentionSettings { sessions, files, archived_stay } = settings;
        let keeping = Keeping { sessions: NonZeroU32::new(sessions), files: NonZeroU32::new(files) };
        Self { keeping, archived_stay }
    }
}

/// The `[secrets]` table: the master key for the secrets that organisations keep in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SecretsSettings {
    /// Where the key is; by default a file in the data directory, if that is the store.
    pub(crate) key: Option<KeyPlace>,
    /// Keys that were in use before, with which secrets can still be read.
    pub(crate) earlier: Vec<KeyPlace>,
}

/// Where a key is: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyPlace {
    /// In a file that only its user may read.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
    /// In what a program prints: the program and its arguments.
    Command(Vec<String>),
}

impl From<&KeyPlace> for KeySource {
    fn from(place: &KeyPlace) -> Self {
        match place.clone() {
            KeyPlace::File(path) => Self::File(path),
            KeyPlace::Env(variable) => Self::Environment(variable),
            KeyPlace::Command(words) => Self::Command(words),
        }
    }
}

/// An address may hold a password.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.map(Secret::new))
}
