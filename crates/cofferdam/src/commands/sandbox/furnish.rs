//! What a sandbox without a session is made from, and how its commands end.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use cofferdam_domain::{SandboxId, evidence::Exit};
use cofferdam_egress::Record;
use cofferdam_sandbox::{Finished, SandboxSpec, System};
use cofferdam_worker::OpenDoor;

use crate::{compose::App, config};

/// What a person wants of a sandbox.
pub(super) struct Wanted<'a> {
    /// Its id.
    pub(super) id: SandboxId,
    /// Its layer.
    pub(super) layer: &'a Path,
    /// What it sees below that.
    pub(super) lower: Vec<PathBuf>,
    /// The file of rules for what may leave it.
    pub(super) policy: Option<&'a Path>,
    /// Whether it has a root.
    pub(super) root: bool,
    /// Where what it reads of its egress door is put.
    pub(super) trust: &'a Path,
}

/// What it takes to make it: the specification, and its egress door, if anything may leave.
pub(super) async fn furnish(
    app: &App,
    wanted: Wanted<'_>,
    record: Arc<dyn Record>,
) -> Result<(SandboxSpec, Option<OpenDoor>)> {
    let rules = wanted.policy.map(config::rules).transpose()?;
    let mut spec = SandboxSpec::new(wanted.id, wanted.layer.to_owned(), app.config.policy.limits);
    spec.lower = wanted.lower;
    spec.read_only.clone_from(&app.config.read_only);
    if wanted.root {
        spec.system = System::Writable;
    }
    let door = match rules {
        Some(rules) if !rules.policy.is_closed() => Some(app.door(rules, record, wanted.trust).await?),
        Some(_) | None => None,
    };
    if let Some(door) = &door {
        door.fit(&mut spec);
    }
    Ok((spec, door))
}

/// The directory that is to be a workspace.
pub(super) fn workspace(directory: &Path) -> Result<PathBuf> {
    let found = std::fs::canonicalize(directory)
        .with_context(|| format!("the workspace {} cannot be used", directory.display()))?;
    ensure!(found.is_dir(), "the workspace {} is not a directory", found.display());
    Ok(found)
}

/// A command's status as shells report it, and what else there is to say.
pub(super) fn status(finished: &Finished) -> (u8, Vec<String>) {
    let mut notes = Vec::new();
    if finished.out_of_memory {
        notes.push("the memory limit was reached".to_owned());
    }
    let status = match finished.exit {
        Exit::Code(code) => u8::try_from(code).unwrap_or(u8::MAX),
        // As shells report it: 128 and the signal's number.
        Exit::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        Exit::TimedOut => {
            notes.push("the time limit was reached".to_owned());
            124
        }
    };
    (status, notes)
}
