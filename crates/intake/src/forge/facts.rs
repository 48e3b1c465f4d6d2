//! What is looked up about a delivery: at the forge, where only now counts, and in the store.

use cofferdam_domain::{Part, PullRequestState, SessionId, SessionState, Subject};
use cofferdam_forge::{
    RemoteRepository, RepositoryAddress,
    hook::{Check, Comment, Pull, Review},
    remote::{At, Right},
};
use cofferdam_store::{SessionFilter, SessionRow, StoreError};

use super::{
    decide::Facts,
    reading::{How, Reading, ReviewBy, session_of_branch, session_of_pull},
    standing::Standing,
    text,
    way::{Case, Trouble},
};
use crate::begin::session_id;

/// Sessions of a forge that are looked through where only a commit is known, and in one read.
const PAGE: u32 = 200;

impl Case<'_> {
    /// Looks up what the decision takes, and nothing else.
    pub(super) async fn facts(&self) -> Result<Facts, Trouble> {
        match self.reading {
            Reading::Nothing(_) | Reading::RepositoryGone => Ok(Facts::default()),
            Reading::Asked(issue, how) => self.of_issue(issue.number, how).await,
            Reading::Commented { pull, comment, on_line, mentions } => {
                self.of_comment(*pull, comment, *on_line, *mentions).await
            }
            Reading::ReviewAsked { pull, by } => self.of_review_asked(*pull, by).await,
            Reading::Reviewed(pull, review) => self.of_review(pull, review).await,
            Reading::Failed(check) => self.of_check(check).await,
            Reading::PullChanged(session) | Reading::Conflicts(session) => self.of_pull(*session).await,
            Reading::IssueOver { issue, gone } => self.of_end(*issue, *gone).await,
        }
    }

    /// The id of the session that this delivery would begin.
    pub(super) fn own_id(&self) -> SessionId {
        let arrival = &self.taken.arrival;
        session_id(arrival.at, &["forge", &arrival.source, &arrival.id])
    }

    async fn rights(&self) -> Result<Facts, Trouble> {
        let talk = &self.way.talk;
        let actor = talk.right_of(&self.at, &self.occasion.actor).await?;
        if actor < self.rules.least {
            return Ok(Facts { actor, own: Right::None, ..Facts::default() });
        }
        let own = talk.right_of(&self.at, &self.rules.me).await?;
        // Nobody does through us what they may not do themselves, and nobody what we may not.
        Ok(Facts { actor: actor.min(own), own, ..Facts::default() })
    }

    fn may(&self, facts: &Facts) -> bool {
        facts.actor >= self.rules.least
    }

    async fn of_issue(&self, number: u64, how: &How) -> Result<Facts, Trouble> {
        let mut facts = self.rights().await?;
        if !self.may(&facts) {
            return Ok(facts);
        }
        facts.issue = Some(self.way.talk.issue(&self.at, number).await?);
        self.bound(Subject::Issue(number), &mut facts).await?;
        self.everywhere(&mut facts).await?;
        let heard = facts.session.as_ref().is_some_and(|session| match how {
            How::Mention(comment) => session.has_heard(comment.id),
            How::Label | How::Assigned => {
                let from = text::name(&self.occasion.actor.login);
                session.has_heard_words(&from, &text::asked_too(how), self.taken.arrival.at)
            }
        });
        facts.done |= heard;
        Ok(facts)
    }

    /// The session that was begun for a thread.
    async fn bound(&self, subject: Subject, facts: &mut Facts) -> Result<(), StoreError> {
        self.bound_to(&self.thread(subject).key(), facts).await
    }

    async fn bound_to(&self, key: &str, facts: &mut Facts) -> Result<(), StoreError> {
        facts.bound = self.way.store.session_of(key).await?;
        if let Some(session) = facts.bound {
            facts.session = self.standing(session).await?;
            facts.done = session == self.own_id() && facts.session.is_some();
        }
        Ok(())
    }

    /// How a session stands, if it is one of this repository and in the organisation that the forge is for.
    pub(super) async fn standing(&self, session: SessionId) -> Result<Option<Standing>, StoreError> {
        let Some(row) = self.way.store.session(Some(self.way.place.org), session).await? else {
            return Ok(None);
        };
        self.standing_of(&row).await
    }

    pub(super) async fn standing_of(&self, row: &SessionRow) -> Result<Option<Standing>, StoreError> {
        let log = self.way.store.log(row.id).await?;
        // A session that waits for a worker after its end has ended all the same.
        let address = self.way.site.clone_url(&self.at.path);
        let Some(standing) = Standing::of(row.id, row.state, &log) else { return Ok(None) };
        Ok(match standing.part_of(self.way.site.name(), self.at.id, address.as_str()) {
            None => None,
            Some(Part::FIRST) => Some(standing),
            Some(part) => Standing::seen_from(part, row.id, row.state, &log),
        })
    }

    /// Whoever steers a session on several repositories must be one who may in each of them: what it makes is pushed there too. Where this forge
    /// cannot tell, nobody may.
    async fn everywhere(&self, facts: &mut Facts) -> Result<(), Trouble> {
        let Some(session) = &facts.session else { return Ok(()) };
        let (task, here) = (session.task.clone(), session.part);
        for part in task.parts().filter(|part| *part != here) {
            let at = match task.at(part).and_then(|(address, _)| self.path_of(address)) {
                Some(path) => self.way.talk.repository(&path).await?,
                None => {
                    facts.actor = Right::None;
                    return Ok(());
                }
            };
            let at = At { id: at.id, path: at.path };
            facts.actor = facts.actor.min(self.way.talk.right_of(&at, &self.occasion.actor).await?);
            facts.own = facts.own.min(self.way.talk.right_of(&at, &self.rules.me).await?);
            facts.actor = facts.actor.min(facts.own);
        }
        Ok(())
    }

    /// The path of a repository on this forge.
    pub(super) fn path_of(&self, address: &str) -> Option<String> {
        let remote = RemoteRepository::try_from(address.to_owned()).ok()?;
        self.way.site.owns(&RepositoryAddress::Remote(remote))
    }

    async fn of_comment(
        &self,
        number: u64,
        comment: &Comment,
        on_line: bool,
        mentions: bool,
    ) -> Result<Facts, Trouble> {
        let pull = self.way.talk.pull(&self.at, number).await?;
        let session = match session_of_pull(self.at.id, &pull) {
            Some(session) => self.standing(session).await?,
            None => None,
        };
        if session.is_none() && !mentions {
            return Ok(Facts { pull: Some(pull), ..Facts::default() });
        }
        let mut facts = self.rights().await?;
        if !self.may(&facts) {
            facts.ours = session.is_some();
            return Ok(facts);
        }
        match session {
            Some(session) => self.ours(&mut facts, session),
            None => self.bound(Subject::Pull(number), &mut facts).await?,
        }
        self.everywhere(&mut facts).await?;
        let heard = facts.session.as_ref().is_some_and(|session| session.has_heard(comment.id));
        if on_line && facts.ours && !heard {
            self.unheard(number, &mut facts).await?;
        }
        facts.done |= heard;
        facts.pull = Some(pull);
        Ok(facts)
    }

    fn ours(&self, facts: &mut Facts, session: Standing) {
        facts.ours = true;
        facts.bound = Some(session.session);
        facts.session = Some(session);
    }

    /// What whoever did it says about lines: all of it that the session has not heard, so that one message has what several deliveries tell of.
    async fn unheard(&self, pull: u64, facts: &mut Facts) -> Result<(), Trouble> {
        let Some(session) = &facts.session else { return Ok(()) };
        let mut remarks = self.way.talk.remarks(&self.at, pull, 0).await?;
        remarks.retain(|remark| {
            let comment = &remark.comment;
            comment.author.id == self.occasion.actor.id && !session.has_heard(comment.id)
        });
        facts.unheard = remarks;
        Ok(())
    }

    async fn of_review_asked(&self, number: u64, by: &ReviewBy) -> Result<Facts, Trouble> {
        let mut facts = self.rights().await?;
        if !self.may(&facts) {
            return Ok(facts);
        }
        let pull = self.way.talk.pull(&self.at, number).await?;
        let session = match session_of_pull(self.at.id, &pull) {
            Some(session) => self.standing(session).await?,
            None => None,
        };
        match session {
            Some(session) => self.ours(&mut facts, session),
            None => self.bound_to(&self.review_key(number), &mut facts).await?,
        }
        self.everywhere(&mut facts).await?;
        let heard = |session: &Standing| by.comment().is_some_and(|comment| session.has_heard(comment.id));
        facts.done |= facts.session.as_ref().is_some_and(heard);
        facts.pull = Some(pull);
        Ok(facts)
    }

    /// What the reviews of a pull request are found by, beside what is asked to be done about it.
    pub(super) fn review_key(&self, pull: u64) -> String {
        format!("{}/review", self.thread(Subject::Pull(pull)).key())
    }

    async fn of_review(&self, pull: &Pull, review: &Review) -> Result<Facts, Trouble> {
        let mut facts = self.rights().await?;
        if !self.may(&facts) {
            return Ok(facts);
        }
        let session = match session_of_pull(self.at.id, pull) {
            Some(session) => self.standing(session).await?,
            None => None,
        };
        let Some(session) = session else { return Ok(facts) };
        let from = text::name(&self.occasion.actor.login);
        let since = self.taken.arrival.at;
        facts.body_heard = session.has_heard_review(review.id, &from, &text::said(&review.body), since);
        self.ours(&mut facts, session);
        self.everywhere(&mut facts).await?;
        facts.pull = Some(self.way.talk.pull(&self.at, pull.number).await?);
        self.unheard(pull.number, &mut facts).await?;
        facts.done = facts.body_heard && facts.unheard.is_empty();
        Ok(facts)
    }

    async fn of_check(&self, check: &Check) -> Result<Facts, Trouble> {
        let mut facts = Facts::default();
        let session = match check.branch.as_deref().and_then(session_of_branch) {
            Some(session) => self.standing(session).await?,
            None => self.session_at(&check.commit).await?,
        };
        if let Some(session) = session {
            self.ours(&mut facts, session);
        }
        Ok(facts)
    }

    /// The session whose pull request is at a commit.
    async fn session_at(&self, commit: &str) -> Result<Option<Standing>, StoreError> {
        let filter = SessionFilter {
            org: Some(self.way.place.org),
            pushed: Some(commit.to_owned()),
            limit: PAGE,
            ..SessionFilter::default()
        };
        for row in self.way.store.sessions(filter).await? {
            let waits = matches!(row.state, SessionState::Working | SessionState::Waiting);
            if waits || !matches!(row.pull_request, None | Some((_, PullRequestState::Open))) {
                continue;
            }
            let standing = self.standing_of(&row).await?;
            if let Some(standing) = standing.filter(|standing| standing.head.as_deref() == Some(commit)) {
                return Ok(Some(standing));
            }
        }
        Ok(None)
    }

    async fn of_pull(&self, session: SessionId) -> Result<Facts, Trouble> {
        let mut facts = Facts::default();
        let Some(session) = self.standing(session).await? else { return Ok(facts) };
        facts.pull = match session.pull {
            Some(number) => Some(self.way.talk.pull(&self.at, number).await?),
            None => {
                let branch = cofferdam_forge::branch_of(session.session);
                self.way.talk.find_pull(&self.at, &branch).await?
            }
        };
        self.ours(&mut facts, session);
        Ok(facts)
    }

    async fn of_end(&self, issue: u64, gone: bool) -> Result<Facts, Trouble> {
        let mut facts = Facts::default();
        self.bound(Subject::Issue(issue), &mut facts).await?;
        facts.done = false;
        let alive = facts.session.as_ref().is_some_and(|session| !session.ended() && !session.is_over());
        if alive && !gone {
            let rights = self.rights().await?;
            (facts.actor, facts.own) = (rights.actor, rights.own);
        }
        Ok(facts)
    }
}
