//! The system as the root of a sandbox finds it: what of the host's lies below, and what is made up so that packages can be installed.
//!
//! `/usr` is the host's. `/etc` and `/var` are put together from what everybody may read and from empty directories: what the host's root
//! alone may read would be readable to the sandbox's root otherwise.

use std::path::{Path, PathBuf};

use cofferdam_hand::protocol::zygote::{RootEntry, RootKind};

use super::{HostFiles, SYSTEM_LINKS, Seen, entry};

/// A directory that root can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SystemPart {
    /// Where it is inside.
    pub(crate) inside: PathBuf,
    /// The directory of the host that lies below; else what is put together.
    pub(crate) host: Option<PathBuf>,
}

/// What package managers know of what is installed; everybody may read it.
const DATABASES: [&str; 3] = ["/var/lib/dpkg", "/var/lib/rpm", "/var/lib/pacman"];
/// What package managers and the scripts of packages read in `/etc`. Of `default` only what names no proxy and no service:
/// the rest is whatever the host's administrator gives to its daemons. The copy leaves secrets out of what it copies.
const SETTINGS: [&str; 18] = [
    "adduser.conf",
    "apt/apt.conf.d",
    "apt/keyrings",
    "apt/preferences.d",
    "apt/sources.list",
    "apt/sources.list.d",
    "apt/trusted.gpg.d",
    "ca-certificates.conf",
    "debconf.conf",
    "default/locale",
    "default/useradd",
    "deluser.conf",
    "dnf",
    "dpkg",
    "login.defs",
    "pki/rpm-gpg",
    "skel",
    "yum.repos.d",
];
/// Directories that they expect.
const DIRECTORIES: [&str; 12] = [
    "/etc/apt",
    "/var/backups",
    "/var/cache/apt/archives/partial",
    "/var/cache/debconf",
    "/var/cache/ldconfig",
    "/var/cache/man",
    "/var/lib/apt/lists/partial",
    "/var/lib/misc",
    "/var/local",
    "/var/log/apt",
    "/var/mail",
    "/var/spool",
];
/// Users below this one are the system's, whose names are the same everywhere.
const FIRST_PERSON: u32 = 1000;
const NOBODY: u32 = 65534;

/// The directories that root can change, each after those that it lies in.
pub(super) fn parts(files: &dyn HostFiles, visible: &[PathBuf]) -> Vec<SystemPart> {
    let of_host = |path: &str| SystemPart { inside: path.into(), host: Some(path.into()) };
    let mut parts: Vec<SystemPart> = ["/usr"]
        .into_iter()
        .chain(SYSTEM_LINKS)
        .filter(|path| files.look(Path::new(path)) == Seen::Directory)
        .map(of_host)
        .collect();
    for path in ["/etc", "/var", "/root"] {
        // A mount over it would hide what of the host is in it.
        if !visible.iter().any(|seen| seen.starts_with(path)) {
            parts.push(SystemPart { inside: path.into(), host: None });
        }
    }
    parts.extend(
        DATABASES.into_iter().filter(|path| files.look(Path::new(path)) == Seen::Directory).map(of_host),
    );
    parts
}

/// What is in the root directory instead or in addition.
pub(super) fn entries(files: &dyn HostFiles) -> Vec<RootEntry> {
    let mut entries: Vec<RootEntry> = DIRECTORIES
        .into_iter()
        .chain(DATABASES.into_iter().filter(|path| files.look(Path::new(path)) == Seen::Directory))
        .map(|path| entry(Path::new(path), RootKind::Directory))
        .collect();
    for name in SETTINGS {
        let path = Path::new("/etc").join(name);
        if files.look(&path) != Seen::Nothing {
            entries.push(entry(&path, RootKind::CopyAll(path.as_os_str().as_encoded_bytes().to_vec())));
        }
    }
    let file = |path: &str, content: String| entry(Path::new(path), RootKind::File(content.into_bytes()));
    let read = |path: &str| files.read(Path::new(path)).unwrap_or_default();
    entries.push(file("/etc/passwd", accounts(&read("/etc/passwd"), USERS)));
    entries.push(file("/etc/group", accounts(&read("/etc/group"), GROUPS)));
    entries.push(file("/etc/shadow", "root:*:1::::::\nagent:*:1::::::\n".to_owned()));
    entries
}

const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/home/agent:/bin/sh\n";
const GROUPS: &str = "root:x:0:\nagent:x:1000:\n";

/// The system's accounts among those of the host, after `own`. People's are left out.
fn accounts(host: &str, own: &str) -> String {
    let mut all = own.to_owned();
    for line in host.lines() {
        let mut fields = line.split(':');
        let (name, id) = (fields.next().unwrap_or_default(), fields.nth(1));
        let Some(id) = id.and_then(|id| id.parse::<u32>().ok()) else { continue };
        let system = (1..FIRST_PERSON).contains(&id) || id == NOBODY;
        // Members of groups are people as well.
        let line = if line.matches(':').count() == 3 { format!("{name}:x:{id}:") } else { line.to_owned() };
        if system && name != "agent" {
            all.push_str(&line);
            all.push('\n');
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_daemons_stay_outside() {
        assert!(!SETTINGS.contains(&"default") && SETTINGS.contains(&"default/useradd"));
    }

    #[test]
    fn people_are_not_told_of() {
        let host = "root:x:0:0:root:/root:/bin/bash\n_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\n\
                    alice:x:1001:1001:Alice:/home/alice:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\nbroken\n";
        let users = accounts(host, USERS);
        assert!(
            users.starts_with(USERS) && users.contains("_apt:x:42:") && users.contains("\nnobody:"),
            "{users}"
        );
        assert!(!users.contains("alice") && !users.contains("bash") && !users.contains("broken"), "{users}");
        let groups = accounts("adm:x:4:alice,bob\nalice:x:1001:\n", GROUPS);
        assert_eq!(groups, format!("{GROUPS}adm:x:4:\n"));
    }
}
