//! What has happened in a repository since somebody looked last: what webhooks would have told, asked for.
//!
//! For a forge that cannot reach this platform, and for what was told while nobody listened, which forges do not tell again. What is found has a
//! name of its own that is the same each time, so that looking twice, or after a webhook, makes nothing happen twice.

use async_trait::async_trait;
use cofferdam_domain::{Digest, Subject, Timestamp};
use serde::{Deserialize, Serialize};

use super::{At, Talk, TalkError, wire::now};
use crate::hook::{
    Account, AccountKind, Check, Comment, CommentChange, Issue, IssueChange, Occasion, PullChange, PullState,
    Repository, Review, Thread, What, comment_name,
};

/// Things that are listed at once as changed. What is left is found when it is looked again.
pub(super) const MOST_CHANGED: usize = 1_000;
/// Comments or events of one thing that are read.
pub(super) const MOST_OF_ONE: usize = 1_000;
/// How much later than it was asked for an issue may have changed without anybody having changed its text: forges write down one after another.
const AT_ONCE: u64 = 5_000;
/// How much later than it was made a comment's change may be written down though nobody has changed it, in milliseconds.
const A_MOMENT: u64 = 1_000;
/// How much earlier than it is known to have been looked until reviews are looked at.
const OVERLAP: u64 = 10 * 60 * 1000;

/// A day, in milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;
/// How the names begin of what happened to issues.
const OF_ISSUE: &str = "issue-";

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What, in the order in which it happened.
    pub happened: Vec<Happened>,
    /// Until when all that happened is among it, by the forge's clock: since then it is asked the next time.
    pub until: Timestamp,
    /// Whether there is more, which is found when it is looked again.
    pub more: bool,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// The same each time that it is found.
    pub name: String,
    /// When, by the forge's clock.
    pub at: Timestamp,
    /// Whether the texts may have been changed since then: the forge tells only how they are now.
    pub unsure: bool,
    /// What.
    pub occasion: Occasion,
}

impl Happened {
    /// Whether this is the name of something that happened to an issue and was found by asking: no delivery of a forge's is called so.
    #[must_use]
    pub fn is_of_issue(name: &str) -> bool {
        name.starts_with(OF_ISSUE)
    }
}

/// An issue or a pull request that has changed.
pub(super) struct Changed {
    pub(super) subject: Subject,
    /// The issue, if it is one.
    pub(super) issue: Option<Issue>,
    pub(super) updated: Timestamp,
}

impl Changed {
    pub(super) fn new(issue: Issue, is_pull: bool, updated: Timestamp) -> Self {
        let subject = if is_pull { Subject::Pull(issue.number) } else { Subject::Issue(issue.number) };
        Self { subject, issue: (!is_pull).then_some(issue), updated }
    }
}

/// Something that was done to an issue.
pub(super) struct Done {
    /// The forge's number of it.
    pub(super) id: u64,
    pub(super) at: Timestamp,
    pub(super) by: Account,
    pub(super) change: IssueChange,
}

/// What is written below something: when it was first, and by whom and what by now.
pub(super) struct Written {
    pub(super) at: Timestamp,
    pub(super) comment: Comment,
}

/// What a forge is asked to find out what has happened there.
#[async_trait]
pub(super) trait Changes: Talk {
    /// The repository by its number.
    async fn by_number(&self, at: &At) -> Result<Repository, TalkError>;

    /// Issues and pull requests that have changed since, the one that changed first at the beginning where the forge can sort: at most
    /// [`MOST_CHANGED`].
    async fn changed(&self, at: &At, since: Timestamp) -> Result<Vec<Changed>, TalkError>;

    /// What was done to something since, and what was written below it.
    async fn below(
        &self,
        at: &At,
        subject: Subject,
        since: Timestamp,
    ) -> Result<(Vec<Done>, Vec<Written>), TalkError>;

    /// The reviews of a pull request, with when each was submitted, and by whom. Where the forge has no reviews, nothing.
    async fn reviews(&self, at: &At, pull: u64) -> Result<Vec<(Timestamp, Account, Review)>, TalkError>;

    /// The checks of a commit that have failed and were not tried again.
    async fn failed(&self, at: &At, commit: &str) -> Result<Vec<(Account, Check)>, TalkError>;

    /// Whether comments on lines come without a review around them.
    fn has_single_remarks(&self) -> bool {
        false
    }
}

/// What has happened since. `pulls` are the pull requests of this platform that are not known to be merged or closed.
pub(super) async fn news(
    forge: &dyn Changes,
    at: &At,
    since: Timestamp,
    pulls: &[u64],
) -> Result<News, TalkError> {
    let mut found = Found { repository: forge.by_number(at).await?, since, happened: Vec::new() };
    let changed = forge.changed(at, since).await?;
    let more = changed.len() >= MOST_CHANGED;
    let until = changed.iter().map(|changed| changed.updated).max().unwrap_or(since).max(since);
    for changed in changed {
        let (done, written) = forge.below(at, changed.subject, since).await?;
        found.below(&changed, done, written);
    }
    for pull in pulls {
        found.of_pull(forge, at, *pull).await?;
    }
    found.happened.sort_by_key(|happened| happened.at);
    Ok(News { happened: found.happened, until, more })
}

struct Found {
    repository: Repository,
    since: Timestamp,
    happened: Vec<Happened>,
}

/// Somebody of whom the forge does not tell.
pub(super) fn nobody() -> Account {
    Account { id: 0, login: String::new(), kind: AccountKind::Bot }
}

impl Found {
    fn add(&mut self, name: String, at: Timestamp, actor: Account, what: What) {
        let repository = Some(self.repository.clone());
        let occasion = Occasion { repository, installation: None, actor, what };
        self.happened.push(Happened { name, at, unsure: false, occasion });
    }

    fn below(&mut self, changed: &Changed, done: Vec<Done>, written: Vec<Written>) {
        let since = self.since;
        if let Some(issue) = &changed.issue {
            for Done { id, at, by, change } in done.into_iter().filter(|done| done.at >= since) {
                let name = format!("{OF_ISSUE}{}-{}-{id}", self.repository.id, issue.number);
                self.add(name, at, by, What::Issue(issue.clone(), change));
                if let Some(last) = self.happened.last_mut() {
                    last.unsure = changed.updated.0 > at.0.saturating_add(AT_ONCE);
                }
            }
        }
        for Written { at, comment } in written.into_iter().filter(|written| written.at >= since) {
            let name = comment_name(self.repository.id, false, comment.id);
            // What stands there may be somebody else's words by now.
            let change = match comment.updated {
                Some(updated) if updated.0 > at.0.saturating_add(A_MOMENT) => CommentChange::Edited,
                Some(_) | None => CommentChange::Written,
            };
            let thread = match (changed.subject, &changed.issue) {
                (Subject::Issue(_), Some(issue)) => Thread::Issue(issue.clone()),
                (Subject::Issue(number) | Subject::Pull(number), _) => Thread::Pull { number, line: None },
            };
            self.add(name, at, comment.author.clone(), What::Comment(thread, comment, change));
        }
    }

    async fn of_pull(&mut self, forge: &dyn Changes, at: &At, number: u64) -> Result<(), TalkError> {
        let pull = match forge.pull(at, number).await {
            // It was deleted, which is nothing that anybody is told of.
            Err(TalkError::Missing { .. }) => return Ok(()),
            answered => answered?,
        };
        let (id, changed) = (self.repository.id, pull.updated.unwrap_or(self.since));
        if pull.state != PullState::Open {
            let name = format!("pull-{id}-{number}-closed-{}", changed.0);
            self.add(name, changed, nobody(), What::Pull(pull, PullChange::Closed));
            return Ok(());
        }
        if pull.conflicts {
            // The base moves without the branch: each day it is another one.
            let (commit, day) = (&pull.commit, now().0 / DAY);
            let name = format!("pull-{id}-{number}-conflicts-{commit}-{day}");
            self.add(name, changed, nobody(), What::Pull(pull.clone(), PullChange::Conflicts));
        }
        let early = Timestamp(self.since.0.saturating_sub(OVERLAP));
        for (at, by, review) in forge.reviews(at, number).await? {
            if at >= early {
                let digest = Digest::of(format!("{} {} {}", at.0, by.id, review.body).as_bytes()).hex();
                let name = format!("review-{id}-{number}-{}", digest.get(..24).unwrap_or_default());
                self.add(name, at, by, What::Review(pull.clone(), review));
            }
        }
        if forge.has_single_remarks() {
            for remark in forge.remarks(at, number, 0).await? {
                let at = remark.comment.updated.unwrap_or(changed);
                if at >= early {
                    let name = comment_name(id, true, remark.comment.id);
                    let (actor, line) = (remark.comment.author.clone(), Some(remark.place));
                    let thread = Thread::Pull { number, line };
                    self.add(name, at, actor, What::Comment(thread, remark.comment, CommentChange::Written));
                }
            }
        }
        for (by, mut check) in forge.failed(at, &pull.commit).await? {
            let of = Digest::of(check.name.as_bytes()).hex();
            let of = of.get(..24).unwrap_or_default();
            let name = format!("check-{id}-{}-{}-{of}", pull.commit, check.id);
            check.branch = Some(pull.branch.clone());
            self.add(name, changed, by, What::Check(check));
        }
        Ok(())
    }
}
