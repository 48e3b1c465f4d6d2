//! One engine: the few things that it is asked, and what it says of itself.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    container::AttachContainerResults,
    errors::Error,
    models::{ContainerCreateBody, ImageInspect, SystemInfo},
    query_parameters::{
        AttachContainerOptions, CreateContainerOptions, InspectContainerOptions, ListContainersOptions,
        RemoveContainerOptions, StartContainerOptions,
    },
};
use cofferdam_sandbox::SandboxError;

/// Seconds that the engine may take for one answer, on a machine that is very busy.
const ANSWER: u64 = 120;
/// How long it may take until a container that is being removed is gone.
const REMOVAL: Duration = Duration::from_secs(60);
/// How often that is looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// A connection to an engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    docker: Docker,
    socket: PathBuf,
}

/// The name of a container at its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerId(pub(crate) String);

impl Engine {
    /// Connects to the engine at a socket, in the newest version of the API that both know.
    pub(crate) async fn connect(socket: &Path) -> Result<Self, SandboxError> {
        let missing = |why: &Error| {
            SandboxError::Host {
            missing: format!("no container engine answers at {} ({why})", socket.display()),
            remedy: "Start it, let this user use its socket, or name another one with `socket` in the [sandbox.docker] table"
                .to_owned(),
        }
        };
        let path = socket.to_str().ok_or_else(|| SandboxError::Host {
            missing: format!("the engine's socket {} has a name that is not text", socket.display()),
            remedy: "Name another one with `socket` in the [sandbox.docker] table".to_owned(),
        })?;
        let docker =
            Docker::connect_with_unix(path, ANSWER, API_DEFAULT_VERSION).map_err(|error| missing(&error))?;
        let docker = docker.negotiate_version().await.map_err(|error| missing(&error))?;
        Ok(Self { docker, socket: socket.to_owned() })
    }

    /// Where it is.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it is and has.
    pub(crate) async fn info(&self) -> Result<SystemInfo, SandboxError> {
        self.docker.info().await.map_err(failed("ask the engine what it is"))
    }

    /// Whether it is Podman, which answers like Docker but is not quite.
    pub(crate) async fn name(&self) -> Result<&'static str, SandboxError> {
        let version = self.docker.version().await.map_err(failed("ask the engine what it is"))?;
        let parts = version.components.unwrap_or_default();
        Ok(if parts.iter().any(|part| part.name.contains("Podman")) { "podman" } else { "docker" })
    }

    /// An image that it has.
    pub(crate) async fn image(&self, image: &str) -> Result<ImageInspect, SandboxError> {
        match self.docker.inspect_image(image).await {
            Ok(found) => Ok(found),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Err(SandboxError::Host {
                missing: format!("the engine has no image {image}"),
                remedy: format!(
                    "`docker pull {image}`, or name another one with `image` in the [sandbox.docker] table"
                ),
            }),
            Err(error) => Err(failed("look at the image")(error)),
        }
    }

    /// Makes a container.
    pub(crate) async fn create(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<ContainerId, SandboxError> {
        let options =
            CreateContainerOptions { name: Some(name.to_owned()), ..CreateContainerOptions::default() };
        let created = self.docker.create_container(Some(options), body).await;
        created.map(|created| ContainerId(created.id)).map_err(failed("have the engine make a container"))
    }

    /// How many of a container's volumes are overlays. An engine that does not heed what a volume is to be made of makes an empty one of its own, in
    /// which nothing of a session would be found or kept.
    pub(crate) async fn overlays(&self, container: &ContainerId) -> Result<usize, SandboxError> {
        let looked = self.docker.inspect_container(&container.0, None::<InspectContainerOptions>).await;
        let mounts = looked.map_err(failed("look at the container"))?.mounts.unwrap_or_default();
        let mut overlays = 0;
        for name in mounts.into_iter().filter_map(|mount| mount.name).filter(|name| !name.is_empty()) {
            let volume = self.docker.inspect_volume(&name).await.map_err(failed("look at a volume"))?;
            overlays += usize::from(volume.options.get("type").is_some_and(|kind| kind == "overlay"));
        }
        Ok(overlays)
    }

    /// Joins this process to the standard input and output of a container. When they are closed here, so is its input.
    pub(crate) async fn attach(
        &self,
        container: &ContainerId,
    ) -> Result<AttachContainerResults, SandboxError> {
        let options = AttachContainerOptions {
            stream: true,
            stdin: true,
            stdout: true,
            ..AttachContainerOptions::default()
        };
        self.docker
            .attach_container(&container.0, Some(options))
            .await
            .map_err(failed("attach to the container"))
    }

    /// Starts a container.
    pub(crate) async fn start(&self, container: &ContainerId) -> Result<(), SandboxError> {
        let started = self.docker.start_container(&container.0, None::<StartContainerOptions>).await;
        started.map_err(failed("have the engine start the container"))
    }

    /// The id of a container's process 1 on the engine's host, if it has one that is told.
    pub(crate) async fn first(&self, container: &ContainerId) -> Result<Option<u32>, SandboxError> {
        let found = self.docker.inspect_container(&container.0, None::<InspectContainerOptions>).await;
        let state = found.map_err(failed("look at the container"))?.state.unwrap_or_default();
        Ok(state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0))
    }

    /// Stops every process of a container where it stands.
    pub(crate) async fn pause(&self, container: &ContainerId) -> Result<(), SandboxError> {
        self.docker.pause_container(&container.0).await.map_err(failed("freeze the sandbox"))
    }

    /// Lets them go on.
    pub(crate) async fn unpause(&self, container: &ContainerId) -> Result<(), SandboxError> {
        self.docker.unpause_container(&container.0).await.map_err(failed("release the sandbox"))
    }

    /// The containers with a label.
    pub(crate) async fn labelled(&self, label: &str) -> Result<Vec<ContainerId>, SandboxError> {
        let filters = [("label".to_owned(), vec![label.to_owned()])].into();
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let found = self.docker.list_containers(Some(options)).await.map_err(failed("list containers"))?;
        Ok(found.into_iter().filter_map(|container| container.id.map(ContainerId)).collect())
    }

    /// Ends a container and removes it with its volumes. Waits until that is done; that it is gone already is fine.
    pub(crate) async fn remove(&self, container: &ContainerId) -> io::Result<()> {
        let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
        let deadline = Instant::now() + REMOVAL;
        loop {
            match self.docker.remove_container(&container.0, Some(options.clone())).await {
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(()),
                // Once more, to hear that it is gone.
                Ok(()) => continue,
                // The engine removes it by itself, as it was told to when its process ends.
                Err(Error::DockerResponseServerError { status_code: 409 | 500, .. })
                    if Instant::now() < deadline => {}
                Err(error) => return Err(io::Error::other(error)),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn failed(step: &str) -> impl FnOnce(Error) -> SandboxError {
    let step = step.to_owned();
    move |error| SandboxError::Setup { step: format!("{step}: {error}"), source: io::Error::other(error) }
}
