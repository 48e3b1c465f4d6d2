//! Layers: below, own, kept, removed.

use std::{fs, os::unix::fs::MetadataExt as _};

use cofferdam_sandbox::{Driver as _, ReadOnly, SandboxError, remove_layer, workspace_upper};

use crate::support::{Place, exists, is_root, sh};

#[tokio::test]
async fn changes_stay_in_the_own_layer_and_come_back() {
    let Some(place) = Place::new().await else { return };
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
    assert_eq!(sh(&*fresh, "cat README; ls; ls ~").await, "original\nREADME\nsrc\n");
    fresh.destroy().await.unwrap();
}

#[tokio::test]
async fn what_one_sandbox_wrote_can_be_the_layer_of_others() {
    let Some(place) = Place::new().await else { return };
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

#[tokio::test]
async fn later_layers_hide_earlier_ones() {
    let Some(place) = Place::new().await else { return };
    let mut spec = place.spec("layer");
    spec.lower.clear();
    for number in 0..20 {
        let layer = place.path(&format!("lower{number}"));
        fs::create_dir(&layer).unwrap();
        fs::write(layer.join("top"), format!("{number}\n")).unwrap();
        fs::write(layer.join(format!("own{number}")), "").unwrap();
        spec.lower.push(layer);
    }
    let sandbox = place.create(spec).await;
    assert_eq!(sh(&*sandbox, "cat top; ls | wc -l").await, "19\n21\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn more_of_the_host_can_be_shown_read_only() {
    let Some(place) = Place::new().await else { return };
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

#[tokio::test]
async fn what_is_missing_or_wrong_is_named() {
    let Some(place) = Place::new().await else { return };
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

#[tokio::test]
async fn files_on_disk_belong_to_nobody_who_matters() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    sh(&*sandbox, "echo x > file; cp /bin/true suid; chmod 4755 suid").await;
    sandbox.destroy().await.unwrap();
    let owner = fs::symlink_metadata(workspace_upper(&place.path("layer")).join("suid")).unwrap().uid();
    assert_ne!(owner, 0);
    assert_eq!(owner != rustix::process::geteuid().as_raw(), is_root());
}

#[tokio::test]
async fn a_layer_is_removed_completely_and_nothing_beside_it() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    let outside = place.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "stays").unwrap();
    let script = format!(
        "ln -s {} link; mkfifo pipe; mkdir -p locked/in; touch locked/in/file; chmod 000 locked/in locked; rm README; \
         mkdir d; cd d; i=0; while [ $i -lt 300 ]; do mkdir dddddddddddddddddddddddd; cd dddddddddddddddddddddddd; i=$((i+1)); done; touch end",
        outside.display()
    );
    sh(&*sandbox, &script).await;
    sandbox.destroy().await.unwrap();
    remove_layer(&place.path("layer")).unwrap();
    assert!(!exists(&place.path("layer")));
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "stays");
    remove_layer(&place.path("layer")).unwrap();
}

#[tokio::test]
async fn links_in_the_home_directory_lead_nowhere() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    // Where a cache would be mounted for the next sandbox of this session.
    sh(&*sandbox, "rm -rf ~/.cargo ~/go 2>/dev/null; ln -sfn /usr ~/.cargo; ln -sfn /workspace ~/go; echo kept > ~/kept").await;
    sandbox.destroy().await.unwrap();
    let again = place.sandbox("layer").await;
    assert_eq!(sh(&*again, "cat ~/kept; ls /usr/registry /workspace/pkg 2>/dev/null").await, "kept\n");
    again.destroy().await.unwrap();
}
