//! The native driver itself.

use std::{
    collections::BTreeMap,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use cofferdam_domain::policy::Limits;
use cofferdam_hand::protocol::zygote::{Cache, Create, Overlay, Owner, Prepare, ProcessLimits, ReadOnlyBind};
use tokio::task::spawn_blocking;

use super::{
    cgroup::{Controller, Groups, LimitLevel},
    layer::Layer,
    owner,
    sandbox::{NativeSandbox, Parts},
    zygote::Zygote,
};
use crate::{Driver, HostEnvironment, Sandbox, SandboxError, SandboxSpec, environment::HostCache};

/// Open files of one process inside.
const OPEN_FILES: u32 = 65_536;
/// Temporary files may take this part of the memory limit: they are memory.
const SCRATCH_PART: u64 = 2;

/// What a native driver needs to know.
#[derive(Debug, Clone)]
pub struct NativeOptions {
    /// What of the host its sandboxes see.
    pub environment: HostEnvironment,
    /// How strictly limits must hold.
    pub limits: LimitLevel,
}

/// Makes sandboxes from namespaces, overlays, system call filters and control groups, by way of a zygote of its own.
#[derive(Debug)]
pub struct NativeDriver {
    // Dropped first: it ends every sandbox.
    zygote: Zygote,
    groups: Groups,
    owner: Owner,
    caches: Vec<HostCache>,
    variables: Arc<BTreeMap<String, String>>,
    level: String,
}

impl NativeDriver {
    /// Prepares this host for sandboxes: starts the zygote, makes control groups.
    ///
    /// # Errors
    /// [`SandboxError::Host`] when the host lacks something that sandboxes need: namespaces, overlays, or (unless weak limits are allowed)
    /// control groups. It never gives less isolation instead.
    pub async fn new(options: NativeOptions) -> Result<Self, SandboxError> {
        spawn_blocking(move || Self::prepare(options)).await.map_err(|error| SandboxError::Setup {
            step: "prepare the native driver".to_owned(),
            source: std::io::Error::other(error),
        })?
    }

    fn prepare(options: NativeOptions) -> Result<Self, SandboxError> {
        let NativeOptions { environment, limits } = options;
        let setup = |step: &str| {
            let step = step.to_owned();
            move |source| SandboxError::Setup { step, source }
        };
        let owner = owner::choose().map_err(setup("choose a user for sandboxes"))?;
        let groups = Groups::make(limits)?;
        let (names, descriptors) = groups.for_zygote().map_err(setup("open control groups"))?;
        let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let root = environment.root().to_vec();
        let zygote = Zygote::start(Prepare { owner, root, groups: names }, &descriptors)?;
        let level = format!(
            "native: user, pid, mount, network, ipc, uts and cgroup namespaces; system call filter; no network; {}",
            groups.level()
        );
        let variables = Arc::new(environment.variables().clone());
        Ok(Self { zygote, groups, owner, caches: environment.caches().to_vec(), variables, level })
    }

    /// The isolation that its sandboxes have, in words.
    #[must_use]
    pub fn level(&self) -> &str {
        &self.level
    }

    /// The process id of the zygote, for people who look at processes.
    #[must_use]
    pub fn zygote_pid(&self) -> Option<u32> {
        self.zygote.pid()
    }

    fn request(&self, spec: &SandboxSpec, layer: &Layer) -> Result<Create, SandboxError> {
        let mut caches = Vec::new();
        for HostCache { host, inside } in &self.caches {
            let own = layer.prepare_cache(inside, self.owner)?;
            let layers = Overlay { lower: vec![bytes(host)], own: bytes(&own) };
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
                lower: spec.lower.iter().map(|path| bytes(path)).collect(),
                own: bytes(&layer.workspace()),
            },
            home: bytes(&layer.home()),
            caches,
            groups: Vec::new(),
            read_only,
            scratch_bytes: (spec.limits.memory / SCRATCH_PART).min(spec.limits.disk),
            limits: self.process_limits(&spec.limits),
        })
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

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// Relative paths would be looked for from another directory in the zygote, and a missing layer deserves a message of its own.
fn check(spec: &SandboxSpec) -> Result<(), SandboxError> {
    let hosts = spec.lower.iter().chain(spec.read_only.iter().map(|bind| &bind.host));
    for path in hosts {
        let found = if path.is_absolute() {
            path.metadata().map(drop)
        } else {
            Err(std::io::ErrorKind::InvalidInput.into())
        };
        found.map_err(|source| SandboxError::Setup {
            step: format!("find the layer {}", path.display()),
            source,
        })?;
    }
    if spec.layer.is_absolute() {
        return Ok(());
    }
    let step = format!("use the layer {}: its path must be absolute", spec.layer.display());
    Err(SandboxError::Setup { step, source: std::io::ErrorKind::InvalidInput.into() })
}

#[async_trait]
impl Driver for NativeDriver {
    fn name(&self) -> &'static str {
        "native"
    }

    async fn create(&self, spec: SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError> {
        check(&spec)?;
        let layer = Layer::prepare(&spec.layer, self.owner)?;
        let mut create = self.request(&spec, &layer)?;
        let group = self.groups.make_sandbox(spec.id, &spec.limits)?;
        let join = group
            .to_join()
            .map_err(|source| SandboxError::Setup { step: "open control groups".to_owned(), source })?;
        let (ways, descriptors) = join.into_iter().unzip();
        create.groups = ways;
        let built = self.zygote.create(create, descriptors).await?;
        let parts = Parts {
            id: spec.id,
            level: self.level.clone(),
            variables: Arc::clone(&self.variables),
            group,
            layer: layer.path().to_owned(),
            disk: spec.limits.disk,
            watched_memory: (!self.groups.has(Controller::Memory)).then_some(spec.limits.memory),
        };
        Ok(Box::new(NativeSandbox::open(built, parts).await?))
    }
}
