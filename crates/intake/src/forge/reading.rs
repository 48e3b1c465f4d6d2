//! What an occasion on a forge may mean, from what the delivery alone says: pure, and without believing that anybody may ask for it.
//!
//! Most of what happens on a forge means nothing here. That is found out without asking the forge for anything.

use cofferdam_domain::SessionId;
use cofferdam_forge::{
    hook::{
        Account, AccountKind, Check, CheckEnd, Comment, CommentChange, Issue, IssueChange, Occasion, Pull,
        PullChange, Repository, RepositoryChange, Review, ReviewEnd, Thread, What,
    },
    remote::Right,
};

use super::{
    mention::{Wish, mentions, wish},
    settings::Reviews,
};

/// What counts on a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The account that this platform is there.
    pub(crate) me: Account,
    /// The label that asks for work; none where it is empty.
    pub(crate) label: String,
    /// Whose mention asks for work, without `@`.
    pub(crate) mention: String,
    /// What somebody may do at least who asks.
    pub(crate) least: Right,
    /// How many failed checks in a row are tried to be mended.
    pub(crate) fixes: u32,
    /// When pull requests of others are reviewed.
    pub(crate) reviews: Reviews,
    /// Accounts, by login, that are programs although the forge does not say so.
    pub(crate) bots: Vec<String>,
}

/// What an occasion may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nothing, and why, in words for people.
    Nothing(&'static str),
    /// Somebody asks for work on an issue, whose text it was at that moment.
    Asked(Box<Issue>, How),
    /// Somebody says something below a pull request or on a line of it: to whoever it is called, or about what is ours.
    Commented {
        /// The pull request's number.
        pull: u64,
        /// What was said.
        comment: Box<Comment>,
        /// Whether it is about a line.
        on_line: bool,
        /// Whether it calls us by name.
        mentions: bool,
    },
    /// Somebody wants a pull request reviewed: one of somebody else's, unless it is ours and they do not know.
    ReviewAsked {
        /// Its number.
        pull: u64,
        /// How they ask.
        by: ReviewBy,
    },
    /// Somebody reviewed a pull request of ours.
    Reviewed(Box<Pull>, Review),
    /// A check failed on a commit, perhaps one of ours.
    Failed(Check),
    /// A pull request of ours was merged, closed or opened again, or its branch is gone: the session's.
    PullChanged(SessionId),
    /// A pull request of ours conflicts with the branch that it is meant for: the session's.
    Conflicts(SessionId),
    /// An issue was closed, or is gone.
    IssueOver {
        /// Its number.
        issue: u64,
        /// Whether it is not there any more.
        gone: bool,
    },
    /// The repository is gone.
    RepositoryGone,
}

/// How somebody asks for a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReviewBy {
    /// By having opened it, or made it ready.
    Opened,
    /// By a label.
    Label,
    /// By wanting one of our account.
    Wanted,
    /// By calling us in a comment.
    Word(Box<Comment>),
}

impl ReviewBy {
    /// In words, after a name.
    pub(crate) const fn words(&self) -> &'static str {
        match self {
            Self::Opened => "opened it",
            Self::Label => "asked for it with a label",
            Self::Wanted => "asked for it on the pull request",
            Self::Word(_) => "asked for it in a comment",
        }
    }

    /// Whether it is somebody's wish once more each time that it is told, and not only a state that still is.
    pub(crate) const fn insists(&self) -> bool {
        matches!(self, Self::Wanted | Self::Word(_))
    }

    /// The comment, if it was asked for in one.
    pub(crate) fn comment(&self) -> Option<&Comment> {
        match self {
            Self::Word(comment) => Some(comment),
            Self::Opened | Self::Label | Self::Wanted => None,
        }
    }
}

/// How somebody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    /// By a label.
    Label,
    /// By assigning the issue to us.
    Assigned,
    /// By calling us in a comment.
    Mention(Box<Comment>),
}

impl How {
    /// In words, after a name.
    pub(crate) const fn words(&self) -> &'static str {
        match self {
            Self::Label => "asked for it with a label",
            Self::Assigned => "assigned it",
            Self::Mention(_) => "asked for it in a comment",
        }
    }
}

/// The session whose branch this is.
pub(crate) fn session_of_branch(branch: &str) -> Option<SessionId> {
    let session: SessionId = branch.strip_prefix("cofferdam/")?.parse().ok()?;
    (cofferdam_forge::branch_of(session) == branch).then_some(session)
}

/// Whether anything may come of what a delivery tells, whoever did it: what is of no interest need not be kept.
pub(crate) fn may_matter(what: &What) -> bool {
    match what {
        What::Other | What::Installation => false,
        What::Branch { name, .. } => session_of_branch(name).is_some(),
        What::Check(check) => check.end == CheckEnd::Failed,
        What::Issue(..) | What::Comment(..) | What::Review(..) | What::Pull(..) | What::Repository(_) => true,
    }
}

/// Reads an occasion.
pub(crate) fn reading(occasion: &Occasion, rules: &Rules) -> Reading {
    let Some(repository) = &occasion.repository else {
        return Reading::Nothing("it concerns no single repository");
    };
    let actor = &occasion.actor;
    let speaks = || match speaker(actor, rules) {
        Ok(()) => None,
        Err(why) => Some(Reading::Nothing(why)),
    };
    match &occasion.what {
        What::Issue(issue, IssueChange::Closed) => Reading::IssueOver { issue: issue.number, gone: false },
        What::Issue(issue, IssueChange::Gone) => Reading::IssueOver { issue: issue.number, gone: true },
        What::Issue(issue, change) => speaks().unwrap_or_else(|| of_issue(issue, change, rules)),
        What::Comment(thread, comment, change) => {
            speaks().unwrap_or_else(|| of_comment(thread, comment, *change, rules))
        }
        What::Review(pull, review) => speaks().unwrap_or_else(|| of_review(repository, pull, review)),
        What::Pull(pull, change) => match session_of_pull(repository.id, pull) {
            Some(session) => of_our_pull(session, change),
            None => match review_asked(pull, change, rules) {
                Ok(by) => speaks().unwrap_or(Reading::ReviewAsked { pull: pull.number, by }),
                Err(why) => Reading::Nothing(why),
            },
        },
        What::Check(check) => of_check(check, actor, rules),
        What::Branch { name, after: None, .. } => match session_of_branch(name) {
            Some(session) => Reading::PullChanged(session),
            None => Reading::Nothing("the branch is not ours"),
        },
        What::Branch { .. } => Reading::Nothing("what is pushed is seen when the session goes on"),
        What::Repository(RepositoryChange::Deleted) => Reading::RepositoryGone,
        What::Repository(
            RepositoryChange::Moved | RepositoryChange::Archived | RepositoryChange::AudienceChanged,
        ) => Reading::Nothing("the repository keeps its number"),
        What::Installation | What::Other => Reading::Nothing("of no interest"),
    }
}

/// Whether what somebody says can count at all: not what we say ourselves, nor what programs say.
fn speaker(actor: &Account, rules: &Rules) -> Result<(), &'static str> {
    if actor.id == rules.me.id {
        return Err("our own words");
    }
    let listed = rules.bots.iter().any(|bot| bot.eq_ignore_ascii_case(&actor.login));
    match actor.kind {
        AccountKind::Person if !listed && actor.id != 0 => Ok(()),
        AccountKind::Person | AccountKind::Bot | AccountKind::Organisation => Err("a bot asks for nothing"),
    }
}

fn of_issue(issue: &Issue, change: &IssueChange, rules: &Rules) -> Reading {
    let is_ours = |label: &String| !rules.label.is_empty() && label.eq_ignore_ascii_case(&rules.label);
    let how = match change {
        IssueChange::Labelled(labels) if labels.iter().any(is_ours) => How::Label,
        IssueChange::Opened if issue.labels.iter().any(is_ours) => How::Label,
        IssueChange::Assigned(to) if to.iter().any(|account| account.id == rules.me.id) => How::Assigned,
        IssueChange::Labelled(_) => return Reading::Nothing("another label"),
        IssueChange::Assigned(_) => return Reading::Nothing("assigned to others"),
        IssueChange::Edited => return Reading::Nothing("what was asked stays what it was"),
        IssueChange::Opened
        | IssueChange::Closed
        | IssueChange::Reopened
        | IssueChange::Gone
        | IssueChange::Other => return Reading::Nothing("nobody asks for anything"),
    };
    Reading::Asked(Box::new(issue.clone()), how)
}

fn of_comment(thread: &Thread, comment: &Comment, change: CommentChange, rules: &Rules) -> Reading {
    match change {
        CommentChange::Written => {}
        CommentChange::Edited | CommentChange::Deleted => {
            return Reading::Nothing("what was said stays what it was");
        }
    }
    let called = mentions(&comment.body, &rules.mention);
    match thread {
        Thread::Issue(issue) if called => {
            Reading::Asked(Box::new(issue.clone()), How::Mention(Box::new(comment.clone())))
        }
        Thread::Pull { number, line: None } if called && is_review_wanted(comment, rules) => {
            Reading::ReviewAsked { pull: *number, by: ReviewBy::Word(Box::new(comment.clone())) }
        }
        Thread::Pull { number, line } if called || line.is_some() => Reading::Commented {
            pull: *number,
            comment: Box::new(comment.clone()),
            on_line: line.is_some(),
            mentions: called,
        },
        Thread::Issue(_) | Thread::Pull { .. } => Reading::Nothing("said to others"),
    }
}

/// The session whose pull request it is: one from a branch of the repository itself.
pub(crate) fn session_of_pull(repository: u64, pull: &Pull) -> Option<SessionId> {
    session_of_branch(&pull.branch).filter(|_| pull.head_repository.is_none_or(|head| head == repository))
}

fn of_review(repository: &Repository, pull: &Pull, review: &Review) -> Reading {
    if session_of_pull(repository.id, pull).is_none() {
        return Reading::Nothing("the pull request is not ours");
    }
    match review.end {
        ReviewEnd::Said | ReviewEnd::ChangesWanted => {
            Reading::Reviewed(Box::new(pull.clone()), review.clone())
        }
        ReviewEnd::Approved => Reading::Nothing("an approval wants nothing"),
        ReviewEnd::Dismissed => Reading::Nothing("a review was taken back"),
    }
}

fn is_review_wanted(comment: &Comment, rules: &Rules) -> bool {
    rules.reviews != Reviews::Never && wish(&comment.body, &rules.mention) == Some(Wish::Review)
}

fn of_our_pull(session: SessionId, change: &PullChange) -> Reading {
    match change {
        PullChange::Closed | PullChange::Reopened => Reading::PullChanged(session),
        PullChange::Conflicts => Reading::Conflicts(session),
        PullChange::Opened
        | PullChange::Ready
        | PullChange::Edited
        | PullChange::Labelled(_)
        | PullChange::ReviewWanted(_)
        | PullChange::Pushed { .. }
        | PullChange::Other => Reading::Nothing("nothing that changes the session"),
    }
}

/// Whether what happened to a pull request of somebody else's asks for a review of it.
fn review_asked(pull: &Pull, change: &PullChange, rules: &Rules) -> Result<ReviewBy, &'static str> {
    if rules.reviews == Reviews::Never {
        return Err("the pull request is not ours");
    }
    let is_ours = |label: &String| !rules.label.is_empty() && label.eq_ignore_ascii_case(&rules.label);
    match change {
        PullChange::Labelled(labels) if labels.iter().any(is_ours) => Ok(ReviewBy::Label),
        PullChange::ReviewWanted(of) if of.iter().any(|account| account.id == rules.me.id) => {
            Ok(ReviewBy::Wanted)
        }
        PullChange::Opened | PullChange::Ready if rules.reviews == Reviews::Opened => {
            if pull.draft {
                Err("a draft is reviewed when somebody asks")
            } else {
                Ok(ReviewBy::Opened)
            }
        }
        PullChange::Opened
        | PullChange::Ready
        | PullChange::Reopened
        | PullChange::Edited
        | PullChange::Labelled(_)
        | PullChange::ReviewWanted(_)
        | PullChange::Conflicts
        | PullChange::Closed
        | PullChange::Other => Err("nobody asks for a review"),
        PullChange::Pushed { .. } => Err("what is pushed is reviewed when somebody asks"),
    }
}

fn of_check(check: &Check, actor: &Account, rules: &Rules) -> Reading {
    let ours = check.name.to_ascii_lowercase().starts_with("cofferdam");
    match check.end {
        _ if ours || actor.id == rules.me.id => Reading::Nothing("our own check"),
        CheckEnd::Passed | CheckEnd::Neutral => Reading::Nothing("the check has found nothing"),
        CheckEnd::Failed => match &check.branch {
            Some(branch) if session_of_branch(branch).is_none() => {
                Reading::Nothing("a check of somebody else's branch")
            }
            Some(_) | None => Reading::Failed(check.clone()),
        },
    }
}

#[cfg(test)]
mod tests;
