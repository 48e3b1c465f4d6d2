//! Layers: below, own, kept, removed.

use std::{fs, os::unix::fs::MetadataExt as _};

use cofferdam_sandbox::{remove_layer, workspace_upper};

use crate::support::{Place, exists, is_root, sh};

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
