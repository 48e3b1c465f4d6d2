//! The worker's doorways: made from the configuration when they are first needed, one for all organisations or, where credentials are theirs,
//! one for each.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use anyhow::{Result, bail};
use async_trait::async_trait;
use cofferdam_domain::{OrgId, Secret, egress::EgressPolicy};
use cofferdam_egress::{
    BuiltIn, Credential, CredentialHost, CredentialSource, Credentials, Discovery, Doorway, DoorwayOptions,
    EgressError, HostFiles, Keeper, PackageCache, Resolver, Roots, discover, problems,
};
use cofferdam_worker::{Doorways, Way, WorkerError};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    config::{EgressSettings, RegistrySource},
    secrets::Secrets,
    terminal::{complain, inert},
};

/// Makes doorways when they are first asked for. Finding registries takes a while, so that is done once, and only for sessions that may read
/// them.
pub(crate) struct Configured {
    settings: EgressSettings,
    credentials: Vec<Credential>,
    /// Where packages, and what was found out about registries, are kept.
    kept: PathBuf,
    /// What organisations keep, once the store is open.
    secrets: Arc<OnceLock<Arc<Secrets>>>,
    plain: OnceCell<Found>,
    with_registries: OnceCell<Found>,
    ways: Mutex<Ways>,
}

/// By whether registries may be read, and whose credentials are added.
type Ways = BTreeMap<(bool, Option<OrgId>), Arc<Way>>;

/// What doorways are made of that is the same for all organisations.
struct Found {
    discovery: Discovery,
    credentials: Credentials,
    cache: Option<PackageCache>,
    roots: Roots,
}

/// What one organisation keeps.
struct Kept {
    org: OrgId,
    secrets: Arc<OnceLock<Arc<Secrets>>>,
}

#[async_trait]
impl Keeper for Kept {
    async fn secret(&self, name: &str) -> Result<Secret, String> {
        let Some(secrets) = self.secrets.get() else {
            return Err("is not used by a sandbox that belongs to no session".to_owned());
        };
        secrets.open(self.org, name).await
    }
}

impl Configured {
    /// A doorway with these settings and credentials.
    pub(crate) fn new(settings: EgressSettings, credentials: Vec<Credential>, kept: PathBuf) -> Self {
        Self {
            settings,
            credentials,
            kept,
            secrets: Arc::default(),
            plain: OnceCell::new(),
            with_registries: OnceCell::new(),
            ways: Mutex::default(),
        }
    }

    /// From now on what organisations keep can be had.
    pub(crate) fn open(&self, secrets: Arc<Secrets>) {
        // Those that were there already are as good.
        self.secrets.set(secrets).ok();
    }

    /// Whose doorway an organisation's sessions use: nobody's own where no credential is its own.
    fn whose(&self, org: OrgId) -> Option<OrgId> {
        let stored = |credential: &Credential| matches!(credential.source, CredentialSource::Stored(_));
        self.credentials.iter().any(stored).then_some(org)
    }

    async fn find(&self, registries: bool) -> Result<Found, WorkerError> {
        let variables: BTreeMap<String, OsString> =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        let settings = &self.settings;
        let roots = roots(settings)?;
        let tls = roots.tls()?;
        let mut found = Discovery::default();
        if registries && settings.registries == RegistrySource::Discovered {
            let kept = self.kept.join("registries");
            let built_in = BuiltIn::ask(&variables, Some(&kept)).await;
            found = discover(&HostFiles, &variables, &built_in);
            found.learn(tls.clone(), Some(&kept)).await;
        }
        for note in &found.notes {
            complain(&format!("registries: {}", inert(note)));
        }
        let mut credentials = self.credentials.clone();
        credentials.extend(std::mem::take(&mut found.credentials));
        let credentials =
            Credentials::new(credentials, CredentialHost { variables, tls }).map_err(EgressError::from)?;
        let limit = Some(settings.cache).filter(|limit| *limit > 0);
        let cache = limit.map(|limit| PackageCache::open(&self.kept.join("cache"), limit)).transpose();
        let cache = cache.map_err(EgressError::Cache)?;
        Ok(Found { discovery: found, credentials, cache, roots })
    }

    fn make(&self, found: &Found, org: Option<OrgId>) -> Result<Way, WorkerError> {
        let Found { discovery, credentials, cache, roots } = found;
        let credentials = match org {
            Some(org) => {
                let keeper: Arc<dyn Keeper> = Arc::new(Kept { org, secrets: self.secrets.clone() });
                credentials.kept_by(&keeper)
            }
            None => credentials.clone(),
        };
        let placeholders = credentials.placeholders();
        let doorway = Doorway::new(DoorwayOptions {
            credentials,
            registries: discovery.registries.clone(),
            cache: cache.clone(),
            roots: roots.clone(),
            resolver: self.settings.resolver.map_or(Resolver::System, Resolver::Server),
            secret_form: Some(cofferdam_gate::secret_form),
            ..DoorwayOptions::default()
        })?;
        Ok(Way { doorway, settings: discovery.settings.clone(), placeholders })
    }
}

#[async_trait]
impl Doorways for Configured {
    async fn doorway(&self, org: OrgId, policy: &EgressPolicy) -> Result<Arc<Way>, WorkerError> {
        let registries = policy.registries.enabled;
        let found = if registries { &self.with_registries } else { &self.plain };
        let found = found.get_or_try_init(|| self.find(registries)).await?;
        let whose = self.whose(org);
        let mut ways = self.ways.lock().await;
        if let Some(way) = ways.get(&(registries, whose)) {
            return Ok(way.clone());
        }
        let way = Arc::new(self.make(found, whose)?);
        ways.insert((registries, whose), way.clone());
        Ok(way)
    }
}

/// The host's roots, and those that the settings add.
fn roots(settings: &EgressSettings) -> Result<Roots, WorkerError> {
    let mut roots = Roots::default();
    for path in &settings.roots {
        let pem = fs::read(path).map_err(|source| WorkerError::File {
            operation: "read the root certificates in",
            path: path.display().to_string(),
            source,
        })?;
        roots.extra.extend_from_slice(&pem);
        roots.extra.push(b'\n');
    }
    Ok(roots)
}

/// Refuses a policy that does not mean what it says, with everything that is wrong with it.
pub(crate) fn check(policy: &EgressPolicy, credentials: &[Credential]) -> Result<()> {
    let names: BTreeSet<String> = credentials.iter().map(|credential| credential.name.clone()).collect();
    let problems: Vec<String> = problems(policy, &names).iter().map(ToString::to_string).collect();
    if !problems.is_empty() {
        bail!(
            "policy.egress is wrong:\n  {}\n`cofferdam policy check` shows the lines",
            problems.join("\n  ")
        );
    }
    Ok(())
}
