//! Where this process's control groups are, and which of them it may use.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What the names of workers' groups begin with; process id, its start time and a number follow.
pub(super) const PREFIX: &str = "cofferdam-";
/// What the names of sandboxes' groups begin with.
const SANDBOX_PREFIX: &str = "sbx_";
/// Where a worker puts itself in version 2, where a group with limits for its children must not have processes of its own.
const OWN_PROCESSES: &str = "cofferdam-worker";

/// Something that groups can limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    /// As the kernel calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

/// The two interfaces of the kernel (cgroups(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

impl Version {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::One => "v1",
            Self::Two => "v2",
        }
    }
}

/// The directory of a group that this process is in, and which controllers can be had there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) version: Version,
    pub(crate) controllers: Vec<Controller>,
    pub(crate) directory: PathBuf,
}

/// The places of this process.
pub(crate) fn places() -> Vec<Place> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mut places = parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
    for place in &mut places {
        if place.version == Version::Two {
            let offered = read_words(&place.directory.join("cgroup.controllers"));
            place.controllers.retain(|controller| offered.iter().any(|name| name == controller.name()));
        }
    }
    places
}

fn read_words(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
}

/// Combines the kernel's two tables. Version 2 is taken to offer every controller that version 1 does not have; even without any, a group of
/// it is good for stopping and ending all of a sandbox at once.
fn parse(mountinfo: &str, cgroup: &str) -> Vec<Place> {
    let mounts: Vec<Mount<'_>> = mountinfo.lines().filter_map(Mount::parse).collect();
    let mut places: Vec<Place> = Vec::new();
    let mut left = Controller::ALL.to_vec();
    let groups: Vec<(&str, &str)> = cgroup
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .collect();
    for (names, path) in groups.iter().filter(|(names, _)| !names.is_empty()) {
        let controllers: Vec<Controller> = left
            .iter()
            .copied()
            .filter(|controller| names.split(',').any(|name| name == controller.name()))
            .collect();
        let mount = mounts.iter().find(|mount| {
            mount.kind == "cgroup"
                && controllers
                    .iter()
                    .all(|controller| mount.options.split(',').any(|option| option == controller.name()))
        });
        if let Some(mount) = mount.filter(|_| !controllers.is_empty())
            && let Some(directory) = mount.directory(path)
        {
            left.retain(|controller| !controllers.contains(controller));
            places.push(Place { version: Version::One, controllers, directory });
        }
    }
    if let Some((_, path)) = groups.iter().find(|(names, _)| names.is_empty())
        && let Some(mount) = mounts.iter().find(|mount| mount.kind == "cgroup2")
        && let Some(directory) = mount.directory(path)
    {
        places.push(Place { version: Version::Two, controllers: left, directory });
    }
    places
}

/// A line of `mountinfo` (proc_pid_mountinfo(5)).
struct Mount<'t> {
    root: &'t str,
    point: &'t str,
    kind: &'t str,
    options: &'t str,
}

impl<'t> Mount<'t> {
    fn parse(line: &'t str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let mut filesystem = filesystem.split(' ');
        let (root, point) = (mount.next()?, mount.next()?);
        let (kind, options) = (filesystem.next()?, filesystem.nth(1)?);
        Some(Self { root, point, kind, options })
    }

    /// Where the group `path` is below this mount, if it can be seen there.
    fn directory(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path).strip_prefix(self.root).ok()?;
        let climbs = below.components().any(|part| part == std::path::Component::ParentDir);
        (!climbs).then(|| Path::new(self.point).join(below))
    }
}

/// Makes the worker's group below `directory` and sees which controllers really work there.
pub(crate) fn prepare(
    version: Version,
    directory: &Path,
    controllers: &[Controller],
    name: &str,
) -> io::Result<Vec<Controller>> {
    if version == Version::Two {
        enable(directory, controllers).or_else(|_| {
            step_aside(directory)?;
            enable(directory, controllers)
        })?;
    }
    let group = directory.join(name);
    fs::create_dir(&group)?;
    let works = || -> io::Result<()> {
        if version == Version::Two {
            enable(&group, controllers)?;
        }
        // Permission to make directories is not yet permission to write to what the kernel puts in them.
        fs::OpenOptions::new().write(true).open(group.join("cgroup.procs")).map(drop)
    };
    match works() {
        Ok(()) => Ok(controllers.to_vec()),
        Err(error) => {
            // Nothing is in it yet; if it stays, the next start removes it.
            fs::remove_dir(&group).ok();
            Err(error)
        }
    }
}

fn enable(directory: &Path, controllers: &[Controller]) -> io::Result<()> {
    let file = directory.join("cgroup.subtree_control");
    let enabled = read_words(&file);
    let missing: Vec<String> = controllers
        .iter()
        .filter(|controller| !enabled.iter().any(|name| name == controller.name()))
        .map(|controller| format!("+{}", controller.name()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut file = fs::OpenOptions::new().write(true).open(file)?;
    io::Write::write_all(&mut file, missing.join(" ").as_bytes())
}

/// Moves this process out of a group that is to have limited children. That only helps when it is alone there.
fn step_aside(directory: &Path) -> io::Result<()> {
    let own = std::process::id().to_string();
    if read_words(&directory.join("cgroup.procs")) != [own.as_str()] {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let group = directory.join(OWN_PROCESSES);
    match fs::create_dir(&group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::write(group.join("cgroup.procs"), own)
}

/// Removes the groups of workers that are gone, below `directory`.
pub(crate) fn sweep(directory: &Path) {
    for group in directories(directory, PREFIX) {
        let name = group.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut fields = name.strip_prefix(PREFIX).unwrap_or_default().split('-');
        let (Some(pid), Some(started)) = (fields.next(), fields.next().and_then(|field| field.parse().ok()))
        else {
            continue;
        };
        if pid.bytes().all(|byte| byte.is_ascii_digit()) && start_time(pid) != Some(started) {
            for sandbox in directories(&group, SANDBOX_PREFIX) {
                // Still in use by something: it stays until the next start.
                fs::remove_dir(sandbox).ok();
            }
            fs::remove_dir(group).ok();
        }
    }
}

fn directories(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()));
    named.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// When a process started, in clock ticks since boot: with the process id, what tells it from all others (proc_pid_stat(5)).
pub(super) fn start_time(pid: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:3 - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    fn place(version: Version, controllers: &[Controller], directory: &str) -> Place {
        Place { version, controllers: controllers.to_vec(), directory: directory.into() }
    }

    #[test]
    fn in_a_hybrid_each_controller_is_found_where_it_is() {
        let groups = "8:pids:/\n4:memory:/user/one\n1:cpu,cpuacct:/x\n0::/\n";
        let expected = [
            place(Version::One, &[Controller::Pids], "/sys/fs/cgroup/pids"),
            place(Version::One, &[Controller::Memory], "/sys/fs/cgroup/memory/user/one"),
            place(Version::One, &[Controller::Cpu], "/sys/fs/cgroup/cpu,cpuacct/x"),
            place(Version::Two, &[], "/sys/fs/cgroup/unified"),
        ];
        assert_eq!(parse(HYBRID_MOUNTS, groups), expected);
    }

    #[test]
    fn what_version_1_lacks_is_left_to_version_2() {
        let groups = "4:memory:/\n1:name=systemd:/\n0::/user.slice\n";
        let places = parse(HYBRID_MOUNTS, groups);
        assert_eq!(places[0], place(Version::One, &[Controller::Memory], "/sys/fs/cgroup/memory"));
        let unified =
            place(Version::Two, &[Controller::Pids, Controller::Cpu], "/sys/fs/cgroup/unified/user.slice");
        assert_eq!(places[1], unified);
    }

    #[test]
    fn with_version_2_alone_everything_is_there() {
        let mounts = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let groups = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope\n";
        let directory = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope";
        assert_eq!(parse(mounts, groups), [place(Version::Two, &Controller::ALL, directory)]);
    }

    #[test]
    fn in_a_container_the_mount_may_show_only_a_part() {
        let mounts = "30 24 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(
            parse(mounts, "0::/docker/abc/x\n"),
            [place(Version::Two, &Controller::ALL, "/sys/fs/cgroup/x")]
        );
        assert_eq!(parse(mounts, "0::/elsewhere\n"), []);
        assert_eq!(parse(mounts, "0::/docker/abc/../../x\n"), []);
    }

    #[test]
    fn nothing_is_found_where_nothing_is_mounted() {
        assert_eq!(parse("", "4:memory:/\n0::/\n"), []);
        assert_eq!(parse("garbage\n", "garbage\n"), []);
    }

    #[test]
    fn version_2_groups_are_made_and_swept() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("cgroup.subtree_control"), "cpu memory pids\n").unwrap();
        // A plain directory has no file `cgroup.procs`, so the group does not work and is taken back.
        assert!(prepare(Version::Two, directory.path(), &Controller::ALL, "cofferdam-1-2-3").is_err());
        assert!(!directory.path().join("cofferdam-1-2-3").join("cgroup.procs").exists());

        let own = format!("{PREFIX}{}-{}-0", std::process::id(), start_time("self").unwrap());
        for name in ["cofferdam-1-2-3", &own, "cofferdam-worker", "other"] {
            fs::create_dir_all(directory.path().join(name).join("sbx_1")).unwrap();
        }
        sweep(directory.path());
        assert!(!directory.path().join("cofferdam-1-2-3").exists());
        assert!(directory.path().join(own).join("sbx_1").exists());
        assert!(
            directory.path().join("cofferdam-worker").exists() && directory.path().join("other").exists()
        );
    }
}
