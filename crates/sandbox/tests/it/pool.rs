//! The warm pool.

use cofferdam_sandbox::{HostEnvironment, LimitLevel, NativeOptions, ReadOnly};

use crate::support::{Place, eventually, sh};

async fn warm(size: usize) -> Option<Place> {
    let options = NativeOptions::new(HostEnvironment::of_this_host(), LimitLevel::WeakAllowed);
    Place::with(NativeOptions { pool: size, ..options }).await
}

#[tokio::test]
async fn what_waits_is_used_once_and_replaced() {
    let Some(place) = warm(2).await else { return };
    assert_eq!(place.driver.ready(), 0, "nobody has asked for anything yet");
    for number in 0..5 {
        let sandbox = place.sandbox(&format!("layer{number}")).await;
        let seen = sh(&*sandbox, "find ~ /tmp -name left; cat README; touch /tmp/left ~/left").await;
        assert_eq!(seen, "original\n", "nobody was here before");
        sandbox.destroy().await.unwrap();
        eventually("the pool is full", || place.driver.ready() == 2).await;
    }
    // The inode of a namespace is its name, as long as it lives.
    let (one, other) = (place.sandbox("layer0").await, place.sandbox("layer1").await);
    let name = "readlink /proc/self/ns/mnt /proc/self/ns/net";
    assert_ne!(sh(&*one, name).await, sh(&*other, name).await);
    one.destroy().await.unwrap();
    other.destroy().await.unwrap();
}

#[tokio::test]
async fn another_kind_is_made_at_once_and_then_waits() {
    let Some(place) = warm(1).await else { return };
    place.sandbox("layer").await.destroy().await.unwrap();
    eventually("one of the first kind waits", || place.driver.ready() == 1).await;
    std::fs::create_dir(place.path("seed")).unwrap();
    let mut spec = place.spec("layer");
    spec.read_only = vec![ReadOnly { host: place.path("seed"), inside: "/mirror/seed".into() }];
    for _ in 0..2 {
        let sandbox = place.create(spec.clone()).await;
        assert_eq!(sh(&*sandbox, "ls -d /mirror/seed").await, "/mirror/seed\n");
        sandbox.destroy().await.unwrap();
        eventually("one of the second kind waits", || place.driver.ready() == 1).await;
    }
    let plain = place.sandbox("layer").await;
    assert_eq!(sh(&*plain, "ls -d /mirror 2>/dev/null").await, "", "a plain one knows nothing of it");
    plain.destroy().await.unwrap();
}

#[tokio::test]
async fn limits_hold_in_one_that_waited() {
    let Some(place) = warm(1).await else { return };
    place.sandbox("layer").await.destroy().await.unwrap();
    eventually("one waits", || place.driver.ready() == 1).await;
    let mut spec = place.spec("layer");
    spec.limits.processes = 8;
    let sandbox = place.create(spec).await;
    let started = sh(
        &*sandbox,
        "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 100 & done 2>/dev/null; ls /proc | grep -c '^[0-9]'",
    )
    .await;
    assert!(started.trim().parse::<u32>().unwrap_or(0) <= 9, "{started}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn what_was_never_used_goes_with_its_driver() {
    let Some(place) = warm(3).await else { return };
    let zygote = place.driver.zygote_pid().unwrap();
    place.sandbox("layer").await.destroy().await.unwrap();
    eventually("three wait", || place.driver.ready() == 3).await;
    let children = std::fs::read_to_string(format!("/proc/{zygote}/task/{zygote}/children")).unwrap();
    let waiting: Vec<&str> = children.split_ascii_whitespace().collect();
    assert!(waiting.len() >= 3, "{children}");
    drop(place);
    let gone = |pid: &str| !std::path::Path::new(&format!("/proc/{pid}")).exists();
    eventually("they have ended", || waiting.iter().all(|pid| gone(pid))).await;
    eventually("the zygote has ended", || gone(&zygote.to_string())).await;
}
