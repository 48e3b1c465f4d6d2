//! Toolchains that are installed outside of the system's directories, mostly in the user's home.
//!
//! One row for each kind. What is listed are directories of programs and libraries; credentials, caches and settings of the same tools lie
//! beside them and are left out.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{HostCache, HostFiles, Seen, path::is_plain};

/// A kind of toolchain.
struct Toolchain {
    /// The variable that says where it is.
    variable: &'static str,
    /// Where it is below the home directory when that variable is not set.
    home: Option<&'static str>,
    /// What of it is seen inside; empty for all of it.
    parts: &'static [&'static str],
    /// Whether the variable is needed inside as well.
    export: bool,
}

const fn toolchain(
    variable: &'static str,
    home: &'static str,
    parts: &'static [&'static str],
    export: bool,
) -> Toolchain {
    Toolchain { variable, home: Some(home), parts, export }
}

const TOOLCHAINS: &[Toolchain] = &[
    toolchain(
        "RUSTUP_HOME",
        ".rustup",
        &["toolchains", "settings.toml", "update-hashes", "tmp", "downloads"],
        true,
    ),
    toolchain("CARGO_HOME", ".cargo", &["bin"], false),
    toolchain("PYENV_ROOT", ".pyenv", &["bin", "libexec", "plugins", "shims", "versions", "version"], true),
    toolchain("NVM_DIR", ".nvm", &["versions", "alias", "nvm.sh", "nvm-exec"], true),
    toolchain("NODENV_ROOT", ".nodenv", &["bin", "libexec", "shims", "versions", "version"], true),
    toolchain("RBENV_ROOT", ".rbenv", &["bin", "libexec", "shims", "versions", "version"], true),
    toolchain("VOLTA_HOME", ".volta", &["bin", "tools"], true),
    toolchain("BUN_INSTALL", ".bun", &["bin"], false),
    toolchain("DENO_INSTALL", ".deno", &["bin"], false),
    toolchain("GOPATH", "go", &["bin"], false),
    toolchain("SDKMAN_DIR", ".sdkman", &["candidates"], true),
    toolchain("ASDF_DATA_DIR", ".asdf", &["bin", "installs", "lib", "plugins", "shims"], true),
    toolchain("MISE_DATA_DIR", ".local/share/mise", &["installs", "shims"], true),
    toolchain("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python", &[], true),
    toolchain("PNPM_HOME", ".local/share/pnpm", &[], true),
    toolchain("GHCUP_INSTALL_BASE_PREFIX", ".ghcup", &["bin", "ghc"], false),
    toolchain("DOTNET_ROOT", ".dotnet", &["dotnet", "host", "packs", "sdk", "shared"], true),
    Toolchain { variable: "GOROOT", home: None, parts: &[], export: true },
    Toolchain { variable: "JAVA_HOME", home: None, parts: &[], export: true },
];

/// Caches of packages: the variable for the directory, where it is below the home otherwise, the part, and the place inside.
const CACHES: [(&str, &str, &str, &str); 3] = [
    ("CARGO_HOME", ".cargo", "registry", ".cargo/registry"),
    ("CARGO_HOME", ".cargo", "git", ".cargo/git"),
    ("GOPATH", "go", "pkg/mod", "go/pkg/mod"),
];

/// Something of a toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// A directory or file to be seen at its own path.
    pub(super) path: PathBuf,
    /// A variable that is needed with it.
    pub(super) variable: Option<(String, String)>,
}

/// What there is on this host.
pub(super) fn find(files: &dyn HostFiles, variables: &BTreeMap<String, OsString>) -> Vec<Found> {
    let home = home(variables);
    let mut found = Vec::new();
    for toolchain in TOOLCHAINS {
        let Some(base) = base(toolchain.variable, toolchain.home, variables, home.as_deref()) else {
            continue;
        };
        let variable = base.to_str().filter(|_| toolchain.export);
        let variable = variable.map(|path| (toolchain.variable.to_owned(), path.to_owned()));
        let parts: Vec<PathBuf> = if toolchain.parts.is_empty() {
            vec![base]
        } else {
            toolchain.parts.iter().map(|part| base.join(part)).collect()
        };
        for path in parts {
            if files.look(&path) != Seen::Nothing && permitted(files, &path, home.as_deref()) {
                found.push(Found { path, variable: variable.clone() });
            }
        }
    }
    found
}

/// The caches that there are on this host.
pub(super) fn caches(files: &dyn HostFiles, variables: &BTreeMap<String, OsString>) -> Vec<HostCache> {
    let home = home(variables);
    let mut caches = Vec::new();
    for (variable, below_home, part, inside) in CACHES {
        let Some(base) = base(variable, Some(below_home), variables, home.as_deref()) else { continue };
        let host = base.join(part);
        if files.look(&host) == Seen::Directory && permitted(files, &host, home.as_deref()) {
            caches.push(HostCache { host, inside });
        }
    }
    caches
}

fn home(variables: &BTreeMap<String, OsString>) -> Option<PathBuf> {
    variables.get("HOME").map(PathBuf::from).filter(|home| is_plain(home))
}

fn base(
    variable: &str,
    below_home: Option<&str>,
    variables: &BTreeMap<String, OsString>,
    home: Option<&Path>,
) -> Option<PathBuf> {
    let set = variables.get(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    set.or_else(|| Some(home?.join(below_home?))).filter(|path| is_plain(path))
}

/// Whether a path may be seen inside: not where the system has its own things, and nothing in which the home directory lies, be it
/// by way of a link.
fn permitted(files: &dyn HostFiles, path: &Path, home: Option<&Path>) -> bool {
    const RESERVED: [&str; 8] = ["/proc", "/sys", "/dev", "/etc", "/run", "/tmp", "/workspace", crate::HOME];
    let Some(resolved) = files.resolve(path) else { return false };
    let resolved_home = home.and_then(|home| files.resolve(home));
    [path, &resolved].into_iter().all(|path| {
        let holds_home = home.into_iter().chain(resolved_home.as_deref()).any(|home| home.starts_with(path));
        path.components().count() > 2
            && !holds_home
            && !RESERVED.iter().any(|reserved| path.starts_with(reserved))
    })
}
