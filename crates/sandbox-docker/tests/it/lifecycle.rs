//! Sandboxes go without a trace, also when the worker is killed.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::Arc,
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    query_parameters::{ListContainersOptions, ListVolumesOptions},
};
use cofferdam_conformance::{LONG, Scene, eventually, host_processes, marker, sh, shell};
use cofferdam_sandbox_docker::{DockerDriver, DockerOptions};

use crate::engine::{driver, engine, options};

/// Makes this test binary play a worker that will be killed: the marker of its processes, and the engine's directory.
const PLAY_WORKER: &str = "COFFERDAM_TEST_PLAY_DOCKER_WORKER";

/// The containers of a driver, by the name of its place, and all volumes.
async fn left(owner: &str) -> (usize, usize) {
    let socket = engine().await.unwrap().join("docker.sock");
    let docker = Docker::connect_with_unix(socket.to_str().unwrap(), 120, API_DEFAULT_VERSION).unwrap();
    let docker = docker.negotiate_version().await.unwrap();
    let filters = [("label".to_owned(), vec![format!("cofferdam.owner={owner}")])].into();
    let listed =
        ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
    let containers = docker.list_containers(Some(listed)).await.unwrap().len();
    let volumes = docker.list_volumes(None::<ListVolumesOptions>).await.unwrap().volumes.unwrap_or_default();
    // Other tests have theirs; those of one container carry its id as a label nowhere, so they are counted where only one lives.
    (containers, volumes.len())
}

#[tokio::test]
async fn a_destroyed_sandbox_leaves_no_container() {
    let Some(options) = options().await else { return };
    let data = options.data.with_file_name("destroyed");
    let driver = DockerDriver::new(DockerOptions { data: data.clone(), ..options }).await.unwrap();
    let scene = Scene::new(Arc::new(driver));
    let owner = std::fs::read_dir(&data).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let sandbox = scene.sandbox("layer").await;
    assert_eq!(left(&owner).await.0, 1);
    assert!(left(&owner).await.1 >= 1, "its overlay is a volume");
    sandbox.destroy().await.unwrap();
    assert_eq!(left(&owner).await.0, 0);
    let dropped = scene.sandbox("layer").await;
    dropped.freeze().await.unwrap();
    drop(dropped);
    // Its files can be used by the next only when it is gone.
    for _ in 0..3 {
        let next = scene.sandbox("other").await;
        assert_eq!(sh(&*next, "cat README").await, "original\n");
        next.destroy().await.unwrap();
    }
    let name = owner.clone();
    let started = std::time::Instant::now();
    while left(&name).await.0 > 0 {
        assert!(started.elapsed() < LONG, "a dropped sandbox goes, although it was frozen");
    }
    drop(scene);
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "nothing of the driver is left");
}

/// Not a test of its own: what [`a_killed_worker_leaves_nothing`] starts.
#[tokio::test]
async fn play_worker() {
    let Ok(play) = std::env::var(PLAY_WORKER) else { return };
    let (marker, directory) = play.split_once(' ').unwrap();
    let directory = std::path::Path::new(directory);
    let options = DockerOptions {
        socket: directory.join("docker.sock"),
        image: crate::engine::IMAGE.to_owned(),
        runtime: None,
        limits: cofferdam_sandbox::LimitLevel::Enforced,
        isolation: cofferdam_sandbox::IsolationLevel::WeakerAllowed,
        data: directory.join("killed"),
    };
    let scene = Scene::new(Arc::new(DockerDriver::new(options).await.unwrap()));
    let (running, frozen) = (scene.sandbox("running").await, scene.sandbox("frozen").await);
    let mut process = running.start(shell(&format!("setsid sleep {marker} & sleep {marker}"))).await.unwrap();
    let other = frozen.start(shell(&format!("sleep {marker}; true"))).await.unwrap();
    frozen.freeze().await.unwrap();
    println!("\nready {}", scene.path("").display());
    process.wait(LONG * 30).await.unwrap();
    drop(other);
}

#[tokio::test]
async fn a_killed_worker_leaves_nothing() {
    let Some(options) = options().await else { return };
    let directory = engine().await.unwrap();
    let marker = marker();
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifecycle::play_worker", "--nocapture"])
        .env(PLAY_WORKER, format!("{marker} {}", directory.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    let ready = lines
        .map_while(Result::ok)
        .find(|line| line.starts_with("ready "))
        .expect("the worker made sandboxes");
    let layers = ready.strip_prefix("ready ").unwrap();
    let data = directory.join("killed");
    let owner = std::fs::read_dir(&data).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    eventually("both run", || host_processes(&marker).len() == 5).await;
    worker.kill().unwrap();
    worker.wait().unwrap();
    eventually("what was not frozen ends by itself", || host_processes(&marker).len() == 2).await;
    // The next driver finds what was.
    let next = DockerDriver::new(DockerOptions { data: data.clone(), ..options }).await.unwrap();
    eventually("what was frozen is swept up", || host_processes(&marker).is_empty()).await;
    assert_eq!(left(&owner).await.0, 0);
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1, "only the place of the driver that lives");
    drop(next);
    cofferdam_sandbox::remove_layer(std::path::Path::new(layers)).unwrap();
}

#[tokio::test]
async fn a_layer_of_one_driver_goes_on_in_the_other() {
    let Some(docker) = driver().await else { return };
    let environment = cofferdam_sandbox::HostEnvironment::of_this_host();
    let options =
        cofferdam_sandbox::NativeOptions::new(environment, cofferdam_sandbox::LimitLevel::WeakAllowed);
    let native = match cofferdam_sandbox::NativeDriver::new(options).await {
        Ok(native) => native,
        Err(error) => return eprintln!("SKIPPED: {error}"),
    };
    let scene = Scene::new(Arc::new(native));
    let first = scene.sandbox("layer").await;
    sh(&*first, "echo native >> README; mkdir made; rm src/one.rs; echo note > ~/note").await;
    first.destroy().await.unwrap();
    let second = cofferdam_sandbox::Driver::create(&docker, scene.spec("layer")).await.unwrap();
    assert_eq!(
        sh(
            &*second,
            "cat README ~/note; ls src made; echo docker >> README; echo x > made/x; stat -c %U README"
        )
        .await,
        "original\nnative\nnote\nmade:\n\nsrc:\nagent\n"
    );
    second.destroy().await.unwrap();
    let third = scene.sandbox("layer").await;
    assert_eq!(
        sh(&*third, "cat README made/x; stat -c %U made/x").await,
        "original\nnative\ndocker\nx\nagent\n"
    );
    third.destroy().await.unwrap();
}
