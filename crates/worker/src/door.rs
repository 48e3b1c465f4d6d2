//! A session's egress door: opened for the first sandbox that has a network, and the same for all of them.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    ops::Deref,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use cofferdam_agent::Agent;
use cofferdam_domain::{CallId, OrgId, SandboxId, egress::EgressPolicy};
use cofferdam_egress::{
    About, Capture, Door, Doorway, Listeners, Place, Record, RepositoryName, Serving, Settings, Trust,
    TrustFile,
};
use cofferdam_sandbox::{DoorListeners, Network, ReadOnly, Sandbox, SandboxError, SandboxSpec};
use tokio::sync::{OnceCell, mpsc};

use crate::{WorkerError, log::now, planted::Planted, recorder::Recorder};

/// The name of the directory with what sandboxes read of their door, in the session's directory.
pub(crate) const TRUST: &str = "trust";

/// Where a worker's doorway comes from.
#[async_trait]
pub trait Doorways: Send + Sync {
    /// The worker's doorway for an organisation's sessions with such a policy; made when it is first asked for.
    ///
    /// # Errors
    /// When it cannot be made: a credential that is none, certificates that cannot be read; says which.
    async fn doorway(&self, org: OrgId, policy: &EgressPolicy) -> Result<Arc<Way>, WorkerError>;
}

/// A worker's doorway, and what sandboxes are told of what lies behind it.
pub struct Way {
    /// The doorway.
    pub doorway: Doorway,
    /// What makes package managers inside ask the registries that are known.
    pub settings: Settings,
    /// Variables with stand-ins for credentials, for programs that want to see one.
    pub placeholders: Vec<(String, String)>,
}

/// The door of one session, opened when it is first needed.
pub(crate) struct SessionDoor {
    /// Whose credentials it adds.
    org: OrgId,
    pub(crate) recorder: Arc<Recorder>,
    open: OnceCell<OpenDoor>,
    granted: Mutex<BTreeSet<CallId>>,
}

/// An open door, and what sandboxes get of it.
pub struct OpenDoor {
    door: Door,
    trust: Vec<ReadOnly>,
    variables: Vec<(String, String)>,
    planted: Option<Planted>,
}

impl SessionDoor {
    pub(crate) fn new(org: OrgId) -> Arc<Self> {
        Arc::new(Self { org, recorder: Recorder::new(), open: OnceCell::new(), granted: Mutex::default() })
    }

    /// The door; opens it if that has not happened. `repository` is where the session's is, `directory` the session's own.
    pub(crate) async fn open(
        &self,
        doorways: &dyn Doorways,
        policy: &EgressPolicy,
        repository: Option<&str>,
        directory: &Path,
    ) -> Result<&OpenDoor, WorkerError> {
        self.open
            .get_or_try_init(|| async {
                let way = doorways.doorway(self.org, policy).await?;
                let repository = repository.and_then(name_of);
                OpenDoor::new(
                    &way,
                    policy,
                    repository.as_ref(),
                    self.recorder.clone(),
                    &directory.join(TRUST),
                )
            })
            .await
    }

    /// Lets out what people have granted since, and holds back what they have to be asked about first, as the agent has folded it.
    pub(crate) fn follow(&self, agent: &Agent) {
        let Some(open) = self.open.get() else { return };
        open.door.hold_back(agent.held_back().as_deref());
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        for request in agent.accesses() {
            let Some(access) = request.decided.as_ref().filter(|access| access.granted) else { continue };
            let over = access.until.is_some_and(|until| until <= now());
            if granted.insert(access.call) && !over {
                // A rule that can never match was asked for and granted: there is nothing that it would let out.
                open.door.grant(request.ask.rule.clone(), access.until).ok();
            }
        }
    }

    /// Says which calls run in a sandbox now.
    pub(crate) fn running(&self, sandbox: SandboxId, calls: Vec<CallId>) {
        if let Some(open) = self.open.get() {
            open.door.running(sandbox, calls);
        }
    }

    /// Has what was refused again and again written down with the next events.
    pub(crate) fn flush(&self) {
        if let Some(open) = self.open.get() {
            open.door.flush();
        }
    }

    /// From now on everything is refused.
    pub(crate) fn close(&self, reason: &str) {
        if let Some(open) = self.open.get() {
            open.door.close(reason);
        }
        self.recorder.close();
    }
}

impl OpenDoor {
    /// Opens a door with these rules, for work on a repository if it is about one. What sandboxes read of it is written to `directory`;
    /// there is nothing secret in it.
    ///
    /// # Errors
    /// When the policy has a rule that cannot be, or the directory cannot be written.
    pub fn new(
        way: &Way,
        policy: &EgressPolicy,
        repository: Option<&RepositoryName>,
        record: Arc<dyn Record>,
        directory: &Path,
    ) -> Result<Self, WorkerError> {
        let failed = |source| WorkerError::File {
            operation: "write the canary in",
            path: directory.display().to_string(),
            source,
        };
        let planted = policy.watch.plant.then(|| Planted::of(directory)).transpose().map_err(failed)?;
        let texts = planted.as_ref().map(Planted::texts).unwrap_or_default();
        let door = way.doorway.open_for(policy, &About { repository, planted: &texts }, record)?;
        let Trust { files, mut variables } = door.trust();
        let mut files: Vec<(PathBuf, Arc<[u8]>)> =
            files.into_iter().filter_map(|file| Some((place_of(&file)?, file.content))).collect();
        variables.extend_from_slice(&way.placeholders);
        if policy.registries.enabled {
            let Settings { variables: more, files: registries } = way.settings.clone();
            variables.extend(more);
            files.extend(registries.into_iter().map(|(inside, text)| (inside, text.into_bytes().into())));
        }
        let mut trust = Vec::new();
        for (number, (inside, content)) in files.into_iter().enumerate() {
            let host = directory.join(number.to_string());
            write_public(&host, &content)?;
            trust.push(ReadOnly { host, inside });
        }
        Ok(Self { door, trust, variables, planted })
    }

    /// Gives a sandbox that is to be made the door for its network.
    pub fn fit(&self, spec: &mut SandboxSpec) {
        spec.network = Network::Door;
        spec.read_only.extend_from_slice(&self.trust);
        spec.variables.extend_from_slice(&self.variables);
    }

    /// Plants the canary in a sandbox that was fitted, before anything else happens there.
    pub async fn plant(&self, sandbox: &dyn Sandbox) {
        if let Some(planted) = &self.planted {
            planted.plant(sandbox).await;
        }
    }

    /// Serves a sandbox that was fitted, until the result is dropped.
    ///
    /// # Errors
    /// When its driver cannot send its connections here.
    pub fn serve(&self, sandbox: &dyn Sandbox) -> Result<Serving, WorkerError> {
        let DoorListeners { tcp, dns, streams, capture } =
            sandbox.take_listeners().ok_or(WorkerError::NoListeners)?;
        let capture = match capture {
            cofferdam_sandbox::Capture::All => Capture::All,
            cofferdam_sandbox::Capture::ProxyOnly { address } => Capture::ProxyOnly { address },
        };
        self.door.serve(sandbox.id(), Listeners { tcp, dns, streams, capture }).map_err(WorkerError::Serve)
    }

    /// Serves connections of the worker's own that come one by one, under this name, until the result is dropped.
    pub(crate) fn serve_own(
        &self,
        name: SandboxId,
        streams: mpsc::Receiver<std::net::TcpStream>,
    ) -> Result<Serving, WorkerError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let capture = Capture::ProxyOnly { address };
        let listeners = Listeners { tcp: Vec::new(), dns: Vec::new(), streams: Some(streams), capture };
        self.door.serve(name, listeners).map_err(WorkerError::Serve)
    }

    /// The certificate of the authority that the door's TLS is of, in DER.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.door.certificate().to_vec()
    }

    /// Says which calls a sandbox works on now.
    pub(crate) fn running(&self, sandbox: SandboxId, calls: Vec<CallId>) {
        self.door.running(sandbox, calls);
    }

    /// From now on everything is refused.
    pub fn close(&self, reason: &str) {
        self.door.close(reason);
    }
}

/// The name of a repository at its forge, by its address; `None` for one on this host.
fn name_of(address: &str) -> Option<RepositoryName> {
    let (_, rest) = address.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    path.strip_suffix(".git").unwrap_or(path).parse().ok()
}

/// Where a file goes inside. The system there is the host's: what stands in for a file of it is left out where the host has none.
fn place_of(file: &TrustFile) -> Option<PathBuf> {
    match file.place {
        Place::Own => Some(file.inside.clone()),
        Place::Over => fs::canonicalize(&file.inside).ok().filter(|path| path.is_file()),
    }
}

/// Writes a file that the sandbox's user may read. There is nothing secret in it.
fn write_public(path: &Path, content: &[u8]) -> Result<(), WorkerError> {
    let failed =
        |operation| move |source| WorkerError::File { operation, path: path.display().to_string(), source };
    let directory = path.parent().map(PathBuf::from).unwrap_or_default();
    fs::create_dir_all(&directory).map_err(failed("make the directory of"))?;
    fs::write(path, content).map_err(failed("write"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(failed("let sandboxes read"))
}

/// A sandbox, and the door's attention to it for as long as it is there.
pub(crate) struct Housed {
    sandbox: Box<dyn Sandbox>,
    serving: Option<Serving>,
}

impl Housed {
    pub(crate) fn new(sandbox: Box<dyn Sandbox>, serving: Option<Serving>) -> Self {
        Self { sandbox, serving }
    }

    /// Ends the sandbox, and with it all its connections.
    pub(crate) async fn destroy(self) -> Result<(), SandboxError> {
        let Self { sandbox, serving } = self;
        let destroyed = sandbox.destroy().await;
        drop(serving);
        destroyed
    }
}

impl Deref for Housed {
    type Target = dyn Sandbox;

    fn deref(&self) -> &Self::Target {
        &*self.sandbox
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_have_names_where_they_are_at_a_forge() {
        let name = |address: &str| name_of(address).map(|name| name.as_str().to_owned());
        assert_eq!(name("https://forge.example/company/tool.git").as_deref(), Some("company/tool"));
        assert_eq!(name("ssh://git@forge.example/company/tool").as_deref(), Some("company/tool"));
        for other in
            ["/srv/tool", "https://forge.example/a/b/c", "https://forge.example", "file:///srv/tool/x/y"]
        {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
