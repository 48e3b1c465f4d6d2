//! Submodules: the commits of other repositories that a tree has in it, and what `.gitmodules` says of where those repositories are.
//!
//! All of it is somebody's text, and it is only read here. The file is parsed by git's own parser, from the object, as data: nothing that it
//! names is run (`update = !command`) or followed. A path counts where the tree itself has a submodule at exactly that path, so it can lead
//! nowhere else. A URL says where to ask, and whether that is asked is for [`SubmoduleRules`] to say: it is never a path on this machine, and
//! no transport but https and ssh. A name finds nothing but a copy that a repository on this machine has inside its own git directory.

mod modules;
mod place;

use std::path::Path;

use cofferdam_domain::hidden::visible;

use crate::{Base, GitError, LocalRepository, Mirror, MirrorError, ObjectId, ResolveError};

pub use place::{InvalidBeginning, SubmoduleRules, SubmoduleSource, joined as joined_url};

/// Submodules of one tree that are looked at. Of more, only the number is known.
pub(crate) const MOST_LINKS: usize = 1_000;
/// Bytes of a `.gitmodules` that is read.
const LARGEST_FILE: u64 = 256 << 10;
/// The file.
const FILE: &str = ".gitmodules";

/// A submodule as a tree has it: where, and at which commit. The path is bytes of somebody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gitlink {
    pub(crate) path: Vec<u8>,
    pub(crate) commit: ObjectId,
}

/// A submodule of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSubmodule {
    /// Where it is in the tree; made visible, where it is no path to be used.
    pub path: String,
    /// Its commit.
    pub commit: ObjectId,
    /// What `.gitmodules` says of it, or why that is of no use, in words for people.
    pub named: Result<ModuleName, String>,
}

/// What `.gitmodules` says of a submodule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleName {
    /// What it is called there.
    pub name: String,
    /// Where its repository is. A relative one has been put together with the URL of the repository that names it, if that has one.
    pub url: String,
}

impl Mirror {
    /// The submodules of a base, as far as they are looked at, by their paths.
    ///
    /// # Errors
    /// When git cannot be run in the mirror.
    pub async fn submodules(&self, base: &Base) -> Result<Vec<NamedSubmodule>, GitError> {
        if base.gitlinks.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.gitmodules(&base.tree).await?;
        let modules = entries.as_deref().map(modules::read).map_err(|why| *why);
        let named = |link: &Gitlink| {
            let path = modules::path(&link.path);
            let named = match (&path, &modules) {
                (Err(why), _) | (_, Err(why)) => Err((*why).to_owned()),
                (Ok(path), Ok(modules)) => modules.named(path),
            };
            let named = named.map(|found| ModuleName { url: joined_url(self.url(), &found.url), ..found });
            let path = path.map_or_else(|_| visible(&link.path), str::to_owned);
            NamedSubmodule { path, commit: link.commit.clone(), named }
        };
        Ok(base.gitlinks.iter().map(named).collect())
    }

    /// The entries of `.gitmodules` as git reads them, each ended by a NUL; why there are none to be used, for people.
    async fn gitmodules(&self, tree: &ObjectId) -> Result<Result<Vec<u8>, &'static str>, GitError> {
        let found = self.files_at(tree, &[FILE.to_owned()]).await?;
        let Some(file) = found.first() else { return Ok(Err("the repository has no .gitmodules")) };
        if file.link {
            return Ok(Err("its .gitmodules is a symbolic link"));
        }
        if file.size > LARGEST_FILE {
            return Ok(Err("its .gitmodules is too large to be read"));
        }
        let repository = self.repository();
        let call = self.git.at(&repository, "config").args(["--no-includes", "--null", "--list", "--blob"]);
        let output = call.arg(&file.id).run_to_any_end().await?;
        Ok(match output.code {
            Some(0) => Ok(output.stdout),
            Some(_) | None => Err("its .gitmodules is not as git wants it"),
        })
    }

    /// Brings a commit that no branch or tag of the source leads to any more, where the source gives it by its name.
    ///
    /// # Errors
    /// [`MirrorError::Gone`] when it does not.
    pub async fn bring_commit(&self, commit: &ObjectId) -> Result<(), MirrorError> {
        if self.has(commit).await? { Ok(()) } else { self.bring_by_name(commit).await }
    }

    /// Exactly this commit as a base, whatever branches are called.
    ///
    /// # Errors
    /// [`ResolveError`] when it is not there.
    pub async fn resolve_commit(&self, commit: &ObjectId) -> Result<Base, ResolveError> {
        let base = self.resolve(Some(commit.as_str())).await?;
        if base.commit == *commit {
            return Ok(base);
        }
        let (name, repository) = (commit.to_string(), self.address.to_string());
        Err(ResolveError::Unknown { name, repository, nearest: Vec::new() })
    }
}

impl LocalRepository {
    /// Where this repository would have its own copy of the submodule with this name (gitrepository-layout(5), `modules`). Whoever works in it
    /// has made that copy, with rights of their own. `None` where it has none, or the name leads out of there.
    #[must_use]
    pub fn copy_of(&self, name: &str) -> Option<String> {
        let modules = self.git_directory().join("modules").canonicalize().ok()?;
        modules::path(name.as_bytes()).ok()?;
        let copy = modules.join(name).canonicalize().ok()?;
        let inside = copy.starts_with(&modules) && copy != modules && is_repository(&copy);
        if inside { copy.to_str().map(str::to_owned) } else { None }
    }
}

fn is_repository(path: &Path) -> bool {
    path.join("objects").is_dir() && path.join("HEAD").is_file()
}
