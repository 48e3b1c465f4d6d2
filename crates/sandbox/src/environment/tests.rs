//! Discovery, on hosts that are made up.

use std::collections::BTreeSet;

use super::*;

/// Files by path: a target makes a link, a slash at the end a directory.
struct Made(BTreeMap<&'static str, Option<&'static str>>);

impl Made {
    fn new(paths: &[&'static str]) -> Self {
        Self(
            paths
                .iter()
                .map(|path| path.split_once(" -> ").map_or((*path, None), |(path, to)| (path, Some(to))))
                .collect(),
        )
    }
}

impl HostFiles for Made {
    fn look(&self, path: &Path) -> Seen {
        let text = path.to_str().unwrap();
        if let Some(Some(target)) = self.0.get(text) {
            return Seen::Symlink(target.into());
        }
        let below = format!("{text}/");
        if self.0.contains_key(text) {
            Seen::File
        } else if self.0.keys().any(|known| known.starts_with(&below)) {
            Seen::Directory
        } else {
            Seen::Nothing
        }
    }

    fn resolve(&self, path: &Path) -> Option<PathBuf> {
        match self.look(path) {
            Seen::Nothing => None,
            Seen::Symlink(target) => Some(path.parent()?.join(target)),
            Seen::File | Seen::Directory => Some(path.to_owned()),
        }
    }

    fn read(&self, _path: &Path) -> Option<String> {
        None
    }
}

const SYSTEM: [&str; 8] = [
    "/usr/bin/bash",
    "/usr/local/bin/tool",
    "/usr/sbin/x",
    "/bin -> usr/bin",
    "/lib64 -> usr/lib64",
    "/etc/ld.so.cache",
    "/etc/ssl/certs/ca.pem",
    "/etc/ssl/private/key.pem",
];

fn discover(more: &[&'static str], variables: &[(&str, &str)]) -> HostEnvironment {
    let files = Made::new(&[&SYSTEM, more].concat());
    let variables =
        variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    HostEnvironment::discover(&files, &variables)
}

fn bound(environment: &HostEnvironment) -> BTreeSet<String> {
    environment.visible().into_iter().map(|path| path.into_os_string().into_string().unwrap()).collect()
}

#[test]
fn a_plain_host_shows_its_system_and_nothing_else() {
    let environment = discover(
        &["/home/me/.ssh/id", "/srv/data"],
        &[("HOME", "/home/me"), ("PATH", "/usr/local/bin:/usr/bin:/home/me/bin")],
    );
    assert_eq!(bound(&environment), ["/etc/ssl/certs", "/usr"].map(str::to_owned).into());
    assert_eq!(
        environment.variables()["PATH"],
        "/usr/local/bin:/usr/sbin:/usr/bin:/bin"
            .replace("/usr/local/bin:/usr/sbin:/usr/bin", "/usr/local/bin:/usr/bin:/usr/sbin")
    );
    let links: Vec<_> =
        environment.root().iter().filter(|entry| matches!(entry.kind, RootKind::Symlink(_))).collect();
    assert_eq!(links.len(), 2);
    assert!(environment.caches().is_empty());
}

#[test]
fn toolchains_in_the_home_are_shown_without_what_lies_beside_them() {
    let host = [
        "/home/me/.cargo/bin/cargo",
        "/home/me/.cargo/credentials.toml",
        "/home/me/.cargo/registry/cache/x",
        "/home/me/.rustup/toolchains/stable/bin/rustc",
        "/home/me/.rustup/settings.toml",
        "/home/me/.nvm/versions/node/v1/bin/node",
        "/home/me/.npmrc",
    ];
    let path = "/home/me/.cargo/bin:/home/me/.nvm/versions/node/v1/bin:/home/me/.nvm:/usr/bin";
    let environment = discover(&host, &[("HOME", "/home/me"), ("PATH", path)]);
    let expected = [
        "/etc/ssl/certs",
        "/home/me/.cargo/bin",
        "/home/me/.nvm/versions",
        "/home/me/.rustup/settings.toml",
        "/home/me/.rustup/toolchains",
        "/usr",
    ];
    assert_eq!(bound(&environment), expected.map(str::to_owned).into());
    assert_eq!(environment.variables()["RUSTUP_HOME"], "/home/me/.rustup");
    assert_eq!(environment.variables()["CARGO_HOME"], "/home/agent/.cargo");
    assert!(
        environment.variables()["PATH"]
            .starts_with("/home/me/.cargo/bin:/home/me/.nvm/versions/node/v1/bin:/usr/bin:")
    );
    let cache = HostCache { host: "/home/me/.cargo/registry".into(), inside: ".cargo/registry" };
    assert_eq!(environment.caches(), [cache]);
}

#[test]
fn no_variable_makes_the_home_visible() {
    for value in ["/home/me", "/home", "/", "/home/me/../me", "relative", "", "/etc/ssl", "/proc/1", "/tmp/x"]
    {
        let variables = [
            ("HOME", "/home/me"),
            ("JAVA_HOME", value),
            ("GOROOT", value),
            ("PNPM_HOME", value),
            ("PATH", value),
        ];
        let environment =
            discover(&["/home/me/.ssh/id", "/etc/passwd", "/proc/1/root", "/tmp/x/y"], &variables);
        assert_eq!(bound(&environment), ["/etc/ssl/certs", "/usr"].map(str::to_owned).into(), "{value}");
    }
}

#[test]
fn a_link_to_the_home_is_not_followed_into_it() {
    let environment = discover(
        &["/opt-like/java -> /home/me", "/home/me/.ssh/id"],
        &[("HOME", "/home/me"), ("JAVA_HOME", "/opt-like/java")],
    );
    assert!(!bound(&environment).contains("/opt-like/java"));
}

#[test]
fn toolchains_elsewhere_are_shown_where_they_are() {
    let environment =
        discover(&["/data/jdk/bin/java"], &[("JAVA_HOME", "/data/jdk"), ("PATH", "/data/jdk/bin")]);
    assert!(bound(&environment).contains("/data/jdk"));
    assert_eq!(environment.variables()["JAVA_HOME"], "/data/jdk");
    assert!(environment.variables()["PATH"].starts_with("/data/jdk/bin:"));
}

#[test]
fn etc_is_made_up() {
    let environment = discover(&["/etc/shadow", "/etc/npmrc", "/etc/java-17-openjdk/x", "/etc/passwd"], &[]);
    let names: BTreeSet<String> = environment
        .root()
        .iter()
        .filter_map(|entry| String::from_utf8(entry.path.clone()).ok())
        .filter(|path| path.starts_with("/etc"))
        .collect();
    assert!(
        !names.contains("/etc/shadow")
            && !names.contains("/etc/npmrc")
            && names.contains("/etc/java-17-openjdk")
    );
    let passwd = environment.root().iter().find(|entry| entry.path == b"/etc/passwd").unwrap();
    assert!(
        matches!(&passwd.kind, RootKind::File(content) if String::from_utf8_lossy(content).contains("agent:x:1000:1000"))
    );
    let resolv = environment.root().iter().find(|entry| entry.path == b"/etc/resolv.conf").unwrap();
    assert_eq!(resolv.kind, RootKind::File(b"nameserver 127.0.0.1\n".to_vec()));
}

#[test]
fn what_is_said_of_the_network_fits_the_network() {
    let environment = discover(&[], &[]);
    let (offline, proxy) = (network::offline(), network::proxy("127.0.0.1:3128".parse().unwrap()));
    assert!(offline.keys().chain(proxy.keys()).all(|name| !environment.variables().contains_key(name)));
    assert_eq!(offline["CARGO_NET_OFFLINE"], "true");
    for name in ["https_proxy", "HTTPS_PROXY"] {
        assert_eq!(proxy[name], "http://127.0.0.1:3128");
    }
    assert!(proxy["no_proxy"].contains("127.0.0.1"));
}
