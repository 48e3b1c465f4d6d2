//! The native driver itself.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use cofferdam_domain::policy::Limits;
use cofferdam_hand::protocol::zygote::{
    Cache, Create, MountPoint, Network, Overlay, ProcessLimits, ReadOnlyBind, SHOW_LAYER, SystemLayer,
};
use tokio::task::spawn_blocking;

use super::{
    cgroup::{Controller, Groups, LimitLevel, SandboxGroup, Version},
    isolation::{IsolationLevel, Walls},
    layer::{Layer, LayerStack},
    network::{self, Reach},
    nursery::{Needs, Nursery},
    owner,
    pool::{Pool, Waiting},
    sandbox::{NativeSandbox, Parts},
    zygote::Kind,
};
use crate::{
    Driver, HostEnvironment, Sandbox, SandboxError, SandboxSpec, System,
    environment::{self, HostCache, SystemPart},
};

/// Open files of one process inside.
const OPEN_FILES: u32 = 65_536;
/// Layers below one mount point: their names, which are short, must fit on a page.
const MOST_LAYERS: usize = 128;
/// Temporary files may take this part of the memory limit: they are memory.
const SCRATCH_PART: u64 = 2;

/// What a native driver needs to know.
#[derive(Debug, Clone)]
pub struct NativeOptions {
    /// What of the host its sandboxes see.
    pub environment: HostEnvironment,
    /// How strictly limits must hold.
    pub limits: LimitLevel,
    /// How connections reach an egress door.
    pub capture: CaptureLevel,
    /// How strictly the walls must stand.
    pub isolation: IsolationLevel,
    /// How many sandboxes are begun ahead of time, once it has been seen what kind is wanted; 0 for none. Each takes as much memory as an
    /// idle sandbox.
    pub pool: usize,
}

impl NativeOptions {
    /// Connections are captured as well as the host can; every wall must stand.
    #[must_use]
    pub const fn new(environment: HostEnvironment, limits: LimitLevel) -> Self {
        Self { environment, limits, capture: CaptureLevel::Best, isolation: IsolationLevel::Full, pool: 0 }
    }
}

/// How connections of sandboxes with [`Network::Door`](crate::Network::Door) reach the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaptureLevel {
    /// All of them where the kernel can redirect them, else only those to a proxy.
    #[default]
    Best,
    /// Only those to a proxy, as on a host whose kernel cannot.
    ProxyOnly,
}

/// Makes sandboxes from namespaces, overlays, system call filters and control groups, by way of a zygote of its own.
#[derive(Debug)]
pub struct NativeDriver {
    // Dropped first, as it uses the others; then the nursery with its zygote, which ends every sandbox.
    pool: Pool,
    nursery: Arc<Nursery>,
    groups: Arc<Groups>,
    walls: Walls,
    caches: Vec<HostCache>,
    variables: BTreeMap<String, String>,
    parts: Vec<SystemPart>,
    reach: Reach,
    level: String,
    /// The same, with what the self-test has found.
    proven: OnceLock<String>,
}

impl NativeDriver {
    /// Prepares this host for sandboxes: starts the zygote, makes control groups.
    ///
    /// # Errors
    /// [`SandboxError::Host`] when the host lacks something that sandboxes need: namespaces, overlays, Landlock and user ids (unless weaker
    /// isolation is allowed), control groups (unless weak limits are allowed). It never gives less isolation instead.
    pub async fn new(options: NativeOptions) -> Result<Self, SandboxError> {
        spawn_blocking(move || Self::prepare(options)).await.map_err(|error| SandboxError::Setup {
            step: "prepare the native driver".to_owned(),
            source: std::io::Error::other(error),
        })?
    }

    fn prepare(options: NativeOptions) -> Result<Self, SandboxError> {
        let NativeOptions { environment, limits, capture, isolation, pool } = options;
        let setup = |step: &str| {
            let step = step.to_owned();
            move |source| SandboxError::Setup { step, source }
        };
        let ids = owner::choose().map_err(setup("choose users for sandboxes"))?;
        let groups = Arc::new(Groups::make(limits)?);
        let (root, system) = (environment.root().to_vec(), environment.system().to_vec());
        let nursery = Arc::new(Nursery::new(Needs { ids, root, system }, Arc::clone(&groups))?);
        let zygote = nursery.present();
        let walls = Walls::new(isolation, ids, zygote.landlock())?;
        let reach = Reach::new(capture, zygote.capture());
        let level = level(reach.in_words(), &walls, &groups);
        let (caches, variables) = (environment.caches().to_vec(), environment.variables().clone());
        let (parts, proven) = (environment.parts().to_vec(), OnceLock::new());
        let pool = Pool::new(pool, Arc::clone(&nursery), Arc::clone(&groups));
        Ok(Self { pool, nursery, groups, walls, caches, variables, parts, reach, level, proven })
    }

    /// The isolation that its sandboxes have, in words; once there has been one, also what its self-test has found.
    #[must_use]
    pub fn level(&self) -> &str {
        self.proven.get().unwrap_or(&self.level)
    }

    /// The process id of the zygote, for people who look at processes.
    #[must_use]
    pub fn zygote_pid(&self) -> Option<u32> {
        self.nursery.present().pid()
    }

    /// How many sandboxes have been begun ahead of time and wait for somebody.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.pool.ready()
    }

    /// What every command gets: the environment's own variables, those that tell of the network, and the sandbox's.
    fn variables(&self, network: Network, own: Vec<(String, String)>) -> BTreeMap<String, String> {
        let mut variables = self.variables.clone();
        match network {
            Network::Off => variables.extend(environment::network::offline()),
            Network::ProxyOnly => variables.extend(environment::network::proxy(network::PROXY)),
            Network::Captured => {}
        }
        variables.extend(own);
        variables
    }

    fn request(&self, spec: &SandboxSpec, layer: &mut Layer) -> Result<Create, SandboxError> {
        let mut caches = Vec::new();
        for HostCache { host, inside } in &self.caches {
            let own = layer.prepare_cache(inside, self.walls.owner())?;
            let lower = with_frozen(std::slice::from_ref(host), layer.frozen_cache(inside))?;
            let layers = Overlay { lower, own: bytes(&own) };
            caches.push(Cache { inside: inside.as_bytes().to_vec(), layers });
        }
        let read_only = spec
            .read_only
            .iter()
            .map(|bind| ReadOnlyBind { host: bytes(&bind.host), inside: bytes(&bind.inside) })
            .collect();
        Ok(Create {
            name: "cofferdam".to_owned(),
            workspace: Overlay {
                lower: with_frozen(&spec.lower, layer.frozen_workspace())?,
                own: bytes(&layer.workspace()),
            },
            home: Overlay { lower: with_frozen(&[], layer.frozen_home())?, own: bytes(&layer.home()) },
            caches,
            system: self.system(spec.system, layer)?,
            read_only,
            scratch_bytes: (spec.limits.memory / SCRATCH_PART).min(spec.limits.disk),
            limits: self.process_limits(&spec.limits),
        })
    }

    /// The directories that root can change. What it writes to them is kept like caches are.
    fn system(&self, system: System, layer: &mut Layer) -> Result<Vec<SystemLayer>, SandboxError> {
        let parts = match system {
            System::ReadOnly => return Ok(Vec::new()),
            System::Writable => &self.parts,
        };
        let root = self.walls.root()?;
        let system = parts.iter().map(|SystemPart { inside, host }| {
            let name = format!("system{}", inside.display());
            let own = layer.prepare_cache(&name, root)?;
            let frozen = with_frozen(&[], layer.frozen_cache(&name))?;
            let host = host.as_deref().map(bytes);
            Ok(SystemLayer { inside: bytes(inside), host, frozen, own: bytes(&own) })
        });
        system.collect()
    }

    /// There is no limit on address space among them, of which many programs reserve far more than they use: where no control group counts
    /// memory, the watchdog looks at what they use.
    fn process_limits(&self, limits: &Limits) -> ProcessLimits {
        let unlimited = |controller| !self.groups.has(controller);
        ProcessLimits {
            file_bytes: limits.disk,
            processes: unlimited(Controller::Pids).then_some(limits.processes),
            open_files: OPEN_FILES,
        }
    }
}

fn level(network: &str, walls: &Walls, groups: &Groups) -> String {
    format!(
        "native: user, pid, mount, network, ipc, uts and cgroup namespaces; {}; {network}; {}",
        walls.in_words(),
        groups.level()
    )
}

/// Layers that a sandbox starts from, and above them what was frozen of its own.
fn with_frozen(lower: &[PathBuf], frozen: Vec<PathBuf>) -> Result<Vec<Vec<u8>>, SandboxError> {
    let all: Vec<Vec<u8>> = lower.iter().chain(&frozen).map(|path| bytes(path)).collect();
    if all.len() <= MOST_LAYERS {
        return Ok(all);
    }
    let step = format!(
        "stack {} layers: {MOST_LAYERS} is the most; give fewer, or squash the sandbox's own layer",
        all.len()
    );
    Err(SandboxError::Setup { step, source: std::io::ErrorKind::InvalidInput.into() })
}

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// Relative paths would be looked for from another directory in the zygote, and a missing layer deserves a message of its own. Gives the
/// places that the root directory must have for what is to be read.
fn check(spec: &SandboxSpec) -> Result<Vec<MountPoint>, SandboxError> {
    let find = |path: &Path| {
        let found =
            if path.is_absolute() { path.metadata() } else { Err(std::io::ErrorKind::InvalidInput.into()) };
        found.map_err(|source| SandboxError::Setup {
            step: format!("find the layer {}", path.display()),
            source,
        })
    };
    for path in &spec.lower {
        find(path)?;
    }
    let mut points = Vec::new();
    for bind in &spec.read_only {
        points.push(MountPoint { path: bytes(&bind.inside), directory: find(&bind.host)?.is_dir() });
    }
    points.sort();
    points.dedup();
    if spec.layer.is_absolute() {
        return Ok(points);
    }
    let step = format!("use the layer {}: its path must be absolute", spec.layer.display());
    Err(SandboxError::Setup { step, source: std::io::ErrorKind::InvalidInput.into() })
}

/// The sandbox that is being made goes on over the layers as they are; later ones have fewer.
fn squash_in_background(layer: &Layer) {
    if layer.is_too_deep() {
        let stack = LayerStack::at(layer.path());
        // A layer that cannot be squashed stays as it is, and works.
        drop(spawn_blocking(move || stack.squash().is_ok()));
    }
}

impl Drop for NativeDriver {
    fn drop(&mut self) {
        // The pool may still be using it for a moment.
        self.nursery.close();
    }
}

#[async_trait]
impl Driver for NativeDriver {
    fn name(&self) -> &'static str {
        "native"
    }

    async fn create(&self, spec: SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError> {
        let sandbox = match self.make(&spec).await {
            Err(SandboxError::Setup { step, source }) if step == SHOW_LAYER && !self.walls.share() => {
                self.walls.cannot_show(&spec.layer, &source)?;
                self.make(&spec).await?
            }
            made => made?,
        };
        Ok(Box::new(sandbox))
    }
}

impl NativeDriver {
    async fn make(&self, spec: &SandboxSpec) -> Result<NativeSandbox, SandboxError> {
        let points = check(spec)?;
        let network = self.reach.inside(spec.network);
        let kind = Kind { points, network, system: spec.system, shared: self.walls.share() };
        let zygote = self.nursery.zygote().await?;
        let (begun, mut group, missing) = match self.pool.take(&kind) {
            Some(Waiting { begun, group, .. }) => (begun, group, None),
            None => {
                let mut group = SandboxGroup::new();
                let name = spec.id.to_string();
                self.groups.add(Version::Two, &name, &mut group)?;
                (zygote.begin(kind.clone(), &group, Vec::new()).await?, group, Some(name))
            }
        };
        // All this is done while the zygote makes process 1, which waits for it.
        let mut layer = Layer::prepare(&spec.layer, self.walls.owner())?;
        let create = self.request(spec, &mut layer)?;
        let mut tasks = Vec::new();
        if let Some(name) = missing {
            self.groups.add(Version::One, &name, &mut group)?;
            tasks = Groups::tasks(&group)?;
        }
        Groups::limit(&mut group, &spec.limits)?;
        let made = zygote.finish(begun, create, tasks).await?;
        squash_in_background(&layer);
        let parts = Parts {
            id: spec.id,
            level: level(network::in_words(network), &self.walls, &self.groups),
            variables: self.variables(network, spec.variables.clone()),
            group,
            layer: layer.path().to_owned(),
            held: layer.into_held(),
            disk: spec.limits.disk,
            watched_memory: (!self.groups.has(Controller::Memory)).then_some(spec.limits.memory),
        };
        let mut sandbox = NativeSandbox::open(made, parts).await?;
        sandbox.test(&self.walls, spec.system).await?;
        if let Some(passed) = self.walls.passed() {
            self.proven.get_or_init(|| format!("{}; {passed} probes passed", self.level));
        }
        self.pool.refill(&kind, spec.limits);
        Ok(sandbox)
    }
}
