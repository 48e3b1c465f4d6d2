//! One engine for all tests of this program, with an image made of this host's own programs.

use std::{
    io::Read as _,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bollard::{API_DEFAULT_VERSION, Docker, query_parameters::CreateImageOptions};
use cofferdam_sandbox::{IsolationLevel, LimitLevel};
use cofferdam_sandbox_docker::{DockerDriver, DockerOptions};
use futures_util::TryStreamExt as _;
use tokio::sync::OnceCell;

use crate::image;

/// How long the engine may take to come up.
const LONG: Duration = Duration::from_secs(120);
/// The name of the image. Podman gives what it imports no other tag.
pub(crate) const IMAGE: &str = "cofferdam-test:latest";
/// Runs the engine until this process has ended, however that happens: then the shell's input ends.
const KEEP: &str = "directory=$1; shift; \"$@\" > \"$directory/log\" 2>&1 & engine=$!; read -r _; kill $engine; wait $engine; rm -rf \"$directory\"";

static ENGINE: OnceCell<Option<PathBuf>> = OnceCell::const_new();

/// The engine's directory; `None`, loudly, where there can be none.
pub(crate) async fn engine() -> Option<&'static Path> {
    ENGINE.get_or_init(start).await.as_deref()
}

/// The options of a driver on that engine.
pub(crate) async fn options() -> Option<DockerOptions> {
    let directory = engine().await?;
    Some(DockerOptions {
        socket: directory.join("docker.sock"),
        image: IMAGE.to_owned(),
        runtime: runtime().map(|(name, _)| name),
        limits: LimitLevel::Enforced,
        isolation: IsolationLevel::WeakerAllowed,
        data: directory.join("drivers"),
    })
}

/// Another OCI runtime to run all of this with, as `name=/path/to/it` in this variable.
fn runtime() -> Option<(String, String)> {
    let named = std::env::var("COFFERDAM_TEST_RUNTIME").ok()?;
    named.split_once('=').map(|(name, path)| (name.to_owned(), path.to_owned()))
}

/// A driver on that engine.
pub(crate) async fn driver() -> Option<DockerDriver> {
    let options = options().await?;
    Some(DockerDriver::new(options).await.unwrap_or_else(|error| panic!("{error}")))
}

async fn start() -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can run a container engine of its own");
        return None;
    }
    let (program, package) = if is_podman() { ("podman", "podman") } else { ("dockerd", "^docker[.]io$") };
    if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: there is no {program}; on Debian and Ubuntu: apt-get install '{package}'");
        return None;
    }
    let directory = tempfile::tempdir().unwrap().keep();
    let socket = directory.join("docker.sock");
    let keeper = Command::new("sh")
        .args(["-c", KEEP, "sh"])
        .arg(&directory)
        .arg(program)
        .args(if is_podman() { podman(&directory, &socket) } else { dockerd(&directory, &socket) })
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    // Its input stays open for as long as this process lives.
    std::mem::forget(keeper.unwrap());
    let started = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        if started.elapsed() > LONG {
            let mut log = String::new();
            std::fs::File::open(directory.join("log")).unwrap().read_to_string(&mut log).unwrap();
            eprintln!(
                "SKIPPED: the container engine did not start: {}",
                log.lines().last().unwrap_or_default()
            );
            return None;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    import(&socket).await;
    Some(directory)
}

/// Whether to run all of this with Podman's engine in the place of Docker's, as this variable says.
fn is_podman() -> bool {
    std::env::var("COFFERDAM_TEST_ENGINE").is_ok_and(|engine| engine == "podman")
}

fn dockerd(directory: &Path, socket: &Path) -> Vec<String> {
    let place = |name: &str| directory.join(name).display().to_string();
    let mut arguments: Vec<String> = ["--iptables=false", "--bridge=none"].map(str::to_owned).into();
    for (option, value) in [
        ("--data-root", place("data")),
        ("--exec-root", place("exec")),
        ("--pidfile", place("pid")),
        ("--host", format!("unix://{}", socket.display())),
    ] {
        arguments.extend([option.to_owned(), value]);
    }
    if let Some((name, path)) = runtime() {
        arguments.extend(["--add-runtime".to_owned(), format!("{name}={path}")]);
    }
    arguments
}

fn podman(directory: &Path, socket: &Path) -> Vec<String> {
    let place = |name: &str| directory.join(name).display().to_string();
    let mut arguments = vec!["--root".to_owned(), place("data"), "--runroot".to_owned(), place("exec")];
    if let Some((_, path)) = runtime() {
        arguments.extend(["--runtime".to_owned(), path]);
    }
    arguments.extend(["system", "service", "--time", "0"].map(str::to_owned));
    arguments.push(format!("unix://{}", socket.display()));
    arguments
}

async fn import(socket: &Path) {
    let docker = Docker::connect_with_unix(socket.to_str().unwrap(), 120, API_DEFAULT_VERSION).unwrap();
    let docker = docker.negotiate_version().await.unwrap();
    let (repo, tag) = IMAGE.split_once(':').unwrap();
    let options = CreateImageOptions {
        from_src: Some("-".to_owned()),
        repo: Some(repo.to_owned()),
        tag: Some(tag.to_owned()),
        ..CreateImageOptions::default()
    };
    let body = bollard::body_full(image::archive().into());
    docker.create_image(Some(options), Some(body), None).try_collect::<Vec<_>>().await.unwrap();
}
