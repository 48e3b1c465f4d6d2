//! The driver itself.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bollard::models::ImageInspect;
use cofferdam_sandbox::{
    Driver, IsolationLevel, LimitLevel, MountedLayer, RemoteHand, RemoteSpec, Sandbox, SandboxError,
    SandboxSpec, System, agent_on_disk, remote_variables,
};
use tokio::sync::OnceCell;

use crate::{
    attach::Printed,
    container::{Kind, OWNER_LABEL, container, network_in_words},
    engine::{ContainerId, Engine},
    isolation::{Facts, Wanted},
    kills, mounts,
    place::Place,
    sandbox::DockerSandbox,
};

/// What a driver needs to know.
#[derive(Debug, Clone)]
pub struct DockerOptions {
    /// The engine's socket.
    pub socket: PathBuf,
    /// The image that sandboxes have the system of. The engine must have it already.
    pub image: String,
    /// The OCI runtime by the name that the engine knows it by; the engine's usual one if `None`.
    pub runtime: Option<String>,
    /// How strictly limits must hold.
    pub limits: LimitLevel,
    /// How strictly the walls must stand.
    pub isolation: IsolationLevel,
    /// A directory of this host for what containers read of the driver. The engine must see it at the same path.
    pub data: PathBuf,
}

/// Makes sandboxes by a container engine.
#[derive(Debug)]
pub struct DockerDriver {
    engine: Engine,
    kind: Kind,
    variables: Vec<(String, String)>,
    place: Arc<Place>,
    level: String,
    /// How many probes have passed in the first sandbox.
    tested: OnceCell<u32>,
}

impl DockerDriver {
    /// Asks the engine whether it will do, and removes what drivers have left that were killed.
    ///
    /// # Errors
    /// [`SandboxError::Host`] when there is no engine or no image, or when the engine lacks something that sandboxes need and the options do
    /// not do without. It never gives less isolation instead.
    pub async fn new(options: DockerOptions) -> Result<Self, SandboxError> {
        let engine = Engine::connect(&options.socket).await?;
        let kind = judge(&engine, &options).await?;
        let image = engine.image(&options.image).await?;
        sweep(&engine, &options.data).await?;
        let place = Arc::new(Place::make(&options.data, kind.walls.agent)?);
        let variables = variables(&image);
        let kind = Kind { image: image.id.unwrap_or(options.image.clone()), ..kind };
        let level = format!("{}; image {}", kind.walls.level, options.image);
        Ok(Self { engine, kind, variables, place, level, tested: OnceCell::new() })
    }

    /// The isolation that its sandboxes have, in words.
    #[must_use]
    pub fn level(&self) -> &str {
        &self.level
    }

    async fn make(&self, spec: &SandboxSpec) -> Result<DockerSandbox, SandboxError> {
        if spec.system == System::Writable {
            return Err(no_root());
        }
        if !spec.layer.is_absolute() {
            let step = format!("use the layer {}: its path must be absolute", spec.layer.display());
            return Err(SandboxError::Setup { step, source: std::io::ErrorKind::InvalidInput.into() });
        }
        let layer = MountedLayer::prepare(&spec.layer, self.kind.walls.owner)?;
        let body = container(&self.kind, spec, &layer, &self.place)?;
        let overlays = mounts::volumes(&body);
        let made = self.engine.create(&format!("cofferdam-{}", spec.id), body).await?;
        let hand = match self.run(&made, spec, overlays).await {
            Ok(hand) => hand,
            Err(error) => {
                // The error tells more than another one about that.
                self.engine.remove(&made).await.ok();
                return Err(error);
            }
        };
        let landlock = match hand.landlock() {
            0 => "Landlock: none".to_owned(),
            version => format!("Landlock {version}"),
        };
        let level = format!("{}; {landlock}; {}", self.level, network_in_words(spec.network));
        let sandbox = DockerSandbox::new(
            spec.id,
            level,
            hand,
            (self.engine.clone(), made),
            (layer, Arc::clone(&self.place)),
        );
        let passed = self
            .tested
            .get_or_try_init(|| sandbox.hand().test(self.kind.walls.users, self.kind.walls.kernel))
            .await?;
        Ok(sandbox.with_probes(*passed))
    }

    /// Starts a container and waits until its hand can be asked.
    async fn run(
        &self,
        made: &ContainerId,
        spec: &SandboxSpec,
        overlays: usize,
    ) -> Result<RemoteHand, SandboxError> {
        if self.kind.facts.name == "podman" && self.engine.overlays(made).await? != overlays {
            return Err(SandboxError::Host {
                missing: "this engine does not heed what the volumes of a container are to be made of (Podman's API up to 4.3 does not)".to_owned(),
                remedy: "Use Docker in its place, or the native driver".to_owned(),
            });
        }
        // Before it runs, or what it says first would be lost.
        let ends = self.engine.attach(made).await?;
        self.engine.start(made).await?;
        let first = self.engine.first(made).await?;
        let remote = RemoteSpec {
            network: spec.network,
            variables: remote_variables(self.variables.iter().cloned(), spec.network, &spec.variables),
            limits: spec.limits,
            layer: spec.layer.clone(),
            first,
            kills: first.and_then(kills::counter),
        };
        RemoteHand::open(Printed::new(ends.output), ends.input, remote).await
    }
}

/// Whether an engine will do; all but the image's digest.
pub(crate) async fn judge(engine: &Engine, options: &DockerOptions) -> Result<Kind, SandboxError> {
    let facts = Facts::new(engine.name().await?, engine.info().await?);
    let host = agent_on_disk()
        .map_err(|source| SandboxError::Setup { step: "choose users for sandboxes".to_owned(), source })?;
    let DockerOptions { runtime, limits, isolation, image, .. } = options.clone();
    let walls = facts.judge(&Wanted { isolation, limits, runtime: runtime.clone() }, host)?;
    Ok(Kind { image, runtime, facts, walls })
}

/// The variables that an image gives to its programs.
fn variables(image: &ImageInspect) -> Vec<(String, String)> {
    let given = image.config.as_ref().and_then(|config| config.env.as_deref()).unwrap_or_default();
    let pair =
        |variable: &String| variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    given.iter().filter_map(pair).collect()
}

/// Removes the containers of drivers that are dead. Nearly all have gone by themselves: not those that were frozen, or had not been started.
async fn sweep(engine: &Engine, data: &Path) -> Result<(), SandboxError> {
    let failed =
        |source| SandboxError::Cleanup { what: format!("containers named in {}", data.display()), source };
    if !data.exists() {
        return Ok(());
    }
    for place in Place::abandoned(data).map_err(failed)? {
        for container in engine.labelled(&format!("{OWNER_LABEL}={}", place.name)).await? {
            engine.remove(&container).await.map_err(failed)?;
        }
        place.remove().map_err(failed)?;
    }
    Ok(())
}

fn no_root() -> SandboxError {
    SandboxError::Host {
        missing: "the docker driver makes no sandboxes with a root: a root of a container without users of its own is the host's"
            .to_owned(),
        remedy: "Put what is to be installed into the image, or use the native driver (`driver = \"native\"` in the [sandbox] table)"
            .to_owned(),
    }
}

#[async_trait]
impl Driver for DockerDriver {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn create(&self, spec: SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError> {
        Ok(Box::new(self.make(&spec).await?))
    }
}
