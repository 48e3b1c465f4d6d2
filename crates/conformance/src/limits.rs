//! Limits hold, are told, and hurt nobody else.

use std::time::{Duration, Instant};

use cofferdam_domain::evidence::Exit;

use crate::{LONG, Scene, run, sh, shell, text};

pub async fn a_fork_bomb_stays_in_its_sandbox(place: &Scene) {
    let mut spec = place.spec("layer");
    spec.limits.processes = 100;
    let sandbox = place.create(spec).await;
    let neighbour = place.sandbox("neighbour").await;
    let mut bomb = shell("bomb() { bomb | bomb & }; bomb; sleep 100");
    bomb.timeout = Duration::from_secs(3);
    let mut process = sandbox.start(bomb).await.unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        assert_eq!(sh(&*neighbour, "echo fine").await, "fine\n");
    }
    match process.wait(LONG).await {
        Ok(finished) => {
            assert!(matches!(finished.unwrap().exit, Exit::TimedOut | Exit::Code(_) | Exit::Signal(_)))
        }
        // It could not be killed otherwise.
        Err(error) => assert!(error.to_string().contains("gone"), "{error}"),
    }
    drop(process);
    sandbox.destroy().await.unwrap();
    assert_eq!(sh(&*neighbour, "echo fine").await, "fine\n");
    neighbour.destroy().await.unwrap();
}

pub async fn too_much_memory_ends_the_command_and_is_told(place: &Scene) {
    let mut spec = place.spec("layer");
    spec.limits.memory = 128 << 20;
    let sandbox = place.create(spec).await;
    let fine = run(&*sandbox, shell("head -c 10000000 /dev/zero | tail -c 1 | wc -c")).await;
    assert!(!fine.out_of_memory);
    // `tail` keeps a line without an end in memory, in small pieces.
    let finished =
        run(&*sandbox, shell("head -c 2000000000 /dev/zero | tail; test ${PIPESTATUS:-0} = 0; exit 3")).await;
    assert!(finished.out_of_memory, "{:?} {}", finished.exit, text(&finished));
    assert_eq!(sh(&*sandbox, "echo alive").await, "alive\n");
    sandbox.destroy().await.unwrap();
}

pub async fn too_much_disk_ends_the_sandbox(place: &Scene) {
    let mut spec = place.spec("layer");
    spec.limits.disk = 20 << 20;
    let sandbox = place.create(spec).await;
    let one = run(&*sandbox, shell("exec head -c 30000000 /dev/zero > one")).await;
    assert_eq!(one.exit, Exit::Signal(25), "one file is bounded by the kernel (SIGXFSZ)");
    sh(&*sandbox, "rm one").await;
    let mut process = sandbox
        .start(shell("for i in 1 2 3 4 5 6; do head -c 5000000 /dev/urandom > f$i; done; sleep 1000"))
        .await
        .unwrap();
    let error = process.wait(LONG).await.unwrap_err();
    assert!(error.to_string().contains("disk"), "{error}");
    let error = sandbox.start(shell("true")).await.err().unwrap();
    assert!(error.to_string().contains("disk"), "{error}");
    sandbox.destroy().await.unwrap();
}
