//! `/etc` inside: made up, with what programs need of the host's and nothing that could hold a secret.

use std::path::Path;

use cofferdam_hand::protocol::zygote::{AGENT_ID, RootEntry, RootKind};

use super::{HostFiles, Seen, bind, entry};

/// Files of the host that say where programs and libraries are, and what words mean.
const FILES: [&str; 21] = [
    "bash_completion",
    "debian_version",
    "fedora-release",
    "gai.conf",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "localtime",
    "lsb-release",
    "magic",
    "maven/m2.conf",
    "mime.types",
    "os-release",
    "protocols",
    "redhat-release",
    "rpc",
    "services",
    "shells",
    "ssl/openssl.cnf",
    "system-release",
    "timezone",
];

/// Directories of the same kind. Certificates are public; private keys lie elsewhere in `/etc/ssl`.
const DIRECTORIES: [&str; 13] = [
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "fonts",
    "ld.so.conf.d",
    "maven/logging",
    "perl",
    "pki/ca-trust/extracted",
    "pki/java",
    "pki/tls/certs",
    "ssl/certs",
    "terminfo",
    "vim",
];

/// The beginnings of names of directories that come with a version.
const VERSIONED: [&str; 2] = ["java", "python"];
/// Versions of theirs that are looked for: `java-17-openjdk`, `python3.11`.
const JAVA: std::ops::RangeInclusive<u32> = 8..=30;
const PYTHON: std::ops::RangeInclusive<u32> = 6..=20;

/// Where names are looked up.
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\nrpc: files\n";
/// Where the egress door answers questions for names. Without a door nobody answers there, and programs know at once.
const RESOLV: &str = "nameserver 127.0.0.1\n";
/// The last is the name of every sandbox: nobody has to ask for it.
const HOSTS: &str = "127.0.0.1 localhost cofferdam\n::1 localhost ip6-localhost ip6-loopback\n";

/// The workspace belongs to the agent, and git run by root inside would refuse it for that: `safe.directory` in git-config(1). All who
/// are inside may read it anyway.
const GITCONFIG: &str = "[safe]\n\tdirectory = /workspace\n\tdirectory = /workspace/*\n";

/// Everything in `/etc`.
pub(super) fn entries(files: &dyn HostFiles) -> Vec<RootEntry> {
    let mut entries: Vec<RootEntry> = made_up()
        .into_iter()
        .map(|(name, content)| entry(&Path::new("/etc").join(name), RootKind::File(content.into_bytes())))
        .collect();
    for name in FILES {
        let path = Path::new("/etc").join(name);
        if files.resolve(&path).is_some() {
            let content = path.as_os_str().as_encoded_bytes().to_vec();
            entries.push(entry(&path, RootKind::Copy(content)));
        }
    }
    for name in DIRECTORIES.into_iter().map(str::to_owned).chain(versioned()) {
        let path = Path::new("/etc").join(name);
        if files.look(&path) == Seen::Directory {
            entries.push(bind(&path));
        }
    }
    entries
}

fn made_up() -> [(&'static str, String); 7] {
    [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:{AGENT_ID}:{AGENT_ID}:agent:/home/agent:/bin/sh\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
            ),
        ),
        ("group", format!("root:x:0:\nagent:x:{AGENT_ID}:\nnogroup:x:65534:\n")),
        ("hosts", HOSTS.to_owned()),
        ("resolv.conf", RESOLV.to_owned()),
        ("nsswitch.conf", NSSWITCH.to_owned()),
        ("machine-id", String::new()),
        ("gitconfig", GITCONFIG.to_owned()),
    ]
}

fn versioned() -> impl Iterator<Item = String> {
    let [java, python] = VERSIONED;
    let javas = JAVA.flat_map(move |version| {
        [format!("{java}-{version}-openjdk"), format!("{java}-1.{version}.0-openjdk")]
    });
    let pythons = PYTHON.map(move |minor| format!("{python}3.{minor}"));
    [java.to_owned(), format!("{python}3")].into_iter().chain(javas).chain(pythons)
}
