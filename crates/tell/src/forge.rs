//! Telling on a forge: below the issue that a session was asked for in, on its commit, and in the discussions of its pull request.
//!
//! One comment where it was asked for, and one below its pull request once somebody writes there, say how it stands. They are rewritten at each letter
//! from what the log says *then*: letters may overtake one another, be told twice, or be lost between saying and noting, and the comment is right all
//! the same. Everything is said under a mark by which it is found again, so nothing stands there twice. What a letter is about decides only what else
//! is done: a reaction to what was asked, answers to a review's remarks.
//!
//! What this never does: mention anybody, close or approve anything, or say a word of a model's as one of the platform's. What the agent has to
//! say is made inert by the gate and stands in a quotation below the facts.

mod comment;
mod hunks;
mod replies;
mod review;
mod status;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cofferdam_domain::{About, NoticeKind, Part, Subject, Thread};
use cofferdam_forge::{
    RemoteRepository, RepositoryAddress,
    remote::{At, Mark, Reacted, Reaction, Remarked, Site, Talk, TalkError},
};
use cofferdam_store::{Everything, StoreError};

pub(crate) use self::replies::{Answer, Remark, Replied};
use self::{
    hunks::Shown,
    review::{Review, without_lines},
};
use crate::{
    Channel, Failed, Message, Route,
    story::Story,
    teller::now,
    turns::{self, Turns},
};

/// The most remarks of one review that are reacted to: each is a request.
const MOST_REACTIONS: usize = 20;

/// Tells of sessions on the forge that they were asked for on.
pub struct ForgeChannel {
    site: Site,
    talk: Arc<dyn Talk>,
    store: Arc<dyn Everything>,
    turns: Turns,
}

impl std::fmt::Debug for ForgeChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForgeChannel").field("site", &self.site).finish_non_exhaustive()
    }
}

impl ForgeChannel {
    /// The way to a forge, by the name `forge:` and the forge's own. It takes letters of all sessions: of one that has nothing to do with this
    /// forge there is nothing to tell.
    #[must_use]
    pub fn route(site: &Site, talk: Arc<dyn Talk>, store: Arc<dyn Everything>) -> Route {
        Route {
            name: format!("forge:{}", site.name()),
            kinds: NoticeKind::ALL.to_vec(),
            organisations: Vec::new(),
            projects: Vec::new(),
            channel: Arc::new(Self { site: site.clone(), talk, store, turns: Turns::default() }),
        }
    }
}

#[async_trait]
impl Channel for ForgeChannel {
    async fn tell(&self, message: &Message) -> Result<(), Failed> {
        let Some(session) = message.session else { return Ok(()) };
        let turn = self.turns.of(session);
        // The log is read in it: whoever comes later says what is later.
        let _turn = turn.lock().await;
        let Some(events) = turns::log(&*self.store, session).await? else { return Ok(()) };
        let story = Story::of(session, &events);
        let Some(place) = story.place(self.site.name()) else { return Ok(()) };
        let mut telling = Telling {
            site: &self.site,
            talk: &*self.talk,
            story: &story,
            at: At { id: place.repository, path: place.path.clone() },
            page: message.page.as_deref(),
            lost: None,
        };
        telling.acknowledge(message).await?;
        telling.comment().await?;
        telling.status().await?;
        telling.answer(message).await?;
        telling.review(&*self.store).await?;
        telling.lost.map_or(Ok(()), Err)
    }
}

/// One letter being told.
struct Telling<'a> {
    site: &'a Site,
    talk: &'a dyn Talk,
    story: &'a Story,
    at: At,
    page: Option<&'a str>,
    /// What could not be said until a person does something about it, or never will be. The rest is said all the same.
    lost: Option<Failed>,
}

impl Telling<'_> {
    /// Goes on after what will never work or waits for a person, and stops at what may work later.
    fn note<T>(&mut self, done: Result<T, TalkError>) -> Result<(), Failed> {
        let Err(error) = done else { return Ok(()) };
        let failed = failed(&error);
        if !error.needs_a_person() {
            return Err(failed);
        }
        // What may be said once somebody has mended it keeps the letter, whatever else is lost.
        if self.lost.is_none() || matches!(failed, Failed::ForNow { .. }) {
            self.lost = Some(failed);
        }
        Ok(())
    }

    /// Whoever asked sees at once that it was heard.
    async fn acknowledge(&mut self, message: &Message) -> Result<(), Failed> {
        let seen = match message.kind {
            NoticeKind::Accepted => {
                self.own_thread().map(|thread| vec![Reacted::Subject(thread.subject)]).unwrap_or_default()
            }
            NoticeKind::Heard => {
                self.story.about(message.seq).map(|about| self.heard(about)).unwrap_or_default()
            }
            NoticeKind::Frozen
            | NoticeKind::Alarm
            | NoticeKind::Question
            | NoticeKind::Plan
            | NoticeKind::Access
            | NoticeKind::Budget
            | NoticeKind::Choice
            | NoticeKind::PullRequest
            | NoticeKind::Ended
            | NoticeKind::Held
            | NoticeKind::Failed
            | NoticeKind::DeadLetter
            | NoticeKind::Moved
            | NoticeKind::Test => Vec::new(),
        };
        for to in seen {
            let done = self.talk.react(&self.at, to, Reaction::Eyes).await;
            self.note(done)?;
        }
        Ok(())
    }

    /// What there is of a message to react to. Forges have no reactions to a review as a whole, nor to checks.
    fn heard(&self, about: &About) -> Vec<Reacted> {
        match about {
            About::Comment { thread, comment, .. } if self.is_here(thread) => {
                vec![Reacted::Comment(thread.subject, *comment)]
            }
            About::Review { thread, remarks, .. } if self.is_here(thread) => {
                let line = |remark: &cofferdam_domain::Remark| Reacted::Line(thread.subject, remark.comment);
                remarks.iter().take(MOST_REACTIONS).map(line).collect()
            }
            About::Comment { .. } | About::Review { .. } | About::Check { .. } | About::Said { .. } => {
                Vec::new()
            }
        }
    }

    fn is_here(&self, thread: &Thread) -> bool {
        thread.forge == self.site.name() && thread.repository == self.at.id
    }

    /// The thread that the session was asked for in.
    fn own_thread(&self) -> Option<&Thread> {
        self.story.asked_in().filter(|thread| self.is_here(thread))
    }

    /// How it stands, in the one comment for that: where it was asked for, and below its pull request once somebody writes there.
    async fn comment(&mut self) -> Result<(), Failed> {
        let own = self.own_thread().map(|thread| thread.subject);
        let written = self.story.written_in().into_iter().filter(|thread| self.is_here(thread));
        let pulls =
            written.map(|thread| thread.subject).filter(|subject| matches!(subject, Subject::Pull(1..)));
        let subjects: Vec<Subject> =
            own.into_iter().chain(pulls.filter(|subject| own != Some(*subject))).collect();
        for subject in subjects {
            let body = comment::comment(self.story, self.site, &self.at.path, self.page);
            let mark = self.mark("task".to_owned());
            let done = self.talk.say(&self.at, subject, &mark, &body).await;
            self.note(done)?;
        }
        Ok(())
    }

    /// How it stands with the commit that is to be reviewed.
    async fn status(&mut self) -> Result<(), Failed> {
        if let Some((commit, status)) = status::status(self.story, self.page) {
            let done = self.talk.status(&self.at, commit, &status).await;
            self.note(done)?;
        }
        let parts: Vec<Part> = self.story.agent.parts().filter(|part| *part != Part::FIRST).collect();
        for part in parts {
            self.status_beside(part).await?;
        }
        Ok(())
    }

    /// The same in another one of the session's repositories, if that is on this forge.
    async fn status_beside(&mut self, part: Part) -> Result<(), Failed> {
        let Some((commit, status)) = status::beside(self.story, part, self.page) else { return Ok(()) };
        let task = self.story.agent.task();
        let address = task.and_then(|task| task.at(part)).map(|(address, _)| address.to_owned());
        let remote = address.and_then(|address| RemoteRepository::try_from(address).ok());
        let Some(path) = remote.and_then(|remote| self.site.owns(&RepositoryAddress::Remote(remote))) else {
            return Ok(());
        };
        let done = match self.talk.repository(&path).await {
            Ok(found) => {
                let at = At { id: found.id, path: found.path };
                self.talk.status(&at, commit, &status).await
            }
            Err(error) => Err(error),
        };
        self.note(done)
    }

    /// What the agent answers to remarks, once it is known what was pushed.
    async fn answer(&mut self, message: &Message) -> Result<(), Failed> {
        for Answer { remark, reply } in self.story.answers(message.seq) {
            let Subject::Pull(pull) = remark.thread.subject else { continue };
            if !self.is_here(&remark.thread) {
                continue;
            }
            let place = Remarked { comment: reply.to, discussion: remark.discussion.clone() };
            let mark = self.mark(format!("reply-{}", reply.to));
            let done = self.talk.answer(&self.at, pull, &place, &mark, &reply.body()).await;
            let said = done.is_ok();
            self.note(done)?;
            if said && reply.settles() {
                let done = self.talk.resolve(&self.at, pull, &place).await;
                self.note(done)?;
            }
        }
        Ok(())
    }

    /// The review, if that is what the session was for. Where the forge does not take what is said of lines, it stands in the text.
    async fn review(&mut self, store: &dyn Everything) -> Result<(), Failed> {
        let Some(review) = Review::of(self.story) else { return Ok(()) };
        let patch = match self.story.agent.received().and_then(|received| received.patch) {
            None => Vec::new(),
            Some(patch) => match store.blob(patch.digest).await {
                Ok(patch) => patch,
                // It has expired.
                Err(StoreError::UnknownBlob(_)) => Vec::new(),
                Err(error) => return Err(Failed::for_now(format!("the patch cannot be read ({error})"))),
            },
        };
        let wanted = review.wanted(&Shown::of(&patch), self.page);
        let mark = self.mark(format!("review-{}", review.number));
        let mut done = self.talk.review(&self.at, review.pull, &mark, &wanted).await;
        if let (Err(TalkError::Refused { .. }), false) = (&done, wanted.lines.is_empty()) {
            done = self.talk.review(&self.at, review.pull, &mark, &without_lines(wanted)).await;
        }
        self.note(done)
    }

    fn mark(&self, what: String) -> Mark {
        Mark { session: self.story.session(), what }
    }
}

/// What a forge's refusal means for the letter.
fn failed(error: &TalkError) -> Failed {
    let reason = error.to_string();
    match error {
        TalkError::Missing { .. } | TalkError::Refused { .. } => Failed::ForGood { reason },
        // A token that was revoked is replaced, a right that is missing is given.
        TalkError::Forbidden { .. } => Failed::ForNow { reason, rest: None },
        TalkError::ForNow { again, .. } => {
            let rest = again.map(|again| Duration::from_millis(again.millis_since(now())));
            Failed::ForNow { reason, rest }
        }
        // An answer that is none comes from something between here and the forge, and passes.
        TalkError::Malformed { .. } | _ => Failed::ForNow { reason, rest: None },
    }
}
