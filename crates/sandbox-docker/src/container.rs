//! The container that the engine is asked for, as a pure function of what the sandbox is to be.

use std::{collections::HashMap, path::Path};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    ResourcesUlimits,
};
use cofferdam_domain::policy::Limits;
use cofferdam_sandbox::{HOME, MountedLayer, Network, SandboxError, SandboxSpec, WORKSPACE, relay_arguments};
use rustix::process::{Resource, getrlimit};

use crate::{
    isolation::{Facts, Walls},
    mounts::{self, Access, bind},
    place::Place,
};

/// Where the hand's program is inside.
pub(crate) const HAND: &str = "/.cofferdam/hand";
/// Names the worker that a container belongs to.
pub(crate) const OWNER_LABEL: &str = "cofferdam.owner";
/// Names the sandbox that a container is.
pub(crate) const SANDBOX_LABEL: &str = "cofferdam.sandbox";

/// Temporary files may take this part of the memory limit, all together: they are memory.
const SCRATCH_PART: u64 = 2;
/// How that is divided: `/tmp`, `/dev/shm`, `/var/tmp`, `/run`.
const SCRATCH_PARTS: [(&str, u64); 3] = [("/tmp", 2), ("/var/tmp", 8), ("/run", 8)];
const SHM_PART: u64 = 4;
/// Processes of the hand itself: one for each command and a few more.
const OWN_PROCESSES: i64 = 32;
/// What is counted for a user and not for a process (setrlimit(2)).
const PENDING_SIGNALS: i64 = 4096;
const MESSAGE_QUEUE_BYTES: i64 = 160 << 10;
/// As in sandboxes of the native driver.
const OPEN_FILES: i64 = 65_536;
/// Tasks of all sandboxes together, who are one user: as many as kernels have ids for by default.
const TASKS: i64 = 32_768;

/// What is covered, beyond what engines cover by themselves: all of `/sys`, and how to ask the kernel for things by name.
const COVERED: [&str; 13] = [
    "/sys",
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/key-users",
];
/// What can be read only.
const READ_ONLY: [&str; 4] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"];

/// What all containers of a driver have in common.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The image, by its digest.
    pub(crate) image: String,
    /// The OCI runtime, if it is not the engine's usual one.
    pub(crate) runtime: Option<String>,
    pub(crate) facts: Facts,
    pub(crate) walls: Walls,
}

/// The container for a sandbox.
///
/// # Errors
/// When a layer is missing, or a path is one that engines do not take.
pub(crate) fn container(
    kind: &Kind,
    spec: &SandboxSpec,
    layer: &MountedLayer,
    place: &Place,
) -> Result<ContainerCreateBody, SandboxError> {
    let labels = [(OWNER_LABEL, place.name().to_owned()), (SANDBOX_LABEL, spec.id.to_string())];
    let (uid, gid) = kind.walls.agent;
    Ok(ContainerCreateBody {
        image: Some(kind.image.clone()),
        entrypoint: Some(vec![HAND.to_owned()]),
        cmd: Some(relay_arguments(spec.network)),
        user: Some(format!("{uid}:{gid}")),
        working_dir: Some("/".to_owned()),
        hostname: Some("cofferdam".to_owned()),
        labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
        // Its process 1 hears this one, and when this one closes its end, that is the end of its input.
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        // Whatever the image would have the engine run inside now and then.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        network_disabled: Some(true),
        host_config: Some(HostConfig {
            mounts: Some(all_mounts(kind, spec, layer, place)?),
            ..host(kind, spec)
        }),
        ..ContainerCreateBody::default()
    })
}

/// Everything but what is mounted.
fn host(kind: &Kind, spec: &SandboxSpec) -> HostConfig {
    let Limits { memory, processes, cpu_milli, disk, .. } = spec.limits;
    let facts = &kind.facts;
    let scratch = (memory / SCRATCH_PART).min(disk);
    let (uid, gid) = kind.walls.agent;
    // Some runtimes give it the mode of the image's directory in its place, so it belongs to the agent as well. Podman takes no owner, and gives that mode
    // unless it is told not to copy what is there.
    let owner = match facts.name {
        "podman" => ",notmpcopyup".to_owned(),
        _ => format!(",uid={uid},gid={gid}"),
    };
    let tmpfs = SCRATCH_PARTS.map(|(path, part)| {
        let size = scratch / part;
        (path.to_owned(), format!("rw,exec,nosuid,nodev,mode=1777{owner},size={size}"))
    });
    let memory = signed(memory);
    let most = i64::from(facts.processors) * 1_000_000_000;
    let when = |can: &str, value: i64| facts.can_limit(can).then_some(value);
    HostConfig {
        runtime: kind.runtime.clone(),
        network_mode: Some("none".to_owned()),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(security(facts)),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        masked_paths: Some(COVERED.map(str::to_owned).into()),
        readonly_paths: Some(READ_ONLY.map(str::to_owned).into()),
        tmpfs: Some(tmpfs.into()),
        shm_size: Some(signed(scratch / SHM_PART)),
        memory: when("memory", memory),
        // Memory and swap together: so there is none of the latter.
        memory_swap: when("swap", memory),
        pids_limit: when("processes", i64::from(processes) + OWN_PROCESSES),
        nano_cpus: when("cpu", (i64::from(cpu_milli) * 1_000_000).clamp(1_000_000, most)),
        ulimits: Some(ulimits(facts)),
        // What it prints is the hand's side of the conversation, and for nobody else.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: Some(HashMap::new()) }),
        // When its process 1 ends it is gone, also if nobody is left who could ask for that.
        auto_remove: Some(true),
        ..HostConfig::default()
    }
}

fn security(facts: &Facts) -> Vec<String> {
    let mut options = vec!["no-new-privileges".to_owned()];
    if facts.name == "podman" {
        // It does not heed the paths that Docker's API has for this.
        options.push(format!("mask={}", COVERED.join(":")));
    }
    options
}

fn ulimits(facts: &Facts) -> Vec<ResourcesUlimits> {
    let mut limits = vec![("core", 0), ("sigpending", PENDING_SIGNALS), ("msgqueue", MESSAGE_QUEUE_BYTES)];
    if facts.name == "podman" {
        // Where it is not told otherwise it asks for a million of each, which not every host lets it have.
        let own = |resource| {
            getrlimit(resource).maximum.map_or(i64::MAX, |most| i64::try_from(most).unwrap_or(i64::MAX))
        };
        limits.push(("nofile", own(Resource::Nofile).min(OPEN_FILES)));
        limits.push(("nproc", own(Resource::Nproc).min(TASKS)));
    }
    let limit = |(name, most): (&str, i64)| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(most),
        hard: Some(most),
    };
    limits.into_iter().map(limit).collect()
}

fn all_mounts(
    kind: &Kind,
    spec: &SandboxSpec,
    layer: &MountedLayer,
    place: &Place,
) -> Result<Vec<Mount>, SandboxError> {
    mounts::check(&spec.lower, kind.walls.owner.0)?;
    let mut all = vec![
        mounts::overlay(WORKSPACE, &spec.lower, &layer.workspace)?,
        mounts::overlay(HOME, &[], &layer.home)?,
        bind(&place.hand(), Path::new(HAND), Access::Read)?,
        bind(&place.passwd(), Path::new("/etc/passwd"), Access::Read)?,
        bind(&place.group(), Path::new("/etc/group"), Access::Read)?,
    ];
    all.extend(mounts::read_only(&spec.read_only)?);
    Ok(all)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// In words, for a sandbox's level.
pub(crate) const fn network_in_words(network: Network) -> &'static str {
    match network {
        Network::Off => "no network",
        Network::Door => "no network but an egress door for programs that honour proxy variables",
    }
}
