//! The worker's one doorway: made from the configuration, once, when it is first needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Result, bail};
use async_trait::async_trait;
use cofferdam_domain::{OrgId, egress::EgressPolicy};
use cofferdam_egress::{
    BuiltIn, Credential, CredentialHost, Credentials, Discovery, Doorway, DoorwayOptions, EgressError,
    HostFiles, PackageCache, Resolver, Roots, discover, problems,
};
use cofferdam_worker::{Doorways, Way, WorkerError};
use tokio::sync::OnceCell;

use crate::{
    config::{EgressSettings, RegistrySource},
    terminal::{complain, inert},
};

/// Makes the doorway when it is first asked for. Finding registries takes a while, so that is done only for sessions that may read them.
pub(crate) struct Configured {
    settings: EgressSettings,
    credentials: Vec<Credential>,
    /// Where packages, and what was found out about registries, are kept.
    kept: PathBuf,
    plain: OnceCell<Arc<Way>>,
    with_registries: OnceCell<Arc<Way>>,
}

impl Configured {
    /// A doorway with these settings and credentials.
    pub(crate) fn new(settings: EgressSettings, credentials: Vec<Credential>, kept: PathBuf) -> Self {
        Self { settings, credentials, kept, plain: OnceCell::new(), with_registries: OnceCell::new() }
    }

    async fn make(&self, registries: bool) -> Result<Arc<Way>, WorkerError> {
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
        credentials.extend(found.credentials);
        let credentials =
            Credentials::new(credentials, CredentialHost { variables, tls }).map_err(EgressError::from)?;
        let placeholders = credentials.placeholders();
        let limit = Some(settings.cache).filter(|limit| *limit > 0);
        let cache = limit.map(|limit| PackageCache::open(&self.kept.join("cache"), limit)).transpose();
        let cache = cache.map_err(EgressError::Cache)?;
        let doorway = Doorway::new(DoorwayOptions {
            credentials,
            registries: found.registries,
            cache,
            roots,
            resolver: settings.resolver.map_or(Resolver::System, Resolver::Server),
            secret_form: Some(cofferdam_gate::secret_form),
            ..DoorwayOptions::default()
        })?;
        Ok(Arc::new(Way { doorway, settings: found.settings, placeholders }))
    }
}

#[async_trait]
impl Doorways for Configured {
    async fn doorway(&self, _: OrgId, policy: &EgressPolicy) -> Result<Arc<Way>, WorkerError> {
        let registries = policy.registries.enabled;
        let made = if registries { &self.with_registries } else { &self.plain };
        made.get_or_try_init(|| self.make(registries)).await.cloned()
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
