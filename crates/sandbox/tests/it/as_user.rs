//! All of these tests again, as an ordinary user.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::Command,
};

use crate::support::is_root;

/// A user that owns nothing on any machine.
const USER: u32 = 1_800_000_000;

#[test]
fn everything_again_as_an_ordinary_user() {
    if !is_root() {
        eprintln!("SKIPPED: this is an ordinary user already");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("it");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let home = directory.path().join("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(USER), Some(USER)).unwrap();
    let output = Command::new(&program)
        .args(["--nocapture", "--skip", "as_user"])
        .env_clear()
        .env("HOME", &home)
        .env("TMPDIR", &home)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir(&home)
        .uid(USER)
        .gid(USER)
        .output()
        .unwrap();
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}\n{errors}");
    for line in errors.lines().filter(|line| line.starts_with("SKIPPED:")) {
        eprintln!("{line} (as an ordinary user)");
    }
    assert!(printed.contains("test result: ok. "), "{printed}");
}
