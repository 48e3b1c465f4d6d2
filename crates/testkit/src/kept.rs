//! What tests get from package registries, through the registries' ordinary clients: made once, and kept in the user's cache from one run
//! to the next.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{FlockOperation, flock};

/// The folder with this name in the user's cache. Where there is none, `make` fills an empty one, and says whether it could.
pub fn kept(name: &str, make: impl FnOnce(&Path) -> bool) -> Option<PathBuf> {
    let cache = cache()?.join("cofferdam-test");
    let place = cache.join(name);
    if place.exists() {
        return Some(place);
    }
    fs::create_dir_all(&cache).ok()?;
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).ok()?;
    // Whoever wants it at the same time waits, as far as they can: it is whole when it has its name.
    let lock = fs::File::create(cache.join(format!("{name}.lock"))).ok()?;
    flock(&lock, FlockOperation::LockExclusive).ok();
    if place.exists() {
        return Some(place);
    }
    let made = tempfile::tempdir_in(&cache).ok()?;
    if !make(made.path()) {
        return None;
    }
    if fs::rename(made.path(), &place).is_ok() {
        drop(made.keep());
    }
    place.exists().then_some(place)
}

/// Packages of the Python package index, as a folder to be named in `PYTHONPATH`. Each is `name==version`.
pub fn kept_python(packages: &[&str]) -> Option<PathBuf> {
    kept(&packages.join("+").replace("==", "-"), |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target"]);
        succeeds(pip.arg(folder).args(packages))
    })
}

/// Packages of the npm registry, as a folder that has `node_modules`. Each is `name@version`; their scripts are not run.
pub fn kept_node(packages: &[&str]) -> Option<PathBuf> {
    kept(packages.join("+").replace(['@', '/'], "-").trim_start_matches('-'), |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        succeeds(npm.arg(folder).args(packages).current_dir(folder))
    })
}

fn cache() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))
}

pub(crate) fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
