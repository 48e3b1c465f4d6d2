//! What the native driver's cold start is measured beside: a floor in C, and the sandbox programs that this host has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::rounds::Timed;
use crate::complain;

const FLOOR: &str = include_str!("../../floor.c");
/// Seen read-only in every sandbox that is compared.
const SHOWN: [&str; 6] = ["/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64"];
/// Takes cgroup v2 out of this mount namespace: `crun` works with v1 or v2, not with a host that has both.
const WITHOUT_UNIFIED: [&str; 8] = [
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    r#"umount /sys/fs/cgroup/unified && exec "$@""#,
    "sh",
];

/// Makes the directories of an overlay: what a workspace starts from, and its own layer.
pub(super) fn workspace(folder: &Path) -> Result<PathBuf> {
    for name in ["lower", "upper", "work", "root"] {
        fs::create_dir_all(folder.join(name))?;
    }
    fs::write(folder.join("lower").join("README"), "A workspace.\n")?;
    Ok(folder.to_owned())
}

/// The floor, compiled now.
pub(super) fn floor(folder: &Path) -> Result<Timed> {
    let (source, program) = (folder.join("floor.c"), folder.join("floor"));
    fs::write(&source, FLOOR)?;
    let output = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-o"])
        .args([&program, &source])
        .output()
        .context("there is no C compiler: apt-get install gcc libc6-dev")?;
    ensure!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
    let overlay = workspace(&folder.join("floor-workspace"))?;
    Timed::start("floor in C: no filter, no limits, no protocol", Command::new(program).arg(overlay))
}

/// The other programs, as far as they are here and work here; says why not.
pub(super) fn rivals(folder: &Path) -> Vec<Timed> {
    let mut rivals = Vec::new();
    let made = [("bubblewrap", bubblewrap(folder)), ("crun", crun(folder)), ("docker", docker(folder))];
    for (name, made) in made {
        match made {
            Ok(rival) => rivals.push(rival),
            Err(error) => complain(&format!("SKIPPED: {name}: {error:#}")),
        }
    }
    rivals
}

fn installed(program: &str, package: &str) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("it is not installed: apt-get install {package}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().replace("version ", ""))
}

fn bubblewrap(folder: &Path) -> Result<Timed> {
    let version = installed("bwrap", "bubblewrap")?;
    let overlay = workspace(&folder.join("bubblewrap"))?;
    let help = Command::new("bwrap").arg("--help").output()?;
    let overlays = String::from_utf8_lossy(&help.stdout).contains("--overlay-src");
    let mut argv: Vec<String> = ["bwrap", "--unshare-all"].map(str::to_owned).to_vec();
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    for path in SHOWN {
        match fs::read_link(path) {
            Ok(target) => add(&["--symlink", target.to_str().context("a link that is not text")?, path]),
            Err(_) if Path::new(path).exists() => add(&["--ro-bind", path, path]),
            Err(_) => (),
        }
    }
    add(&["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    let place = |name: &str| overlay.join(name).display().to_string();
    if overlays {
        add(&["--overlay-src", &place("lower"), "--overlay", &place("upper"), &place("work"), "/workspace"]);
    } else {
        add(&["--bind", &place("upper"), "/workspace"]);
    }
    add(&["--chdir", "/workspace", "/bin/true"]);
    let workspace = if overlays { "overlay" } else { "bind instead of overlay" };
    Timed::spawning(&format!("{version} --unshare-all, {workspace}"), &[], &argv)
}

fn crun(folder: &Path) -> Result<Timed> {
    let version = installed("crun", "crun")?;
    let bundle = folder.join("crun");
    let overlay = workspace(&folder.join("crun-workspace"))?;
    let root = bundle.join("rootfs");
    for name in ["proc", "dev", "tmp", "workspace"] {
        fs::create_dir_all(root.join(name))?;
    }
    for path in SHOWN {
        let inside = root.join(path.trim_start_matches('/'));
        match fs::read_link(path) {
            Ok(target) => std::os::unix::fs::symlink(target, inside)?,
            Err(_) => fs::create_dir_all(inside)?,
        }
    }
    fs::write(bundle.join("config.json"), serde_json::to_vec(&container(&overlay))?)?;
    let id = format!("cofferdam-bench-{}", std::process::id());
    let argv: Vec<String> =
        ["crun", "run", "--bundle", &bundle.display().to_string(), &id].map(str::to_owned).to_vec();
    let plain = Timed::spawning(&format!("{version} run, user namespace"), &[], &argv);
    plain.or_else(|why| {
        complain(&format!("crun refuses as it is ({why:#}); tried again without the unified cgroup mount"));
        Timed::spawning(&format!("{version} run, without the unified mount"), &WITHOUT_UNIFIED, &argv)
    })
}

/// The variable that names an image with `/bin/true` that the engine has: nothing is pulled.
const IMAGE: &str = "COFFERDAM_BENCH_IMAGE";

/// A container engine, wherever its client finds one.
fn docker(folder: &Path) -> Result<Timed> {
    let client = ["version", "--format", "docker {{.Server.Version}}"];
    let version = Command::new("docker").args(client).output();
    let version = version.context("it is not installed: apt-get install '^docker[.]io$'")?;
    ensure!(
        version.status.success(),
        "no engine answers: {}",
        String::from_utf8_lossy(&version.stderr).trim()
    );
    let image =
        std::env::var(IMAGE).with_context(|| format!("{IMAGE} does not name an image that it has"))?;
    let overlay = workspace(&folder.join("docker"))?;
    let place = |name: &str| overlay.join(name).display().to_string();
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr",
        place("lower"),
        place("upper"),
        place("work")
    );
    let mount = format!(
        "type=volume,dst=/workspace,volume-driver=local,volume-opt=type=overlay,volume-opt=device=overlay,\"volume-opt=o={options}\""
    );
    let mut argv: Vec<String> = [
        "docker",
        "run",
        "--rm",
        "--network",
        "none",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
    ]
    .map(str::to_owned)
    .to_vec();
    argv.extend(
        ["--read-only", "--log-driver", "none", "--mount", &mount, &image, "/bin/true"].map(str::to_owned),
    );
    let version = String::from_utf8_lossy(&version.stdout);
    Timed::spawning(&format!("{} run", version.trim()), &[], &argv)
}

/// The same sandbox as an OCI runtime configuration (<https://github.com/opencontainers/runtime-spec>).
fn container(overlay: &Path) -> Value {
    let place = |name: &str| overlay.join(name).display().to_string();
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] }),
        json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"] }),
        json!({ "destination": "/workspace", "type": "overlay", "source": "overlay", "options": [
            format!("lowerdir={}", place("lower")),
            format!("upperdir={}", place("upper")),
            format!("workdir={}", place("work")),
            "userxattr",
        ] }),
    ];
    let shown = SHOWN.into_iter().filter(|path| fs::read_link(path).is_err() && Path::new(path).exists());
    mounts
        .extend(shown.map(
            |path| json!({ "destination": path, "source": path, "options": ["rbind", "ro", "nosuid"] }),
        ));
    let namespaces: Vec<Value> = ["user", "pid", "mount", "network", "ipc", "uts", "cgroup"]
        .map(|kind| json!({ "type": kind }))
        .to_vec();
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "process": {
            "args": ["/bin/true"], "cwd": "/workspace", "env": ["PATH=/usr/bin:/bin"], "noNewPrivileges": true,
            "user": { "uid": 0, "gid": 0 },
        },
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces,
            "uidMappings": [{ "containerID": 0, "hostID": user, "size": 1 }],
            "gidMappings": [{ "containerID": 0, "hostID": group, "size": 1 }],
        },
    })
}
