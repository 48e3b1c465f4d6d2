//! What was decided is done: safe to do again, as everything is looked at first.

use cofferdam_domain::{
    About, Also, Asked, EventBody, Label, Origin, PullRequestState, SessionId, Source, Subject, Task,
    UnderReview, quotation,
    task::{Wishes, is_base},
};
use cofferdam_forge::{
    hook::{AccountKind, Check, Comment, Issue, Pull},
    remote::{Mark, Right, TalkError},
};
use cofferdam_store::{Dealt, StoreError, Writer};

use super::{
    decide::{Decision, Facts},
    mention::{Wish, wish},
    reading::{How, Reading, ReviewBy},
    text::{self, Framed},
    way::{Case, Trouble},
};
use crate::{again, begin, concealed, now};

/// Comments below an issue that are looked at: the latest, as many of which are shown as fit.
const MOST_COMMENTS: usize = 200;
/// How often it is looked whether a pull request conflicts before anybody is told.
const CONFLICT_LOOKS: u32 = 3;
/// The most bytes of a check's log that are fetched.
const LONGEST_LOG: usize = 48 * 1024;

/// What a session is to be begun with.
struct Wanted {
    subject: Subject,
    /// What it is found by.
    key: String,
    framed: Framed,
    base: Option<String>,
    changed: Option<cofferdam_domain::Timestamp>,
    review: Option<UnderReview>,
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
            Decision::BeginAnew { instead_of } => {
                // In this order: whoever dies in between finds one that is over, in the place of which another one begins.
                let cancel = vec![EventBody::CancelAsked { by: actor }];
                self.append(instead_of, cancel, "cancelled").await?;
                self.begin(&facts, Some(instead_of)).await
            }
            Decision::Tell(session) => {
                let bodies = self.message(&facts).await?;
                self.append(session, bodies, "heard").await
            }
            Decision::EnoughFixes(session) => self.enough_fixes(session, &facts).await,
            Decision::Conflicts(session) => self.conflicts(session, &facts).await,
            Decision::PullIs(session, state) => {
                let what = match &state {
                    PullRequestState::Open => "the pull request was opened again",
                    PullRequestState::Merged { .. } => "the pull request was merged",
                    PullRequestState::Closed => "the pull request was closed",
                };
                let part = facts.session.as_ref().map(|session| session.part).unwrap_or_default();
                self.append(session, vec![EventBody::PullRequestClosed { state }.about_part(part)], what)
                    .await
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
        let key = wanted.key.clone();
        let mut rest = self.rest(facts, &wanted).await?;
        // What begins on somebody's branch is about that branch.
        let (beside, told) = match wanted.base {
            None => self.beside().await?,
            Some(_) => Default::default(),
        };
        rest.extend(told);
        let task = match self.task(wanted, beside) {
            Ok(task) => task,
            Err(why) => return Ok(Dealt::GivenUp { reason: why }),
        };
        let (store, actor) = (&*way.store, &self.occasion.actor);
        let owner =
            begin::owner(store, way.place, way.site.name(), &actor.id.to_string(), &actor.login).await?;
        let bound = store.bind(&key, session, instead_of).await?;
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
                key: self.thread(Subject::Issue(issue.number)).key(),
                framed: text::of_issue(path, issue, actor, how),
                base: None,
                changed: last_change(issue, how),
                review: None,
            }),
            (Reading::ReviewAsked { by, .. }, Some(pull)) => self.review(pull, by),
            (Reading::Commented { comment, .. }, Some(pull)) => {
                if pull.head_repository != Some(self.at.id) {
                    return Err("the pull request's branch is in another repository");
                }
                Ok(Wanted {
                    subject: Subject::Pull(pull.number),
                    key: self.thread(Subject::Pull(pull.number)).key(),
                    framed: text::of_pull(path, pull, actor, comment),
                    base: Some(pull.branch.clone()),
                    changed: comment.updated,
                    review: None,
                })
            }
            (_, _) => Err("it begins no session"),
        }
    }

    /// A review of a pull request as it is now. Whoever wrote it need not be one who may ask, and has no word in what is asked.
    fn review(&self, pull: &Pull, by: &ReviewBy) -> Result<Wanted, &'static str> {
        if !is_object_id(&pull.commit) || !is_base(&pull.base) {
            return Err("the forge does not say what the pull request consists of");
        }
        let review = UnderReview {
            number: pull.number,
            head: pull.commit.to_ascii_lowercase(),
            reference: self.way.site.reference_of(pull.number),
            base: pull.base.clone(),
            foreign: pull.head_repository != Some(self.at.id),
        };
        Ok(Wanted {
            subject: Subject::Pull(pull.number),
            key: self.review_key(pull.number),
            framed: text::of_review(&self.at.path, pull, &self.occasion.actor.login, by),
            base: Some(pull.base.clone()),
            changed: by.comment().and_then(|comment| comment.updated),
            review: Some(review),
        })
    }

    /// What stands beside what is asked, labelled as what it is.
    async fn rest(&self, facts: &Facts, wanted: &Wanted) -> Result<Vec<EventBody>, Trouble> {
        let mut rest = Vec::new();
        if let (Some(_), Some(pull)) = (&wanted.review, &facts.pull) {
            rest.push(EventBody::MessageReceived {
                from: text::name(&pull.author.login),
                text: text::description(pull),
                label: Label::SANDBOX,
                about: None,
            });
        }
        rest.extend(self.others(wanted.subject).await?);
        rest.extend(self.quotations(facts));
        Ok(rest)
    }

    /// What whoever did it has written.
    fn written(&self, facts: &'_ Facts) -> Vec<String> {
        let remarks = || facts.unheard.iter().map(|remark| remark.comment.body.clone());
        match self.reading {
            Reading::Commented { on_line: true, .. } if facts.ours => remarks().collect(),
            Reading::Asked(_, How::Mention(comment)) | Reading::Commented { comment, .. } => {
                vec![comment.body.clone()]
            }
            Reading::ReviewAsked { by, .. } => {
                by.comment().map(|comment| comment.body.clone()).into_iter().collect()
            }
            Reading::Reviewed(_, review) => {
                let said = Some(review.body.clone()).filter(|_| !facts.body_heard);
                said.into_iter().chain(remarks()).collect()
            }
            Reading::Asked(_, How::Label | How::Assigned)
            | Reading::Nothing(_)
            | Reading::Failed(_)
            | Reading::PullChanged(_)
            | Reading::Conflicts(_)
            | Reading::IssueOver { .. }
            | Reading::RepositoryGone => Vec::new(),
        }
    }

    /// What whoever did it quotes: their own words are theirs to answer for, and these are somebody else's.
    fn quotations(&self, facts: &Facts) -> Option<EventBody> {
        let written = self.written(facts);
        let quoted = written.iter().map(|text| text::quoted_in(text)).filter(|quoted| !quoted.is_empty());
        let quoted: Vec<String> = quoted.collect();
        quotation::told(&text::name(&self.occasion.actor.login), &quoted.join("\n\n"))
    }

    /// What of it is not read as it was written.
    fn concealed(&self, facts: &Facts) -> Option<EventBody> {
        let written = self.written(facts);
        let written: Vec<&str> = written.iter().map(String::as_str).collect();
        concealed::told(&text::name(&self.occasion.actor.login), &text::concealed_in(&written))
    }

    fn task(&self, wanted: Wanted, beside: Vec<Also>) -> Result<Task, String> {
        let Wanted { subject, key: _, framed: (prompt, concealed), base, changed, review } = wanted;
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
        let task = task.and_then(|task| task.with(wishes)).and_then(|task| task.and_also(beside));
        let task = task.map_err(|invalid| invalid.to_string())?;
        let task = task.asked(Origin::Forge(Box::new(asked)));
        Ok(match review {
            Some(review) => task.reviewing(review),
            None => task,
        })
    }

    /// What people wrote there before it was asked for. It is shown, and labelled as what it is.
    async fn others(&self, subject: Subject) -> Result<Vec<EventBody>, Trouble> {
        let mut comments = self.way.talk.comments(&self.at, subject, None, MOST_COMMENTS).await?;
        let cut = comments.len() >= MOST_COMMENTS;
        let asking = match self.reading {
            Reading::Asked(_, How::Mention(comment)) | Reading::Commented { comment, .. } => comment.id,
            Reading::ReviewAsked { by, .. } => by.comment().map_or(0, |comment| comment.id),
            Reading::Asked(_, How::Label | How::Assigned)
            | Reading::Nothing(_)
            | Reading::Reviewed(..)
            | Reading::Failed(_)
            | Reading::PullChanged(_)
            | Reading::Conflicts(_)
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
        Ok(text::of_others(&comments, cut).map(message).into_iter().collect())
    }

    /// What a session hears.
    async fn message(&self, facts: &Facts) -> Result<Vec<EventBody>, Trouble> {
        let (text, about) = match self.reading {
            Reading::Asked(issue, how @ How::Mention(comment)) => {
                (text::asked_too(how), Some(self.comment(Subject::Issue(issue.number), comment)))
            }
            Reading::Asked(_, how) => (text::asked_too(how), None),
            Reading::ReviewAsked { pull, by: ReviewBy::Word(comment) } => {
                (text::said(&comment.body), Some(self.comment(Subject::Pull(*pull), comment)))
            }
            Reading::ReviewAsked { .. } => (text::review_too().to_owned(), None),
            Reading::Commented { pull, on_line: true, .. } if facts.ours => {
                (String::new(), Some(self.about_review(*pull, 0, facts)))
            }
            Reading::Commented { pull, comment, .. } => {
                let (thread, base) = (self.thread(Subject::Pull(*pull)), self.wants_base(comment, facts));
                (text::said(&comment.body), Some(About::Comment { thread, comment: comment.id, base }))
            }
            Reading::Reviewed(pull, review) => {
                let said = if facts.body_heard { String::new() } else { text::said(&review.body) };
                (said, Some(self.about_review(pull.number, review.id, facts)))
            }
            Reading::Failed(check) => return self.failed(check, facts).await,
            Reading::Nothing(_)
            | Reading::PullChanged(_)
            | Reading::Conflicts(_)
            | Reading::IssueOver { .. }
            | Reading::RepositoryGone => return Ok(Vec::new()),
        };
        let from = text::name(&self.occasion.actor.login);
        let message =
            EventBody::MessageReceived { from, text, label: Label::REQUESTER, about: about.map(Box::new) };
        Ok(self.quotations(facts).into_iter().chain(self.concealed(facts)).chain([message]).collect())
    }

    fn comment(&self, subject: Subject, comment: &Comment) -> About {
        About::Comment { thread: self.thread(subject), comment: comment.id, base: false }
    }

    /// Whether a comment below a pull request of ours asks that the branch which it is meant for be taken in.
    fn wants_base(&self, comment: &Comment, facts: &Facts) -> bool {
        let Some(pull) = facts.pull.as_ref().filter(|_| facts.ours) else { return false };
        match wish(&comment.body, &self.rules.mention) {
            Some(Wish::Base(None)) => true,
            Some(Wish::Base(Some(branch))) => branch == pull.base.to_lowercase() || branch == "base",
            Some(Wish::Review) | None => false,
        }
    }

    fn about_review(&self, pull: u64, review: u64, facts: &Facts) -> About {
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

    /// People hear with which words the base is taken in: nobody else sets that going.
    async fn conflicts(&self, session: SessionId, facts: &Facts) -> Result<Dealt, Trouble> {
        if self.taken.tries < CONFLICT_LOOKS {
            // While a forge finds out whether it can be merged, it may call it what cannot.
            return Ok(again(self.taken, "it is looked at once more whether it conflicts".to_owned(), None));
        }
        if let Some(pull) = &facts.pull {
            let (base, commit) = (text::name(&pull.base).replace('`', "'"), short(&pull.commit));
            let body = format!(
                "The branch conflicts at {commit} with what `{base}` is now. A comment here that begins with `@{} merge {base}` has it taken in and                  the conflicts solved; the tests run anew then.",
                self.rules.mention
            );
            let mark = Mark { session, what: format!("conflict-{commit}") };
            self.way.talk.say(&self.at, Subject::Pull(pull.number), &mark, &body).await?;
        }
        Ok(Dealt::Done {
            session: Some(session),
            what: "the pull request conflicts: people were told".to_owned(),
        })
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
        for row in self.way.sessions().await? {
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

/// Whether a text is a whole object id, as forges write them.
fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
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
