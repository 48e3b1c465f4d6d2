//! Git LFS: contents that a repository keeps outside of itself, and pointers in their place.
//!
//! No sandbox ever asks an LFS server for anything. The worker brings what a base has ([`Contents::bring`]) and lends it to the sandboxes that
//! want it; what came out of a sandbox it sends ([`Contents::send`]) before the branch is pushed. Both are the batch API with basic transfers,
//! asked where the repository itself is, with the credential of git's own transfers; a repository's `.lfsconfig` counts for nothing.
//!
//! What was brought lies on a [`LfsShelf`] beside the mirror, which has an organisation's own where that was read with its credential.

mod batch;
mod dial;
mod find;
mod pointer;
mod send;
mod shelf;
mod take;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use cofferdam_domain::{Digest, egress::Addresses};
use url::Url;

pub use self::{
    find::with_contents,
    pointer::LfsPointer,
    shelf::{Arriving, LfsShelf},
};
use crate::{
    Access, FileError, Git, GitError, LockError, RepositoryAddress, lock::Lock, mirror::LOCK_PATIENCE,
    remote::TalkError,
};

/// How long all contents of a repository may take to come. What is not there by then stays a pointer.
const TAKE_TIME: Duration = Duration::from_secs(20 * 60);

/// How much is taken of what Git LFS keeps, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LfsRules {
    /// Bytes of one content.
    pub largest: u64,
    /// Bytes of all contents of one repository.
    pub all: u64,
    /// Where contents may be that are not where the repository is.
    pub addresses: Addresses,
    /// How long a server may be silent.
    pub patience: Duration,
}

impl Default for LfsRules {
    fn default() -> Self {
        Self {
            largest: 256 << 20,
            all: 2 << 30,
            addresses: Addresses::Public,
            patience: Duration::from_secs(60),
        }
    }
}

/// Why contents could not be brought or sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LfsError {
    /// The server cannot be reached, is overloaded or broken.
    #[error("the LFS server of {address} does not answer as it should: {reason}")]
    ForNow {
        /// The repository.
        address: String,
        /// Why, in a few words.
        reason: String,
    },
    /// It does not take what was changed.
    #[error(
        "the LFS server of {address} does not take what was changed: {reason}; see that the configured account may write there and that its quota is not \
         used up, or take the path out of LFS, then write to the session"
    )]
    NotTaken {
        /// The repository.
        address: String,
        /// Why, in its words, made visible and bounded.
        reason: String,
    },
    /// What a change points to is not here.
    #[error(
        "{content}, which Git LFS is to keep, is not on this machine: it came out of a sandbox on another one, and was too large to be kept for all; write to \
         the session to have it made again"
    )]
    Lost {
        /// The content.
        content: Digest,
    },
    /// There is no client.
    #[error("no HTTP client could be made for the LFS server of {address}")]
    Client {
        /// The repository.
        address: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// Its forge could not be asked for a credential.
    #[error(transparent)]
    Talk(#[from] TalkError),
    /// Git could not be run.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file of ours could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process is bringing the same.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl LfsError {
    /// Whether it stays so until a person does something about it.
    #[must_use]
    pub const fn needs_a_person(&self) -> bool {
        match self {
            Self::NotTaken { .. } | Self::Lost { .. } => true,
            Self::Talk(error) => error.needs_a_person(),
            Self::ForNow { .. } | Self::Client { .. } | Self::Git(_) | Self::File(_) | Self::Lock(_) => false,
        }
    }
}

/// The contents of one repository.
#[derive(Debug, Clone)]
pub struct Contents {
    git: Git,
    address: RepositoryAddress,
    access: Option<Access>,
    /// Whose they are, in file names.
    key: String,
    shelf: LfsShelf,
    rules: LfsRules,
    /// Bytes of all that is brought at once.
    most: u64,
}

/// What became of contents that were wanted.
#[derive(Debug, Default)]
pub struct Brought {
    /// They are here.
    pub here: BTreeSet<LfsPointer>,
    /// They are not, and why.
    pub lacking: BTreeMap<LfsPointer, String>,
}

/// Where contents come from and go to.
enum Place {
    /// A repository on this machine: its common git directory.
    Here(PathBuf),
    /// The LFS server of a repository behind http or https.
    Server(Url),
    /// A repository of which nobody knows where its server is.
    Unknown,
}

impl Contents {
    pub(crate) fn new(
        git: &Git,
        address: &RepositoryAddress,
        access: Option<Access>,
        holder: (&str, &Path),
        rules: &LfsRules,
    ) -> Self {
        Self {
            git: git.clone(),
            address: address.clone(),
            access,
            key: holder.0.to_owned(),
            shelf: LfsShelf::new(holder.1.join("lfs")),
            rules: rules.clone(),
            most: rules.all,
        }
    }

    /// The same where no more than so many bytes are brought at once: what a session has of others counts as well.
    #[must_use]
    pub fn within(self, most: u64) -> Self {
        let most = self.most.min(most);
        Self { most, ..self }
    }

    /// Names whose they are: the organisation's own where they are read with its credential.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Brings contents to a shelf of their own, as far as they can be had and are not too many: those that are on the shelf `made` from there,
    /// all others from this repository's shelf or its server.
    ///
    /// # Errors
    /// When the server does not answer at all, or a file cannot be written. What is only missing is no error.
    pub async fn bring(
        &self,
        wanted: &[LfsPointer],
        made: Option<&LfsShelf>,
        to: &LfsShelf,
    ) -> Result<Brought, LfsError> {
        let mut brought = Brought::default();
        let (mut seen, mut asked) = (BTreeSet::new(), Vec::new());
        let mut bytes: u64 = 0;
        for pointer in wanted {
            // Several files may have the same content.
            if !seen.insert(pointer) {
                continue;
            }
            if let Some(made) = made
                && to.share(made, pointer)?
            {
                brought.here.insert(*pointer);
                continue;
            }
            let sum = bytes.saturating_add(pointer.size);
            match self.too_much(pointer, sum) {
                Some(why) => drop(brought.lacking.insert(*pointer, why)),
                None => {
                    bytes = sum;
                    asked.push(*pointer);
                }
            }
        }
        if asked.is_empty() {
            return Ok(brought);
        }
        let _lock = self.lock().await?;
        let missing: Vec<LfsPointer> =
            asked.iter().filter(|pointer| !self.shelf.has(pointer)).copied().collect();
        let coming = missing.iter().map(|pointer| pointer.size).sum();
        let names: BTreeSet<String> = asked.iter().map(|pointer| pointer.content.hex()).collect();
        self.shelf.make_room(self.rules.all.saturating_sub(coming), |name| names.contains(name))?;
        let mut reasons = match tokio::time::timeout(TAKE_TIME, self.take(&missing)).await {
            Ok(reasons) => reasons?,
            Err(_) => {
                let why = format!("it took longer than {} minutes", TAKE_TIME.as_secs() / 60);
                missing.iter().map(|pointer| (*pointer, why.clone())).collect()
            }
        };
        for pointer in asked {
            if to.share(&self.shelf, &pointer)? {
                brought.here.insert(pointer);
            } else {
                let why =
                    reasons.remove(&pointer).unwrap_or_else(|| "its server does not have it".to_owned());
                brought.lacking.insert(pointer, why);
            }
        }
        Ok(brought)
    }

    fn too_much(&self, pointer: &LfsPointer, sum: u64) -> Option<String> {
        let LfsRules { largest, all, .. } = &self.rules;
        if pointer.size > *largest {
            return Some(format!(
                "it has {} bytes, and [repositories.lfs] `largest` is {largest}",
                pointer.size
            ));
        }
        (sum > self.most)
            .then(|| format!("together they have more bytes than [repositories.lfs] `all`, {all}"))
    }

    /// Only one process at a time brings or keeps what is a repository's.
    async fn lock(&self) -> Result<Lock, LfsError> {
        crate::durable::make_directory(self.shelf.path())?;
        Ok(Lock::take(&self.shelf.path().join("lock"), LOCK_PATIENCE).await?)
    }

    async fn place(&self) -> Result<Place, LfsError> {
        let url = match (&self.access, &self.address) {
            (Some(access), _) => access.url(),
            (None, RepositoryAddress::Remote(remote)) => remote.url(),
            (None, RepositoryAddress::Local(local)) => {
                let asked = ["--path-format=absolute", "--git-common-dir"];
                let output = self.git.at(local.git_directory(), "rev-parse").args(asked).run().await?;
                let text = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
                return Ok(Place::Here(text.into()));
            }
        };
        Ok(endpoint(url).map_or(Place::Unknown, Place::Server))
    }

    fn for_now(&self, reason: impl Into<String>) -> LfsError {
        LfsError::ForNow { address: self.address.to_string(), reason: reason.into() }
    }
}

/// The server of a repository that is behind http or https ("Server Discovery":
/// <https://github.com/git-lfs/git-lfs/blob/main/docs/api/server-discovery.md>).
fn endpoint(url: &str) -> Option<Url> {
    let mut url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let path = url.path().trim_end_matches('/');
    let dot_git = if path.ends_with(".git") { "" } else { ".git" };
    let path = format!("{path}{dot_git}/info/lfs");
    url.set_path(&path);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_found_by_the_repository() {
        for (url, server) in [
            ("https://git.example.org/a/b", Some("https://git.example.org/a/b.git/info/lfs")),
            ("https://git.example.org/a/b.git", Some("https://git.example.org/a/b.git/info/lfs")),
            ("http://127.0.0.1:3000/a/b.git/", Some("http://127.0.0.1:3000/a/b.git/info/lfs")),
            ("ssh://git@git.example.org/a/b.git", None),
            ("git@git.example.org:a/b.git", None),
        ] {
            assert_eq!(endpoint(url).as_ref().map(Url::as_str), server, "{url}");
        }
    }
}
