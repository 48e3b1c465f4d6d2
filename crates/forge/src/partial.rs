//! Partial mirrors: those of large repositories. They have every commit and directory, but of the contents of
//! files only what sessions were given.
//!
//! A first copy over the network that grows beyond [`WHOLE_UP_TO`] is given up, and one without contents
//! is made in its place (git's partial clones, `git fetch --filter=blob:none`). What a base and the history that goes
//! with it lack is fetched when a session is to have it: by name, with the credential of every transfer, before
//! the seed is made. A seed is whole as ever. That contents are missing stands in the configuration of no
//! repository, so git never tries to fetch one on the side, neither here nor in a sandbox.
//!
//! A server that knows no filters sends everything, and the mirror is a whole one under another name. What
//! comes in is not held against git's checks here, where most of it is never looked at, but on its way into a
//! seed or a quarantine.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    FileError, Git, History, Mirror, MirrorError, ObjectId,
    call::{Call, Input, Transport},
    durable::{make_directory, publish_directory, remove_directory, write_file},
    lock::Lock,
    mirror::{FETCH_TIME, HARMLESS_FLAWS, LOCK_PATIENCE, init},
    objects,
};

/// First copies up to so many bytes are kept whole: about what a minute brings in over an ordinary line.
pub(crate) const WHOLE_UP_TO: u64 = 256 << 20;
/// The directory of a partial mirror, in place of that of a whole one.
const PARTIAL: &str = "partial.git";
/// Where it is written for which commits everything is here.
const COMPLETE: &str = "cofferdam-complete";
/// Names of contents in one request: less than a megabyte, which git sends in one piece and every proxy takes.
const NAMES_AT_ONCE: usize = 16_000;
/// Bytes of names of objects: some four million.
const NAMES_LIMIT: u64 = 256 << 20;
const SKELETON_TIME: Duration = Duration::from_secs(15 * 60);

/// The settings that make a transfer partial, where `source` is the operand in place of its address.
pub(crate) const SOURCE: &str = "source";

/// Has a fetch from `url` leave out the contents of files.
pub(crate) fn without_contents<'c>(call: Call<'c>, url: &str) -> Call<'c> {
    call.setting(format!("remote.{SOURCE}.url={url}"))
        .setting(format!("remote.{SOURCE}.promisor=true"))
        .setting(format!("remote.{SOURCE}.partialCloneFilter=blob:none"))
}

/// Has a fetch refuse what git holds for damaged or dangerous, but for flaws of old history.
pub(crate) fn checked(call: Call<'_>) -> Call<'_> {
    let call = call.setting("fetch.fsckObjects=true");
    HARMLESS_FLAWS.iter().fold(call, |call, flaw| call.setting(format!("fetch.fsck.{flaw}=ignore")))
}

/// The partial mirror's repository, if the mirror is one.
pub(crate) fn find(holder: &Path) -> Option<PathBuf> {
    Some(holder.join(PARTIAL)).filter(|path| path.exists())
}

/// Makes an empty partial mirror, in place of a whole one.
pub(crate) async fn begin(git: &Git, holder: &Path, format: &str) -> Result<(), MirrorError> {
    let new = holder.join("partial.new");
    remove_directory(&new)?;
    init(git, &new, format).await?;
    // For skeletons, which are made on this machine.
    git.at(&new, "config").args(["uploadpack.allowFilter", "true"]).run().await?;
    publish_directory(&new, &holder.join(PARTIAL))?;
    Ok(remove_directory(&holder.join("mirror.git"))?)
}

/// Whether a repository has no object, so that what is fetched next is its first copy.
pub(crate) fn is_empty(repository: &Path) -> Result<bool, FileError> {
    let objects = repository.join("objects");
    for entry in fs::read_dir(&objects).map_err(FileError::at("read the directory", &objects))? {
        let entry = entry.map_err(FileError::at("read the directory", &objects))?;
        let name = entry.file_name();
        let is_empty = match name.to_str() {
            Some("info") => true,
            Some("pack") => packs(repository)?.is_empty(),
            _ => false,
        };
        if !is_empty {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a transfer was ended by the limit of its files: what it was writing has just that length.
pub(crate) fn has_reached(repository: &Path, limit: u64) -> Result<bool, FileError> {
    Ok(packs(repository)?.iter().any(|path| path.metadata().is_ok_and(|data| data.len() >= limit)))
}

fn packs(repository: &Path) -> Result<Vec<PathBuf>, FileError> {
    let packs = repository.join("objects/pack");
    let failed = || FileError::at("read the directory", &packs);
    let entries = fs::read_dir(&packs).map_err(failed())?;
    entries.map(|entry| Ok(entry.map_err(failed())?.path())).collect()
}

impl Mirror {
    /// Whether contents may be missing here.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        find(&self.holder).is_some()
    }

    /// Sees that all is here that a session has which begins with this commit.
    pub(crate) async fn complete(&self, commit: &ObjectId, history: History) -> Result<(), MirrorError> {
        let Some(repository) = find(&self.holder) else { return Ok(()) };
        let depth = match history {
            History::Whole => "whole".to_owned(),
            History::Recent(generations) => generations.to_string(),
        };
        let known = repository.join(COMPLETE).join(format!("{commit}-{depth}"));
        if known.exists() {
            return Ok(());
        }
        let lock = Lock::take(&self.holder.join("lock"), LOCK_PATIENCE).await?;
        let missing = match history {
            History::Whole => missing(&self.git, &repository, &[commit.to_string()]).await?,
            History::Recent(generations) => self.missing_in_recent(&repository, commit, generations).await?,
        };
        self.fetch_contents(&repository, &missing, &lock).await?;
        make_directory(&repository.join(COMPLETE))?;
        Ok(write_file(&known, b"")?)
    }

    /// The same for what a commit has beyond another one.
    pub(crate) async fn complete_since(
        &self,
        known: &ObjectId,
        commit: &ObjectId,
    ) -> Result<(), MirrorError> {
        let Some(repository) = find(&self.holder) else { return Ok(()) };
        let lock = Lock::take(&self.holder.join("lock"), LOCK_PATIENCE).await?;
        let missing = missing(&self.git, &repository, &[commit.to_string(), format!("^{known}")]).await?;
        self.fetch_contents(&repository, &missing, &lock).await
    }

    /// What the last generations lack. Which commits those are git itself says: it makes a repository of them,
    /// again without contents.
    async fn missing_in_recent(
        &self,
        repository: &Path,
        commit: &ObjectId,
        generations: u32,
    ) -> Result<Vec<ObjectId>, MirrorError> {
        let skeleton = self.holder.join("skeleton.git");
        remove_directory(&skeleton)?;
        init(&self.git, &skeleton, if commit.is_sha256() { "sha256" } else { "sha1" }).await?;
        let call = self.git.at(&skeleton, "fetch").within(&self.holder).transport(Transport::File);
        let call = without_contents(call.time(SKELETON_TIME), PARTIAL);
        let call = call.args(["--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow"]);
        let call = call.arg(format!("--depth={generations}")).arg(self.git.upload_pack());
        call.arg(SOURCE).arg(format!("{commit}:refs/heads/base")).run().await?;
        let absent = missing(&self.git, &skeleton, &[commit.to_string()]).await?;
        remove_directory(&skeleton)?;
        let known = objects::look_up(&self.git, repository, &absent).await?;
        let lacking = absent.into_iter().zip(known).filter(|(_, known)| known.is_none());
        Ok(lacking.map(|(id, _)| id).collect())
    }

    /// Fetches objects by their names. The children of a killed one keep the lock, which they are given as
    /// what they write to: they write nothing there.
    async fn fetch_contents(
        &self,
        repository: &Path,
        missing: &[ObjectId],
        lock: &Lock,
    ) -> Result<(), MirrorError> {
        let wanted = self.holder.join("wanted");
        for names in missing.chunks(NAMES_AT_ONCE) {
            let names: String = names.iter().map(|name| format!("{name}\n")).collect();
            write_file(&wanted, names.as_bytes())?;
            self.transfer(|| {
                let names = File::open(&wanted).map_err(FileError::at("open", &wanted))?;
                let call = self.git.at(repository, "fetch").transport(self.transport()).time(FETCH_TIME);
                let call = without_contents(call, self.url()).setting("fetch.negotiationAlgorithm=noop");
                let call = call.input(Input::File(names)).output_to(lock.share()?);
                let call = call.args(["--quiet", "--no-tags", "--no-write-fetch-head", "--stdin"]);
                Ok(call.arg(SOURCE))
            })
            .await?;
        }
        Ok(())
    }
}

/// The objects that commits need, are not there, and are no commits or directories. Those that are missing
/// for another reason are named too: then fetching them fails, or brings them back.
async fn missing(git: &Git, repository: &Path, revisions: &[String]) -> Result<Vec<ObjectId>, MirrorError> {
    let call = git.at(repository, "rev-list").args(["--objects", "--missing=print", "--no-object-names"]);
    let output = call.args(revisions).output_limit(NAMES_LIMIT).time(SKELETON_TIME).run().await?;
    let lines = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"?"));
    let names = lines.map(|name| ObjectId::from_bytes(name).map_err(|_| output.unexpected(name)));
    Ok(names.collect::<Result<_, _>>()?)
}
