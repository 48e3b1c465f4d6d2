//! What all doors of a worker have in common.

use std::{collections::BTreeSet, sync::Arc};

use cofferdam_domain::egress::EgressPolicy;
use rustls::{ClientConfig, crypto::CryptoProvider};
use tokio::sync::Semaphore;

use crate::{
    cache::PackageCache,
    credential::{Credentials, RepositoryName},
    door::{Door, Parts},
    error::EgressError,
    http::Packages,
    patience::Patience,
    record::Record,
    registry::{Asker, Listings, PackageRules, Registry, named},
    rules::Rules,
    upstream::{Resolver, Roots, Trusted},
    watchlist::{SecretForm, Watchlist},
};

/// What a doorway is made of.
#[derive(Default)]
pub struct DoorwayOptions {
    /// The secrets that the worker may use.
    pub credentials: Credentials,
    /// The package registries that were discovered.
    pub registries: Vec<Registry>,
    /// Where packages are kept for the next session, if they are.
    pub cache: Option<PackageCache>,
    /// Whom to believe outside.
    pub roots: Roots,
    /// Who knows where hosts are.
    pub resolver: Resolver,
    /// How long to wait.
    pub patience: Patience,
    /// How texts that look like secrets are known, for policies that refuse them.
    pub secret_form: Option<SecretForm>,
}

/// What a session's door is about.
#[derive(Default)]
pub struct About<'a> {
    /// The repository to which its credentials may be bound.
    pub repository: Option<&'a RepositoryName>,
    /// What the platform has planted in its sandboxes: texts of random letters and digits, which must not leave.
    pub planted: &'a [String],
}

/// What all doors of a worker have in common: whom to ask, whom to believe, what is known.
pub struct Doorway {
    options: DoorwayOptions,
    provider: Arc<CryptoProvider>,
    trusted: Trusted,
    /// For the door's own questions to registries.
    tls: Arc<ClientConfig>,
    /// How many of these are answered at the same time, for all sessions.
    turns: Arc<Semaphore>,
}

impl Doorway {
    /// Reads the host's root certificates.
    ///
    /// # Errors
    /// When there is nobody to believe.
    pub fn new(options: DoorwayOptions) -> Result<Self, EgressError> {
        let trusted = options.roots.load()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = client(&trusted)?;
        Ok(Self { options, provider, trusted, tls, turns: Listings::turns() })
    }

    /// A door for one session, with an authority of its own.
    ///
    /// # Errors
    /// When the policy is wrong or the authority cannot be made.
    pub fn open(&self, policy: &EgressPolicy, record: Arc<dyn Record>) -> Result<Door, EgressError> {
        self.open_for(policy, &About::default(), record)
    }

    /// The same for a session that is about something.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_for(
        &self,
        policy: &EgressPolicy,
        about: &About<'_>,
        record: Arc<dyn Record>,
    ) -> Result<Door, EgressError> {
        let credentials = self.options.credentials.for_session(about.repository);
        let names: BTreeSet<String> = credentials.names().map(str::to_owned).collect();
        let mut registries = self.options.registries.clone();
        for place in &policy.registries.more {
            registries.push(named(place)?);
        }
        let packages = Packages {
            rules: PackageRules::new(&policy.registries)?,
            listings: Listings::new(
                registries.clone(),
                Asker::new(credentials.clone(), self.tls.clone(), self.options.resolver),
                policy.registries.cool_down_days > 0,
                self.turns.clone(),
            ),
            cache: self.options.cache.clone(),
        };
        let writing = credentials.writing().map(str::to_owned).collect();
        let rules = Rules::new(policy, registries, names)?.with_writing(writing);
        Door::new(Parts {
            rules,
            packages,
            credentials,
            limits: policy.limits,
            record,
            provider: self.provider.clone(),
            trusted: &self.trusted,
            resolver: self.options.resolver,
            patience: self.options.patience,
            watchlist: Watchlist::new(policy, about.planted, self.options.secret_form),
        })
    }
}

impl Roots {
    /// TLS to hosts outside that are verified by these roots, for the worker's own requests.
    ///
    /// # Errors
    /// When there is nobody to believe.
    pub fn tls(&self) -> Result<Arc<ClientConfig>, EgressError> {
        client(&self.load()?)
    }
}

fn client(trusted: &Trusted) -> Result<Arc<ClientConfig>, EgressError> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(EgressError::Tls)?
        .with_root_certificates(trusted.store.clone())
        .with_no_client_auth();
    Ok(Arc::new(config))
}
