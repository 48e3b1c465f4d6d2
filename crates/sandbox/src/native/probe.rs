//! What this host offers to sandboxes, for `doctor`: each thing with what was found, what it means, and the command that mends it.
//!
//! What can be tried is tried, by the same program that makes sandboxes, and in the end a sandbox is made. Settings of the system are read only to
//! say why something did not work.

use std::{fs, io, path::Path};

use cofferdam_domain::{SandboxId, policy::Limits};
use cofferdam_hand::protocol::zygote::{Attempt, Probed};
use rustix::io::Errno;

use super::{
    cgroup::{self, Controller, Groups, LimitLevel, Place},
    driver::{NativeDriver, NativeOptions},
    isolation::IsolationLevel,
    layer::remove_layer,
    owner,
    zygote::Zygote,
};
use crate::{Driver as _, HostEnvironment, Network, SandboxError, SandboxSpec};

/// The oldest kernel with all calls that are used (mount_setattr(2); overlays in user namespaces came one version before).
const OLDEST_KERNEL: (u32, u32) = (5, 12);

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, with less than there could be.
    Weak,
    /// Without it there are no sandboxes.
    Missing,
}

/// One thing about the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How good it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What sandboxes need it for.
    pub meaning: &'static str,
    /// The command or setting that mends it, where something is to be mended.
    pub remedy: Option<String>,
}

/// Everything about the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostReport {
    /// One by one.
    pub findings: Vec<Finding>,
    /// The isolation that sandboxes have here, in words; `None` when there can be none.
    pub level: Option<String>,
}

impl HostReport {
    /// Looks at this host. Makes one sandbox and removes it again.
    pub async fn probe() -> Self {
        let probed = tokio::task::spawn_blocking(|| {
            let ids = owner::choose()
                .map_err(|source| SandboxError::Setup { step: "choose a user".to_owned(), source })?;
            Zygote::probe(ids)
        });
        let probed = match probed.await {
            Ok(Ok(probed)) => probed,
            Ok(Err(_)) | Err(_) => {
                Probed { attempts: vec![(Attempt::Namespaces, Errno::NOEXEC.raw_os_error())], landlock: 0 }
            }
        };
        let settings = Settings::of_this_host();
        let mut findings = vec![kernel(&rustix::system::uname().release().to_string_lossy()), user()];
        findings.extend(attempts(&probed, &settings));
        findings.push(landlock(probed.landlock));
        findings.push(control_groups(&cgroup::places(), groups_that_work()));
        let whole = try_whole().await;
        let level = whole.as_ref().ok().cloned();
        findings.push(whole_sandbox(whole));
        Self { findings, level }
    }

    /// The worst of all findings.
    #[must_use]
    pub fn state(&self) -> State {
        self.findings.iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
    }
}

/// Settings of the system that can be the reason why something does not work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Settings {
    max_user_namespaces: Option<u64>,
    unprivileged_userns_clone: Option<u64>,
    apparmor_restricts: Option<u64>,
    in_container: bool,
}

impl Settings {
    fn of_this_host() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
        Self {
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            unprivileged_userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            in_container: ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists()),
        }
    }

    /// How to permit user namespaces, given what forbids them.
    fn remedy_for_namespaces(&self) -> String {
        if self.max_user_namespaces == Some(0) {
            "sudo sysctl -w user.max_user_namespaces=15000 (and put the line in /etc/sysctl.d/ to keep it)"
                .to_owned()
        } else if self.unprivileged_userns_clone == Some(0) {
            "sudo sysctl -w kernel.unprivileged_userns_clone=1 (and put the line in /etc/sysctl.d/ to keep it)".to_owned()
        } else if self.apparmor_restricts == Some(1) {
            "Let AppArmor permit it to this program: printf 'abi <abi/4.0>,\\nprofile cofferdam %s flags=(unconfined) { userns, }\\n' \
             \"$(command -v cofferdam)\" | sudo tee /etc/apparmor.d/cofferdam && sudo apparmor_parser -r /etc/apparmor.d/cofferdam"
                .to_owned()
        } else if self.in_container {
            "This is a container whose runtime forbids it: run cofferdam on the host, or start the container with \
             `--security-opt seccomp=unconfined --security-opt systempaths=unconfined --security-opt apparmor=unconfined`"
                .to_owned()
        } else if rustix::process::geteuid().is_root() {
            "Run it as an ordinary user, or as root with CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID".to_owned()
        } else {
            "Use a kernel with CONFIG_USER_NS, or run it as root".to_owned()
        }
    }
}

/// How to permit user namespaces on this host.
pub(super) fn namespaces_remedy() -> String {
    Settings::of_this_host().remedy_for_namespaces()
}

/// The first two numbers of a kernel's release.
pub(super) fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn kernel(release: &str) -> Finding {
    let new_enough = version(release) >= OLDEST_KERNEL;
    Finding {
        what: "kernel",
        state: if new_enough { State::Ok } else { State::Missing },
        found: format!("Linux {release}"),
        meaning: "sandboxes are made of what the kernel offers",
        remedy: (!new_enough).then(|| format!("Use Linux {}.{} or later", OLDEST_KERNEL.0, OLDEST_KERNEL.1)),
    }
}

fn user() -> Finding {
    let uid = rustix::process::geteuid();
    let found = match owner::choose() {
        Ok(ids) if uid.is_root() => format!("root; a sandbox has {}", owner::in_words(ids, false)),
        Ok(_) => format!("ordinary user {}; sandboxes run as the same user", uid.as_raw()),
        Err(error) => error.to_string(),
    };
    Finding {
        what: "user",
        state: State::Ok,
        found,
        meaning: "no sandbox ever runs as the host's root",
        remedy: None,
    }
}

/// The row of an attempt: its name, what it is for, and what usually mends it.
const fn row(attempt: Attempt) -> (&'static str, &'static str, &'static str) {
    match attempt {
        Attempt::Namespaces => {
            ("namespaces", "a sandbox sees no processes, files and networks but its own", "")
        }
        Attempt::IdMaps => ("user ids", "a sandbox's user has no rights on the host", ""),
        Attempt::Mounts => ("mounts", "a sandbox's files are put together from an empty root", ""),
        Attempt::DetachedMounts => {
            ("mount attributes", "what a sandbox sees of the host is read-only", "Use Linux 5.12 or later")
        }
        Attempt::Overlay => (
            "overlay",
            "the repository is a read-only layer, changes go to another",
            "Load the module (`sudo modprobe overlay`) and use Linux 5.11 or later",
        ),
        Attempt::Proc => (
            "process filesystem",
            "tools inside need a /proc of the sandbox's own",
            "A container runtime covers parts of /proc; start the container with `--security-opt systempaths=unconfined`, or run cofferdam on the host",
        ),
        Attempt::Loopback => (
            "loopback network",
            "programs inside may talk to each other, and to nobody else",
            "Use a kernel with CONFIG_NET_NS",
        ),
        Attempt::Capture => (
            "network capture",
            "an egress door gets every connection; without it only programs that honour proxy variables have a network (many Java, Node.js \
             and Go tools, ssh, and anything that speaks no HTTP do not), and others have none: nothing leaks either way",
            "Load the modules (`sudo modprobe -a nf_tables nft_chain_nat nft_redir`, and name them in /etc/modules-load.d/ to keep them), or \
             use a kernel with CONFIG_NF_TABLES_INET and CONFIG_NFT_REDIR",
        ),
        Attempt::Filter => (
            "system call filter",
            "the kernel's less tested parts are out of reach",
            "Use a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

fn attempts(probed: &Probed, settings: &Settings) -> Vec<Finding> {
    probed
        .attempts
        .iter()
        .map(|(attempt, errno)| {
            let (what, meaning, remedy) = row(*attempt);
            let works = *errno == 0;
            let found =
                if works { "works".to_owned() } else { io::Error::from_raw_os_error(*errno).to_string() };
            let remedy = if remedy.is_empty() { settings.remedy_for_namespaces() } else { remedy.to_owned() };
            let state = match attempt {
                _ if works => State::Ok,
                // There is another way.
                Attempt::Capture => State::Weak,
                Attempt::Namespaces
                | Attempt::IdMaps
                | Attempt::Mounts
                | Attempt::DetachedMounts
                | Attempt::Overlay
                | Attempt::Proc
                | Attempt::Loopback
                | Attempt::Filter => State::Missing,
            };
            Finding { what, state, found, meaning, remedy: (!works).then_some(remedy) }
        })
        .collect()
}

fn landlock(version: u32) -> Finding {
    let (state, found, remedy) = match version {
        0 => (
            State::Weak,
            "not there".to_owned(),
            Some("Boot with `lsm=…,landlock` (see `cat /sys/kernel/security/lsm`)".to_owned()),
        ),
        version => (State::Ok, format!("version {version}"), None),
    };
    Finding {
        what: "Landlock",
        state,
        found,
        meaning: "a second wall around files; the first does not depend on it",
        remedy,
    }
}

/// Which controllers a worker could really use, found out by making its groups.
fn groups_that_work() -> Vec<Controller> {
    Groups::make(LimitLevel::WeakAllowed)
        .map(|groups| Controller::ALL.into_iter().filter(|controller| groups.has(*controller)).collect())
        .unwrap_or_default()
}

fn control_groups(places: &[Place], working: Vec<Controller>) -> Finding {
    let described = Controller::ALL.map(|controller| {
        let version = places
            .iter()
            .find(|place| place.controllers.contains(&controller))
            .map(|place| place.version.name());
        match (version, working.contains(&controller)) {
            (None, _) => format!("{}: none", controller.name()),
            (Some(version), true) => format!("{}: {version}", controller.name()),
            (Some(version), false) => format!("{}: {version}, not writable", controller.name()),
        }
    });
    let strong = working.contains(&Controller::Memory) && working.contains(&Controller::Pids);
    let remedy = "Start cofferdam in a group of its own: `systemd-run --user --scope -p Delegate=yes cofferdam …`, or as a service with \
                  `Delegate=yes`; on a host with version 1, give it directories: `sudo mkdir /sys/fs/cgroup/{memory,pids,cpu}/cofferdam && \
                  sudo chown -R $USER /sys/fs/cgroup/{memory,pids,cpu}/cofferdam` and start it from a shell in them";
    Finding {
        what: "control groups",
        state: if strong { State::Ok } else { State::Weak },
        found: described.join("; "),
        meaning: "limits on memory, processes and processor time of a whole sandbox; without them, limits of single processes and a watchdog",
        remedy: (!strong).then(|| remedy.to_owned()),
    }
}

/// Makes a sandbox; gives its level.
async fn try_whole() -> Result<String, SandboxError> {
    let mut options = NativeOptions::new(HostEnvironment::of_this_host(), LimitLevel::WeakAllowed);
    options.isolation = IsolationLevel::WeakerAllowed;
    let driver = NativeDriver::new(options).await?;
    let id = SandboxId::generate();
    let directory = std::env::temp_dir().join(format!("cofferdam-doctor-{id}"));
    let lower = directory.join("lower");
    let step =
        |source| SandboxError::Setup { step: format!("make a directory in {}", directory.display()), source };
    fs::create_dir_all(&lower).map_err(step)?;
    let mut spec = SandboxSpec::new(id, directory.join("layer"), Limits::default());
    spec.lower.push(lower);
    spec.network = Network::Door;
    let tried = match driver.create(spec).await {
        Ok(sandbox) => sandbox.destroy().await.map(|()| driver.level().to_owned()),
        Err(error) => Err(error),
    };
    // What is left in a directory for temporary files is nobody's concern but the system's.
    remove_layer(&directory).ok();
    tried
}

fn whole_sandbox(tried: Result<String, SandboxError>) -> Finding {
    let (state, found, remedy) = match tried {
        Ok(level) => (State::Ok, level, None),
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            (State::Missing, format!("{error}{cause}"), Some("Mend what is missing above".to_owned()))
        }
    };
    Finding { what: "sandbox", state, found, meaning: "one was made, and removed again", remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (release, state) in [
            ("6.18.44-x", State::Ok),
            ("5.12.0", State::Ok),
            ("5.9.1", State::Missing),
            ("4.19", State::Missing),
            ("x", State::Missing),
        ] {
            assert_eq!(kernel(release).state, state, "{release}");
        }
    }

    #[test]
    fn every_failure_has_a_remedy_that_fits_the_reason() {
        let failed = |attempt| Probed { attempts: vec![(attempt, Errno::PERM.raw_os_error())], landlock: 0 };
        let settings = [
            (Settings { max_user_namespaces: Some(0), ..Settings::default() }, "max_user_namespaces"),
            (
                Settings { unprivileged_userns_clone: Some(0), ..Settings::default() },
                "unprivileged_userns_clone",
            ),
            (Settings { apparmor_restricts: Some(1), ..Settings::default() }, "apparmor_parser"),
            (Settings { in_container: true, ..Settings::default() }, "--security-opt"),
        ];
        for (settings, word) in settings {
            let findings = attempts(&failed(Attempt::Namespaces), &settings);
            assert_eq!(findings[0].state, State::Missing);
            assert!(findings[0].remedy.as_ref().unwrap().contains(word), "{findings:?}");
        }
        for attempt in
            [Attempt::Overlay, Attempt::Proc, Attempt::Loopback, Attempt::Filter, Attempt::DetachedMounts]
        {
            assert!(attempts(&failed(attempt), &Settings::default())[0].remedy.is_some());
        }
        let capture = attempts(&failed(Attempt::Capture), &Settings::default()).remove(0);
        assert_eq!(capture.state, State::Weak, "there is another way");
        assert!(capture.remedy.unwrap().contains("modprobe") && capture.meaning.contains("proxy variables"));
        assert!(landlock(0).remedy.is_some() && landlock(7).remedy.is_none());
    }

    #[test]
    fn without_memory_and_processes_limits_are_weak() {
        assert_eq!(control_groups(&[], Vec::new()).state, State::Weak);
        assert_eq!(control_groups(&[], vec![Controller::Memory, Controller::Cpu]).state, State::Weak);
        assert_eq!(control_groups(&[], vec![Controller::Memory, Controller::Pids]).state, State::Ok);
    }
}
