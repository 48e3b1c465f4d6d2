//! What was decided is done: safe to do again, as everything is looked at first.

use cofferdam_domain::{
    About, Asked, EventBody, Label, Origin, PullRequestState, SessionId, Source, Subject, Task, task::Wishes,
};
use cofferdam_forge::{
    hook::{AccountKind, Check, Comment, Issue},
    remote::{Mark, Right, TalkError},
};
use cofferdam_store::{Dealt, StoreError, Writer};

use super::{
    decide::{Decision, Facts},
    reading::{How, Reading},
    text::{self, Framed},
    way::{Case, Trouble},
};
use crate::{again, begin, now};

/// Comments below an issue that are looked at, the latest of which are shown.
const MOST_COMMENTS: usize = 200;
/// The most bytes of a check's log that are fetched.
const LONGEST_LOG: usize = 48 * 1024;

/// What a session is to be begun with.
struct Wanted {
    subject: Subject,
    framed: Framed,
    base: Option<String>,
    changed: Option<cofferdam_domain::Timestamp>,
}

impl Case<'_> {
    /// Does it, and says what was done.
    pub(super) async fn act(&self, decision: Decision, facts: Facts) -> Result<Dealt, Trouble> {
        let actor = text::name(&self.occasion.actor.login);
        let done = |session, what: &str| Ok(Dealt::Done { session, what: what.to_owned() });
        match decision {
            Decision::Nothing(why) => done(facts.bound, why),
            Decision::Done(session) => done(Some(session), "it was done before"),
            Decision::NoRight => {
                done(None, &format!("{actor} may not ask: that takes {}", right(self.rules.least)))
            }
            Decision::Powerless => Ok(Dealt::GivenUp {
                reason: format!(
                    "{} may not push to {}: give that account {} there",
                    text::name(&self.rules.me.login),
                    text::name(&self.at.path),
                    right(Right::Write.max(self.rules.least)),
                ),
            }),
            Decision::Changed => self.changed().await,
            Decision::Begin { instead_of } => self.begin(&facts, instead_of).await,
            Decision::Tell(session) => {
                let bodies = self.message(&facts).await?;
                self.append(session, bodies, "heard").await
            }
            Decision::EnoughFixes(session) => self.enough_fixes(session, &facts).await,
            Decision::PullIs(session, state) => {
                let what = match &state {
                    PullRequestState::Open => "the pull request was opened again",
                    PullRequestState::Merged { .. } => "the pull request was merged",
                    PullRequestState::Closed => "the pull request was closed",
                };
                self.append(session, vec![EventBody::PullRequestClosed { state }], what).await
            }
            Decision::Cancel(session) => {
                self.append(session, vec![EventBody::CancelAsked { by: actor }], "cancelled").await
            }
        }
    }

    async fn append(&self, session: SessionId, bodies: Vec<EventBody>, what: &str) -> Result<Dealt, Trouble> {
        self.way.store.append(session, Writer::Anybody, now(), bodies).await?;
        Ok(Dealt::Done { session: Some(session), what: what.to_owned() })
    }

    /// A session begins, unless another one has begun for the same thread meanwhile: then it is looked at again.
    async fn begin(&self, facts: &Facts, instead_of: Option<SessionId>) -> Result<Dealt, Trouble> {
        let wanted = match self.wanted(facts) {
            Ok(wanted) => wanted,
            Err(why) => return Ok(Dealt::Done { session: None, what: why.to_owned() }),
        };
        let (way, session) = (self.way, self.own_id());
        let subject = wanted.subject;
        let rest = self.others(subject).await?;
        let task = match self.task(wanted) {
            Ok(task) => task,
            Err(why) => return Ok(Dealt::GivenUp { reason: why }),
        };
        let (store, actor) = (&*way.store, &self.occasion.actor);
        let owner =
            begin::owner(store, way.place, way.site.name(), &actor.id.to_string(), &actor.login).await?;
        let bound = store.bind(&self.thread(subject).key(), session, instead_of).await?;
        if bound != session {
            return Ok(again(self.taken, "another session has begun for it meanwhile".to_owned(), None));
        }
        begin::begin(store, owner, session, task, rest).await?;
        Ok(Dealt::Done { session: Some(session), what: "a session begins".to_owned() })
    }

    fn wanted(&self, facts: &Facts) -> Result<Wanted, &'static str> {
        let (path, actor) = (&*self.at.path, &*self.occasion.actor.login);
        match (self.reading, &facts.pull) {
            (Reading::Asked(issue, how), _) => Ok(Wanted {
                subject: Subject::Issue(issue.number),
                framed: text::of_issue(path, issue, actor, how),
                base: None,
                changed: last_change(issue, how),
            }),
            (Reading::Commented { comment, .. }, Some(pull)) => {
                if pull.head_repository != Some(self.at.id) {
                    return Err("the pull request's branch is in another repository");
                }
                Ok(Wanted {
                    subject: Subject::Pull(pull.number),
                    framed: text::of_pull(path, pull, actor, comment),
                    base: Some(pull.branch.clone()),
                    changed: comment.updated,
                })
            }
            (_, _) => Err("it begins no session"),
        }
    }

    fn task(&self, wanted: Wanted) -> Result<Task, String> {
        let Wanted { subject, framed: (prompt, concealed), base, changed } = wanted;
        let asked = Asked {
            thread: self.thread(subject),
            account: self.occasion.actor.id,
            delivery: self.taken.arrival.id.clone(),
            changed,
            concealed,
        };
        let repository = self.way.site.clone_url(&self.at.path).to_string();
        let requester = text::name(&self.occasion.actor.login);
        let wishes = Wishes { model: self.way.model.clone(), ..Wishes::default() };
        let task = Task::new(prompt, repository, base, requester, Source::Forge);
        let task = task.and_then(|task| task.with(wishes)).map_err(|invalid| invalid.to_string())?;
        Ok(task.asked(Origin::Forge(Box::new(asked))))
    }

    /// What people wrote there before it was asked for. It is shown, and labelled as what it is.
    async fn others(&self, subject: Subject) -> Result<Vec<EventBody>, Trouble> {
        let mut comments = self.way.talk.comments(&self.at, subject, None, MOST_COMMENTS).await?;
        let asking = match self.reading {
            Reading::Asked(_, How::Mention(comment)) | Reading::Commented { comment, .. } => comment.id,
            Reading::Asked(_, How::Label | How::Assigned)
            | Reading::Nothing(_)
            | Reading::Reviewed(..)
            | Reading::Failed(_)
            | Reading::PullChanged(_)
            | Reading::IssueOver { .. }
            | Reading::RepositoryGone => 0,
        };
        let arrived = self.taken.arrival.at;
        comments.retain(|comment| {
            comment.id != asking
                && comment.author.id != self.rules.me.id
                && comment.author.kind == AccountKind::Person
                && comment.updated.is_none_or(|updated| updated <= arrived)
        });
        let message = |text| EventBody::MessageReceived {
            from: format!("comments at {}", self.way.site.name()),
            text,
            label: Label::SANDBOX,
            about: None,
        };
        Ok(text::of_others(&comments).map(message).into_iter().collect())
    }

    /// What a session hears.
    async fn message(&self, facts: &Facts) -> Result<Vec<EventBody>, Trouble> {
        let (text, about) = match self.reading {
            Reading::Asked(issue, how @ How::Mention(comment)) => {
                (text::asked_too(how), Some(self.comment(Subject::Issue(issue.number), comment)))
            }
            Reading::Asked(_, how) => (text::asked_too(how), None),
            Reading::Commented { pull, on_line: true, .. } if facts.ours => {
                (String::new(), Some(self.review(*pull, 0, facts)))
            }
            Reading::Commented { pull, comment, .. } => {
                (text::said(&comment.body), Some(self.comment(Subject::Pull(*pull), comment)))
            }
            Reading::Reviewed(pull, review) => {
                let said = if facts.body_heard { String::new() } else { text::said(&review.body) };
                (said, Some(self.review(pull.number, review.id, facts)))
            }
            Reading::Failed(check) => return self.failed(check, facts).await,
            Reading::Nothing(_)
            | Reading::PullChanged(_)
            | Reading::IssueOver { .. }
            | Reading::RepositoryGone => return Ok(Vec::new()),
        };
        let from = text::name(&self.occasion.actor.login);
        Ok(vec![EventBody::MessageReceived {
            from,
            text,
            label: Label::REQUESTER,
            about: about.map(Box::new),
        }])
    }

    fn comment(&self, subject: Subject, comment: &Comment) -> About {
        About::Comment { thread: self.thread(subject), comment: comment.id }
    }

    fn review(&self, pull: u64, review: u64, facts: &Facts) -> About {
        let remarks = facts.unheard.iter().map(text::remark).collect();
        About::Review { thread: self.thread(Subject::Pull(pull)), review, remarks }
    }

    /// A failed check, with the end of what it has written: that comes from programs that ran on the change, and is believed as little.
    async fn failed(&self, check: &Check, facts: &Facts) -> Result<Vec<EventBody>, Trouble> {
        let Some(session) = &facts.session else { return Ok(Vec::new()) };
        let name = text::name(&check.name);
        let log = match self.way.talk.check_log(&self.at, &check.commit, &check.name, LONGEST_LOG).await {
            Ok(log) => log,
            // What failed counts, not whether its log is kept or may be read.
            Err(TalkError::Missing { .. } | TalkError::Forbidden { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let commit = check.commit.clone();
        let before = session.checked.iter().filter(|checked| **checked != commit).count();
        let about = About::Check {
            thread: self.thread(Subject::Pull(session.pull.unwrap_or_default())),
            name: check.name.clone(),
            commit,
            attempt: u32::try_from(before + 1).unwrap_or(u32::MAX),
        };
        let text = log.unwrap_or_else(|| "(The forge keeps no log of it.)".to_owned());
        let from = format!("check {name}");
        Ok(vec![EventBody::MessageReceived {
            from,
            text,
            label: Label::SANDBOX,
            about: Some(Box::new(about)),
        }])
    }

    /// Whoever asked hears that it may not be what they asked for any more.
    async fn changed(&self) -> Result<Dealt, Trouble> {
        let Reading::Asked(issue, _) = self.reading else {
            return Ok(Dealt::Done { session: None, what: "its text was changed since".to_owned() });
        };
        let actor = text::name(&self.occasion.actor.login);
        let body = format!(
            "The text of this issue was changed after {actor} had asked for it, so nothing was begun: what was asked must be what was read. \
             Look at it and ask again: take the label off and put it on, assign the issue once more, or ask in a comment."
        );
        let mark = Mark { session: self.own_id(), what: "changed".to_owned() };
        self.way.talk.say(&self.at, Subject::Issue(issue.number), &mark, &body).await?;
        Ok(Dealt::Done { session: None, what: "its text was changed since it was asked for".to_owned() })
    }

    /// People hear that it is theirs now.
    async fn enough_fixes(&self, session: SessionId, facts: &Facts) -> Result<Dealt, Trouble> {
        let pull = facts.session.as_ref().and_then(|session| session.pull);
        if let (Some(pull), Reading::Failed(check)) = (pull, self.reading) {
            let body = format!(
                "The check `{}` fails still, after {} attempts to mend it in a row. It is left to people now: a comment that says what to do \
                 differently sets the work going again.",
                text::name(&check.name).replace('`', "'"),
                self.rules.fixes
            );
            let mark = Mark { session, what: format!("fixes-{}", short(&check.commit)) };
            self.way.talk.say(&self.at, Subject::Pull(pull), &mark, &body).await?;
        }
        let what = format!("{} attempts at checks were made in a row", self.rules.fixes);
        Ok(Dealt::Done { session: Some(session), what })
    }

    /// Nothing can come of a repository's sessions when it is gone.
    pub(super) async fn repository_gone(&self) -> Result<Dealt, Trouble> {
        match self.way.talk.repository(&self.at.path).await {
            Err(TalkError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(there) if there.id == self.at.id => {
                return Ok(Dealt::Done { session: None, what: "the repository is there".to_owned() });
            }
            // Another one has its name now.
            Ok(_) => {}
        }
        let mut cancelled = 0;
        for row in self.sessions().await? {
            let Some(standing) = self.standing_of(&row).await? else { continue };
            if standing.ended() || standing.is_over() {
                continue;
            }
            let by = text::name(&self.occasion.actor.login);
            let cancel = vec![EventBody::CancelAsked { by }];
            match self.way.store.append(row.id, Writer::Anybody, now(), cancel).await {
                Ok(_) | Err(StoreError::UnknownSession(_)) => cancelled += 1,
                Err(error) => return Err(error.into()),
            }
        }
        let what = format!("the repository is gone; {cancelled} sessions were cancelled");
        Ok(Dealt::Done { session: None, what })
    }
}

/// When what was asked was last changed before it was asked for.
fn last_change(issue: &Issue, how: &How) -> Option<cofferdam_domain::Timestamp> {
    match how {
        How::Mention(comment) => comment.updated.max(issue.updated),
        How::Label | How::Assigned => issue.updated,
    }
}

/// The beginning of a commit's id, as part of a mark.
fn short(commit: &str) -> String {
    commit.chars().filter(char::is_ascii_hexdigit).take(12).collect::<String>().to_ascii_lowercase()
}

/// A right, for people.
const fn right(right: Right) -> &'static str {
    match right {
        Right::None => "nothing",
        Right::Read => "the right to read",
        Right::Triage => "the right to sort issues",
        Right::Write => "the right to push",
        Right::Admin => "the right to administer the repository",
    }
}
