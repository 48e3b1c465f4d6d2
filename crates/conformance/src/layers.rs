//! Layers: below, own, kept, frozen.

use std::{fs, path::Path};

use cofferdam_sandbox::{LayerStack, ReadOnly, SandboxError, workspace_upper};

use crate::{Scene, own, sh};

pub async fn changes_stay_in_the_own_layer_and_come_back(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    sh(
        &*sandbox,
        "echo more >> README; rm src/one.rs; mkdir new; echo x > new/file; echo h > ~/note; chmod 000 new",
    )
    .await;
    sandbox.destroy().await.unwrap();
    assert_eq!(fs::read_to_string(place.path("base/README")).unwrap(), "original\n");
    assert!(exists(&place.path("base/src/one.rs")) && !exists(&place.path("base/new")));
    let again = place.sandbox("layer").await;
    assert_eq!(
        sh(&*again, "chmod 755 new; cat README new/file ~/note; ls src").await,
        "original\nmore\nx\nh\n"
    );
    again.destroy().await.unwrap();
    let fresh = place.sandbox("other").await;
    assert_eq!(sh(&*fresh, "cat README; ls; ls ~ | sed '/^go$/d'").await, "original\nREADME\nsrc\n");
    fresh.destroy().await.unwrap();
}

pub async fn what_one_sandbox_wrote_can_be_the_layer_of_others(place: &Scene) {
    let mut spec = place.spec("prepared");
    spec.lower.clear();
    let sandbox = place.create(spec).await;
    assert_eq!(sh(&*sandbox, "ls -A; mkdir -p a/b; echo 1 > a/b/c; stat -c %U a/b/c").await, "agent\n");
    sandbox.destroy().await.unwrap();

    let mut spec = place.spec("second");
    spec.lower = vec![place.base(), workspace_upper(&place.path("prepared"))];
    let sandbox = place.create(spec).await;
    assert_eq!(
        sh(&*sandbox, "cat README a/b/c; echo 2 > a/b/c; echo 3 > README; mv a/b/c a/b/d; ls a/b").await,
        "original\n1\nd\n"
    );
    sandbox.destroy().await.unwrap();
    assert_eq!(fs::read_to_string(workspace_upper(&place.path("prepared")).join("a/b/c")).unwrap(), "1\n");
    assert_eq!(fs::read_to_string(place.path("base/README")).unwrap(), "original\n");
}

pub async fn later_layers_hide_earlier_ones(place: &Scene) {
    let mut spec = place.spec("layer");
    spec.lower.clear();
    for number in 0..20 {
        let layer = place.path(&format!("lower{number}"));
        fs::create_dir(&layer).unwrap();
        own(&layer);
        fs::write(layer.join("top"), format!("{number}\n")).unwrap();
        fs::write(layer.join(format!("own{number}")), "").unwrap();
        spec.lower.push(layer);
    }
    let sandbox = place.create(spec).await;
    assert_eq!(sh(&*sandbox, "cat top; ls | wc -l").await, "19\n21\n");
    sandbox.destroy().await.unwrap();
}

pub async fn more_of_the_host_can_be_shown_read_only(place: &Scene) {
    let (directory, file) = (place.path("seed"), place.path("file"));
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("object"), "seed\n").unwrap();
    fs::write(&file, "file\n").unwrap();
    let mut spec = place.spec("layer");
    spec.read_only = vec![
        ReadOnly { host: directory.clone(), inside: "/mirror/seed.git".into() },
        ReadOnly { host: file, inside: "/etc/extra.conf".into() },
    ];
    let sandbox = place.create(spec).await;
    assert_eq!(sh(&*sandbox, "cat /mirror/seed.git/object /etc/extra.conf").await, "seed\nfile\n");
    assert_eq!(sh(&*sandbox, "touch /mirror/seed.git/x /mirror/y 2>&1 | grep -c 'Read-only'").await, "2\n");
    let plain = place.sandbox("plain").await;
    assert_eq!(
        sh(&*plain, "ls -d /mirror /etc/extra.conf 2>/dev/null").await,
        "",
        "another sandbox knows nothing of it"
    );
    plain.destroy().await.unwrap();
    sandbox.destroy().await.unwrap();
    assert!(exists(&directory.join("object")) && !exists(&directory.join("x")));
}

pub async fn what_is_missing_or_wrong_is_named(place: &Scene) {
    let mut missing = place.spec("one");
    missing.lower.push(place.path("nowhere"));
    let mut file = place.spec("two");
    file.lower = vec![place.base().join("README")];
    let mut relative = place.spec("three");
    relative.layer = "relative".into();
    let mut climbing = place.spec("four");
    climbing.read_only = vec![ReadOnly { host: place.base(), inside: "/mnt/../etc".into() }];
    for (spec, word) in
        [(missing, "nowhere"), (file, "README"), (relative, "relative"), (climbing, "/mnt/../etc")]
    {
        match place.driver.create(spec).await {
            Err(SandboxError::Setup { step, .. }) => assert!(step.contains(word), "{step}"),
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("{word}"),
        }
    }
}

pub async fn snapshots_and_forks_go_on_where_they_were_taken(place: &Scene) {
    let write = async |script: &str| {
        let sandbox = place.sandbox("layer").await;
        sh(&*sandbox, script).await;
        sandbox.destroy().await.unwrap();
    };
    write("echo 1 >> README; echo 1 > ~/note; rm src/one.rs").await;
    let layer = LayerStack::at(&place.path("layer"));
    let first = layer.snapshot().unwrap();
    write("echo 2 >> README; mkdir src/more").await;
    let fork = layer.fork(first, &place.path("fork")).unwrap();
    let (sandbox, forked) = (place.sandbox("layer").await, place.sandbox("fork").await);
    let look = "cat README ~/note; ls src";
    assert_eq!(sh(&*sandbox, look).await, "original\n1\n2\n1\nmore\n");
    assert_eq!(sh(&*forked, look).await, "original\n1\n1\n");
    assert!(layer.snapshot().is_err() && fork.snapshot().is_err(), "both are in use");
    sandbox.destroy().await.unwrap();
    forked.destroy().await.unwrap();
    layer.roll_back(first).unwrap();
    let sandbox = place.sandbox("layer").await;
    assert_eq!(sh(&*sandbox, look).await, "original\n1\n1\n");
    sandbox.destroy().await.unwrap();
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
