//! Telling in Slack: in the thread that a session was asked for in.
//!
//! Whoever asked sees a reaction at once. One message in the thread says how the session stands, and is edited at each letter from what the log says
//! *then*, as on forges. As nobody hears of an edit, what somebody has to do or wants to know is said in the thread besides, once each: a question, a plan, the
//! end. Every message has a mark in its metadata by which it is found again, so nothing stands there twice however often a letter is told.
//!
//! What this never does: mention anybody, unfurl a link, act on a button (they lead to the session's page, where people are signed in), or
//! have a word of a model's act.

mod api;
mod error;
mod methods;
mod text;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::{
    About, Conversation, Digest, Event, NoticeKind, SessionId, Spoken, WaitingFor, notice::Notice,
};
use cofferdam_store::Everything;
use tokio::sync::OnceCell;

pub use self::{
    api::{SLACK, Slack},
    error::SlackError,
    methods::{Me, Note, Person},
};
use self::{
    methods::{Mark, Text},
    text::{Mrkdwn, escaped, message},
};
use crate::{
    Channel, Failed, Message, Route,
    report::{Markup as _, Report},
    story::Story,
    teller::now,
    turns::{self, Turns},
};

/// Sessions whose messages are remembered; of others they are looked for.
const MOST_KNOWN: usize = 1_000;
/// What the message is called that says how a session stands.
const TASK: &str = "task";

/// Tells of sessions in the workspace that they were asked for in.
pub struct SlackChannel {
    slack: Slack,
    store: Arc<dyn Everything>,
    me: OnceCell<Me>,
    turns: Turns,
    known: Mutex<HashMap<SessionId, Known>>,
}

/// The message that says how a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    ts: String,
    /// Of what it says.
    digest: Digest,
}

impl std::fmt::Debug for SlackChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlackChannel").field("slack", &self.slack).finish_non_exhaustive()
    }
}

impl SlackChannel {
    /// The way to a workspace, by the name `slack:` and its own. It takes letters of all sessions: of one that was not asked for there, there is nothing
    /// to tell.
    #[must_use]
    pub fn route(slack: &Slack, store: Arc<dyn Everything>) -> Route {
        let channel = Self {
            slack: slack.clone(),
            store,
            me: OnceCell::new(),
            turns: Turns::default(),
            known: Mutex::default(),
        };
        Route {
            name: format!("slack:{}", slack.name()),
            kinds: NoticeKind::ALL.to_vec(),
            organisations: Vec::new(),
            projects: Vec::new(),
            channel: Arc::new(channel),
        }
    }

    fn known(&self, session: SessionId) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&session).cloned()
    }

    fn remember(&self, session: SessionId, message: Option<Known>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        match message {
            Some(message) => known.insert(session, message),
            None => known.remove(&session),
        };
    }
}

#[async_trait]
impl Channel for SlackChannel {
    async fn tell(&self, message: &Message) -> Result<(), Failed> {
        let Some(session) = message.session else { return Ok(()) };
        let turn = self.turns.of(session);
        // The log is read in it: whoever comes later says what is later.
        let _turn = turn.lock().await;
        let Some(events) = turns::log(&*self.store, session).await? else { return Ok(()) };
        let story = Story::of(session, &events);
        let Some(spoken) = story.asked_by().filter(|spoken| spoken.conversation.chat == self.slack.name())
        else {
            return Ok(());
        };
        let report =
            Report { story: &story, markup: &Mrkdwn, page: message.page.as_deref(), pull_page: None };
        let telling = Telling { channel: self, story: &story, report, spoken, letter: message };
        telling.tell(&events).await.map_err(|error| failed(&error))
    }
}

/// One letter being told.
struct Telling<'a> {
    channel: &'a SlackChannel,
    story: &'a Story,
    report: Report<'a>,
    spoken: &'a Spoken,
    letter: &'a Message,
}

impl Telling<'_> {
    async fn tell(&self, events: &[Event]) -> Result<(), SlackError> {
        // What can never be said does not keep the rest back.
        let mut lost = None;
        let mut keep = |done: Result<(), SlackError>| match done {
            Err(error @ (SlackError::Missing { .. } | SlackError::Refused { .. })) => {
                lost.get_or_insert(error);
                Ok(())
            }
            done => done,
        };
        keep(self.acknowledge().await)?;
        keep(self.standing().await)?;
        keep(self.notice(events).await)?;
        lost.map_or(Ok(()), Err)
    }

    /// Whoever said something sees at once that it was heard.
    async fn acknowledge(&self) -> Result<(), SlackError> {
        let Conversation { place, .. } = &self.spoken.conversation;
        let seen = if self.letter.kind == NoticeKind::Accepted {
            Some(&self.spoken.message)
        } else {
            match self.story.about(self.letter.seq).filter(|_| self.letter.kind == NoticeKind::Heard) {
                Some(About::Said { conversation, message }) if *conversation == self.spoken.conversation => {
                    Some(message)
                }
                Some(
                    About::Said { .. } | About::Comment { .. } | About::Review { .. } | About::Check { .. },
                )
                | None => None,
            }
        };
        match seen {
            Some(seen) => self.channel.slack.react(place, seen).await,
            None => Ok(()),
        }
    }

    /// How it stands, in the one message for that.
    async fn standing(&self) -> Result<(), SlackError> {
        let Report { page, .. } = self.report;
        let text = message(&self.report.opening(), &self.report.facts(), &self.report.quotations(), page);
        let digest = Digest::of(text.blocks.to_string().as_bytes());
        let session = self.story.session();
        let mark = self.mark(TASK);
        let known = match self.channel.known(session) {
            Some(known) if known.digest == digest => return Ok(()),
            Some(known) => Some(known.ts),
            None => self.find(&mark).await?,
        };
        let ts = match known {
            Some(ts) if self.channel.slack.change((self.place(), &ts), &mark, &text).await? => ts,
            // Somebody has deleted it, or there is none yet.
            Some(_) | None => {
                self.channel.remember(session, None);
                self.post(&mark, &text).await?
            }
        };
        self.channel.remember(session, Some(Known { ts, digest }));
        Ok(())
    }

    /// What somebody has to do or wants to know, as a message of its own.
    async fn notice(&self, events: &[Event]) -> Result<(), SlackError> {
        let Some(text) = self.noticed(events) else { return Ok(()) };
        let mark = self.mark(&self.letter.id.to_string());
        if self.find(&mark).await?.is_none() {
            self.post(&mark, &text).await?;
        }
        Ok(())
    }

    /// Nothing of what is settled when it is told.
    fn noticed(&self, events: &[Event]) -> Option<Text> {
        let (agent, over) = (&self.story.agent, self.story.outcome().is_some());
        let open = match self.letter.kind {
            NoticeKind::Question => agent.waiting() == Some(WaitingFor::Answer),
            NoticeKind::Plan => agent.waiting() == Some(WaitingFor::Plan),
            NoticeKind::Budget => agent.waiting() == Some(WaitingFor::Budget),
            NoticeKind::Choice => agent.waiting() == Some(WaitingFor::Choice),
            NoticeKind::Access => !over,
            NoticeKind::PullRequest
            | NoticeKind::Ended
            | NoticeKind::Held
            | NoticeKind::Failed
            | NoticeKind::DeadLetter => over,
            NoticeKind::Frozen | NoticeKind::Alarm => return Some(self.alarmed(events)),
            NoticeKind::Accepted | NoticeKind::Heard | NoticeKind::Moved | NoticeKind::Test => false,
        };
        let Report { page, .. } = self.report;
        open.then(|| message(&self.report.opening(), &[], &self.report.quotations(), page))
    }

    /// That a rule over its events was met.
    fn alarmed(&self, events: &[Event]) -> Text {
        let event = events.iter().find(|event| event.seq == self.letter.seq);
        let why = event.and_then(|event| Notice::of(&event.body)).and_then(|notice| notice.text);
        let opening = if self.letter.kind == NoticeKind::Frozen {
            format!(
                "{} {}",
                Mrkdwn.strong("Frozen:"),
                escaped("its sandbox was stopped, and somebody has to look at it.")
            )
        } else {
            format!("{} {}", Mrkdwn.strong("An alarm:"), escaped("somebody should look at what it does."))
        };
        let why: Vec<(&str, String)> = why.into_iter().map(|why| ("Why:", why)).collect();
        message(&opening, &[], &why, self.report.page)
    }

    fn place(&self) -> &str {
        &self.spoken.conversation.place
    }

    async fn post(&self, mark: &Mark, text: &Text) -> Result<String, SlackError> {
        self.channel.slack.post((self.place(), &self.spoken.conversation.thread), mark, text).await
    }

    /// The message under a mark, by its id.
    async fn find(&self, mark: &Mark) -> Result<Option<String>, SlackError> {
        let slack = &self.channel.slack;
        let me = self.channel.me.get_or_try_init(|| slack.me()).await?;
        let place = (self.place(), &*self.spoken.conversation.thread);
        slack.find(me, place, &self.spoken.message, mark).await
    }

    fn mark(&self, what: &str) -> Mark {
        Mark { session: self.story.session().to_string(), what: what.to_owned() }
    }
}

/// What a refusal means for the letter.
fn failed(error: &SlackError) -> Failed {
    let reason = error.to_string();
    match error {
        SlackError::Missing { .. } | SlackError::Refused { .. } => Failed::ForGood { reason },
        SlackError::ForNow { again, .. } => {
            let rest = again.map(|again| Duration::from_millis(again.millis_since(now())));
            Failed::ForNow { reason, rest }
        }
        // A person can mend it, and then it is said.
        SlackError::Token { .. } | SlackError::Scope { .. } | SlackError::Malformed { .. } => {
            Failed::ForNow { reason, rest: None }
        }
    }
}
