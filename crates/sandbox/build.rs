//! Builds the hand, the static program that runs inside sandboxes, so that this crate can carry it.
//!
//! It is built by a cargo of its own, because it needs another profile and another way of linking than the worker. Its target
//! directory is shared by all profiles of the workspace, so it is built once.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const PACKAGE: &str = "cofferdam-hand";

fn main() {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let workspace = manifest.join("../..");
    for path in ["crates/hand/src", "crates/hand/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let built = build_hand(&workspace, &target_directory(&out));
    let copy = out.join(PACKAGE);
    if let Err(error) = fs::copy(&built, &copy) {
        panic!("failed to copy {} to {}: {error}", built.display(), copy.display());
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}

/// The workspace's target directory: the one that has the profile's directory with this script's output in it.
fn target_directory(out: &Path) -> PathBuf {
    let profile = out
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name == "build"))
        .and_then(Path::parent);
    let parent = profile.and_then(Path::parent).unwrap_or(out);
    // With an explicit `--target` there is one more directory in between.
    let target = if parent.file_name().is_some_and(|name| *name == *variable("TARGET")) {
        parent.parent().unwrap_or(parent)
    } else {
        parent
    };
    target.join("hand")
}

fn build_hand(workspace: &Path, target_directory: &Path) -> PathBuf {
    let target = variable("TARGET");
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--package",
            PACKAGE,
            "--bin",
            PACKAGE,
            "--profile",
            "hand",
            "--locked",
            "--target",
            &target,
        ])
        .arg("--target-dir")
        .arg(target_directory)
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    // What belongs to the build that this script is a part of, not to the hand's: clippy, coverage, flags for the worker.
    for name in [
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "CLIPPY_ARGS",
        "CLIPPY_CONF_DIR",
    ] {
        cargo.env_remove(name);
    }
    let status = cargo.status().unwrap_or_else(|error| panic!("failed to run cargo for {PACKAGE}: {error}"));
    assert!(
        status.success(),
        "failed to build {PACKAGE} as a static program. If the linker did not find a static C library (\"cannot find -lc\"), install it: \
         `apt-get install libc6-dev` on Debian and Ubuntu, `dnf install glibc-static` on Fedora and RHEL, \
         `zypper install glibc-devel-static` on openSUSE"
    );
    target_directory.join(target).join("hand").join(PACKAGE)
}
