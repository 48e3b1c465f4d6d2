//! Mirrors: bare copies of repositories, kept up to date, one directory for each address; where a repository is
//! read with an organisation's credential, one for each organisation.
//!
//! A mirror has the source's branches and tags and its `HEAD`, nothing else; of a large one without the contents that nobody
//! needed (`partial.rs`). It is written under a lock that
//! a killed update's surviving children keep until they have ended; whoever has the lock may therefore remove
//! what a killed update left behind.

mod offered;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Access, Contents, FileError, Git, GitError, LfsRules, LockError, ObjectId, RepositoryAddress,
    access::is_denial,
    call::{Call, Input, Output, Transport},
    durable::{make_directory, publish_directory, remove_directory, remove_file},
    lock::Lock,
    objects,
    partial::{self, SOURCE, checked, without_contents},
    remote::TalkError,
    submodules::SubmoduleRules,
};

/// A first clone over the network may take this long.
pub(crate) const FETCH_TIME: Duration = Duration::from_secs(30 * 60);
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_secs(31 * 60);

/// Where the source's `HEAD` is kept when it is on no branch.
pub(crate) const DETACHED_HEAD: &str = "refs/cofferdam/head";

/// Flaws of old, published history that harm nobody: git's own names for them (git-fsck(1)). Everything else
/// that fsck holds for an error is refused on its way in, above all names that another system takes for
/// `.git`.
pub(crate) const HARMLESS_FLAWS: &[&str] = &[
    "badDate",
    "badDateOverflow",
    "badEmail",
    "badName",
    "badTagName",
    "badTimezone",
    "extraHeaderEntry",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "missingTaggerEntry",
    "nulInCommit",
    "zeroPaddedDate",
    "zeroPaddedFilemode",
];

/// What git and ssh say when a server wants to know who asks.
pub(crate) const DENIALS: &[&str] =
    &["could not read Username", "Authentication failed", "Permission denied (", "terminal prompts disabled"];

/// Why a repository could not be mirrored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// It wants to know who asks.
    #[error(
        "{address} refused access: for a private repository use an ssh:// URL with a key in your ssh agent, or give the path of a local clone"
    )]
    Denied {
        /// Where it is.
        address: String,
        /// What git said.
        #[source]
        source: GitError,
    },
    /// Its forge does not let the configured account in.
    #[error(
        "{forge} does not let its configured account read {address}: see that the token is valid and may read this repository (`token` or `app` in the forge's [[forge]] table), then try again"
    )]
    Refused {
        /// Where it is.
        address: String,
        /// The forge's name in the configuration.
        forge: String,
        /// What git said.
        #[source]
        source: Box<GitError>,
    },
    /// Its forge could not be asked for a credential.
    #[error(transparent)]
    Talk(#[from] TalkError),
    /// It has an object that git's own checks hold for damaged or dangerous.
    #[error(
        "{address} has a dangerous object in its history: {flaw}; `git fsck` shows it, and it has to leave all branches and tags before the repository can be worked on"
    )]
    Dangerous {
        /// Where it is.
        address: String,
        /// The object, git's name for the check, and what git says about it.
        flaw: String,
    },
    /// It could not be fetched.
    #[error("failed to fetch {address}: see that the address is right and can be reached from this machine")]
    Fetch {
        /// Where it is.
        address: String,
        /// What git said.
        #[source]
        source: GitError,
    },
    /// It has only some of its objects.
    #[error(
        "{address} is a partial clone, without all of its objects: give a clone that was made without --filter"
    )]
    PartialClone {
        /// Where it is.
        address: String,
    },
    /// It does not have the head of a pull request any more.
    #[error(
        "{address} does not have the commit {commit} any more: it was replaced since; ask once more for what is there now"
    )]
    Gone {
        /// Where it was.
        address: String,
        /// The commit.
        commit: String,
    },
    /// A pull request and the branch that it is meant for have no commit in common.
    #[error(
        "the pull request has no commit in common with the branch of {address} that it is meant for: rebase it there, then ask once more"
    )]
    Unrelated {
        /// Where it is.
        address: String,
    },
    /// Git could not be run in the mirror.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The mirror's directory could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The mirror is being updated by another process.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// All mirrors, in one directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mirrors {
    git: Git,
    directory: PathBuf,
    whole_up_to: u64,
    lfs: LfsRules,
    submodules: SubmoduleRules,
}

/// A mirror that was up to date when it was made.
#[derive(Debug, Clone)]
pub struct Mirror {
    pub(crate) git: Git,
    pub(crate) holder: PathBuf,
    pub(crate) address: RepositoryAddress,
    access: Option<Access>,
    whole_up_to: u64,
}

impl Mirrors {
    /// Bytes up to which first copies are whole, where nothing else is said.
    pub const WHOLE_UP_TO: u64 = partial::WHOLE_UP_TO;

    /// The mirrors in `directory` (absolute), which is made when it is first needed.
    #[must_use]
    pub fn new(git: Git, directory: impl Into<PathBuf>) -> Self {
        Self {
            git,
            directory: directory.into(),
            whole_up_to: Self::WHOLE_UP_TO,
            lfs: LfsRules::default(),
            submodules: SubmoduleRules::default(),
        }
    }

    /// Of repositories behind the network whose first copy would have more bytes than this, only those contents are
    /// fetched that sessions need; 256 MiB by default. With 0 it is so with all of them.
    #[must_use]
    pub fn whole_up_to(self, bytes: u64) -> Self {
        Self { whole_up_to: bytes, ..self }
    }

    /// How much is taken of what Git LFS keeps.
    #[must_use]
    pub fn lfs(self, lfs: LfsRules) -> Self {
        Self { lfs, ..self }
    }

    /// How much is taken of what Git LFS keeps.
    #[must_use]
    pub const fn lfs_rules(&self) -> &LfsRules {
        &self.lfs
    }

    /// How much is brought of submodules, and from where.
    #[must_use]
    pub fn submodules(self, submodules: SubmoduleRules) -> Self {
        Self { submodules, ..self }
    }

    /// How much is brought of submodules, and from where.
    #[must_use]
    pub const fn submodule_rules(&self) -> &SubmoduleRules {
        &self.submodules
    }

    /// What Git LFS keeps of a repository. It is kept beside its mirror, and whose the mirror is, that is whose it is.
    #[must_use]
    pub fn contents(&self, address: &RepositoryAddress, access: Option<Access>) -> Contents {
        let key = access.as_ref().map_or_else(|| address.key(), Access::key);
        let holder = self.directory.join(&key);
        Contents::new(&self.git, address, access, (&key, &holder), &self.lfs)
    }

    /// The mirror of `address`, made or brought up to date.
    ///
    /// # Errors
    /// [`MirrorError`]. A mirror that an earlier update made stays as it was.
    pub async fn update(&self, address: &RepositoryAddress) -> Result<Mirror, MirrorError> {
        self.update_with(address, None).await
    }

    /// The same for a repository of a configured forge, which is read as the account that is configured. Nobody but the organisation whose
    /// account that is gets this mirror.
    ///
    /// # Errors
    /// As [`Mirrors::update`].
    pub async fn update_with(
        &self,
        address: &RepositoryAddress,
        access: Option<Access>,
    ) -> Result<Mirror, MirrorError> {
        let key = access.as_ref().map_or_else(|| address.key(), Access::key);
        let mirror = Mirror {
            git: self.git.clone(),
            holder: self.directory.join(key),
            address: address.clone(),
            access,
            whole_up_to: self.whole_up_to,
        };
        make_directory(&mirror.holder)?;
        let lock = Lock::take(&mirror.holder.join("lock"), LOCK_PATIENCE).await?;
        mirror.clear_leftovers()?;
        if let RepositoryAddress::Local(local) = address {
            refuse_partial_clone(&self.git, local.git_directory(), address).await?;
        }
        let advertised = mirror.ask_source().await?;
        mirror.prepare(advertised.sha256).await?;
        mirror.fetch(&advertised, &lock).await?;
        mirror.set_head(&advertised).await?;
        Ok(mirror)
    }
}

/// What a source says about itself before anything is fetched.
#[derive(Debug, Default)]
struct Advertised {
    /// The branch that its `HEAD` is on, if that branch has a commit.
    branch: Option<String>,
    /// The commit that its `HEAD` is on, if it has one.
    head: Option<ObjectId>,
    sha256: bool,
}

/// A partial clone would run the program that its configuration names for fetching what it lacks (older
/// versions of git know no switch against that), and could not serve whole history anyway.
pub(crate) async fn refuse_partial_clone(
    git: &Git,
    repository: &Path,
    address: &RepositoryAddress,
) -> Result<(), MirrorError> {
    let pattern = r"^(extensions\.partialclone|remote\..*\.(promisor|partialclonefilter))$";
    let output =
        git.at(repository, "config").args(["--includes", "--get-regexp", pattern]).run_to_any_end().await?;
    match output.code {
        Some(0) => Err(MirrorError::PartialClone { address: address.to_string() }),
        Some(1) => Ok(()),
        Some(_) | None => Err(output.into_error().into()),
    }
}

impl Mirror {
    /// The bare repository. To be read only.
    pub(crate) fn repository(&self) -> PathBuf {
        partial::find(&self.holder).unwrap_or_else(|| self.holder.join("mirror.git"))
    }

    /// What it is a mirror of.
    #[must_use]
    pub fn address(&self) -> &RepositoryAddress {
        &self.address
    }

    /// Where its source is now: a path without links, or the URL at which its forge says that the repository is found, whatever it was called before.
    #[must_use]
    pub fn found_at(&self) -> String {
        match &self.access {
            Some(access) => access.url().to_owned(),
            None => self.address.to_string(),
        }
    }

    /// How it was read, where that took a configured forge's credential.
    #[must_use]
    pub const fn access(&self) -> Option<&Access> {
        self.access.as_ref()
    }

    /// Whether everybody on the internet may read it, as its forge says. Of what is on no configured forge nobody knows: an address in a company's
    /// network, or a key of whoever runs this, may be what it is read with.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.access.as_ref().is_some_and(Access::is_public)
    }

    /// Whether whoever reaches its forge may read it, as the forge says.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.access.as_ref().is_some_and(Access::is_shared)
    }

    /// Whether whoever reaches its forge may read it, while another one of that forge is for some of them only: what is in that one could get where
    /// all of them read it.
    #[must_use]
    pub fn is_shared_more_than(&self, other: Option<&Access>) -> bool {
        self.access.as_ref().is_some_and(Access::is_shared) && other.is_some_and(|other| !other.is_shared())
    }

    /// Whether the source has only the recent part of its history.
    pub(crate) fn is_shallow(&self) -> bool {
        self.repository().join("shallow").metadata().is_ok_and(|data| data.len() > 0)
    }

    fn source(&self) -> &std::ffi::OsStr {
        match &self.address {
            RepositoryAddress::Local(local) if self.access.is_none() => local.git_directory().as_os_str(),
            RepositoryAddress::Local(_) | RepositoryAddress::Remote(_) => self.url().as_ref(),
        }
    }

    /// Where it is behind the network; nothing if it is on this machine.
    pub(crate) fn url(&self) -> &str {
        match (&self.access, &self.address) {
            (Some(access), _) => access.url(),
            (None, RepositoryAddress::Remote(remote)) => remote.url(),
            (None, RepositoryAddress::Local(_)) => "",
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        match (&self.access, &self.address) {
            (Some(access), _) => access.transport(),
            (None, RepositoryAddress::Local(_)) => Transport::File,
            (None, RepositoryAddress::Remote(remote)) => remote.transport(),
        }
    }

    /// Options of a transfer from the source.
    fn transfer_options(&self) -> Option<std::ffi::OsString> {
        (self.transport() == Transport::File).then(|| self.git.upload_pack())
    }

    pub(crate) fn fetch_error(&self, source: GitError) -> MirrorError {
        let address = self.address.to_string();
        let said = source.to_string();
        if let Some(access) = &self.access
            && is_denial(&said)
        {
            return MirrorError::Refused {
                address,
                forge: access.forge().to_owned(),
                source: Box::new(source),
            };
        }
        if DENIALS.iter().any(|sign| said.contains(sign)) {
            return MirrorError::Denied { address, source };
        }
        // As `index-pack --strict` has it: "error: object <name>: <check>: <what is wrong>".
        let flaw =
            said.split_once("error: object ").map(|(_, flaws)| flaws.split(';').next().unwrap_or(flaws));
        match flaw.map(str::to_owned) {
            Some(flaw) => MirrorError::Dangerous { address, flaw },
            None => MirrorError::Fetch { address, source },
        }
    }

    /// An error of a copy on this machine, where that found an object to be dangerous.
    pub(crate) fn flaw(&self, error: MirrorError) -> MirrorError {
        let MirrorError::Git(source) = error else { return error };
        let found = self.fetch_error(source);
        if let MirrorError::Fetch { source, .. } = found { MirrorError::Git(source) } else { found }
    }

    /// Whether a commit is here.
    pub(crate) async fn has(&self, commit: &ObjectId) -> Result<bool, GitError> {
        Ok(objects::commit(&self.git, &self.repository(), commit.as_str()).await?.is_some())
    }

    async fn ask_source(&self) -> Result<Advertised, MirrorError> {
        let output = self
            .transfer(|| {
                let call = self.git.call("ls-remote").transport(self.transport()).arg("--symref");
                let call = call.args(self.transfer_options()).arg(self.source());
                Ok(call.args(["HEAD", "refs/heads/*"]).time(Duration::from_secs(120)))
            })
            .await?;
        let mut advertised = Advertised::default();
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = std::str::from_utf8(line).unwrap_or_default();
            match line.split_once('\t') {
                Some((target, "HEAD")) if target.starts_with("ref: refs/heads/") => {
                    advertised.branch = target.strip_prefix("ref: refs/heads/").map(str::to_owned);
                }
                Some((id, name)) => {
                    let id: Option<ObjectId> = id.parse().ok();
                    advertised.sha256 |= id.as_ref().is_some_and(ObjectId::is_sha256);
                    if name == "HEAD" {
                        advertised.head = id;
                    }
                }
                None => {}
            }
        }
        Ok(advertised)
    }

    /// Makes the bare repository, unless it is there in the same object format.
    async fn prepare(&self, sha256: bool) -> Result<(), MirrorError> {
        let repository = self.repository();
        let format = if sha256 { "sha256" } else { "sha1" };
        if repository.exists() {
            let asked = ["rev-parse", "--show-object-format"];
            let found = self.git.at(&repository, asked[0]).arg(asked[1]).run().await?;
            if found.stdout.trim_ascii() == format.as_bytes() {
                return Ok(());
            }
            remove_directory(&repository)?;
        }
        if self.whole_up_to == 0 && self.transport() != Transport::File {
            return partial::begin(&self.git, &self.holder, format).await;
        }
        let new = self.holder.join("mirror.new");
        remove_directory(&new)?;
        init(&self.git, &new, format).await?;
        Ok(publish_directory(&new, &self.holder.join("mirror.git"))?)
    }

    /// Runs a command that talks to the source.
    pub(crate) async fn transfer<'c>(
        &'c self,
        call: impl Fn() -> Result<Call<'c>, MirrorError>,
    ) -> Result<Output, MirrorError> {
        let output = match &self.access {
            Some(access) => access.run(call).await,
            None => call()?.run_to_any_end().await.map_err(MirrorError::Git),
        };
        match output {
            Ok(output) if output.code == Some(0) => Ok(output),
            Ok(output) => Err(self.fetch_error(output.into_error())),
            Err(MirrorError::Git(error)) => Err(self.fetch_error(error)),
            Err(error) => Err(error),
        }
    }

    /// Brings branches and tags up to date. A first copy that is too large to be whole is made again as a partial one.
    async fn fetch(&self, advertised: &Advertised, lock: &Lock) -> Result<(), MirrorError> {
        let repository = self.repository();
        let is_first =
            self.transport() != Transport::File && !self.is_partial() && partial::is_empty(&repository)?;
        let limit = is_first.then_some(self.whole_up_to);
        let result = self.transfer(|| self.fetching_all(&repository, advertised, lock, limit)).await;
        match (result, limit) {
            (Err(_), Some(limit)) if partial::has_reached(&repository, limit)? => {
                let format = if advertised.sha256 { "sha256" } else { "sha1" };
                partial::begin(&self.git, &self.holder, format).await?;
                let repository = self.repository();
                self.transfer(|| self.fetching_all(&repository, advertised, lock, None)).await?;
                Ok(())
            }
            (result, _) => result.map(drop),
        }
    }

    /// A fetch of all branches and tags, which writes no file of more bytes than `limit`.
    fn fetching_all<'c>(
        &'c self,
        repository: &'c Path,
        advertised: &Advertised,
        lock: &Lock,
        limit: Option<u64>,
    ) -> Result<Call<'c>, MirrorError> {
        let mut call = self.fetching(repository, lock)?.arg("--prune");
        if let Some(limit) = limit {
            // Few objects would be unpacked into a file each.
            call = call.largest_file(limit).setting("fetch.unpackLimit=1");
        }
        if self.is_shallow() {
            // Whatever history the source has gained since; none is fine too.
            call = call.arg("--unshallow");
        }
        call = self.with_source(call).args(["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
        if advertised.head.is_some() && advertised.branch.is_none() {
            call = call.arg(format!("+HEAD:{DETACHED_HEAD}"));
        }
        Ok(call)
    }

    /// A fetch into the mirror, as yet of nothing.
    fn fetching<'c>(&'c self, repository: &'c Path, lock: &Lock) -> Result<Call<'c>, MirrorError> {
        let call = self.git.at(repository, "fetch").transport(self.transport()).time(FETCH_TIME);
        let call = if self.is_partial() { without_contents(call, self.url()) } else { checked(call) };
        let options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow"];
        Ok(call.input(Input::File(lock.share()?)).args(options))
    }

    /// The source as the operand of a fetch.
    fn with_source<'c>(&self, call: Call<'c>) -> Call<'c> {
        let call = call.args(self.transfer_options());
        if self.is_partial() { call.arg(SOURCE) } else { call.arg(self.source()) }
    }

    /// Makes the mirror's `HEAD` what the source's is: on a branch, or on no branch and kept as a reference
    /// of its own.
    async fn set_head(&self, advertised: &Advertised) -> Result<(), MirrorError> {
        let repository = self.repository();
        let target = match (&advertised.branch, &advertised.head) {
            (Some(branch), _) => format!("refs/heads/{branch}"),
            (None, Some(_)) => DETACHED_HEAD.to_owned(),
            // An unborn branch: a name that no branch can have.
            (None, None) => "refs/cofferdam/none".to_owned(),
        };
        self.git.at(&repository, "symbolic-ref").args(["HEAD", &target]).run().await?;
        Ok(())
    }

    /// Removes what an update that was killed left behind. The lock is held, so nobody is still writing.
    fn clear_leftovers(&self) -> Result<(), MirrorError> {
        let repository = self.repository();
        if !repository.exists() {
            return Ok(());
        }
        if self.is_partial() {
            remove_directory(&self.holder.join("mirror.git"))?;
        }
        let objects = repository.join("objects");
        for directory in [repository.clone(), objects.clone(), objects.join("pack")] {
            for entry in entries(&directory)? {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.starts_with("tmp_") || name.starts_with(".tmp-") || name.ends_with(".lock") {
                    let path = entry.path();
                    if path.is_dir() { remove_directory(&path)? } else { remove_file(&path)? }
                }
            }
        }
        Ok(remove_lock_files(&repository.join("refs"))?)
    }
}

fn entries(directory: &Path) -> Result<Vec<fs::DirEntry>, FileError> {
    let read = || fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>();
    read().map_err(FileError::at("read the directory", directory))
}

/// References are few directories deep: git refuses longer names than the file system has.
fn remove_lock_files(directory: &Path) -> Result<(), FileError> {
    for entry in entries(directory)? {
        let path = entry.path();
        if path.is_dir() {
            remove_lock_files(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Makes an empty bare repository of ours.
pub(crate) async fn init(git: &Git, path: &Path, format: &str) -> Result<(), GitError> {
    let call = git.call("init").args(["--quiet", "--bare", "--template=", "--initial-branch=none"]);
    call.arg(format!("--object-format={format}")).arg(path).run().await?;
    Ok(())
}
