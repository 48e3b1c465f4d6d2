//! What Git LFS keeps of a session's repositories: brought for the sandboxes that have files of theirs, taken out of what the agent left, and
//! sent before the branch.
//!
//! A sandbox is lent contents like a seed, as files to be read; it asks nobody. What an agent names without having it is brought from nowhere:
//! only pointers that the repository had are asked for.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::PathBuf,
};

use cofferdam_domain::{BlobRef, Digest, SandboxId, Severity, amount::counted, hidden::visible};
use cofferdam_forge::{
    Brought, Contents, ForgeError, LfsError, LfsPointer, LfsShelf, ObjectId, Quarantine, Seed, branch_of,
    new_contents,
};
use cofferdam_sandbox::{ReadOnly, Sandbox, SandboxError};

use crate::{
    WorkerError,
    base::BASES,
    collect::{CHUNK, object_id, published, quarantine},
    layers::CONTENTS,
    leftovers::{self, BEING_MADE},
    patience::patiently,
    stage::StageContext,
};

/// Where a sandbox sees what it is lent.
pub(crate) const LENT: &str = "/lfs";
/// The longest content that is kept for workers on other machines, and of all together.
const MOST_KEPT: u64 = 64 << 20;
const ALL_KEPT: u64 = 256 << 20;
/// Reasons that people are told, and characters of one that a server gives.
const MOST_REASONS: usize = 3;
const LONGEST_REASON: usize = 200;

/// Contents for a sandbox, as long as this lives.
pub(crate) struct Lent {
    directory: PathBuf,
    shelf: LfsShelf,
    _held: File,
    /// Names which they are and whose. `None` where there are none.
    pub(crate) name: Option<Digest>,
    /// What people and the agent are told.
    pub(crate) notes: Vec<String>,
    /// Bytes of all of them.
    pub(crate) bytes: u64,
}

impl Drop for Lent {
    fn drop(&mut self) {
        // What is left is removed when the next worker starts.
        fs::remove_dir_all(&self.directory).ok();
    }
}

impl Lent {
    fn begin(context: &StageContext) -> Result<Self, WorkerError> {
        let bases = context.parts.data.join(BASES);
        let directory = bases.join(format!("{BEING_MADE}{}", SandboxId::generate()));
        let held = leftovers::hold(&directory).map_err(|source| WorkerError::File {
            operation: "make the directory",
            path: directory.display().to_string(),
            source,
        })?;
        let shelf = LfsShelf::new(directory.join("contents"));
        Ok(Self { directory, shelf, _held: held, name: None, notes: Vec::new(), bytes: 0 })
    }

    /// What a sandbox is to be given.
    pub(crate) fn read_only(&self) -> ReadOnly {
        ReadOnly { host: self.shelf.path().to_owned(), inside: PathBuf::from(LENT) }
    }
}

/// What the tree of a seed has of Git LFS, as far as it can be had; `None` where it has nothing. `own` is what the session has made itself, which
/// nobody else is asked for.
pub(crate) async fn lend(
    context: &StageContext,
    seed: &Seed,
    cones: &[String],
    own: &BTreeSet<LfsPointer>,
) -> Result<Option<Lent>, WorkerError> {
    let Some((mut lent, wanted)) = begin(context, seed, cones).await? else { return Ok(None) };
    bring(context, &mut lent, &wanted, own).await?;
    Ok(Some(lent))
}

async fn begin(
    context: &StageContext,
    seed: &Seed,
    cones: &[String],
) -> Result<Option<(Lent, Vec<LfsPointer>)>, WorkerError> {
    let lent = Lent::begin(context)?;
    let scratch = lent.directory.join("index");
    let wanted = seed.pointers(&context.parts.git, cones, &scratch).await.map_err(ForgeError::from)?;
    Ok((!wanted.is_empty()).then_some((lent, wanted)))
}

/// The same of a submodule at `path`, from where that is read. What its server does not give stays pointers: that is no reason for a session not to
/// begin.
pub(crate) async fn lend_beside(
    context: &StageContext,
    (path, contents): (&str, &Contents),
    seed: &Seed,
) -> Result<Option<Lent>, WorkerError> {
    let Some((mut lent, wanted)) = begin(context, seed, &[]).await? else { return Ok(None) };
    let brought = match contents.bring(&wanted, None, &lent.shelf).await {
        Ok(brought) => brought,
        Err(error @ (LfsError::ForNow { .. } | LfsError::Talk(_))) => {
            let why = visible(error.to_string().as_bytes()).chars().take(LONGEST_REASON).collect::<String>();
            let lacking = wanted.iter().map(|pointer| (*pointer, why.clone())).collect();
            Brought { lacking, ..Brought::default() }
        }
        Err(error) => return Err(ForgeError::from(error).into()),
    };
    fill(&mut lent, contents, &wanted, &brought)?;
    lent.notes = counts(&wanted, &brought)
        .into_iter()
        .map(|(files, kept)| format!("In the submodule `{path}`, {files} {kept}"))
        .collect();
    Ok(Some(lent))
}

/// The same for what a change has that the base has not: for the sandbox in which it is tested.
pub(crate) async fn lend_new(context: &StageContext, head: &ObjectId) -> Result<Option<Lent>, WorkerError> {
    let quarantine = quarantine(context).await?;
    let base = object_id(&context.repository()?.base_commit)?;
    let wanted = quarantine.new_pointers(&[&base], head).await.map_err(ForgeError::from)?;
    if wanted.is_empty() {
        return Ok(None);
    }
    // What is to be reviewed is somebody's who has sent it there.
    let own = match context.agent.review() {
        Some(_) => BTreeSet::new(),
        None => new_pointers(context, &quarantine, head).await?,
    };
    let mut lent = Lent::begin(context)?;
    let wanted: Vec<LfsPointer> = wanted.into_iter().collect();
    bring(context, &mut lent, &wanted, &own).await?;
    Ok(Some(lent))
}

async fn bring(
    context: &StageContext,
    lent: &mut Lent,
    wanted: &[LfsPointer],
    own: &BTreeSet<LfsPointer>,
) -> Result<(), WorkerError> {
    let made = made(context).await?;
    let contents = contents(context).await?;
    let asked: Vec<LfsPointer> = wanted.iter().filter(|pointer| !own.contains(pointer)).copied().collect();
    let mut brought = contents.bring(&asked, Some(&made), &lent.shelf).await.map_err(ForgeError::from)?;
    for pointer in wanted.iter().filter(|pointer| own.contains(pointer)) {
        if lent.shelf.share(&made, pointer).map_err(ForgeError::from)? {
            brought.here.insert(*pointer);
        }
    }
    fill(lent, &contents, wanted, &brought)
}

/// Notes what was brought. A sandbox is given a directory, whatever is in it.
fn fill(
    lent: &mut Lent,
    contents: &Contents,
    wanted: &[LfsPointer],
    brought: &Brought,
) -> Result<(), WorkerError> {
    fs::create_dir_all(lent.shelf.path()).map_err(|source| WorkerError::File {
        operation: "make the directory",
        path: lent.shelf.path().display().to_string(),
        source,
    })?;
    lent.name = name(contents, brought);
    lent.notes = notes(wanted, brought);
    lent.bytes = brought.here.iter().fold(0, |sum, pointer| sum.saturating_add(pointer.size));
    Ok(())
}

fn name(contents: &Contents, brought: &Brought) -> Option<Digest> {
    let mut text = format!("lfs\0{}", contents.key());
    for pointer in &brought.here {
        text.push('\0');
        text.push_str(&pointer.content.hex());
    }
    (!brought.here.is_empty()).then(|| Digest::of(text.as_bytes()))
}

fn notes(wanted: &[LfsPointer], brought: &Brought) -> Vec<String> {
    let all = counts(wanted, brought).into_iter().map(|(files, kept)| format!("{files} {kept}"));
    let mut notes: Vec<String> = all.collect();
    if let Some(first) =
        notes.first_mut().filter(|_| wanted.iter().any(|pointer| brought.here.contains(pointer)))
    {
        first.push_str(" What is changed or added at such paths is kept by Git LFS as well.");
    }
    notes
}

/// How many files are there and how many are not, each with what is said of them.
fn counts(wanted: &[LfsPointer], brought: &Brought) -> Vec<(String, String)> {
    let count =
        |here: bool| wanted.iter().filter(|pointer| brought.here.contains(pointer) == here).count() as u64;
    let are = |count: u64| format!("{} {}", counted(count, "file"), if count == 1 { "is" } else { "are" });
    let mut counts = Vec::new();
    if count(true) > 0 {
        counts.push((are(count(true)), "kept by Git LFS, with real contents in the workspace.".to_owned()));
    }
    if count(false) > 0 {
        let reasons: BTreeSet<&str> = brought.lacking.values().map(String::as_str).collect();
        let reasons: Vec<&str> = reasons.into_iter().take(MOST_REASONS).collect();
        let kept = format!(
            "kept by Git LFS and only pointers here, which are to be left as they are: {}.",
            reasons.join("; ")
        );
        counts.push((are(count(false)), kept));
    }
    counts
}

async fn contents(context: &StageContext) -> Result<Contents, WorkerError> {
    let address = context.address().await?;
    let access = context.access(&address).await?;
    Ok(context.parts.mirrors.contents(&address, access))
}

/// What the session has made: of another machine's as far as that was kept for all.
pub(crate) async fn made(context: &StageContext) -> Result<LfsShelf, WorkerError> {
    let shelf = LfsShelf::new(context.parts.session_directory(context.session).join(CONTENTS));
    for kept in context.agent.received().iter().flat_map(|received| &received.contents) {
        let pointer = LfsPointer { content: kept.digest, size: kept.size };
        if !shelf.has(&pointer) {
            let bytes = patiently(|| context.parts.store.blob(kept.digest)).await?;
            shelf.put(pointer, &bytes).map_err(ForgeError::from)?;
        }
    }
    Ok(shelf)
}

/// What a commit points to that neither the base nor what was published does.
pub(crate) async fn new_pointers(
    context: &StageContext,
    quarantine: &Quarantine,
    head: &ObjectId,
) -> Result<BTreeSet<LfsPointer>, WorkerError> {
    let mut known = Vec::new();
    for commit in [object_id(&context.repository()?.base_commit)?, published(context)?] {
        if quarantine.has(&commit).await {
            known.push(commit);
        }
    }
    let known: Vec<&ObjectId> = known.iter().collect();
    Ok(quarantine.new_pointers(&known, head).await.map_err(ForgeError::from)?)
}

/// What the session itself has made of what a turn begins with.
pub(crate) async fn own(context: &StageContext, start: &str) -> Result<BTreeSet<LfsPointer>, WorkerError> {
    let start = object_id(start)?;
    let base = object_id(&context.repository()?.base_commit)?;
    match Quarantine::open(&context.parts.git, &context.quarantine_path(), base) {
        Ok(quarantine) if quarantine.has(&start).await => new_pointers(context, &quarantine, &start).await,
        Ok(_) | Err(_) => Ok(BTreeSet::new()),
    }
}

/// Takes new contents out of the sandbox in which the change was collected. What is not there, or is not what its pointer names, is left for the
/// gate to find. Says what was kept for other machines, or why there is too much.
pub(crate) async fn take_out(
    context: &StageContext,
    sandbox: &dyn Sandbox,
    quarantine: &Quarantine,
    head: &ObjectId,
    bundle: &str,
) -> Result<Result<Vec<BlobRef>, String>, WorkerError> {
    let new = new_pointers(context, quarantine, head).await?;
    let rules = context.parts.mirrors.lfs_rules();
    let all = new.iter().fold(0_u64, |all, pointer| all.saturating_add(pointer.size));
    if let Some(large) = new.iter().find(|pointer| pointer.size > rules.largest) {
        return Ok(Err(format!(
            "what the agent left was refused: a file that Git LFS is to keep has {} bytes, where [repositories.lfs] `largest` is {}",
            large.size, rules.largest
        )));
    }
    if all > rules.all {
        return Ok(Err(format!(
            "what the agent left was refused: files that Git LFS is to keep have {all} bytes together, where [repositories.lfs] `all` is {}",
            rules.all
        )));
    }
    let shelf = made(context).await?;
    let workspace = format!("{}/.git/lfs/objects", context.workspace());
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for pointer in new {
        for place in [new_contents(bundle), workspace.clone()] {
            if !shelf.has(&pointer) {
                read(sandbox, &shelf, pointer, &place).await?;
            }
        }
        if !shelf.has(&pointer) || pointer.size > MOST_KEPT || bytes + pointer.size > ALL_KEPT {
            continue;
        }
        bytes += pointer.size;
        let place = shelf.place(&pointer.content);
        let content = tokio::fs::read(&place).await.map_err(|source| WorkerError::File {
            operation: "read",
            path: place.display().to_string(),
            source,
        })?;
        kept.push(patiently(|| context.parts.store.put_blob(&content)).await?);
    }
    Ok(Ok(kept))
}

/// Whatever is at a place in the sandbox, it is bytes.
async fn read(
    sandbox: &dyn Sandbox,
    shelf: &LfsShelf,
    pointer: LfsPointer,
    place: &str,
) -> Result<(), WorkerError> {
    let path = LfsShelf::new(place).place(&pointer.content).display().to_string();
    let mut arriving = shelf.begin(pointer).map_err(ForgeError::from)?;
    while arriving.length() <= pointer.size {
        let data = match sandbox.read(&path, arriving.length(), CHUNK).await {
            Ok(data) => data,
            // It is not there, or no file.
            Err(SandboxError::File { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if data.bytes.is_empty() || !arriving.write(&data.bytes).map_err(ForgeError::from)? {
            break;
        }
    }
    arriving.finish().map_err(ForgeError::from)?;
    Ok(())
}

/// Sees that what a branch is about to point to is where it goes.
pub(crate) async fn deliver(
    context: &StageContext,
    quarantine: &Quarantine,
    head: &ObjectId,
) -> Result<(), WorkerError> {
    let new = new_pointers(context, quarantine, head).await?;
    if new.is_empty() {
        return Ok(());
    }
    let shelf = made(context).await?;
    // A person may have let a pointer pass that leads nowhere.
    let held = |rule: &str| {
        let findings = context.agent.findings();
        findings.iter().any(|finding| finding.rule == rule && finding.severity == Severity::Blocking)
    };
    if let Some(lost) = new.iter().find(|pointer| !shelf.has(pointer))
        && !held("lfs")
    {
        return Err(ForgeError::Lfs(LfsError::Lost { content: lost.content }).into());
    }
    let here: Vec<LfsPointer> = new.into_iter().filter(|pointer| shelf.has(pointer)).collect();
    let contents = contents(context).await?;
    Ok(contents.send(&here, &shelf, &branch_of(context.session)).await.map_err(ForgeError::from)?)
}
