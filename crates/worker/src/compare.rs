//! What differs between the files of a session at two of its checkpoints.
//!
//! The files are hostile, and so is whatever they make git do: each side is looked at in a sandbox of its own, without network, over a fork of the
//! checkpoint that is thrown away. Git works there with a directory of the platform's, not with what the agent has left in `.git`. What comes out
//! is text for people.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use cofferdam_agent::Agent;
use cofferdam_domain::{Event, SessionId, effective::Checkpoint};
use cofferdam_sandbox::{Command, HOME, LayerStack, Sandbox, SnapshotId, User, WORKSPACE};

use crate::{
    Parts, WorkerError,
    collect::CHUNK,
    layers::{CHECKPOINTS, begun_with, remove_layer, session_directory},
    script::shell,
};

/// How long git may take for one side.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Bytes of a list of files or of objects that are taken out.
const MOST_BYTES: u64 = 64 << 20;
/// Bytes of a patch that are shown.
const MOST_PATCH: u64 = 8 << 20;

/// Where git keeps what it needs for this.
const BEGIN: &str = "set -eu; D=$HOME/.cofferdam-compare; export GIT_DIR=$D GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_OPTIONAL_LOCKS=0;";
/// What is there, as git would keep it: what it ignores is left out.
const LIST: &str = "git init -q --template=; git --work-tree=. add -A; git ls-files -s -z > $D/list";
/// The objects that are named on standard input.
const PACK: &str = "git pack-objects -q --stdout > $D/pack";
/// Takes in the other side's objects.
const UNPACK: &str = "git unpack-objects -q --strict";
/// Compares the other side, whose list is on standard input, with this one.
const COMPARE: &str = "new=$(git write-tree); export GIT_INDEX_FILE=$D/other; git update-index -z --index-info; old=$(git write-tree); \
     git diff-tree -r -M --no-ext-diff --no-textconv --stat=120 --summary $old $new > $D/files; \
     git diff-tree -r -M --no-ext-diff --no-textconv -p $old $new > $D/patch";

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The files, with how many lines differ in each. Untrusted.
    pub files: Vec<u8>,
    /// The same as a patch, as much of it as is shown. Untrusted.
    pub patch: Vec<u8>,
}

/// Compares the files at one checkpoint with those at a later or earlier one. Says why that cannot be done, if it cannot.
///
/// # Errors
/// When the sandbox or the disk fail.
pub async fn compare(
    parts: &Parts,
    events: &[Event],
    [from, to]: [&Checkpoint; 2],
) -> Result<Result<Compared, String>, WorkerError> {
    let (from, to) = (Side::of(parts, events, from), Side::of(parts, events, to));
    let (from, to) = match (from, to) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(reason), _) | (_, Err(reason)) => return Ok(Err(reason)),
    };
    let limits = from.agent.fixed().map(|fixed| fixed.policy.limits).unwrap_or_default();
    let layers = [from.fork().await?, to.fork().await?];
    let result = async {
        let old = parts.sandbox(from.lower, layers[0].clone(), Vec::new(), limits, None).await?;
        let new = parts.sandbox(to.lower, layers[1].clone(), Vec::new(), limits, None).await?;
        let result = between(&*old, &*new).await;
        let (one, other) = (old.destroy().await, new.destroy().await);
        one?;
        other?;
        result
    }
    .await;
    for layer in &layers {
        remove_layer(layer).await?;
    }
    result
}

/// One side: what the workspace began with then, and where the checkpoint is kept.
struct Side {
    agent: Agent,
    lower: Vec<PathBuf>,
    session: PathBuf,
    kept: PathBuf,
    snapshot: SnapshotId,
}

impl Side {
    fn of(parts: &Parts, events: &[Event], checkpoint: &Checkpoint) -> Result<Self, String> {
        let not_here = || {
            format!(
                "the files of checkpoint {} are not on this machine: they are kept by the worker that made them, or have expired",
                checkpoint.at.0
            )
        };
        let until = events.iter().position(|event| event.seq == checkpoint.at).map_or(0, |place| place + 1);
        let session: SessionId = events.first().ok_or_else(not_here)?.session;
        let agent = Agent::of(session, events.get(..until).unwrap_or_default());
        let snapshot: SnapshotId = checkpoint.snapshot.parse().map_err(|_| not_here())?;
        let checkpoints = session_directory(&parts.data, checkpoint.kept_by).join(CHECKPOINTS);
        let kept = checkpoints.join(&checkpoint.snapshot);
        let begun = begun_with(&parts.data, session, &agent).ok_or_else(not_here)?;
        let lower: Vec<PathBuf> = begun.into_iter().map(|begun| begun.tree).collect();
        if !kept.exists() || !lower.iter().all(|layer| layer.exists()) {
            return Err(not_here());
        }
        Ok(Self { agent, lower, session: parts.session_directory(session), kept, snapshot })
    }

    /// A layer with these files that nobody else writes to.
    async fn fork(&self) -> Result<PathBuf, WorkerError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let layer = self.session.join(format!("compare-{}-{number}", std::process::id()));
        let (kept, snapshot, new) = (self.kept.clone(), self.snapshot, layer.clone());
        let forked = tokio::task::spawn_blocking(move || LayerStack::at(&kept).fork(snapshot, &new)).await;
        match forked {
            Ok(forked) => Ok(forked.map(|_| layer)?),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

async fn between(old: &dyn Sandbox, new: &dyn Sandbox) -> Result<Result<Compared, String>, WorkerError> {
    for side in [old, new] {
        if let Err(reason) = git(side, LIST, Vec::new()).await? {
            return Ok(Err(reason));
        }
    }
    let (before, after) = (read(old, "list", MOST_BYTES).await?, read(new, "list", MOST_BYTES).await?);
    let known: std::collections::HashSet<&[u8]> = objects(&after).collect();
    let wanted: Vec<&[u8]> = objects(&before).filter(|id| !known.contains(id)).collect();
    if !wanted.is_empty() {
        let wanted = [wanted.join(&b'\n'), b"\n".to_vec()].concat();
        if let Err(reason) = git(old, PACK, wanted).await? {
            return Ok(Err(reason));
        }
        let pack = read(old, "pack", MOST_BYTES).await?;
        if let Err(reason) = git(new, UNPACK, pack).await? {
            return Ok(Err(reason));
        }
    }
    if let Err(reason) = git(new, COMPARE, before).await? {
        return Ok(Err(reason));
    }
    Ok(Ok(Compared {
        files: read(new, "files", MOST_PATCH).await?,
        patch: read(new, "patch", MOST_PATCH).await?,
    }))
}

/// The ids of the files in a list of `git ls-files -s -z`. Those of other repositories in the workspace have their commits here, and no objects.
fn objects(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == 0).filter_map(|entry| {
        let mut words = entry.split(|byte| *byte == b' ');
        let (mode, id) = (words.next()?, words.next()?);
        (mode != b"160000" && id.iter().all(u8::is_ascii_hexdigit)).then_some(id)
    })
}

/// Runs a script of the platform's. Says what git says, if it fails.
async fn git(sandbox: &dyn Sandbox, script: &str, stdin: Vec<u8>) -> Result<Result<(), String>, WorkerError> {
    let command = Command {
        argv: shell(&format!("{BEGIN} {script}")),
        env: Vec::new(),
        cwd: WORKSPACE.to_owned(),
        stdin,
        terminal: false,
        user: User::Agent,
        timeout: PATIENCE,
        output_limit: 4096,
    };
    let mut process = sandbox.start(command).await?;
    Ok(match process.wait(PATIENCE + Duration::from_secs(10)).await? {
        Some(finished) if finished.exit.success() => Ok(()),
        Some(finished) => {
            let said = finished.output.joined();
            Err(format!("git could not compare them: {}", String::from_utf8_lossy(&said).trim()))
        }
        None => Err("comparing them took too long".to_owned()),
    })
}

async fn read(sandbox: &dyn Sandbox, name: &str, most: u64) -> Result<Vec<u8>, WorkerError> {
    let path = format!("{HOME}/.cofferdam-compare/{name}");
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < most {
        let data = sandbox.read(&path, bytes.len() as u64, CHUNK).await?;
        if data.bytes.is_empty() {
            break;
        }
        bytes.extend_from_slice(&data.bytes);
    }
    Ok(bytes)
}
