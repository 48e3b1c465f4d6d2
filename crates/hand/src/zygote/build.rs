//! What process 1 of a new sandbox does before it becomes the hand: builds the sandbox around itself, then
//! gives up every privilege.
//!
//! The order is the design. First everything that needs privileges in the new namespaces, on a private copy
//! of the mounts and with paths that only trusted processes have written. Then the old root goes away, then
//! every descriptor but the control socket, then capabilities; the system call filter comes last because the
//! steps before it use calls that it forbids. A step that fails ends the process: there is no weaker sandbox.

use std::os::fd::{AsFd, OwnedFd};

use cofferdam_hand::protocol::{
    frame,
    zygote::{AGENT_ID, Create, Failure, ProcessLimits, Status},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, Mode, OFlags, mkdirat, open},
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags, mount, mount_change, open_tree,
        unmount,
    },
    process::{
        DumpableBehavior, Resource, Rlimit, Signal, chdir, pivot_root, set_dumpable_behavior,
        set_parent_process_death_signal, setrlimit, umask,
    },
    thread::{
        CapabilitySet, CapabilitySets, Gid, Uid, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_res_gid,
        set_thread_res_uid,
    },
};

use super::{
    groups::ToJoin,
    mounts::{Layers, OpenOverlay, attach, make_directories, make_mount_point},
    root::{NEW_ROOT, SCRATCH},
    step::{Step as _, failure},
};
use crate::sys::namespace::{self, Instruction, MountChange, change_mount};

/// Files of `/proc` that tell of the machine rather than of the sandbox, or are the way to something
/// dangerous.
const MASKED_FILES: [&str; 9] =
    ["cmdline", "kallsyms", "kcore", "key-users", "keys", "kmsg", "modules", "sysrq-trigger", "timer_list"];
/// Directories of the same kind.
const MASKED_DIRECTORIES: [&str; 6] = ["acpi", "bus", "driver", "fs", "irq", "scsi"];
/// Directories for temporary files: name in the scratch filesystem, place in the root, mode.
const SCRATCH_DIRECTORIES: [(&str, &str, u32); 4] = [
    ("tmp", "tmp", 0o1777),
    ("var-tmp", "var/tmp", 0o1777),
    ("run", "run", 0o755),
    ("shm", "dev/shm", 0o1777),
];
/// Files and directories in the scratch filesystem per MiB of it: a file of the usual smallest size is a
/// page.
const SCRATCH_FILES_PER_MIB: u64 = 256;

/// Of the 128 inotify instances that a user has on most hosts, so many are for all of a sandbox.
const INOTIFY_INSTANCES: u32 = 16;
/// Of the inotify watches that a user has, one part in so many is for a sandbox.
const INOTIFY_WATCHES_PART: u32 = 16;
/// Signals that may wait, and timers, which have one each. Hosts have tens of thousands.
const PENDING_SIGNALS: u64 = 4096;
/// Two POSIX message queues of the usual size. Hosts have ten.
const MESSAGE_QUEUE_BYTES: u64 = 160 << 10;

/// Waits until the zygote has finished its part; false when it could not.
pub(super) fn wait_for_go(go: &OwnedFd) -> bool {
    matches!(rustix::io::retry_on_intr(|| rustix::io::read(go, &mut [0_u8; 1])), Ok(1))
}

/// All that process 1 needs to build its sandbox.
pub(super) struct Sandbox<'z> {
    pub(super) create: &'z Create,
    pub(super) layers: Layers,
    pub(super) groups: ToJoin,
    pub(super) root: &'z str,
    pub(super) filter: &'z [Instruction],
}

impl Sandbox<'_> {
    /// Builds it and says on the status pipe how that went; true if it stands.
    pub(super) fn build(self, control: &OwnedFd, status: &OwnedFd, alive: &OwnedFd) -> bool {
        let built = self.try_build(control, status, alive);
        let stands = built.is_ok();
        let message = built.map_or_else(Status::Failed, |()| Status::Built);
        // If the worker no longer listens, process 1 ends with the control socket.
        if let Ok(bytes) = frame::encode(&message) {
            rustix::io::write(status, &bytes).ok();
        }
        stands
    }

    fn try_build(self, control: &OwnedFd, status: &OwnedFd, alive: &OwnedFd) -> Result<(), Failure> {
        let Self { create, layers, groups, root, filter } = self;
        namespace::reap_automatically(false).step("wait for children again")?;
        groups.join().step("join the control groups")?;
        drop(groups);
        // As root these ids are the host's and may do as they please with the host's files until here.
        set_thread_res_gid(gid(), gid(), gid()).step("become the agent's group")?;
        set_thread_res_uid(uid(), uid(), uid()).step("become the agent's user")?;
        umask(Mode::from_raw_mode(0o022));
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .step("separate mounts from the host's")?;
        let new_root = attach_root(root).step("copy the root directory")?;
        mount_proc(&new_root).step("mount /proc")?;
        mount_terminals(&new_root).step("mount /dev/pts")?;
        mount_scratch(&new_root, create.scratch_bytes).step("mount /tmp")?;
        attach_layers(&new_root, layers)?;
        rustix::system::sethostname(create.name.as_bytes()).step("set the host name")?;
        namespace::loopback_up().step("bring loopback up")?;
        limit_user().step("limit what is counted for the user")?;
        enter(new_root).step("enter the new root directory")?;
        namespace::close_all_but(&[control.as_fd(), status.as_fd(), alive.as_fd()])
            .step("close descriptors")?;
        limit_processes(create.limits).step("set limits")?;
        drop_privileges().step("drop privileges")?;
        die_with_zygote(alive)?;
        namespace::close_all_but(&[control.as_fd(), status.as_fd()]).step("close descriptors")?;
        namespace::load_filter(filter).step("load the system call filter")
    }
}

fn uid() -> Uid {
    Uid::from_raw(AGENT_ID)
}

fn gid() -> Gid {
    Gid::from_raw(AGENT_ID)
}

fn attach_root(root: &str) -> rustix::io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, root, flags)?;
    let target = open(NEW_ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    attach(&tree, &target).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(tree)
}

/// Programs need `/proc/self`, `cpuinfo`, `meminfo`, `stat`, `sys`, so `subset=pid` is not an option. What
/// belongs to the host's root in there cannot be written, because that user does not exist in the sandbox;
/// what could still be read and should not be is covered.
fn mount_proc(root: &OwnedFd) -> std::io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let path = format!("{NEW_ROOT}/proc");
    mount("proc", &path, "proc", flags, c"hidepid=2")?;
    for name in MASKED_FILES {
        mask(root, "dev/null", &format!("proc/{name}"))?;
    }
    for name in MASKED_DIRECTORIES {
        mask(root, "sys", &format!("proc/{name}"))?;
    }
    Ok(())
}

/// Covers a file or directory, if there is one, with one that is empty.
fn mask(root: &OwnedFd, empty: &str, path: &str) -> std::io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = match rustix::fs::openat(root, path, flags, Mode::empty()) {
        Ok(target) => target,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    attach(&open_tree(root, empty, flags)?, &target)
}

fn mount_terminals(_root: &OwnedFd) -> rustix::io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", format!("{NEW_ROOT}/dev/pts"), "devpts", flags, c"newinstance,ptmxmode=0666,mode=620")
}

/// One filesystem with one bound for all places where temporary files go.
fn mount_scratch(root: &OwnedFd, bytes: u64) -> std::io::Result<()> {
    let files = (bytes >> 20).max(1).saturating_mul(SCRATCH_FILES_PER_MIB);
    let options = namespace::c_string(format!("mode=755,size={bytes},nr_inodes={files}").as_bytes())?;
    mount("tmpfs", SCRATCH, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())?;
    umask(Mode::empty());
    for (name, place, mode) in SCRATCH_DIRECTORIES {
        let path = format!("{SCRATCH}/{name}");
        mkdirat(CWD, &path, Mode::from_raw_mode(mode))?;
        let tree = super::mounts::open_layer(path.as_bytes())?;
        attach(&tree, &make_directories(root, place.as_bytes())?)?;
    }
    umask(Mode::from_raw_mode(0o022));
    Ok(())
}

fn attach_layers(root: &OwnedFd, layers: Layers) -> Result<(), Failure> {
    let workspace = make_directories(root, b"workspace").step("find /workspace")?;
    mount_overlay(layers.workspace, &workspace, "workspace").step("mount /workspace")?;
    let home = make_directories(root, b"home/agent").step("find the home directory")?;
    attach(&layers.home, &home).step("mount the home directory")?;
    for (number, (inside, overlay)) in layers.caches.into_iter().enumerate() {
        // The agent of an earlier sandbox may have put something else there; then it has no cache, and that
        // is its own doing.
        if let Ok(target) = make_directories(&layers.home, &inside) {
            mount_overlay(overlay, &target, &format!("cache{number}")).step("mount a cache")?;
        }
    }
    for bind in layers.read_only {
        let step = format!("mount {}", String::from_utf8_lossy(&bind.point.path));
        let target = make_mount_point(root, &bind.point.path, bind.point.directory).step(&step)?;
        attach(&bind.mount, &target).step(&step)?;
    }
    Ok(())
}

/// Mounts layers at `target`. They are attached to the scratch filesystem under short names first: the
/// overlay filesystem takes no detached mounts on older kernels, and its options must fit on a page.
fn mount_overlay(overlay: OpenOverlay, target: &OwnedFd, name: &str) -> std::io::Result<()> {
    let stage = format!("{SCRATCH}/{name}");
    mkdirat(CWD, &stage, Mode::from_raw_mode(0o755))?;
    let stage_directory = open(&stage, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    attach(&overlay.own, &make_directories(&stage_directory, b"own")?)?;
    let tree = if overlay.lower.is_empty() {
        super::mounts::open_layer(format!("{stage}/own/upper").as_bytes())?
    } else {
        let mut names = Vec::new();
        for (number, lower) in overlay.lower.iter().enumerate() {
            let name = number.to_string();
            attach(lower, &make_directories(&stage_directory, name.as_bytes())?)?;
            names.push(name);
        }
        names.reverse();
        let options = format!("lowerdir={},upperdir=own/upper,workdir=own/work,userxattr", names.join(":"));
        let options = namespace::c_string(options.as_bytes())?;
        make_directories(&stage_directory, b"merged")?;
        chdir(&stage)?;
        mount("overlay", "merged", "overlay", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())?;
        super::mounts::open_layer(b"merged")?
    };
    change_mount(tree.as_fd(), MountChange { untrusted: true, ..MountChange::default() })?;
    attach(&tree, target)
}

/// Makes the new root the root, and lets go of the old one with everything in it.
fn enter(root: OwnedFd) -> rustix::io::Result<()> {
    rustix::process::fchdir(&root)?;
    drop(root);
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")
}

/// What the kernel counts for a user and not for a process. It counts the same things once more for whoever
/// made the namespace, which is the host's root or the worker's user: one sandbox that took all of them would
/// leave none to anybody (user_namespaces(7)).
fn limit_user() -> std::io::Result<()> {
    std::fs::write("/proc/sys/user/max_user_namespaces", "0")?;
    // Where the kernel has no inotify, there is nothing to limit.
    let Ok(host) = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches") else { return Ok(()) };
    let watches = host.trim().parse::<u32>().unwrap_or(0) / INOTIFY_WATCHES_PART;
    std::fs::write("/proc/sys/user/max_inotify_instances", INOTIFY_INSTANCES.to_string())?;
    std::fs::write("/proc/sys/user/max_inotify_watches", watches.max(1024).to_string())
}

fn limit_processes(limits: ProcessLimits) -> rustix::io::Result<()> {
    let set = |resource, most: u64| {
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
    };
    set(Resource::Core, 0)?;
    set(Resource::Fsize, limits.file_bytes)?;
    set(Resource::Nofile, limits.open_files.into())?;
    // Counted for the user, like what `limit_user` is about.
    set(Resource::Sigpending, PENDING_SIGNALS)?;
    set(Resource::Msgqueue, MESSAGE_QUEUE_BYTES)?;
    if let Some(processes) = limits.processes {
        set(Resource::Nproc, processes.into())?;
    }
    Ok(())
}

fn drop_privileges() -> rustix::io::Result<()> {
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // A kernel that does not know it does not have it either.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Asks to be killed with the zygote. Changes of user and capabilities take that back, so it comes after
/// them; had the zygote ended before, its end of the pipe would be closed.
fn die_with_zygote(alive: &OwnedFd) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).step("tie the sandbox to its zygote")?;
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut [PollFd::new(alive, PollFlags::IN)], Some(&now)) {
        Ok(0) => Ok(()),
        Ok(_) => Err(failure("see whether the zygote lives", Errno::PIPE)),
        Err(errno) => Err(failure("see whether the zygote lives", errno)),
    }
}
