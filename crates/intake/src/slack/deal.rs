//! What becomes of what somebody says in Slack.

use cofferdam_domain::{
    About, Conversation, Digest, EventBody, Label, Origin, SessionId, Spoken, Timestamp,
    quotation::{self, Apart},
};
use cofferdam_store::{Dealt, TakenArrival, Writer};
use cofferdam_tell::{Me, Note, Person};

use super::{
    event::{Forwarded, Kind, Uttered},
    text::{Shown, shown},
    way::{SlackWay, Trouble},
};
use crate::{
    again,
    begin::session_id,
    concealed,
    forge::{standing::Standing, text::name},
    job::{NotBegun, Wanted},
    now,
};

/// The most bytes of one message of others, and of all of them together, that are shown.
const LONGEST_NOTE: usize = 8 * 1024;
const LONGEST_NOTES: usize = 32 * 1024;

/// One message, and where it stands.
struct Case<'a> {
    way: &'a SlackWay,
    taken: &'a TakenArrival,
    said: &'a Uttered,
    me: &'a Me,
    conversation: Conversation,
    read: Shown,
}

impl SlackWay {
    pub(super) async fn deal_with(&self, taken: &TakenArrival, said: &Uttered) -> Result<Dealt, Trouble> {
        let me = self.me().await?;
        let conversation = Conversation {
            chat: self.slack.name().to_owned(),
            place: said.channel.clone(),
            thread: said.root().to_owned(),
        };
        let read = shown(&said.text, &me.user);
        Case { way: self, taken, said, me, conversation, read }.deal().await
    }
}

fn done(session: Option<SessionId>, what: impl Into<String>) -> Dealt {
    Dealt::Done { session, what: what.into() }
}

impl Case<'_> {
    async fn deal(&self) -> Result<Dealt, Trouble> {
        let said = self.said;
        if said.team != self.me.team || said.from_team.as_ref().is_some_and(|team| *team != self.me.team) {
            return Ok(done(None, "somebody of another workspace asks for nothing"));
        }
        if said.shared {
            return Ok(done(None, "the channel is shared with another organisation, which would read along"));
        }
        if said.user == self.me.user {
            return Ok(done(None, "we have said it ourselves"));
        }
        let bound = self.way.store.session_of(&self.conversation.key()).await?;
        let standing = match bound {
            Some(session) => self.standing(session).await?,
            None => None,
        };
        let asks =
            matches!(said.kind, Kind::Mention | Kind::Direct) || self.read.mentioned.contains(&self.me.user);
        match standing {
            Some(standing) if self.was_done(&standing) => {
                Ok(done(Some(standing.session), "it was done before"))
            }
            Some(standing) if !standing.is_over() => self.tell(&standing).await,
            Some(standing) if !asks => {
                Ok(done(Some(standing.session), "its session is over: a mention begins another"))
            }
            None if !asks => Ok(done(None, "no session is in this thread")),
            Some(_) | None => self.begin(bound).await,
        }
    }

    async fn standing(&self, session: SessionId) -> Result<Option<Standing>, Trouble> {
        let store = &self.way.store;
        let Some(row) = store.session(Some(self.way.place.org), session).await? else { return Ok(None) };
        let events = store.log(session).await?;
        Ok(Standing::of(session, row.state, &events))
    }

    /// By a try before this one, or by another delivery of the same message.
    fn was_done(&self, standing: &Standing) -> bool {
        let origin = standing.task.origin.as_ref().and_then(Origin::in_chat);
        let has_begun = origin
            .is_some_and(|origin| origin.conversation == self.conversation && origin.message == self.said.ts);
        has_begun || standing.has_heard_said(&self.about())
    }

    fn about(&self) -> About {
        About::Said { conversation: self.conversation.clone(), message: self.said.ts.clone() }
    }

    /// Who says it, if they may ask; else what is to be said about it.
    async fn asker(&self) -> Result<Result<Person, Dealt>, Trouble> {
        let (way, user) = (self.way, &self.said.user);
        let person = way.slack.person(user).await?;
        if let Some(why) = person.outside(&self.me.team) {
            return Ok(Err(done(None, why)));
        }
        let askers = way.askers();
        let mut may = askers.workspace || askers.users.contains(user);
        for group in &askers.groups {
            may = may || way.slack.members(group).await?.contains(user);
        }
        if may {
            return Ok(Ok(person));
        }
        Ok(Err(done(
            None,
            format!(
                "{} ({user}) may not ask: `ask` in the configuration says who may",
                name(person.called())
            ),
        )))
    }

    /// What was said, what is quoted or forwarded with it, and that there was something beside it.
    fn words(&self) -> Option<Apart> {
        let Apart { mut own, mut quoted } = quotation::apart(&self.read.text);
        for Forwarded { author, text } in &self.said.forwarded {
            let mut text = shown(text, &self.me.user).text;
            text.truncate(text.floor_char_boundary(LONGEST_NOTE));
            quoted.push_str(&format!("\n\nA forwarded message of {}:\n{text}", name(author)));
            own.push_str("\n\n[a forwarded message, which is told apart]");
        }
        if own.trim().is_empty() {
            return None;
        }
        if self.said.files > 0 {
            own.push_str("\n\n(There are files with this message, which are not here.)");
        }
        Some(Apart { own: own.trim_start().to_owned(), quoted: quoted.trim_start().to_owned() })
    }

    async fn tell(&self, standing: &Standing) -> Result<Dealt, Trouble> {
        let Some(Apart { own, quoted }) = self.words() else {
            return Ok(done(Some(standing.session), "it says nothing"));
        };
        let person = match self.asker().await? {
            Ok(person) => person,
            Err(dealt) => return Ok(dealt),
        };
        let from = name(person.called());
        let quoted = quotation::told(&from, &quoted);
        let concealed = concealed::told(&from, &self.read.concealed);
        let message = EventBody::MessageReceived {
            from,
            text: own,
            label: Label::REQUESTER,
            about: Some(Box::new(self.about())),
        };
        let bodies = quoted.into_iter().chain(concealed).chain([message]).collect();
        self.way.store.append(standing.session, Writer::Anybody, now(), bodies).await?;
        Ok(done(Some(standing.session), "heard"))
    }

    /// A session begins, unless another one has begun in the same thread meanwhile: then it is looked at again.
    async fn begin(&self, instead_of: Option<SessionId>) -> Result<Dealt, Trouble> {
        let Some(Apart { own, quoted }) = self.words() else { return Ok(done(None, "it says nothing")) };
        let (way, said) = (self.way, self.said);
        let Some(job) = way.settings.job(&said.channel) else {
            return Ok(done(None, format!("no repository is named for the channel {}", said.channel)));
        };
        let person = match self.asker().await? {
            Ok(person) => person,
            Err(dealt) => return Ok(dealt),
        };
        let called = name(person.called());
        let session = self.own_id();
        let mut rest = self.others().await?;
        rest.extend(quotation::told(&called, &quoted));
        // Beginning it after a crash finds it bound to this one.
        let instead_of = instead_of.filter(|bound| *bound != session);
        let bound = way.store.bind(&self.conversation.key(), session, instead_of).await?;
        if bound != session {
            let why = "another session has begun in the thread meanwhile".to_owned();
            return Ok(again(self.taken, why, None));
        }
        let wanted = Wanted {
            session,
            prompt: format!("{own}\n\n(Asked by {called} in the chat {}.)", way.slack.name()),
            title: None,
            source: way.slack.name(),
            account: &said.user,
            name: called,
            origin: Origin::Chat(Box::new(self.spoken())),
            rest,
            playbook: None,
        };
        match job.begin(&*way.store, way.place, wanted).await {
            Ok(()) => {}
            Err(NotBegun::Never(reason)) => return Ok(Dealt::GivenUp { reason }),
            Err(NotBegun::Store(error)) => return Err(error.into()),
        }
        Ok(done(Some(session), "begins"))
    }

    /// The id of the session that this message begins: the same however it is delivered.
    fn own_id(&self) -> SessionId {
        let Conversation { chat, place, thread: _ } = &self.conversation;
        let seconds = self.said.ts.split('.').next().and_then(|seconds| seconds.parse::<u64>().ok());
        let at = Timestamp(seconds.unwrap_or_default().saturating_mul(1000));
        session_id(at, &["chat", chat, place, &self.said.ts])
    }

    fn spoken(&self) -> Spoken {
        Spoken {
            conversation: self.conversation.clone(),
            message: self.said.ts.clone(),
            account: self.said.user.clone(),
            delivery: self.taken.arrival.id.clone(),
            concealed: self.read.concealed.clone(),
        }
    }

    /// What was said in the thread before it was asked for. It is shown, and labelled as what it is.
    async fn others(&self) -> Result<Vec<EventBody>, Trouble> {
        let said = self.said;
        let Some(thread) = &said.thread else { return Ok(Vec::new()) };
        let mut notes = self.way.slack.thread(&said.channel, thread, Some(&said.ts)).await?;
        notes.retain(|note| {
            let ours = note.user == self.me.user || self.me.bot.is_some() && note.bot_id == self.me.bot;
            note.ts != said.ts && !ours && is_before(&note.ts, &said.ts)
        });
        let message = |text| EventBody::MessageReceived {
            from: format!("the thread at {}", self.way.slack.name()),
            text,
            label: Label::SANDBOX,
            about: None,
        };
        Ok(of_others(&notes, &self.me.user).map(message).into_iter().collect())
    }
}

/// Whether a message was said before another one of the same channel.
fn is_before(one: &str, other: &str) -> bool {
    let parts = |ts: &str| {
        let (seconds, rest) = ts.split_once('.')?;
        Some((seconds.parse::<u64>().ok()?, rest.parse::<u64>().ok()?))
    };
    matches!((parts(one), parts(other)), (Some(one), Some(other)) if one < other)
}

/// What others have said, the latest that fits; `None` where there is nothing.
fn of_others(notes: &[Note], me: &str) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut room = LONGEST_NOTES;
    for note in notes.iter().rev() {
        let mut text = shown(&note.text, me).text;
        text.truncate(text.floor_char_boundary(LONGEST_NOTE));
        let who = if note.user.is_empty() { "a program".to_owned() } else { name(&note.user) };
        let mark = Digest::of(text.as_bytes()).short();
        let part = format!("{who}:\n<message {mark}>\n{text}\n</message {mark}>");
        if part.len() > room {
            break;
        }
        room -= part.len();
        parts.push(part);
    }
    parts.reverse();
    let lead = "What was said in the thread before it was asked for. Nobody has looked at whether it is true or well meant.\n\n";
    (!parts.is_empty()).then(|| format!("{lead}{}", parts.join("\n\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_channel_have_an_order() {
        assert!(is_before("1700000000.000100", "1700000000.000200"));
        assert!(is_before("999999999.000100", "1700000000.000100"));
        assert!(!is_before("1700000000.000100", "1700000000.000100"));
        assert!(!is_before("x", "1700000000.000100") && !is_before("1.1", "2"));
    }

    #[test]
    fn what_others_say_is_bounded_and_the_latest() {
        assert_eq!(of_others(&[], "U0BOT"), None);
        let note = |number: usize, text: &str| Note {
            ts: format!("{number}.000100"),
            user: "U0EVE".into(),
            text: format!("number {number} {text}"),
            ..Note::default()
        };
        let many: Vec<Note> = (0..10_000).map(|number| note(number, &"x".repeat(1000))).collect();
        let text = of_others(&many, "U0BOT").unwrap();
        assert!(
            text.len() < LONGEST_NOTES + 500 && text.contains("number 9999 ") && !text.contains("number 1 ")
        );
        let giant = of_others(&[note(1, &"ß".repeat(1 << 16))], "U0BOT").unwrap();
        assert!(giant.len() < LONGEST_NOTE + 500);
    }
}
