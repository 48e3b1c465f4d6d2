//! All of these tests again, as an ordinary user; and what root of a user namespace is told.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
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

/// A user with subordinate ids, as distributions make them. Removed when this is dropped.
struct WithSubordinates(String);

impl WithSubordinates {
    /// `None`, loudly, where there can be none.
    fn new() -> Option<Self> {
        let name = format!("cofferdam{}", std::process::id());
        for program in ["newuidmap", "newgidmap", "setpriv", "unshare", "userdel"] {
            if !["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
                .iter()
                .any(|place| Path::new(place).join(program).exists())
            {
                eprintln!(
                    "SKIPPED: there is no {program} (Debian: apt-get install uidmap passwd util-linux)"
                );
                return None;
            }
        }
        let made = Command::new("useradd").args(["--no-create-home", &name]).output();
        if !made.is_ok_and(|made| made.status.success()) {
            eprintln!("SKIPPED: no user can be added here");
            return None;
        }
        let user = Self(name);
        let has_some = |file| {
            fs::read_to_string(file)
                .is_ok_and(|text| text.lines().any(|line| line.starts_with(&format!("{}:", user.0))))
        };
        if has_some("/etc/subuid") && has_some("/etc/subgid") {
            return Some(user);
        }
        eprintln!("SKIPPED: users that are added here get no subordinate ids");
        None
    }
}

impl Drop for WithSubordinates {
    fn drop(&mut self) {
        Command::new("userdel").arg(&self.0).output().ok();
    }
}

#[test]
fn root_of_a_users_own_namespace_is_told_what_to_do() {
    if !is_root() {
        eprintln!("SKIPPED: only root can add a user");
        return;
    }
    let Some(user) = WithSubordinates::new() else { return };
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (program, home) = (directory.path().join("it"), directory.path().join("home"));
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
    // As it is, and with a place for locks.
    for before in ["", "mount -t tmpfs none /run; "] {
        let script = format!("{before}exec \"$0\" --nocapture the_hosts_files_and_home_are_not_there");
        let output = Command::new("setpriv")
            .arg(format!("--reuid={}", user.0))
            .arg(format!("--regid={}", user.0))
            .args(["--init-groups", "unshare", "--user", "--map-users=auto", "--map-groups=auto"])
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .arg(&program)
            .env("TMPDIR", &home)
            .current_dir(&home)
            .output()
            .unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if said.contains("unshare: ") {
            eprintln!("SKIPPED: {}", said.trim());
            return;
        }
        assert!(said.contains("as an ordinary user without a user namespace around it"), "{said}");
    }
}
