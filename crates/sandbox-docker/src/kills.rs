//! Where the kernel counts the processes of a container that it killed for lack of memory.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where control groups are mounted (cgroups(7)).
const GROUPS: &str = "/sys/fs/cgroup";

/// The file for the container whose process 1 this is, if both are on this host.
pub(crate) fn counter(first: u32) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{first}/cgroup")).ok()?;
    candidates(&groups).find(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("oom_kill ")))
}

/// Where it could be, by the text of `/proc/PID/cgroup`: lines of number, controllers and path. Version 2 has no controllers there.
fn candidates(groups: &str) -> impl Iterator<Item = PathBuf> {
    groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let path = path.strip_prefix('/').filter(|path| !path.contains(".."))?;
        let (base, file) = match controllers {
            "" => (Path::new(GROUPS).to_owned(), "memory.events"),
            controllers if controllers.split(',').any(|name| name == "memory") => {
                (Path::new(GROUPS).join("memory"), "memory.oom_control")
            }
            _ => return None,
        };
        Some(base.join(path).join(file))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_looked_for() {
        let found = |text| candidates(text).map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            found("9:pids:/docker/1\n8:memory:/docker/1\n0::/docker/1\n"),
            ["/sys/fs/cgroup/memory/docker/1/memory.oom_control", "/sys/fs/cgroup/docker/1/memory.events"]
        );
        assert_eq!(found("0::/../etc\n1\n\n:::\n"), Vec::<String>::new());
        assert_eq!(counter(0), None);
    }
}
