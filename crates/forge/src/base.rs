//! From what a user calls the base to one commit, with what is worth knowing about it.

use cofferdam_domain::{amount::counted, event::Repository, hidden::visible};

use crate::{
    GitError, Mirror, MirrorError, ObjectId, RepositoryAddress,
    advice::TreeFile,
    mirror::DETACHED_HEAD,
    objects::{self, ObjectKind},
    submodules::{Gitlink, MOST_LINKS},
    working_copy,
};

/// Histories up to this many commits go into a sandbox whole.
const WHOLE_HISTORY: usize = 2_000;
/// Of longer ones, this many generations.
const RECENT_HISTORY: u32 = 200;
/// From here on a repository is called large.
const MANY_FILES: u64 = 20_000;
/// Trees with more output than this are not listed: about two million files, or a tree built to explode.
pub(crate) const LISTING_LIMIT: u64 = 256 << 20;
/// Files of which it is looked at whether they advise agents: a folder may be called `skills` and be something else.
const MOST_ADVICE: usize = 8_192;

/// The commit that a session starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The commit.
    pub commit: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// The branch that a pull request will be meant for.
    pub branch: String,
    /// Files in the tree.
    pub files: u64,
    /// How much history a sandbox will have.
    pub history: History,
    /// What is worth knowing about the repository, for people and for the agent.
    pub notes: Vec<String>,
    /// Its files that may advise agents, by their paths.
    pub advice: Vec<TreeFile>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its submodules, as far as they are looked at.
    pub gitlinks: Vec<Gitlink>,
    /// How many submodules it has.
    pub submodules: u64,
}

impl From<&Base> for Repository {
    fn from(base: &Base) -> Self {
        Self {
            base_commit: base.commit.to_string(),
            base_tree: base.tree.to_string(),
            base_branch: base.branch.clone(),
            notes: base.notes.clone(),
            cones: Vec::new(),
            contents: None,
            submodules: Vec::new(),
            tests: None,
            public: false,
            shared: false,
        }
    }
}

/// How much of the base's history goes into a sandbox.
///
/// Agents read history (`git log`, `git blame`), so they get all of it where that is cheap. A seed has only
/// what the base reaches and shares no file with the mirror, so its cost is a copy; past a few thousand
/// commits that is minutes and gigabytes for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// All that the mirror has.
    Whole,
    /// The last generations, as a shallow repository.
    Recent(u32),
}

/// Why there is no base.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The repository has nothing in it.
    #[error("{repository} has no commits yet: make a first commit and try again")]
    Empty {
        /// Where it is.
        repository: String,
    },
    /// No base was named and the repository's own default has no commit.
    #[error("{repository} has no default branch with a commit: name a base{}", suggestion(.branches))]
    NoDefault {
        /// Where it is.
        repository: String,
        /// Branches that it has.
        branches: Vec<String>,
    },
    /// The name stands for nothing.
    #[error("{name:?} is no branch, tag or commit that a branch or tag of {repository} leads to{}", suggestion(.nearest))]
    Unknown {
        /// What was asked for, made visible.
        name: String,
        /// Where.
        repository: String,
        /// Names that look like it.
        nearest: Vec<String>,
    },
    /// The name stands for several commits.
    #[error("{name:?} is the beginning of several object names: give more digits")]
    Ambiguous {
        /// What was asked for.
        name: String,
    },
    /// The name stands for a file or tree.
    #[error("{name:?} is not a commit but a {kind}: name a branch, a tag or a commit")]
    NotACommit {
        /// What was asked for.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// The contents of its files could not be fetched.
    #[error(transparent)]
    Contents(#[from] Box<MirrorError>),
    /// Git could not be run in the mirror.
    #[error(transparent)]
    Git(#[from] GitError),
}

fn suggestion(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" (did you mean {}?)", names.join(", ")) }
}

/// A branch or tag of the mirror.
#[derive(Debug, Clone)]
struct Reference {
    name: String,
    target: ObjectId,
}

impl Mirror {
    /// The base that `name` stands for: a branch, a tag, a whole or abbreviated commit name; the source's
    /// `HEAD` if `None`.
    ///
    /// # Errors
    /// [`ResolveError`], with the nearest names.
    pub async fn resolve(&self, name: Option<&str>) -> Result<Base, ResolveError> {
        let references = self.references().await?;
        if references.is_empty() {
            return Err(ResolveError::Empty { repository: self.address.to_string() });
        }
        let default = self.default_branch(&references).await?;
        let (commit, branch) = match name {
            None => self.resolve_default(&references, default.as_deref()).await?,
            Some(name) => {
                let found = self.find(&references, name).await?;
                let commit = self.peel(&found, name).await?;
                let branch = match found.name.strip_prefix("refs/heads/") {
                    Some(branch) => branch.to_owned(),
                    None => self.branch_for(&commit, default.as_deref()).await?,
                };
                (commit, branch)
            }
        };
        let tree = objects::tree(&self.git, &self.repository(), &commit).await?;
        let history = self.history(&commit).await?;
        self.complete(&commit, history).await.map_err(Box::new)?;
        let mut base = Base {
            commit,
            tree,
            branch,
            files: 0,
            history,
            notes: Vec::new(),
            advice: Vec::new(),
            bytes: 0,
            gitlinks: Vec::new(),
            submodules: 0,
        };
        self.describe(&mut base).await?;
        Ok(base)
    }

    async fn references(&self) -> Result<Vec<Reference>, GitError> {
        let repository = self.repository();
        let call = self.git.at(&repository, "for-each-ref").arg("--format=%(objectname) %(refname)");
        let output = call.run().await?;
        let mut references = Vec::new();
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // A branch whose name is not UTF-8 cannot be asked for and cannot be a pull request's base.
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let (target, name) = line.split_once(' ').ok_or_else(|| output.unexpected(line.as_bytes()))?;
            let target = target.parse().map_err(|_| output.unexpected(line.as_bytes()))?;
            references.push(Reference { name: name.to_owned(), target });
        }
        Ok(references)
    }

    /// The branch that the source's `HEAD` is on, if it has a commit.
    async fn default_branch(&self, references: &[Reference]) -> Result<Option<String>, GitError> {
        let repository = self.repository();
        let output = self.git.at(&repository, "symbolic-ref").arg("HEAD").run().await?;
        let target = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        let is_there = references.iter().any(|reference| reference.name == target);
        Ok(target.strip_prefix("refs/heads/").filter(|_| is_there).map(str::to_owned))
    }

    async fn resolve_default(
        &self,
        references: &[Reference],
        default: Option<&str>,
    ) -> Result<(ObjectId, String), ResolveError> {
        let name = default.map_or(DETACHED_HEAD.to_owned(), |branch| format!("refs/heads/{branch}"));
        let Some(found) = references.iter().find(|reference| reference.name == name) else {
            let branches = branches(references).take(3).map(str::to_owned).collect();
            return Err(ResolveError::NoDefault { repository: self.address.to_string(), branches });
        };
        let commit = self.peel(found, "HEAD").await?;
        let branch = match default {
            Some(branch) => branch.to_owned(),
            None => self.branch_for(&commit, None).await?,
        };
        Ok((commit, branch))
    }

    /// The reference or commit that a user means by `name`.
    async fn find(&self, references: &[Reference], name: &str) -> Result<Reference, ResolveError> {
        let is_name = |wanted: &str| references.iter().find(|reference| reference.name == wanted).cloned();
        let known = is_name(&format!("refs/heads/{name}"))
            .or_else(|| is_name(&format!("refs/tags/{name}")))
            .or_else(|| if name.starts_with("refs/") { is_name(name) } else { None });
        if let Some(found) = known {
            return Ok(found);
        }
        let unknown = || {
            let shown = visible(name.as_bytes()).chars().take(200).collect::<String>();
            let nearest = nearest(name, references);
            ResolveError::Unknown { name: shown, repository: self.address.to_string(), nearest }
        };
        let digits = name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits || !(4..=64).contains(&name.len()) {
            return Err(unknown());
        }
        let repository = self.repository();
        let asked = format!("{}\n", name.to_ascii_lowercase());
        let call = self.git.at(&repository, "cat-file").arg("--batch-check");
        let output = call.input(crate::call::Input::Bytes(asked.into_bytes())).run().await?;
        let answer = String::from_utf8_lossy(&output.stdout);
        match answer.split_whitespace().collect::<Vec<_>>()[..] {
            [_, "ambiguous"] => Err(ResolveError::Ambiguous { name: name.to_owned() }),
            [id, _, _] => {
                let target = id.parse().map_err(|_| output.unexpected(&output.stdout))?;
                Ok(Reference { name: String::new(), target })
            }
            _ => Err(unknown()),
        }
    }

    /// The commit behind a reference, through annotated tags.
    async fn peel(&self, found: &Reference, name: &str) -> Result<ObjectId, ResolveError> {
        let repository = self.repository();
        if let Some(commit) = objects::commit(&self.git, &repository, found.target.as_str()).await? {
            return Ok(commit);
        }
        let target = format!("{}^{{}}", found.target);
        let info = objects::look_up(&self.git, &repository, &[target]).await?;
        let kind = match info.into_iter().flatten().next().map(|info| info.kind) {
            Some(ObjectKind::Tree) => "tree",
            Some(ObjectKind::Blob | ObjectKind::Commit | ObjectKind::Tag) | None => "file",
        };
        Err(ResolveError::NotACommit { name: name.to_owned(), kind })
    }

    /// The branch that a pull request on a commit that was not named by its branch is meant for: the default
    /// branch if there is one, else a branch that has the commit.
    async fn branch_for(&self, commit: &ObjectId, default: Option<&str>) -> Result<String, ResolveError> {
        if let Some(default) = default {
            return Ok(default.to_owned());
        }
        let repository = self.repository();
        let call = self.git.at(&repository, "for-each-ref").arg("--format=%(refname)");
        let output = call.arg(format!("--contains={commit}")).arg("refs/heads").run().await?;
        let names = String::from_utf8_lossy(&output.stdout);
        let branches = names.lines().filter_map(|name| name.strip_prefix("refs/heads/"));
        // Another session's branch has the commit too, and is nothing to build on.
        let mut others = branches.filter(|branch| !branch.starts_with("cofferdam/"));
        Ok(others.next().unwrap_or("main").to_owned())
    }

    pub(crate) async fn history(&self, commit: &ObjectId) -> Result<History, GitError> {
        let repository = self.repository();
        let limit = format!("--max-count={}", WHOLE_HISTORY + 1);
        let output = self.git.at(&repository, "rev-list").arg("--count").arg(limit).arg(commit).run().await?;
        let count =
            std::str::from_utf8(&output.stdout).ok().and_then(|text| text.trim().parse::<usize>().ok());
        let count = count.ok_or_else(|| output.unexpected(&output.stdout))?;
        Ok(if count > WHOLE_HISTORY { History::Recent(RECENT_HISTORY) } else { History::Whole })
    }

    /// Fills in the number of files and the notes.
    async fn describe(&self, base: &mut Base) -> Result<(), GitError> {
        let listing = Listing::of(self, &base.tree).await?;
        base.files = listing.files;
        base.advice = listing.advice;
        base.bytes = listing.bytes;
        base.gitlinks = listing.gitlinks;
        base.submodules = listing.submodules;
        let mut note = |text: String| base.notes.push(text);
        if self.is_shallow() {
            note("The repository is a shallow clone: history before its oldest commit is missing.".into());
        }
        if let History::Recent(generations) = base.history {
            note(format!(
                "The history is long: the sandbox has the last {generations} generations of commits."
            ));
        }
        if listing.files >= MANY_FILES {
            note(format!("The repository is large: {} files.", listing.files));
        }
        if let RepositoryAddress::Local(local) = &self.address
            && !local.is_bare()
        {
            let found = working_copy::uncommitted(&self.git, local, &self.repository()).await;
            match found {
                Ok(0) => {}
                Ok(count) => note(format!(
                    "Uncommitted changes in {} are not included ({}): commit them if the agent should see them.",
                    local.root().display(),
                    counted(count, "path")
                )),
                Err(_) => note(format!(
                    "Uncommitted changes in {}, if there are any, are not included.",
                    local.root().display()
                )),
            }
        }
        Ok(())
    }
}

/// What a tree has in it.
#[derive(Debug, Default)]
struct Listing {
    files: u64,
    bytes: u64,
    submodules: u64,
    gitlinks: Vec<Gitlink>,
    advice: Vec<TreeFile>,
}

impl Listing {
    async fn of(mirror: &Mirror, tree: &ObjectId) -> Result<Self, GitError> {
        let repository = mirror.repository();
        let call = mirror.git.at(&repository, "ls-tree").args(["-r", "-z", "--long", "--full-tree"]);
        let output = call.arg(tree).output_limit(LISTING_LIMIT).run().await?;
        let mut listing = Self::default();
        for entry in output.stdout.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
            let (id, size, path) = blob(entry).ok_or_else(|| output.unexpected(entry))?;
            let Some(size) = size else {
                listing.submodules += 1;
                if listing.gitlinks.len() < MOST_LINKS {
                    listing.gitlinks.push(Gitlink { path: path.to_owned(), commit: id });
                }
                continue;
            };
            listing.files += 1;
            listing.bytes = listing.bytes.saturating_add(size);
            if cofferdam_instructions::is_candidate(path) && listing.advice.len() < MOST_ADVICE {
                listing.advice.extend(TreeFile::of(entry, &id, size, path));
            }
        }
        Ok(listing)
    }
}

/// One entry of `ls-tree --long`: `mode SP type SP object SP+ size TAB path`; a submodule has no size.
pub(crate) fn blob(entry: &[u8]) -> Option<(ObjectId, Option<u64>, &[u8])> {
    let tab = entry.iter().position(|byte| *byte == b'\t')?;
    let mut words = std::str::from_utf8(&entry[..tab]).ok()?.split_ascii_whitespace().skip(2);
    let id = words.next()?.parse().ok()?;
    let size = match words.next()? {
        "-" => None,
        digits => Some(digits.parse().ok()?),
    };
    Some((id, size, &entry[tab + 1..]))
}

fn branches(references: &[Reference]) -> impl Iterator<Item = &str> {
    references.iter().filter_map(|reference| reference.name.strip_prefix("refs/heads/"))
}

/// Up to three branches and tags whose names are near to what was asked for.
fn nearest(name: &str, references: &[Reference]) -> Vec<String> {
    let name: String = name.trim_start_matches("origin/").chars().take(100).collect();
    let tags = references.iter().filter_map(|reference| reference.name.strip_prefix("refs/tags/"));
    let mut near: Vec<(usize, &str)> = branches(references)
        .chain(tags)
        .filter(|known| known.len() <= 100)
        .map(|known| (distance(&name, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 3)
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, known)| known.to_owned()).collect()
}

/// How many characters must be changed, added or removed to make one text of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, left) in one.chars().enumerate() {
        let mut diagonal = index;
        row[0] = index + 1;
        for (column, right) in other.iter().enumerate() {
            let changed = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("main", "main"), 0);
        assert_eq!(distance("mian", "main"), 2);
        assert_eq!(distance("mains", "main"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
