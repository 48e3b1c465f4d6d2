//! The agent's commits made again by the platform: its identity, its clock, its trailers, messages without
//! claims, and no content that the gate has not examined.
//!
//! The gate examines the difference between base and head. A commit in between could carry something that a
//! later one takes back (a secret, a workflow file): published, it would be there for everybody to read. So a
//! commit of the chain is kept only if every entry in which its tree differs from the base is one in which
//! the head differs too; otherwise it is folded into the next. Merges and other shapes become one commit.

use std::{collections::HashSet, path::Path};

use cofferdam_domain::{SessionId, Timestamp, change::CommitInfo};

use crate::{
    ChangeError, Git, GitError, ObjectId, Quarantine, SigningKey,
    call::Input,
    change::{Entry, Place},
    message, objects,
};

/// Longer chains become one commit.
const MOST_COMMITS: usize = 50;

/// A name and an address for commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

impl Default for Identity {
    fn default() -> Self {
        Self { name: "Cofferdam".into(), email: "cofferdam@localhost".into() }
    }
}

/// Under whose name, when and for what commits are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorship {
    /// Author and committer.
    pub identity: Identity,
    /// The date of every commit, from an event: the same call gives the same commits again.
    pub at: Timestamp,
    /// The session, named in a trailer.
    pub session: SessionId,
    /// Who asked for it, named in a trailer, where a forge has told who that is. Never from what somebody wrote.
    pub co_author: Option<Identity>,
    /// What signs every commit.
    pub signing: Option<SigningKey>,
    /// The subject if the change becomes one commit and the agent made several, or none by itself. Cleaned
    /// like a message.
    pub title: String,
}

/// The branch that a change is meant for, as it was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined<'a> {
    /// Its commit.
    pub base: ObjectId,
    /// What [`Quarantine::join`] made of it and the session's branch.
    pub both: ObjectId,
    /// What it is called.
    pub branch: &'a str,
}

/// What is said of a merge.
pub(crate) fn merge_message(branch: &str) -> String {
    message::subject(&format!("Merge branch {branch}"))
}

impl Quarantine {
    /// Makes the change from `base` to `head` again on top of `base`, and returns the last commit, whose tree
    /// is the head's. For a later turn `base` is what was published before.
    ///
    /// # Errors
    /// [`ChangeError::Empty`] when there is nothing to publish.
    pub async fn recreate(
        &self,
        base: &ObjectId,
        head: &ObjectId,
        authorship: &Authorship,
    ) -> Result<ObjectId, ChangeError> {
        let tree = objects::tree(&self.git, &self.path, head).await?;
        let base_tree = objects::tree(&self.git, &self.path, base).await?;
        if tree == base_tree {
            return Err(ChangeError::Empty);
        }
        let commits = self.commits(base, head).await?;
        let steps = match linear(base, head, &commits) {
            true => self.publishable(base, head, &commits).await?,
            false => vec![Step { tree, message: one_message(&authorship.title, &commits) }],
        };
        let mut parent = base.clone();
        for step in steps {
            parent =
                commit_tree(&self.git, &self.path, &[&parent], &step.tree, authorship, &step.message).await?;
        }
        Ok(parent)
    }

    /// Makes the change from `base` to `head` again as one merge commit on top of `base`, which takes in the branch that it is meant for: for that
    /// branch's commits to be in its history, and no commit of the session's own to have marks of conflicts.
    ///
    /// # Errors
    /// When git cannot be run, or an object is not there.
    pub async fn recreate_joined(
        &self,
        base: &ObjectId,
        joined: &Joined<'_>,
        head: &ObjectId,
        authorship: &Authorship,
    ) -> Result<ObjectId, ChangeError> {
        let tree = objects::tree(&self.git, &self.path, head).await?;
        let own =
            if self.has(&joined.both).await { self.commits(&joined.both, head).await? } else { Vec::new() };
        let messages: Vec<&str> =
            own.iter().map(|commit| commit.message.as_str()).take(MOST_COMMITS).collect();
        let message = with_folded(&merge_message(joined.branch), &messages);
        let parents = [base, &joined.base];
        Ok(commit_tree(&self.git, &self.path, &parents, &tree, authorship, &message).await?)
    }

    /// The steps of a linear chain that may be published, the last one being the head.
    async fn publishable(
        &self,
        base: &ObjectId,
        head: &ObjectId,
        commits: &[CommitInfo],
    ) -> Result<Vec<Step>, ChangeError> {
        let net = self.entries(base, head).await?;
        let examined: HashSet<(&[u8], Option<&Place>)> = net.iter().map(after).collect();
        let mut steps: Vec<Step> = Vec::new();
        let mut folded: Vec<&str> = Vec::new();
        let mut tree = objects::tree(&self.git, &self.path, base).await?;
        for commit in commits {
            let id: ObjectId = commit.id.parse().map_err(|_| invalid(&commit.id))?;
            let its_tree = objects::tree(&self.git, &self.path, &id).await?;
            let so_far = self.entries(base, &id).await?;
            let keep = its_tree != tree && so_far.iter().all(|entry| examined.contains(&after(entry)));
            if keep {
                tree = its_tree.clone();
                let message = with_folded(&message::clean(&commit.message), &folded);
                steps.push(Step { tree: its_tree, message });
                folded.clear();
            } else {
                folded.push(&commit.message);
            }
        }
        // The head itself is always kept unless the commit before it had the same tree already: then its
        // words go there.
        if let (Some(last), false) = (steps.last_mut(), folded.is_empty()) {
            last.message = with_folded(&last.message, &folded);
        }
        Ok(steps)
    }
}

/// Makes a commit under the platform's name. The same arguments give the same commit.
pub(crate) async fn commit_tree(
    git: &Git,
    repository: &Path,
    parents: &[&ObjectId],
    tree: &ObjectId,
    authorship: &Authorship,
    message: &str,
) -> Result<ObjectId, GitError> {
    let Identity { name, email } = &authorship.identity;
    let date = format!("@{} +0000", authorship.at.0 / 1000);
    let mut call = git.at(repository, "commit-tree").arg(tree);
    for parent in parents {
        call = call.arg("-p").arg(parent);
    }
    call = call.env("GIT_AUTHOR_NAME", name).env("GIT_AUTHOR_EMAIL", email).env("GIT_AUTHOR_DATE", &date);
    call = call
        .env("GIT_COMMITTER_NAME", name)
        .env("GIT_COMMITTER_EMAIL", email)
        .env("GIT_COMMITTER_DATE", &date);
    let mut message = format!("{message}\n\nCofferdam-Session: {}\n", authorship.session);
    if let Some(Identity { name, email }) = &authorship.co_author {
        message.push_str(&format!("Co-authored-by: {name} <{email}>\n"));
    }
    if let Some(key) = &authorship.signing {
        call = key.sign(call);
    }
    call.input(Input::Bytes(message.into_bytes())).run().await?.object()
}

/// One commit to be made.
#[derive(Debug)]
struct Step {
    tree: ObjectId,
    message: String,
}

fn after(entry: &Entry) -> (&[u8], Option<&Place>) {
    (&entry.path, entry.new.as_ref())
}

fn invalid(id: &str) -> GitError {
    GitError::Unexpected { command: "git rev-list".into(), detail: id.to_owned() }
}

/// Whether the commits are a chain from `base` to `head`, each with one parent, and not too many.
fn linear(base: &ObjectId, head: &ObjectId, commits: &[CommitInfo]) -> bool {
    let mut parent = base.as_str();
    for commit in commits {
        if commit.parents.len() != 1 || commit.parents[0] != parent {
            return false;
        }
        parent = &commit.id;
    }
    commits.len() <= MOST_COMMITS && parent == head.as_str()
}

/// The message of a change that becomes one commit.
pub(crate) fn one_message(title: &str, commits: &[CommitInfo]) -> String {
    let messages: Vec<&str> =
        commits.iter().map(|commit| commit.message.as_str()).take(MOST_COMMITS).collect();
    with_folded(&message::subject(title), &messages)
}

/// A message with the subjects of the commits that were folded into it.
fn with_folded(message: &str, folded: &[&str]) -> String {
    if folded.is_empty() {
        return message.to_owned();
    }
    let subjects: Vec<String> = folded.iter().map(|text| format!("- {}", message::subject(text))).collect();
    format!("{message}\n\nIncludes:\n{}", subjects.join("\n"))
}
