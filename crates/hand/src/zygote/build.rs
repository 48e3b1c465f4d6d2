//! What process 1 of a new sandbox does before it becomes the hand: builds the sandbox around itself, then
//! gives up every privilege.
//!
//! The order is the design. First everything that needs privileges in the new namespaces, on a private copy
//! of the mounts and with paths that only trusted processes have written; what needs no layer comes before the
//! wait for those, so that it can be done ahead of time. Then what is left of the old root goes away, then
//! every descriptor but the control socket, then capabilities; the system call filter comes last because the
//! steps before it use calls that it forbids. A step that fails ends the process: there is no weaker sandbox.

use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use cofferdam_hand::protocol::{
    channel::{self, ChannelError},
    zygote::{AGENT_ID, Build, Failure, Order, ProcessLimits, Status, System},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, FileType, Mode, OFlags, mkdirat, open},
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount,
        unmount,
    },
    process::{
        Resource, Rlimit, Signal, chdir, fchdir, pivot_root, set_parent_process_death_signal, setrlimit,
        umask,
    },
    thread::{Gid, Uid, set_thread_res_gid, set_thread_res_uid},
};

use super::{
    birthplace::{NEW_ROOT, SCRATCH},
    fence::Fencing,
    groups,
    mounts::{Layers, OpenOverlay, attach, attach_at, make_directories, make_mount_point},
    step::{Step as _, failure},
};
use crate::{
    privilege::{self, Keep, OVERSEER_GROUP},
    sys::namespace::{self, Instruction, MountChange, change_mount},
};

/// Files of `/proc` that tell of the machine rather than of the sandbox, or are the way to something
/// dangerous.
const MASKED_FILES: [&str; 15] = [
    "cmdline",
    "config.gz",
    "diskstats",
    "interrupts",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "latency_stats",
    "modules",
    "partitions",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
];
/// Directories of the same kind.
const MASKED_DIRECTORIES: [&str; 7] = ["acpi", "asound", "bus", "driver", "fs", "irq", "scsi"];
/// Directories for temporary files: name in the scratch filesystem, place in the root, mode.
const SCRATCH_DIRECTORIES: [(&str, &str, u32); 4] = [
    ("tmp", "tmp", 0o1777),
    ("var-tmp", "var/tmp", 0o1777),
    ("run", "run", 0o755),
    ("shm", "dev/shm", 0o1777),
];
/// Names there while an overlay is put together: the own layer, a layer with nothing in it, the overlay.
const OWN: &CStr = c"own";
const NOTHING: &CStr = c"none";
const MERGED: &CStr = c"merged";
/// Bounds of the scratch filesystem until it is known whom it is for: room for those directories.
const NO_SCRATCH_YET: &CStr = c"mode=755,size=64k,nr_inodes=16";
/// Files and directories in the scratch filesystem per MiB of it: a file of the usual smallest size is a
/// page.
const SCRATCH_FILES_PER_MIB: u64 = 256;

/// Of the 128 inotify instances that a user has on most hosts, so many are for all of a sandbox.
const INOTIFY_INSTANCES: u32 = 16;
/// Of the inotify watches that a user has, one part in so many is for a sandbox.
const INOTIFY_WATCHES_PART: u32 = 16;
/// Signals that may wait, and timers, which have one each. Hosts have tens of thousands.
const PENDING_SIGNALS: u64 = 4096;
/// Bytes of a single file of the host that is copied rather than mounted.
const COPIED_FILE: u64 = 1 << 20;
/// Two POSIX message queues of the usual size. Hosts have ten.
const MESSAGE_QUEUE_BYTES: u64 = 160 << 10;

/// Waits until the zygote has finished its part; false when it could not.
pub(super) fn wait_for_go(go: &OwnedFd) -> bool {
    matches!(rustix::io::retry_on_intr(|| rustix::io::read(go, &mut [0_u8; 1])), Ok(1))
}

/// All that process 1 needs to build its sandbox.
#[derive(Clone, Copy)]
pub(super) struct Sandbox<'z> {
    /// Whether its system can be changed.
    pub(super) system: System,
    /// To the worker, once it is the hand.
    pub(super) control: &'z OwnedFd,
    /// To the worker, until then.
    pub(super) status: &'z OwnedFd,
    /// From the zygote.
    pub(super) orders: &'z OwnedFd,
    /// Shows that the zygote is there.
    pub(super) alive: &'z OwnedFd,
    /// Its copy of the root directory.
    pub(super) root: &'z OwnedFd,
    pub(super) fencing: &'z Fencing,
    pub(super) filter: &'z [Instruction],
}

impl Sandbox<'_> {
    /// Builds it, and says so if that fails; true if it stands. All descriptors but the control socket are closed
    /// then.
    ///
    /// `tasks` are files of control groups that it is to be in from the beginning.
    pub(super) fn build(self, tasks: Vec<OwnedFd>) -> bool {
        match self.try_build(tasks) {
            Ok(stands) => stands,
            Err(failure) => {
                // If the worker no longer listens, nobody wants to know.
                channel::send(self.status, &Status::Failed(failure), &[]).ok();
                false
            }
        }
    }

    fn try_build(self, tasks: Vec<OwnedFd>) -> Result<bool, Failure> {
        groups::join(tasks.into_iter()).step(JOIN)?;
        let scratch = self.begin()?;
        channel::send(self.status, &Status::Begun, &[])
            .map_err(std::io::Error::other)
            .step("tell that the sandbox has begun")?;
        let Some((build, descriptors)) = self.wait_for_order()? else { return Ok(false) };
        self.finish(build, descriptors, scratch).map(|()| true)
    }

    /// What does not depend on whom the sandbox is for.
    fn begin(self) -> Result<Scratch, Failure> {
        let Self { system, control, status, orders, alive, root, fencing, .. } = self;
        // Those of the zygote, among them the way to sandboxes that are being made at the same time.
        let own = [control, status, orders, alive, root].map(AsFd::as_fd);
        let own: Vec<BorrowedFd<'_>> = own.into_iter().chain(fencing.descriptor()).collect();
        namespace::close_all_but(&own).step("close descriptors")?;
        namespace::reap_automatically(false).step("wait for children again")?;
        // As root these ids are the host's and may do as they please with the host's files until here.
        set_thread_res_gid(gid(), gid(), gid()).step("become the agent's group")?;
        set_thread_res_uid(uid(), uid(), uid()).step("become the agent's user")?;
        umask(Mode::from_raw_mode(0o022));
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .step("separate mounts from the host's")?;
        attach_root(root).step("attach the root directory")?;
        mount_proc(system).step("mount /proc")?;
        mount_terminals().step("mount /dev/pts")?;
        limit_user().step("limit what is counted for the user")?;
        let mut scratch = mount_scratch().step("make places for temporary files")?;
        if system == System::ReadOnly {
            scratch.attach(root)?;
        }
        enter(root).step("enter the new root directory")?;
        privilege::bound(keep(system)).step("bound privileges")?;
        // Refused only if it leads a session already.
        rustix::process::setsid().ok();
        Ok(scratch)
    }

    /// Waits until the zygote says what the sandbox is for, and takes the descriptors for that; `None` when nobody
    /// wants it any more.
    fn wait_for_order(self) -> Result<Option<(Build, Vec<OwnedFd>)>, Failure> {
        let mut descriptors = Vec::new();
        loop {
            let mut ready =
                [PollFd::new(self.orders, PollFlags::IN), PollFd::new(self.control, PollFlags::empty())];
            match poll(&mut ready, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(failure("wait for orders", errno)),
            }
            if ready[1].revents().contains(PollFlags::HUP) {
                return Ok(None);
            }
            if ready[0].revents().is_empty() {
                continue;
            }
            match channel::receive::<Order>(self.orders) {
                Ok(received) => {
                    descriptors.extend(received.descriptors);
                    if let Order::Build(build) = received.message {
                        return Ok(Some((build, descriptors)));
                    }
                }
                Err(ChannelError::Closed) => return Ok(None),
                Err(error) => return Err(std::io::Error::other(error)).step("take orders"),
            }
        }
    }

    /// What makes it somebody's sandbox, and takes away every privilege.
    fn finish(self, build: Build, descriptors: Vec<OwnedFd>, mut scratch: Scratch) -> Result<(), Failure> {
        let Self { system, control, status, alive, root, fencing, filter, .. } = self;
        let mut descriptors = descriptors.into_iter();
        let mut layers = Layers::taken(&build, &mut descriptors)
            .ok_or_else(|| failure("take the descriptors of layers", Errno::BADF))?;
        groups::join(descriptors).step(JOIN)?;
        scratch.make_room(build.scratch_bytes).step("make room for temporary files")?;
        scratch.attach_system(root, std::mem::take(&mut layers.system))?;
        scratch.attach(root)?;
        scratch.attach_layers(root, layers)?;
        drop(scratch);
        rustix::system::sethostname(build.name.as_bytes()).step("set the host name")?;
        let_go(root).step("let go of the old root directory")?;
        fencing.put_up(build.system.iter().map(|(path, _)| &path[..])).step("put the Landlock fence up")?;
        let kept = [control, status, alive].map(AsFd::as_fd);
        namespace::close_all_but(&kept).step("close descriptors")?;
        limit_processes(build.limits).step("set limits")?;
        privilege::give_up(keep(system)).step("drop privileges")?;
        die_with_zygote(alive)?;
        namespace::load_filter(filter).step("load the system call filter")?;
        namespace::close_all_but(&[control.as_fd()]).step("close descriptors")
    }
}

/// A step that may come early or late.
const JOIN: &str = "join the control groups";

const fn keep(system: System) -> Keep {
    match system {
        System::ReadOnly => Keep::Nothing,
        System::Writable => Keep::ToStartRoot,
    }
}

fn uid() -> Uid {
    Uid::from_raw(AGENT_ID)
}

fn gid() -> Gid {
    Gid::from_raw(AGENT_ID)
}

fn attach_root(root: &OwnedFd) -> std::io::Result<()> {
    attach(root, &open(NEW_ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Programs need `/proc/self`, `cpuinfo`, `meminfo`, `stat`, `sys`, so `subset=pid` is not an option. What
/// belongs to the host's root in there cannot be written, because that user does not exist in the sandbox;
/// what could still be read and should not be is covered. Process 1 has to see processes of every user.
fn mount_proc(system: System) -> std::io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = match system {
        System::ReadOnly => c"hidepid=2".to_owned(),
        System::Writable => namespace::c_string(format!("hidepid=2,gid={OVERSEER_GROUP}").as_bytes())?,
    };
    chdir(NEW_ROOT)?;
    mount("proc", "proc", "proc", flags, options.as_c_str())?;
    // Some settings belong to the root of a namespace, which is not the host's, and still concern the kernel.
    let settings = super::mounts::open_layer(b"proc/sys")?;
    change_mount(settings.as_fd(), MountChange { read_only: true, ..MountChange::default() })?;
    let place = open("proc/sys", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    attach(&settings, &place)?;
    for name in MASKED_FILES {
        mask("dev/null", name)?;
    }
    for name in MASKED_DIRECTORIES {
        mask("sys", name)?;
    }
    Ok(())
}

/// Covers a file or directory of `/proc`, if there is one, with one that is empty. By path, since nobody but the
/// kernel and this process has written what is on the way.
fn mask(empty: &str, name: &str) -> rustix::io::Result<()> {
    match mount_bind(empty, format!("proc/{name}")) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn mount_terminals() -> rustix::io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", format!("{NEW_ROOT}/dev/pts"), "devpts", flags, c"newinstance,ptmxmode=0666,mode=620")
}

/// One filesystem for all places where temporary files go.
fn mount_scratch() -> std::io::Result<Scratch> {
    mount("tmpfs", SCRATCH, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, NO_SCRATCH_YET)?;
    umask(Mode::empty());
    let mut trees = Vec::new();
    for (name, _, mode) in SCRATCH_DIRECTORIES {
        let path = format!("{SCRATCH}/{name}");
        mkdirat(CWD, &path, Mode::from_raw_mode(mode))?;
        trees.push(super::mounts::open_layer(path.as_bytes())?);
    }
    for name in [OWN, NOTHING, MERGED] {
        let path = [SCRATCH.as_bytes(), b"/", name.to_bytes()].concat();
        mkdirat(CWD, path, Mode::from_raw_mode(0o755))?;
    }
    umask(Mode::from_raw_mode(0o022));
    let directory = open(SCRATCH, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Scratch { directory, trees })
}

/// The filesystem for temporary files.
struct Scratch {
    /// Its own root, which nobody sees inside. Layers are put together there.
    directory: OwnedFd,
    /// A tree for each place, as long as it is not attached there.
    trees: Vec<OwnedFd>,
}

impl Scratch {
    /// Lets so many bytes be in all of it together.
    fn make_room(&self, bytes: u64) -> std::io::Result<()> {
        let files = (bytes >> 20).max(1).saturating_mul(SCRATCH_FILES_PER_MIB);
        let options = namespace::c_string(format!("size={bytes},nr_inodes={files}").as_bytes())?;
        fchdir(&self.directory)?;
        Ok(mount_remount(".", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())?)
    }

    /// Attaches its trees to their places, if they are not there yet.
    fn attach(&mut self, root: &OwnedFd) -> Result<(), Failure> {
        for (tree, (_, place, _)) in std::mem::take(&mut self.trees).iter().zip(SCRATCH_DIRECTORIES) {
            let place = make_directories(root, place.as_bytes());
            place.and_then(|place| attach(tree, &place)).step("mount /tmp")?;
        }
        Ok(())
    }

    /// The directories of the system that can be changed, over those of the root directory.
    fn attach_system(&self, root: &OwnedFd, system: Vec<(Vec<u8>, OpenOverlay)>) -> Result<(), Failure> {
        for (inside, overlay) in system {
            let step = format!("mount {}", String::from_utf8_lossy(&inside));
            let target = make_directories(root, &inside).step(&step)?;
            self.mount_overlay(&overlay, &target).step(&step)?;
        }
        Ok(())
    }

    fn attach_layers(&self, root: &OwnedFd, layers: Layers) -> Result<(), Failure> {
        let workspace = make_directories(root, b"workspace").step("find /workspace")?;
        self.mount_overlay(&layers.workspace, &workspace).step("mount /workspace")?;
        let home = make_directories(root, b"home/agent").step("find the home directory")?;
        let home = self.mount_overlay(&layers.home, &home).step("mount the home directory")?;
        for (inside, overlay) in layers.caches {
            // The agent of an earlier sandbox may have put something else there; then it has no cache, and that
            // is its own doing.
            if let Ok(target) = make_directories(&home, &inside) {
                self.mount_overlay(&overlay, &target).step("mount a cache")?;
            }
        }
        for (number, bind) in layers.read_only.into_iter().enumerate() {
            let step = format!("mount {}", String::from_utf8_lossy(&bind.point.path));
            let target = make_mount_point(root, &bind.point.path, bind.point.directory).step(&step)?;
            let copied =
                if bind.point.directory { None } else { self.copy_file(&bind.mount, number).step(&step)? };
            attach(copied.as_ref().unwrap_or(&bind.mount), &target).step(&step)?;
        }
        Ok(())
    }

    /// A read-only copy of a single file of the host, in the filesystem for temporary files, since the mount of the file
    /// itself tells where on the host it lies. `None` if it is large, or not for everybody to read: then that is the
    /// lesser evil.
    fn copy_file(&self, mount: &OwnedFd, number: usize) -> std::io::Result<Option<OwnedFd>> {
        let status = rustix::fs::fstat(mount)?;
        let (kind, mode) =
            (FileType::from_raw_mode(status.st_mode), Mode::from_raw_mode(status.st_mode & 0o555));
        let small = u64::try_from(status.st_size).is_ok_and(|size| size <= COPIED_FILE);
        if kind != FileType::RegularFile || !small || !mode.contains(Mode::ROTH) {
            return Ok(None);
        }
        fchdir(&self.directory)?;
        let (seen, copy) = (format!("host{number}"), format!("file{number}"));
        let created = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        attach(mount, &open(&seen, created, Mode::from_raw_mode(0o400))?)?;
        let mut host = std::fs::File::from(open(&seen, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
        let mut file = std::fs::File::from(open(&copy, created, mode)?);
        std::io::copy(&mut host, &mut file)?;
        let tree = super::mounts::open_layer(copy.as_bytes())?;
        let read_only = MountChange { read_only: true, untrusted: true, ..MountChange::default() };
        change_mount(tree.as_fd(), read_only)?;
        Ok(Some(tree))
    }

    /// Mounts layers at `target`; gives the mount. They are attached here under short names first: the overlay
    /// filesystem takes no detached mounts on older kernels, and its options must fit on a page. All overlays use the same names: what is
    /// attached later lies over what was there, which the overlay that is made of it has open.
    fn mount_overlay(&self, overlay: &OpenOverlay, target: &OwnedFd) -> std::io::Result<OwnedFd> {
        attach_at(&overlay.own, &self.directory, OWN)?;
        let mut options = b"lowerdir=".to_vec();
        for (number, lower) in overlay.lower.iter().enumerate().rev() {
            let name = namespace::c_string(number.to_string().as_bytes())?;
            attach_at(lower, &self.directory, &name)?;
            options.extend([name.as_bytes(), b":"].concat());
        }
        if overlay.lower.is_empty() {
            // A layer by itself would do, but its mount tells where on the host it lies (proc_pid_mountinfo(5)).
            options.extend([NOTHING.to_bytes(), b":"].concat());
        }
        options.pop();
        options.extend(b",upperdir=own/upper,workdir=own/work,userxattr");
        let options = namespace::c_string(&options)?;
        fchdir(&self.directory)?;
        mount("overlay", MERGED, "overlay", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())?;
        let tree = super::mounts::open_layer(MERGED.to_bytes())?;
        change_mount(tree.as_fd(), MountChange { untrusted: true, ..MountChange::default() })?;
        attach(&tree, target)?;
        Ok(tree)
    }
}

/// Makes the new root the root. The old one lies over it, where nothing that is looked for gets to (pivot_root(2)).
fn enter(root: &OwnedFd) -> rustix::io::Result<()> {
    fchdir(root)?;
    pivot_root(".", ".")?;
    chdir("/")
}

/// Lets go of the old root with everything in it.
fn let_go(root: &OwnedFd) -> rustix::io::Result<()> {
    fchdir(root)?;
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
