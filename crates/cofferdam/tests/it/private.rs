//! What is kept on disk is its user's alone: whole repositories, logs, and whatever programs an agent has left.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    commands::{finish, shell},
    harness::World,
};

/// Paths below `directory` that others than its user can get to.
fn open_to_others(directory: &Path) -> Vec<PathBuf> {
    let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode();
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| !path.is_symlink() && mode(path) & 0o077 != 0).collect()
}

#[test]
fn a_new_data_directory_is_its_users_alone() {
    let Some(world) = World::with_sandboxes() else { return };
    world.ok(&["sandbox", "run", "--", "true"]);
    assert_eq!(world.data().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(open_to_others(&world.data()), Vec::<PathBuf>::new());
}

#[test]
fn a_data_directory_that_was_there_keeps_its_mode_and_lets_nobody_in() {
    let Some(world) = World::with_sandboxes() else { return };
    let old = world.data().join("sessions");
    fs::create_dir_all(&old).unwrap();
    for directory in [&world.data(), &old] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let repository = world.repository("repository", &[("README.md", "hello\n")]);
    let model = world.recording(&json!([shell("cp /bin/sh sh; chmod 4755 sh"), finish("done")]));
    world.run(&["run", "--model", &model, "--repo", repository.address(), "Change it"]);
    assert_eq!(world.data().metadata().unwrap().permissions().mode() & 0o777, 0o755);
    let open = open_to_others(&world.data());
    assert!(world.data().join("sessions").read_dir().unwrap().count() > 0, "a session has run");
    assert_eq!(open, Vec::<PathBuf>::new());
}
