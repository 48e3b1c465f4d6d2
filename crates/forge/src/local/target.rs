//! The repository that a branch goes to, and the few commands that write it: `index-pack` adds objects,
//! `update-ref` moves one reference.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use cofferdam_domain::hidden::visible;

use crate::{
    FileError, Git, GitError, ObjectId, PublishError, RepositoryAddress,
    call::Input,
    durable::{make_directory, publish_directory, remove_directory, remove_file},
    mirror::{init, refuse_partial_clone},
    objects,
};

/// The repository that a branch goes to.
#[derive(Debug)]
pub(super) struct Target {
    git: Git,
    /// Its git directory.
    pub(super) path: PathBuf,
    /// The git directory that all its work trees share: objects and references are there.
    pub(super) common: PathBuf,
    /// Where a person would run git in it.
    pub(super) root: PathBuf,
    /// Whether it is the forge's own.
    own: bool,
}

impl Target {
    /// The repository for an address: itself if it is on this machine, else one of the forge's own, made if
    /// it is not there.
    pub(super) async fn prepare(
        git: &Git,
        directory: &Path,
        address: &RepositoryAddress,
    ) -> Result<Self, PublishError> {
        match address {
            RepositoryAddress::Local(local) => {
                refuse_partial_clone(git, local.git_directory(), address).await?;
                let path = local.git_directory().to_owned();
                let asked = ["--path-format=absolute", "--git-common-dir"];
                let output = git.at(&path, "rev-parse").args(asked).run().await?;
                let text = String::from_utf8(output.stdout.clone())
                    .map_err(|_| output.unexpected(&output.stdout))?;
                let common = PathBuf::from(text.trim_end_matches('\n'));
                Ok(Self { git: git.clone(), path, common, root: local.root().to_owned(), own: false })
            }
            RepositoryAddress::Remote(_) => {
                let path = super::own_repository(directory, address);
                Ok(Self { git: git.clone(), root: path.clone(), common: path.clone(), path, own: true })
            }
        }
    }

    /// What a reference is at, if it is there.
    pub(super) async fn reference(&self, name: &str) -> Result<Option<ObjectId>, GitError> {
        if self.own && !self.path.exists() {
            return Ok(None);
        }
        let call = self.git.at(&self.path, "for-each-ref").arg("--format=%(objectname) %(refname)");
        let output = call.arg(name).run().await?;
        // The pattern also matches references below it.
        let mut found = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| {
            let (id, its_name) = std::str::from_utf8(line).ok()?.split_once(' ')?;
            (its_name == name).then(|| id.parse().map_err(|_| output.unexpected(line)))
        });
        found.next().transpose()
    }

    /// Refuses a repository in which `refs/heads/cofferdam` is a branch: git keeps references like files, and
    /// it is no directory then.
    pub(super) async fn refuse_taken_name(&self) -> Result<(), PublishError> {
        if self.own && !self.path.exists() {
            return Ok(());
        }
        let call = self.git.at(&self.path, "show-ref").args(["--verify", "--quiet", "refs/heads/cofferdam"]);
        if call.run_to_any_end().await?.code == Some(0) {
            return Err(PublishError::NameTaken { name: "cofferdam".into() });
        }
        Ok(())
    }

    /// The work tree in which a branch is checked out, if it is in one.
    pub(super) async fn checked_out(&self, reference: &str) -> Result<Option<String>, GitError> {
        if self.own {
            return Ok(None);
        }
        let output = self.git.at(&self.path, "worktree").args(["list", "--porcelain", "-z"]).run().await?;
        let mut place = String::new();
        let wanted = format!("branch {reference}");
        for line in output.stdout.split(|byte| *byte == 0) {
            if line == b"bare" {
                place.clear();
            } else if let Some(path) = line.strip_prefix(b"worktree ") {
                place = visible(path);
            } else if line == wanted.as_bytes() && !place.is_empty() {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Copies a commit and all that it needs and the repository lacks out of `from`. The commit was vetted
    /// there.
    pub(super) async fn take_objects(
        &self,
        directory: &Path,
        from: &Path,
        base: &ObjectId,
        commit: &ObjectId,
    ) -> Result<(), PublishError> {
        self.make_own(from, commit).await?;
        let has_base = objects::commit(&self.git, &self.path, base.as_str()).await?.is_some();
        let shallow = from.join("shallow");
        if !has_base && shallow.exists() {
            if !self.own {
                return Err(PublishError::BaseGone(base.to_string()));
            }
            fs::copy(&shallow, self.path.join("shallow")).map_err(FileError::at("copy", &shallow))?;
        }
        let wanted = if has_base { format!("{commit}\n^{base}\n") } else { format!("{commit}\n") };
        let pack = directory.join("outgoing.pack");
        remove_file(&pack)?;
        let file = File::create(&pack).map_err(FileError::at("make", &pack))?;
        let call =
            self.git.at(from, "pack-objects").args(["--revs", "--stdout", "--quiet", "--delta-base-offset"]);
        call.input(Input::Bytes(wanted.into_bytes())).output_to(file).run().await?;
        let file = File::open(&pack).map_err(FileError::at("open", &pack))?;
        self.git
            .at(&self.path, "index-pack")
            .arg("--stdin")
            .input(Input::File(file))
            .finishes()
            .run()
            .await?;
        Ok(remove_file(&pack)?)
    }

    /// Makes the forge's own repository, if this is one and it is not there.
    async fn make_own(&self, from: &Path, commit: &ObjectId) -> Result<(), PublishError> {
        if !self.own || self.path.exists() {
            return Ok(());
        }
        debug_assert!(from.is_absolute());
        let new = self.path.with_extension("new");
        remove_directory(&new)?;
        if let Some(parent) = self.path.parent() {
            make_directory(parent)?;
        }
        init(&self.git, &new, if commit.is_sha256() { "sha256" } else { "sha1" }).await?;
        Ok(publish_directory(&new, &self.path)?)
    }

    /// Moves a reference from `old` (nothing, if `None`) to `new`, or fails if it is no longer there.
    pub(super) async fn set_reference(
        &self,
        name: &str,
        new: &ObjectId,
        old: Option<&ObjectId>,
    ) -> Result<(), PublishError> {
        if self.own || name.starts_with("refs/heads/cofferdam/") {
            // Nobody but the holder of the forge's lock writes this reference: what locks it is left from
            // before a crash of the machine.
            remove_file(&self.common.join(format!("{name}.lock")))?;
        }
        let command = match old {
            Some(old) => format!("update {name}\0{new}\0{old}\0"),
            None => format!("create {name}\0{new}\0"),
        };
        let call = self.git.at(&self.path, "update-ref").args(["--stdin", "-z", "--no-deref"]);
        let output = call.input(Input::Bytes(command.into_bytes())).finishes().run_to_any_end().await?;
        if output.code == Some(0) {
            return Ok(());
        }
        if self.reference(name).await?.as_ref() == old {
            return Err(output.into_error().into());
        }
        Err(PublishError::Raced { reference: name.to_owned() })
    }

    /// In a repository of the forge's own: makes the base branch, so that there is something to merge into.
    pub(super) async fn ensure_base(&self, branch: &str, commit: &ObjectId) -> Result<(), PublishError> {
        let reference = format!("refs/heads/{branch}");
        if !self.own || self.reference(&reference).await?.is_some() {
            return Ok(());
        }
        self.set_reference(&reference, commit, None).await
    }
}
