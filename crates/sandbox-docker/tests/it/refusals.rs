//! What an engine cannot give is refused, and says how to get it.

use cofferdam_conformance::Scene;
use cofferdam_sandbox::{IsolationLevel, SandboxError, State, System, User};
use cofferdam_sandbox_docker::{DockerDriver, DockerOptions, probe};

use crate::engine::{driver, options};

async fn refused(options: DockerOptions) -> String {
    match DockerDriver::new(options).await {
        Err(error @ SandboxError::Host { .. }) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(driver) => panic!("{}", driver.level()),
    }
}

#[tokio::test]
async fn engines_images_and_runtimes_that_are_not_there_are_named() {
    let Some(good) = options().await else { return };
    let nowhere = DockerOptions { socket: "/no/such/socket".into(), ..good.clone() };
    let image = DockerOptions { image: "no-such-image:7".to_owned(), ..good.clone() };
    let runtime = DockerOptions { runtime: Some("no-such-runtime".to_owned()), ..good.clone() };
    let strict = DockerOptions { isolation: IsolationLevel::Full, runtime: None, ..good };
    for (options, words) in [
        (nowhere, ["/no/such/socket", "socket"]),
        (image, ["no-such-image:7", "docker pull no-such-image:7"]),
        (runtime, ["no OCI runtime no-such-runtime", "daemon.json"]),
        (strict, ["userns-remap", "isolation = \"weaker\""]),
    ] {
        let missing =
            probe(&options).await.into_iter().filter(|finding| finding.state == State::Missing).count();
        let refused = refused(options).await;
        assert!(words.iter().all(|word| refused.contains(word)), "{refused}");
        assert_eq!(missing, 1, "{refused}");
    }
}

#[tokio::test]
async fn there_is_no_root() {
    let Some(driver) = driver().await else { return };
    let scene = Scene::new(std::sync::Arc::new(driver));
    let mut writable = scene.spec("layer");
    writable.system = System::Writable;
    let refused = scene.driver.create(writable).await.err().unwrap().to_string();
    assert!(refused.contains("native"), "{refused}");
    let sandbox = scene.sandbox("layer").await;
    let mut root = cofferdam_conformance::command(&["id"]);
    root.user = User::Root;
    let refused = sandbox.start(root).await.err().unwrap().to_string();
    assert!(refused.contains("no root"), "{refused}");
    assert!(
        sandbox.level().contains("probes passed") && sandbox.level().contains("user ids: weak"),
        "{}",
        sandbox.level()
    );
    sandbox.destroy().await.unwrap();
}
