//! The composition root: builds the parts of Cofferdam once and hands them down as values.

use std::{
    fs::{DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use cofferdam_domain::{
    Digest, Event, Memory, OrgId, Owner, Policy, Seq, SessionId,
    event::ModelRole,
    memory::MOST_RECALLED,
    policy::{Narrowing, rules_out_model},
};
use cofferdam_egress::Record;
use cofferdam_forge::{Forges, Git, Identity, LocalForge, Mirrors, SigningKey};
use cofferdam_model::{BlobSource, KeyState, Model, ModelsConfig};
use cofferdam_sandbox::{
    Driver, HostEnvironment, IsolationLevel, LimitLevel, NativeDriver, NativeOptions, SandboxError,
};
use cofferdam_sandbox_docker::DockerDriver;
use cofferdam_server::{
    Choices, Client, Eraser, Hooks, Limits as ServerLimits, OpenId, Origin, Repositories, Server,
    ServerParts, Threads,
};
use cofferdam_store::{ApprovedServer, Everything, KeptSkill, SessionFilter, Store, StoreError};
use cofferdam_telemetry::Tally;
use cofferdam_tell::{Patience, Route, TellSettings};
use cofferdam_worker::{
    Approvals, Approved, Doorways as _, Mcp, Models, OpenDoor, Parts, Policies, StopSignal, WorkerError,
};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    apps::{self, KeptForges},
    args::{Arguments, Command},
    commands::{audit::own_key, sandbox::Sockets},
    config::{self, CONTAINERS, Config, DriverName, Isolation, Limits},
    doorway,
    secrets::{Seal, Secrets},
    sessions::{Here, Sessions, There},
    telemetry::{Counted, CountedModel, Ear, JOURNAL, Telling},
    terminal::{Terminal, complain, inert},
    upkeep::Upkeep,
};

/// What every command may use.
pub(crate) struct App {
    /// What is configured.
    pub(crate) config: Config,
    /// Where results go.
    pub(crate) terminal: Terminal,
    /// What is counted in this process.
    pub(crate) counted: Counted,
}

/// What a server is for those who reach it.
pub(crate) struct Facing {
    /// Under which address browsers know it.
    pub(crate) origin: Origin,
    /// The models on offer.
    pub(crate) models: Vec<String>,
    /// Who else may say who somebody is.
    pub(crate) openid: Option<OpenId>,
    /// Takes what other programs post.
    pub(crate) hooks: Option<Box<dyn Hooks>>,
    /// Knows the forges.
    pub(crate) forges: Option<Box<dyn cofferdam_server::Forges>>,
    /// Finds the pages of issues and pull requests.
    pub(crate) threads: Threads,
}

impl Facing {
    /// One that nobody reaches but this process.
    pub(crate) fn alone(origin: Origin) -> Self {
        Self {
            origin,
            models: Vec::new(),
            openid: None,
            hooks: None,
            forges: None,
            threads: Threads::default(),
        }
    }
}

/// What of this host a session needs.
pub(crate) struct Host {
    /// The git program.
    pub(crate) git: Git,
    /// The sandbox driver, still being prepared.
    driver: JoinHandle<Result<Arc<dyn Driver>>>,
    /// Where egress doors come from.
    doorways: Arc<doorway::Configured>,
}

async fn native(limits: LimitLevel, isolation: IsolationLevel, pool: usize) -> Result<Arc<NativeDriver>> {
    let options =
        NativeOptions { isolation, pool, ..NativeOptions::new(HostEnvironment::of_this_host(), limits) };
    made(NativeDriver::new(options).await)
}

fn made<D>(driver: Result<D, SandboxError>) -> Result<Arc<D>> {
    match driver {
        Ok(driver) => Ok(Arc::new(driver)),
        Err(error @ SandboxError::Host { .. }) => {
            bail!("{error}. `cofferdam doctor` says more about this host")
        }
        Err(error) => Err(error.into()),
    }
}

impl App {
    /// Reads the configuration and the environment.
    pub(crate) fn new(arguments: &Arguments) -> Result<Self> {
        let mut config = Config::load(arguments.config.as_deref(), arguments.data.as_deref(), &environment)?;
        match (arguments.limits, &arguments.command) {
            (Some(limits), _) => config.limits = limits,
            // What runs is our own recording on our own sample: it should show itself on every host.
            (None, Command::Demo(_)) => {
                config.limits = Limits::Weak;
                config.isolation = Isolation::Weaker;
                config.driver = DriverName::Native;
            }
            (None, _) => {}
        }
        let no_color = environment("NO_COLOR").is_some_and(|value| !value.is_empty());
        Ok(Self { config, terminal: Terminal::standard(no_color), counted: Counted::new() })
    }

    /// The store: a database, or the data directory.
    pub(crate) async fn store(&self) -> Result<Arc<dyn Everything>> {
        let data = &self.config.data;
        keep_private(data)?;
        let bucket = self.config.store.bucket(&environment)?;
        if let Some(address) = self.config.store.address()? {
            return Ok(cofferdam_store::open_with(address.expose(), bucket.as_ref()).await?);
        }
        let path = data.to_str().with_context(|| format!("{} is not a path in UTF-8", data.display()))?;
        match cofferdam_store::open_with(path, bucket.as_ref()).await {
            Ok(store) => Ok(store),
            Err(error @ StoreError::File { .. }) => Err(error).with_context(|| {
                format!(
                    "the data directory {} cannot be used; --data or COFFERDAM_DATA names another",
                    data.display()
                )
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// The store of a service, which looks at the start whether content can be kept where it is to be.
    pub(crate) async fn tried_store(&self) -> Result<Arc<dyn Everything>> {
        let store = self.store().await?;
        store.try_bucket().await?;
        Ok(store)
    }

    /// What removes what has expired; on a worker also from its data directory.
    pub(crate) fn upkeep(&self, store: &Arc<dyn Everything>, works: bool) -> Upkeep {
        let data = works.then(|| self.config.data.clone());
        Upkeep { store: store.clone(), retention: self.config.retention.into(), data }
    }

    /// The data directory, for what is kept there without a store.
    pub(crate) fn data(&self) -> Result<&Path> {
        keep_private(&self.config.data)?;
        Ok(&self.config.data)
    }

    /// The sandbox driver.
    pub(crate) async fn driver(&self) -> Result<Arc<dyn Driver>> {
        self.prepare_driver(self.config.driver).await
    }

    /// Prepares a sandbox driver, independently of this.
    pub(crate) fn prepare_driver(
        &self,
        driver: DriverName,
    ) -> impl Future<Output = Result<Arc<dyn Driver>>> + Send + use<> {
        let (limits, isolation) = (self.config.limits.into(), self.config.isolation.into());
        let docker = self.config.docker();
        async move {
            let made: Arc<dyn Driver> = match driver {
                DriverName::Native => native(limits, isolation, 0).await?,
                DriverName::Docker => made(DockerDriver::new(docker?).await)?,
            };
            Ok(made)
        }
    }

    /// The native driver, which begins so many sandboxes ahead of time.
    pub(crate) async fn native_driver(&self, pool: usize) -> Result<Arc<NativeDriver>> {
        native(self.config.limits.into(), self.config.isolation.into(), pool).await
    }

    /// Finds git, and begins to prepare sandboxes: that takes longer than all else that comes before the first request, and needs none of it.
    pub(crate) fn host(&self) -> Result<Host> {
        let driver = tokio::spawn(self.prepare_driver(self.config.driver));
        let doorways = Arc::new(self.doorways());
        if !self.config.policy.egress.is_closed() {
            let (doorways, policy) = (doorways.clone(), self.config.policy.egress.clone());
            // Whoever needs it hears of what goes wrong; nobody else should.
            tokio::spawn(async move { doorways.doorway(Owner::LOCAL.org, &policy).await.map(drop).ok() });
        }
        Ok(Host { git: Git::find()?, driver, doorways })
    }

    /// Where egress doors come from, as configured.
    fn doorways(&self) -> doorway::Configured {
        let Config { egress, credentials, data, .. } = &self.config;
        doorway::Configured::new(egress.clone(), credentials.clone(), data.join(PACKAGES))
    }

    /// The egress door of a sandbox that belongs to no session, with these rules.
    pub(crate) async fn door(
        &self,
        rules: config::Rules,
        record: Arc<dyn Record>,
        directory: &Path,
    ) -> Result<OpenDoor> {
        doorway::check(&rules.policy, &rules.credentials)?;
        let settings = rules.egress.unwrap_or_else(|| self.config.egress.clone());
        let packages = self.config.data.join(PACKAGES);
        let doorways = doorway::Configured::new(settings, rules.credentials, packages);
        let way = doorways.doorway(Owner::LOCAL.org, &rules.policy).await?;
        Ok(OpenDoor::new(&way, &rules.policy, None, record, directory)?)
    }

    /// Everything that a worker needs.
    pub(crate) async fn parts(
        &self,
        store: Arc<dyn Everything>,
        host: Host,
        policy: Policy,
    ) -> Result<Arc<Parts>> {
        let data = &self.config.data;
        let Host { git, driver, doorways } = host;
        doorway::check(&policy.egress, &self.config.credentials)?;
        for settings in &self.config.mcp {
            let rules = settings.door().map_err(anyhow::Error::msg);
            rules
                .and_then(|rules| doorway::check(&rules, &self.config.credentials))
                .with_context(|| format!("[[mcp]] of {}", settings.name))?;
        }
        doorways.open(self.secrets(&store));
        let driver = driver.await.context("preparing sandboxes failed")??;
        let models = Configured {
            config: self.config.models.clone(),
            store: store.clone(),
            tally: self.counted.tally.clone(),
        };
        Ok(Arc::new(Parts {
            store: store.clone(),
            driver,
            doorways,
            mirrors: Mirrors::new(git.clone(), data.join("mirrors"))
                .whole_up_to(self.config.repositories.whole_up_to)
                .lfs(self.config.repositories.lfs())
                .submodules(self.config.repositories.submodules()),
            sparse: self.config.repositories.sparse(),
            beside_public: self.config.repositories.beside_public.clone(),
            tests: self.config.repositories.tests(),
            forges: self.forges(&git, &store).await?,
            signing: self.signing(&git).await?,
            git,
            models: Arc::new(models),
            policy,
            policies: Arc::new(Named(store.clone())),
            browser: self.config.browser.program.clone(),
            display: self.config.display.display(),
            mcp: Mcp { servers: self.config.mcp.clone(), approvals: Arc::new(Named(store.clone())) },
            ledger: Some(store),
            entrances: Arc::new(Sockets {
                user: self.user(),
                output_limit: self.config.policy.limits.output,
            }),
            read_only: self.config.read_only.clone(),
            system: self.config.system,
            identity: self.identity(),
            data: data.clone(),
            name: self.worker_name(),
        }))
    }

    /// The built-in forge, whose records are in the data directory.
    pub(crate) fn local_forge(&self, git: &Git) -> LocalForge {
        LocalForge::new(git.clone(), self.config.data.join("forge"))
    }

    /// Where branches and pull requests go.
    pub(crate) async fn forges(&self, git: &Git, store: &Arc<dyn Everything>) -> Result<Forges> {
        let remote = self.remote_forges(git, &**store).await?;
        let forges = Forges::new(Arc::new(self.local_forge(git)), remote);
        let kept = KeptForges::open(self, store).await?.now().borrow().clone();
        forges.learn(apps::remote(git, &kept));
        Ok(forges)
    }

    /// What signs the platform's commits, if that is configured.
    async fn signing(&self, git: &Git) -> Result<Option<SigningKey>> {
        let Some(file) = &self.config.signing_key else { return Ok(None) };
        Ok(Some(SigningKey::open(git, file).await.context("[commits] signing_key")?))
    }

    /// Under whose name the platform commits.
    pub(crate) fn identity(&self) -> Identity {
        let configured = &self.config.identity;
        Identity { name: configured.name.clone(), email: configured.email.clone() }
    }

    /// The session that was named, or the latest.
    pub(crate) async fn session_or_latest(
        &self,
        store: &dyn Store,
        named: Option<SessionId>,
    ) -> Result<SessionId> {
        if let Some(session) = named {
            // Whatever is asked about a session that does not exist, that is what there is to say.
            store.read(session, Seq::START, 1).await?;
            return Ok(session);
        }
        let latest = store.sessions(SessionFilter { limit: 1, ..SessionFilter::default() }).await?;
        match latest.first() {
            Some(row) => Ok(row.id),
            None => bail!("there are no sessions yet: `cofferdam demo` makes one"),
        }
    }

    /// A session's whole log.
    pub(crate) async fn events(&self, store: &dyn Store, session: SessionId) -> Result<Vec<Event>> {
        Ok(store.log(session).await?)
    }

    /// The server that commands ask, if one is configured.
    pub(crate) fn there(&self) -> Result<Option<There>> {
        let settings = &self.config.server;
        let Some(url) = &settings.url else { return Ok(None) };
        Ok(Some(There::new(Client::new(url, settings.token(&environment)?)?)))
    }

    /// Sessions, wherever they are.
    pub(crate) async fn sessions(&self) -> Result<Box<dyn Sessions>> {
        if let Some(there) = self.there()? {
            return Ok(Box::new(there));
        }
        let store = self.store().await?;
        let settings = &self.config.server;
        let origin = Origin::of_loopback(settings.listen);
        let facing = Facing { models: settings.models.clone(), ..Facing::alone(origin) };
        let server = self.server(store.clone(), self.secrets(&store), facing);
        let git = Git::find()?;
        let forges = match self.forges(&git, &store).await {
            Ok(forges) => forges,
            // Sessions can be looked at without them.
            Err(error) => {
                complain(&format!("only the built-in forge can be used: {}", inert(&format!("{error:#}"))));
                Forges::new(Arc::new(self.local_forge(&git)), Vec::new())
            }
        };
        Ok(Box::new(Here {
            store,
            desk: server.desk(Owner::LOCAL.org, Owner::LOCAL.user, self.user()),
            data: self.config.data.clone(),
            local: self.local_forge(&git),
            forges,
            git,
            identity: self.identity(),
            signing_key: self.config.signing_key.clone(),
            user: self.user(),
            worker: self.worker_name(),
        }))
    }

    /// The channels by which people are told of sessions.
    pub(crate) fn routes(&self) -> Result<Vec<Route>> {
        Ok(TellSettings::routes(&self.config.tell, Patience::default(), &environment)?)
    }

    /// What encrypts and decrypts the secrets in this store.
    pub(crate) fn secrets(&self, store: &Arc<dyn Everything>) -> Arc<Secrets> {
        Arc::new(Secrets::new(&self.config, store.clone()))
    }

    /// The API and the pages on this store.
    pub(crate) fn server(&self, store: Arc<dyn Everything>, secrets: Arc<Secrets>, facing: Facing) -> Server {
        let Facing { origin, models, openid, hooks, forges, threads } = facing;
        let settings = &self.config.server;
        let repositories = match &settings.repositories[..] {
            // Whoever comes from other machines is not whoever owns this one's files.
            [] if settings.origin.is_some() => Repositories::Remote,
            [] => Repositories::Any,
            places => Repositories::Below(places.to_vec()),
        };
        let servers = self.config.mcp.iter().map(|server| server.name.to_string()).collect();
        let choices = Choices { models, repositories, threads, servers };
        let data = self.config.data.clone();
        Server::new(ServerParts {
            store,
            origin,
            choices,
            seal: Box::new(Seal(secrets)),
            openid,
            eraser: Some(Box::new(Disk(data.clone()))),
            hooks,
            forges,
            clock: Arc::new(cofferdam_worker::now),
            limits: ServerLimits::default(),
            numbers: self.counted.numbers(),
            audit_key: Arc::new(move || Ok(own_key(&data)?)),
        })
    }

    /// Models that a task may name: those that are configured for that, or all that are ready; the first is taken where none is named.
    pub(crate) async fn models_on_offer(&self) -> Result<Vec<String>> {
        let only = self.config.policy.models.as_deref();
        let configured = &self.config.server.models;
        if !configured.is_empty() {
            return Ok(configured.iter().filter(|name| !rules_out_model(only, name)).cloned().collect());
        }
        let mut rows = cofferdam_model::list(&self.config.models, &environment).await?;
        rows.retain(|row| !matches!(row.key, KeyState::Missing(_)) && !rules_out_model(only, &row.name));
        rows.sort_by_key(|row| !row.chosen);
        Ok(rows.into_iter().map(|row| row.name).collect())
    }

    /// Who uses this terminal, as text for people.
    pub(crate) fn user(&self) -> String {
        ["USER", "LOGNAME"]
            .into_iter()
            .find_map(environment)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
    }

    /// This process as a worker, as text for people.
    pub(crate) fn worker_name(&self) -> String {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        format!("{host}:{}", std::process::id())
    }

    /// What watches sessions for those who watch over the service.
    pub(crate) fn telling(&self, store: Arc<dyn Store>, ear: Ear) -> Result<Arc<Telling>> {
        let (table, data) = (self.config.telemetry.table(), &self.config.data);
        Telling::start(&table, &self.counted, store, data, &self.worker_name(), ear).context("[telemetry]")
    }

    /// Turns true at the first Ctrl-C or SIGTERM; a second one ends the process at once.
    pub(crate) fn stop_on_interrupt(&self) -> StopSignal {
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            if interrupted().await.is_err() {
                return;
            }
            complain("stopping after what is safe to stop; once more to end at once");
            ask.send_replace(true);
            if interrupted().await.is_ok() {
                // The log is durable and the kernel ends the sandboxes: there is nothing to clean up that `resume` does not.
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).ok();
            }
        });
        asked
    }
}

/// What the data directory holds beside the store, which sees to its own.
const DIRECTORIES: [&str; 9] =
    ["bases", CONTAINERS, "demo", "forge", "mirrors", PACKAGES, "sandboxes", "sessions", JOURNAL];
/// Where packages are kept that came through egress doors.
const PACKAGES: &str = "packages";

/// Makes the data directory, and the directories in it, so that only their user gets in: they hold whole repositories, and an agent may leave
/// programs in its layer that run as their owner whoever starts them. A data directory that is there already keeps its mode: it may be
/// anything that `--data` named.
fn keep_private(data: &Path) -> Result<()> {
    let make = |directory: &Path| DirBuilder::new().recursive(true).mode(PRIVATE).create(directory);
    let unusable = || {
        format!(
            "the data directory {} cannot be used; --data or COFFERDAM_DATA names another",
            data.display()
        )
    };
    make(data).with_context(unusable)?;
    for directory in DIRECTORIES.map(|name| data.join(name)) {
        make(&directory).with_context(unusable)?;
        let mode = directory.metadata().with_context(unusable)?.permissions().mode();
        if mode & 0o077 != 0 {
            std::fs::set_permissions(&directory, Permissions::from_mode(PRIVATE)).with_context(unusable)?;
        }
    }
    Ok(())
}

/// For its user only.
const PRIVATE: u32 = 0o700;

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

/// The process's environment; empty and non-text values count as not set.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What workers on this data directory have left of sessions; nothing where there were none.
struct Disk(PathBuf);

#[async_trait]
impl Eraser for Disk {
    async fn erase(&self, session: SessionId) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(cofferdam_worker::erase(&self.0, session).await?)
    }
}

/// Named policies come from the store.
struct Named(Arc<dyn Everything>);

#[async_trait]
impl Policies for Named {
    async fn policy(&self, org: OrgId, name: Option<&str>) -> Result<Option<Narrowing>, WorkerError> {
        let Some(name) = name else { return Ok(None) };
        let policies = self.0.policies(org).await?;
        let text = policies.into_iter().find_map(|(known, text)| (known == name).then_some(text));
        // It was checked when it was kept: one that does not parse is of a newer version.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    async fn skills(&self, org: OrgId) -> Result<Vec<KeptSkill>, WorkerError> {
        let skills = self.0.skills(org).await?;
        Ok(skills.into_iter().filter(|skill| skill.approved.is_some()).collect())
    }

    async fn memories(&self, org: OrgId, places: &[String]) -> Result<(Vec<Memory>, u32), WorkerError> {
        let most = u32::try_from(MOST_RECALLED).unwrap_or(u32::MAX);
        Ok(self.0.memories_about(org, places, most).await?)
    }
}

#[async_trait]
impl Approvals for Named {
    async fn approved(&self, org: OrgId) -> Result<Vec<Approved>, WorkerError> {
        let approved = self.0.approved_servers(org).await?;
        // One that does not parse was approved by a newer version, and is not used by this one.
        let read = |server: ApprovedServer| {
            let catalogue = serde_json::from_str(&server.tools).ok()?;
            Some(Approved { server: server.name, digest: server.digest, catalogue })
        };
        Ok(approved.into_iter().filter_map(read).collect())
    }
}

/// Models as the configuration and the environment name them.
struct Configured {
    config: ModelsConfig,
    store: Arc<dyn Store>,
    tally: Arc<Tally>,
}

#[async_trait]
impl Models for Configured {
    async fn open(&self, name: Option<&str>, only: Option<&[String]>) -> Result<Box<dyn Model>, WorkerError> {
        let blobs = Arc::new(StoredPictures(self.store.clone()));
        let model = cofferdam_model::open_one_of(&self.config, &environment, name, only, blobs).await?;
        Ok(Box::new(CountedModel { model, tally: self.tally.clone() }))
    }

    fn route(&self, role: ModelRole) -> Option<String> {
        self.config.route.get(&role).cloned()
    }
}

/// Pictures for models come from the store.
struct StoredPictures(Arc<dyn Store>);

#[async_trait]
impl BlobSource for StoredPictures {
    async fn get(&self, digest: Digest) -> Option<Vec<u8>> {
        self.0.blob(digest).await.ok()
    }
}
