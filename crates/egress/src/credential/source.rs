//! Reading secrets from where they are, and keeping them for as long as they are good.

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::OsString,
    io::Read as _,
    path::Path,
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use cofferdam_domain::Secret;
use http::HeaderValue;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    Credential, CredentialProblem, CredentialSource, HeaderFormat, Keeper, ReflectionPatterns,
    RepositoryName, VaultLogin, command, github_app, vault,
};
use crate::fetch::Fetch;

/// How long a source may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a failure is taken for an answer, so that a sandbox that tries again does not wear out whoever is asked.
const FAILURE_KEPT: Duration = Duration::from_secs(5);
/// How long what was stored is taken for what is stored.
const STORED_KEPT: Duration = Duration::from_secs(30);
/// The most bytes that a file may have.
const MAX_FILE: u64 = 64 << 10;
/// Values of a credential that are remembered: short-lived ones are still good for a while.
const KNOWN: usize = 4;
/// Shorter secrets would be found in texts that have nothing to do with them; longer ones are no header's.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=4096;

/// One credential's secret, read when it is needed.
pub(super) struct Source {
    pub(super) name: String,
    from: CredentialSource,
    format: HeaderFormat,
    host: String,
    pub(super) repository: Option<RepositoryName>,
    variables: Arc<BTreeMap<String, OsString>>,
    /// Who has what is stored.
    keeper: Option<Arc<dyn Keeper>>,
    pub(super) fetch: Fetch,
    held: Mutex<Option<Held>>,
    /// What was read last, also while it is being read anew: nothing of it may be sent.
    known: std::sync::Mutex<VecDeque<Arc<ReflectionPatterns>>>,
}

/// A secret that is ready to be written.
pub(super) struct Value {
    pub(super) header: HeaderValue,
    pub(super) patterns: Arc<ReflectionPatterns>,
}

struct Held {
    outcome: Result<Arc<Value>, CredentialProblem>,
    good: Good,
}

/// For how long something that was read is good.
pub(super) enum Good {
    /// As long as the worker runs.
    Always,
    /// Until then.
    Until(Instant),
    /// As long as the file looks like this.
    While(FileLook),
}

/// What tells a changed file from an unchanged one.
#[derive(PartialEq, Eq)]
pub(super) struct FileLook {
    changed: Option<SystemTime>,
    length: u64,
}

impl FileLook {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { changed: metadata.modified().ok(), length: metadata.len() })
    }
}

impl Source {
    pub(super) fn new(
        credential: &Credential,
        variables: Arc<BTreeMap<String, OsString>>,
        fetch: Fetch,
    ) -> Self {
        Self {
            name: credential.name.clone(),
            from: credential.source.clone(),
            format: credential.format.clone(),
            host: format!("{}://{}:{}", credential.scheme.as_str(), credential.host, credential.port()),
            repository: None,
            variables,
            keeper: None,
            fetch,
            held: Mutex::new(None),
            known: std::sync::Mutex::default(),
        }
    }

    /// The same for one session: shared, unless what it gives is made for a session.
    pub(super) fn for_session(this: &Arc<Self>, repository: Option<&RepositoryName>) -> Arc<Self> {
        match &this.from {
            CredentialSource::GithubApp(app) => Arc::new(Self {
                repository: app.repository.clone().or_else(|| repository.cloned()),
                ..this.unread()
            }),
            CredentialSource::Env(_)
            | CredentialSource::File(_)
            | CredentialSource::Command(_)
            | CredentialSource::Vault(_)
            | CredentialSource::Stored(_)
            | CredentialSource::Given(_) => Arc::clone(this),
        }
    }

    /// The same for one organisation: shared, unless an organisation keeps what it gives.
    pub(super) fn kept_by(this: &Arc<Self>, keeper: &Arc<dyn Keeper>) -> Arc<Self> {
        match &this.from {
            CredentialSource::Stored(_) => {
                Arc::new(Self { keeper: Some(Arc::clone(keeper)), ..this.unread() })
            }
            CredentialSource::Env(_)
            | CredentialSource::File(_)
            | CredentialSource::Command(_)
            | CredentialSource::Vault(_)
            | CredentialSource::GithubApp(_)
            | CredentialSource::Given(_) => Arc::clone(this),
        }
    }

    /// The same, of which nothing has been read.
    fn unread(&self) -> Self {
        Self {
            name: self.name.clone(),
            from: self.from.clone(),
            format: self.format.clone(),
            host: self.host.clone(),
            repository: self.repository.clone(),
            variables: Arc::clone(&self.variables),
            keeper: self.keeper.clone(),
            fetch: self.fetch.clone(),
            held: Mutex::new(None),
            known: std::sync::Mutex::default(),
        }
    }

    /// The value, read anew if what is held is no longer good. Who comes while it is being read waits for the same.
    pub(super) async fn value(&self) -> Result<Arc<Value>, CredentialProblem> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| self.is_good(held)) {
            return held.outcome.clone();
        }
        let read = match timeout(PATIENCE, self.read()).await {
            Ok(read) => read,
            Err(_) => Err(self.value_problem("its source gave no answer within 30 seconds; try it by hand")),
        };
        let (outcome, good) = match read.and_then(|(secret, good)| Ok((self.ready(&secret)?, good))) {
            Ok((value, good)) => (Ok(Arc::new(value)), good),
            Err(problem) => (Err(problem), Good::Until(Instant::now() + FAILURE_KEPT)),
        };
        if let Ok(value) = &outcome {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.truncate(KNOWN - 1);
            known.push_front(value.patterns.clone());
        }
        *held = Some(Held { outcome: outcome.clone(), good });
        outcome
    }

    /// Reads it now if that asks nobody outside: from the environment, a file, the store, or where it was given.
    pub(super) async fn learn(&self) {
        match self.from {
            CredentialSource::Env(_)
            | CredentialSource::File(_)
            | CredentialSource::Stored(_)
            | CredentialSource::Given(_) => {
                // Whoever wants to use it hears what is wrong with it.
                drop(self.value().await);
            }
            CredentialSource::Command(_) | CredentialSource::Vault(_) | CredentialSource::GithubApp(_) => {}
        }
    }

    /// The values that it has had lately.
    pub(super) fn known(&self) -> Vec<Arc<ReflectionPatterns>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn is_good(&self, held: &Held) -> bool {
        match (&held.good, &self.from) {
            (Good::Always, _) => true,
            (Good::Until(end), _) => Instant::now() < *end,
            (Good::While(look), CredentialSource::File(path)) => FileLook::of(path).as_ref() == Some(look),
            (Good::While(_), _) => false,
        }
    }

    async fn read(&self) -> Result<(Secret, Good), CredentialProblem> {
        match &self.from {
            CredentialSource::Given(secret) => Ok((self.secret(secret.expose())?, Good::Always)),
            CredentialSource::Env(variable) => Ok((self.variable(variable)?, Good::Always)),
            CredentialSource::File(path) => {
                let look = FileLook::of(path);
                let secret = self.file(path)?;
                Ok((secret, look.map_or(Good::Until(Instant::now()), Good::While)))
            }
            CredentialSource::Stored(name) => {
                let Some(keeper) = &self.keeper else {
                    return Err(self.value_problem(
                        "an organisation keeps it for its sessions, and there is no organisation here: use it in a session",
                    ));
                };
                let problem = |reason| CredentialProblem::Service {
                    name: self.name.clone(),
                    service: "the store",
                    reason,
                };
                let secret = keeper.secret(name).await.map_err(problem)?;
                Ok((self.secret(secret.expose())?, Good::Until(Instant::now() + STORED_KEPT)))
            }
            CredentialSource::Command(source) => command::read(self, source).await,
            CredentialSource::Vault(source) => {
                let token = match &source.login {
                    VaultLogin::TokenEnv(variable) => self.variable(variable)?,
                    VaultLogin::TokenFile(path) => self.file(path)?,
                    VaultLogin::Approle { role_id, secret_id_file } => {
                        vault::login(self, source, role_id, &self.file(secret_id_file)?).await?
                    }
                };
                vault::read(self, source, &token).await
            }
            CredentialSource::GithubApp(source) => {
                let key = self.text(&source.private_key_file)?;
                github_app::mint(self, source, &key, source.api.as_deref().unwrap_or(&self.host)).await
            }
        }
    }

    /// The secret as the header carries it, and what must not come back of it.
    fn ready(&self, secret: &Secret) -> Result<Value, CredentialProblem> {
        let impossible = || self.value_problem("no header can carry it");
        let mut header = HeaderValue::from_str(&self.format.value(secret)).map_err(|_| impossible())?;
        header.set_sensitive(true);
        let secrets: Vec<Secret> =
            [Some(secret.clone()), self.format.password(secret)].into_iter().flatten().collect();
        let patterns = ReflectionPatterns::new(&secrets).ok_or_else(impossible)?;
        Ok(Value { header, patterns: Arc::new(patterns) })
    }

    /// Takes what a source gave for a secret: one line of visible characters.
    pub(super) fn secret(&self, text: &str) -> Result<Secret, CredentialProblem> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(self.value_problem("its source is empty: put the secret there"));
        }
        if !text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
            return Err(self.value_problem(
                "its source has more than one word, or characters that no secret has: put the secret there and nothing else",
            ));
        }
        if text.len() < *LENGTHS.start() {
            return Err(self
                .value_problem("it is shorter than 8 characters, which is no secret: put a real one there"));
        }
        if text.len() > *LENGTHS.end() {
            return Err(self
                .value_problem("it is longer than 4096 characters: put the secret there and nothing else"));
        }
        Ok(Secret::new(text))
    }

    fn variable(&self, variable: &str) -> Result<Secret, CredentialProblem> {
        let value = self.variables.get(variable).and_then(|value| value.to_str());
        let missing =
            || CredentialProblem::Variable { name: self.name.clone(), variable: variable.to_owned() };
        self.secret(value.ok_or_else(missing)?)
    }

    fn file(&self, path: &Path) -> Result<Secret, CredentialProblem> {
        self.secret(&self.text(path)?)
    }

    fn text(&self, path: &Path) -> Result<String, CredentialProblem> {
        let problem = |reason: String| CredentialProblem::File {
            name: self.name.clone(),
            path: path.to_owned(),
            reason,
        };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| problem(error.to_string()))?;
        file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| problem(error.to_string()))?;
        Ok(text)
    }

    pub(super) fn value_problem(&self, reason: &'static str) -> CredentialProblem {
        CredentialProblem::Value { name: self.name.clone(), reason }
    }
}

/// What can be seen of a source before it is asked.
pub(super) fn check(credential: &Credential) -> Result<(), CredentialProblem> {
    let problem = |reason: &str| Err(CredentialProblem::misconfigured(&credential.name, reason));
    let address = |text: &str| {
        Fetch::address(text)
            .map(drop)
            .map_err(|error| CredentialProblem::misconfigured(&credential.name, error.to_string()))
    };
    match &credential.source {
        CredentialSource::Env(variable) if variable.is_empty() => problem("env needs the name of a variable"),
        CredentialSource::Stored(name) if name.is_empty() => {
            problem("stored needs the name that the organisation keeps it under")
        }
        CredentialSource::File(path) if !path.is_absolute() => problem("file needs an absolute path"),
        CredentialSource::Command(command) if command.argv.is_empty() => {
            problem("argv needs a program and its arguments, each a text of its own")
        }
        CredentialSource::Vault(vault) => {
            let path = |text: &str| {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
                !text.is_empty()
                    && text.bytes().all(plain)
                    && !text.starts_with('/')
                    && !text.split('/').any(|part| part == "..")
            };
            if !path(&vault.mount) || !path(&vault.path) {
                return problem(
                    "mount and path are paths in Vault, without a slash in front: mount = \"secret\", path = \"ci/forge\"",
                );
            }
            address(&vault.address)
        }
        CredentialSource::GithubApp(app) => {
            if app.permissions.is_empty() {
                return problem(
                    "permissions says what the token may do; without it, it could do all that the app may: { contents = \"read\" }",
                );
            }
            app.api.as_deref().map_or(Ok(()), address)
        }
        CredentialSource::Env(_)
        | CredentialSource::File(_)
        | CredentialSource::Command(_)
        | CredentialSource::Stored(_)
        | CredentialSource::Given(_) => Ok(()),
    }
}
