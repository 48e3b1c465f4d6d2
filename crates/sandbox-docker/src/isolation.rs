//! What an engine gives its containers, and whether that will do.
//!
//! Nothing is assumed. What an engine does not say that it has, it does not have; a wall or limit that is missing is an error unless the
//! configuration accepts less by name, and then the sandbox's level says so.

use bollard::models::SystemInfo;
use cofferdam_sandbox::{IsolationLevel, Kernel, LimitLevel, SandboxError, Users};

/// The agent inside, where the engine maps users.
const AGENT_ID: u32 = 1000;
/// Names of OCI runtimes that put a kernel of their own between their containers and the host's, as people call them.
const KERNELS: [&str; 5] = ["runsc", "gvisor", "kata", "krun", "firecracker"];

/// What an engine says of itself, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `docker` or `podman`.
    pub(crate) name: &'static str,
    pub(crate) version: String,
    /// The OCI runtimes that it has.
    pub(crate) runtimes: Vec<String>,
    pub(crate) default_runtime: String,
    /// Whether its containers get its own system call filter.
    pub(crate) seccomp: bool,
    pub(crate) users: Mapping,
    /// Which limits it can set: memory, swap, processes, processor time.
    pub(crate) limits: [(&'static str, bool); 4],
    /// Processors of its host.
    pub(crate) processors: u32,
}

/// Whose the users of an engine's containers are on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// The host's own.
    None,
    /// A range of users of its own for all containers, from this one on.
    From(u32),
    /// Those of an engine that an ordinary user runs.
    Rootless,
    /// Some, of which it does not say which.
    Unknown,
}

/// What will do, and what was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) isolation: IsolationLevel,
    pub(crate) limits: LimitLevel,
    /// The OCI runtime, if it is not the engine's usual one.
    pub(crate) runtime: Option<String>,
}

/// An engine that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walls {
    /// User and group of the host that the sandboxes' files belong to.
    pub(crate) owner: (u32, u32),
    /// The same as sandboxes see it.
    pub(crate) agent: (u32, u32),
    pub(crate) users: Users,
    pub(crate) kernel: Kernel,
    /// All of this in words.
    pub(crate) level: String,
}

impl Facts {
    pub(crate) fn new(name: &'static str, info: SystemInfo) -> Self {
        let options = info.security_options.unwrap_or_default();
        let has = |option: &str| options.iter().any(|found| found.split(',').any(|part| part == option));
        let root = info.docker_root_dir.unwrap_or_default();
        let users = match (has("name=rootless"), has("name=userns")) {
            (true, _) => Mapping::Rootless,
            (false, true) => first_user(&root).map_or(Mapping::Unknown, Mapping::From),
            (false, false) => Mapping::None,
        };
        let can = |limit: Option<bool>| limit.unwrap_or(false);
        Self {
            name,
            version: info.server_version.unwrap_or_else(|| "of no version".to_owned()),
            runtimes: info.runtimes.unwrap_or_default().into_keys().collect(),
            default_runtime: info.default_runtime.unwrap_or_else(|| "unnamed".to_owned()),
            seccomp: has("name=seccomp") && !has("profile=unconfined"),
            users,
            limits: [
                ("memory", can(info.memory_limit)),
                ("swap", can(info.swap_limit)),
                ("processes", can(info.pids_limit)),
                ("cpu", can(info.cpu_cfs_quota)),
            ],
            processors: info.ncpu.and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1),
        }
    }

    /// Whether it can set a limit.
    pub(crate) fn can_limit(&self, what: &str) -> bool {
        self.limits.iter().any(|(name, can)| *name == what && *can)
    }

    /// Decides whether the engine will do for what is wanted. `host` owns the files of sandboxes whose users are the host's.
    pub(crate) fn judge(&self, wanted: &Wanted, host: (u32, u32)) -> Result<Walls, SandboxError> {
        let runtime = wanted.runtime.as_ref().unwrap_or(&self.default_runtime);
        if wanted.runtime.is_some() && !self.runtimes.contains(runtime) {
            return Err(SandboxError::Host {
                missing: format!("the engine has no OCI runtime {runtime}, but {}", self.runtimes.join(", ")),
                remedy: "Add it to the engine's configuration (`runtimes` in /etc/docker/daemon.json), or name another one \
                         with `runtime` in the [sandbox.docker] table"
                    .to_owned(),
            });
        }
        let own_kernel = has_own_kernel(runtime);
        let weaker = wanted.isolation == IsolationLevel::WeakerAllowed;
        if !self.seccomp && !own_kernel && !weaker {
            return Err(too_weak(
                "it gives its containers no system call filter",
                "Run it with its usual seccomp profile",
            ));
        }
        let (owner, agent) = match self.users {
            Mapping::None => (host, host),
            Mapping::From(first) => {
                let owner = first.saturating_add(AGENT_ID);
                ((owner, owner), (AGENT_ID, AGENT_ID))
            }
            Mapping::Rootless | Mapping::Unknown => return Err(no_owner()),
        };
        let own_users = matches!(self.users, Mapping::From(_));
        if !own_users && !own_kernel && !weaker {
            return Err(too_weak(
                "its containers share users and kernel with the host",
                "Have it map users (`userns-remap` in /etc/docker/daemon.json), or name a `runtime` with a kernel of its \
                 own (gVisor's runsc, Kata) in the [sandbox.docker] table",
            ));
        }
        let missing: Vec<&str> = self.limits.iter().filter(|(_, can)| !can).map(|(name, _)| *name).collect();
        if !missing.is_empty() && wanted.limits == LimitLevel::Enforced {
            return Err(SandboxError::Host {
                missing: format!("the container engine cannot limit {}", missing.join(", ")),
                remedy: "Give it the control groups, or accept less with `limits = \"weak\"` in the [sandbox] table".to_owned(),
            });
        }
        let level = self.level(runtime, own_kernel, owner, &missing);
        let kernel = if own_kernel { Kernel::Own } else { Kernel::Hosts };
        // The kernel that a runtime brings may have namespaces or not: that is its own business.
        Ok(Walls { owner, agent, users: Users::Shared, kernel, level })
    }

    fn level(&self, runtime: &str, own_kernel: bool, owner: (u32, u32), missing: &[&str]) -> String {
        let kernel = if own_kernel { ", by its name with a kernel of its own" } else { "" };
        let users = match self.users {
            Mapping::From(_) => {
                format!("users of the engine's own (all sandboxes are user {} outside)", owner.0)
            }
            Mapping::None | Mapping::Rootless | Mapping::Unknown => {
                format!("user ids: weak (all sandboxes are user {} of the host)", owner.0)
            }
        };
        let filter = if self.seccomp {
            "system call filters of engine and hand"
        } else {
            "system call filter of the hand only"
        };
        let limits = if missing.is_empty() {
            "limits: memory, processes and cpu by the engine".to_owned()
        } else {
            format!("limits: weak (no limit on {})", missing.join(", "))
        };
        format!(
            "{} {}: container without network (runtime {runtime}{kernel}); {users}; no capabilities; {filter}; {limits}",
            self.name, self.version
        )
    }
}

/// Whether a runtime is known to bring a kernel of its own, by a whole word of its name: `kata-qemu`, `io.containerd.runsc.v1`.
fn has_own_kernel(runtime: &str) -> bool {
    runtime.split(|character: char| !character.is_ascii_alphanumeric()).any(|word| KERNELS.contains(&word))
}

/// The first of the users that an engine maps, by the name of its root directory: `/var/lib/docker/165536.165536`.
fn first_user(root: &str) -> Option<u32> {
    let (user, group) = root.rsplit('/').next()?.split_once('.')?;
    let first: u32 = user.parse().ok()?;
    (user == group && first > 0).then_some(first)
}

fn too_weak(what: &str, remedy: &str) -> SandboxError {
    SandboxError::Host {
        missing: format!("the container engine isolates too little: {what}"),
        remedy: format!("{remedy}; or accept less with `isolation = \"weaker\"` in the [sandbox] table"),
    }
}

/// Overlays of layers whose files belong to somebody else cannot be written to.
fn no_owner() -> SandboxError {
    SandboxError::Host {
        missing: "the container engine runs without root, or does not say which users its containers have: \
                  files of sandboxes would belong to nobody that can be named"
            .to_owned(),
        remedy: "Use the native driver, which needs no root, or an engine that runs as root".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: (u32, u32) = (2000, 2000);

    fn info(options: &[&str], root: &str) -> SystemInfo {
        SystemInfo {
            server_version: Some("20.10".to_owned()),
            default_runtime: Some("runc".to_owned()),
            runtimes: Some(["runc", "runsc"].map(|name| (name.to_owned(), Default::default())).into()),
            security_options: Some(options.iter().map(|option| (*option).to_owned()).collect()),
            docker_root_dir: Some(root.to_owned()),
            memory_limit: Some(true),
            swap_limit: Some(true),
            pids_limit: Some(true),
            cpu_cfs_quota: Some(true),
            ..SystemInfo::default()
        }
    }

    fn plain() -> SystemInfo {
        info(&["name=seccomp,profile=default"], "/var/lib/docker")
    }

    fn judge(info: SystemInfo, isolation: IsolationLevel, runtime: Option<&str>) -> Result<Walls, String> {
        let wanted = Wanted { isolation, limits: LimitLevel::Enforced, runtime: runtime.map(str::to_owned) };
        Facts::new("docker", info).judge(&wanted, HOST).map_err(|error| error.to_string())
    }

    #[test]
    fn kernels_are_known_by_whole_words() {
        for runtime in ["runsc", "kata", "kata-qemu", "io.containerd.runsc.v1", "krun"] {
            assert!(has_own_kernel(runtime), "{runtime}");
        }
        for runtime in ["runc", "io.containerd.runc.v2", "crun", "notkata", "runscx", ""] {
            assert!(!has_own_kernel(runtime), "{runtime}");
        }
    }

    #[test]
    fn a_plain_engine_must_be_accepted_by_name() {
        let refused = judge(plain(), IsolationLevel::Full, None).unwrap_err();
        assert!(refused.contains("userns-remap") && refused.contains("isolation = \"weaker\""), "{refused}");
        let walls = judge(plain(), IsolationLevel::WeakerAllowed, None).unwrap();
        assert_eq!((walls.owner, walls.agent), (HOST, HOST));
        assert!(walls.level.contains("user ids: weak"), "{}", walls.level);
    }

    #[test]
    fn mapped_users_or_a_kernel_of_its_own_will_do() {
        let mapped = info(&["name=seccomp,profile=default", "name=userns"], "/var/lib/docker/165536.165536");
        let walls = judge(mapped, IsolationLevel::Full, None).unwrap();
        assert_eq!((walls.owner, walls.agent), ((166_536, 166_536), (1000, 1000)));
        let walls = judge(plain(), IsolationLevel::Full, Some("runsc")).unwrap();
        assert!(walls.level.contains("runsc, by its name"), "{}", walls.level);
        let unknown = judge(plain(), IsolationLevel::Full, Some("kata")).unwrap_err();
        assert!(unknown.contains("no OCI runtime kata") && unknown.contains("runsc"), "{unknown}");
    }

    #[test]
    fn an_engine_without_filter_limits_or_owners_is_refused() {
        let open = info(&["name=userns"], "/var/lib/docker/7.7");
        assert!(judge(open, IsolationLevel::Full, None).unwrap_err().contains("system call filter"));
        let unconfined = info(&["name=seccomp,profile=unconfined", "name=userns"], "/var/lib/docker/7.7");
        assert!(judge(unconfined, IsolationLevel::Full, None).is_err());
        let limitless = SystemInfo { pids_limit: None, ..plain() };
        let refused = judge(limitless.clone(), IsolationLevel::WeakerAllowed, None).unwrap_err();
        assert!(
            refused.contains("cannot limit processes") && refused.contains("limits = \"weak\""),
            "{refused}"
        );
        let weak = Wanted {
            isolation: IsolationLevel::WeakerAllowed,
            limits: LimitLevel::WeakAllowed,
            runtime: None,
        };
        let walls = Facts::new("docker", limitless).judge(&weak, HOST).unwrap();
        assert!(walls.level.contains("limits: weak (no limit on processes)"), "{}", walls.level);
        for options in [&["name=rootless", "name=seccomp"], &["name=userns", "name=seccomp"]] {
            let refused = judge(info(options, "/var/lib/docker"), IsolationLevel::WeakerAllowed, None);
            assert!(refused.unwrap_err().contains("native driver"));
        }
    }

    #[test]
    fn the_first_user_is_read_strictly() {
        assert_eq!(first_user("/var/lib/docker/165536.165536"), Some(165_536));
        for root in ["/var/lib/docker", "/x/1.2", "/x/0.0", "/x/a.a", "/x/1.1/"] {
            assert_eq!(first_user(root), None, "{root}");
        }
    }
}
