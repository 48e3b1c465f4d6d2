//! What is read of a delivery of Slack's: strictly what is needed, and nothing of what is not.

use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

/// The longest id and the longest text. Slack cuts texts at 40,000 characters.
const LONGEST_ID: usize = 32;
const LONGEST_EVENT_ID: usize = 128;
const LONGEST_TEXT: usize = 256 * 1024;
/// Forwarded messages of one message that are read.
const MOST_FORWARDED: usize = 20;

/// What a delivery is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// Slack wants to see that somebody is there who knows what it is about: this is to be said back.
    Challenge(String),
    /// Somebody said something that may be meant for us.
    Uttered(Box<Uttered>),
    /// Nothing that matters here, and why.
    Nothing(&'static str),
    /// Nothing for a session, but the operator should know.
    Trouble(&'static str),
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uttered {
    /// What tells the delivery from others; the same when it is delivered again.
    pub event: String,
    /// Slack's word for it.
    pub kind: Kind,
    /// The workspace that it is delivered for.
    pub team: String,
    /// The workspace of whoever said it, where that is told.
    pub from_team: Option<String>,
    /// Who said it.
    pub user: String,
    /// Where.
    pub channel: String,
    /// Whether the channel is shared with another organisation.
    pub shared: bool,
    /// The message's id in the channel.
    pub ts: String,
    /// The message that it answers, if it stands in a thread.
    pub thread: Option<String>,
    /// What was said, in Slack's markup.
    pub text: String,
    /// How many files are with it.
    pub files: usize,
    /// Messages of others that are forwarded with it.
    pub forwarded: Vec<Forwarded>,
}

/// A message that somebody forwards: the words of whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// Who wrote it, as Slack calls them.
    pub author: String,
    /// What they wrote, in Slack's markup.
    pub text: String,
}

/// How it came to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The app was mentioned.
    Mention,
    /// A message in a thread of a channel that the app is in.
    InThread,
    /// A message to the app alone.
    Direct,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mention => "app_mention",
            Self::InThread => "message",
            Self::Direct => "message.im",
        }
    }
}

impl Uttered {
    /// The message that all others of the thread answer: itself where it is the first.
    #[must_use]
    pub fn root(&self) -> &str {
        self.thread.as_deref().unwrap_or(&self.ts)
    }
}

/// It is no delivery of Slack's. In words for whoever has set up what sends it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(&'static str);

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    challenge: Option<String>,
    team_id: Option<String>,
    event_id: Option<String>,
    event: Option<Event>,
    #[serde(default)]
    is_ext_shared_channel: bool,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    subtype: Option<String>,
    user: Option<Value>,
    bot_id: Option<Value>,
    app_id: Option<Value>,
    user_team: Option<String>,
    source_team: Option<String>,
    team: Option<String>,
    channel: Option<Value>,
    channel_type: Option<String>,
    ts: Option<String>,
    thread_ts: Option<String>,
    text: Option<String>,
    #[serde(default)]
    files: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

/// What stands below a message: of all that there can be, only messages that were forwarded are read.
#[derive(Deserialize)]
struct Attachment {
    #[serde(default)]
    is_share: bool,
    #[serde(default)]
    is_msg_unfurl: bool,
    text: Option<String>,
    author_name: Option<String>,
}

impl Attachment {
    fn forwarded(self) -> Option<Forwarded> {
        let text = self.text.filter(|_| self.is_share || self.is_msg_unfurl)?;
        Some(Forwarded { author: self.author_name.unwrap_or_default(), text })
    }
}

impl Delivered {
    /// Reads what was posted: JSON for events, a form for what was pressed.
    ///
    /// # Errors
    /// When it is neither.
    pub fn read(body: &[u8]) -> Result<Self, Unreadable> {
        if body.starts_with(b"{") {
            return Self::of_json(body);
        }
        let mut fields = form_urlencoded::parse(body);
        if fields.any(|(name, value)| name == "payload" && value.starts_with('{')) {
            return Ok(Self::Nothing("what is pressed does nothing here"));
        }
        Err(Unreadable("the delivery is neither an event in JSON nor a form with a payload"))
    }

    /// Reads an event.
    ///
    /// # Errors
    /// When it is none.
    pub fn of_json(body: &[u8]) -> Result<Self, Unreadable> {
        let envelope: Envelope =
            serde_json::from_slice(body).map_err(|_| Unreadable("the delivery is no event of Slack's"))?;
        match &*envelope.kind {
            "url_verification" => match envelope.challenge {
                Some(challenge) if is_plain(&challenge, 1024) => Ok(Self::Challenge(challenge)),
                Some(_) | None => Err(Unreadable("the challenge is none that can be said back")),
            },
            "event_callback" => envelope.callback(),
            "app_rate_limited" => {
                Ok(Self::Trouble("Slack delivers nothing for a while: too much happens there"))
            }
            _ => Ok(Self::Nothing("it is no event")),
        }
    }
}

impl Envelope {
    fn callback(self) -> Result<Delivered, Unreadable> {
        let event = self.event.ok_or(Unreadable("the delivery has no `event`"))?;
        match &*event.kind {
            "app_mention" | "message" => {}
            "tokens_revoked" | "app_uninstalled" => {
                return Ok(Delivered::Trouble(
                    "the app was taken out of the workspace, or its token was revoked",
                ));
            }
            _ => return Ok(Delivered::Nothing("no message")),
        }
        // Beside a message with files, one that also goes to the channel, and one to oneself, these are edits, deletions and what programs say.
        if !matches!(event.subtype.as_deref(), None | Some("file_share" | "thread_broadcast" | "me_message"))
        {
            return Ok(Delivered::Nothing("no new message of somebody's"));
        }
        // What programs say in somebody's name is theirs too: there the text need not be what is shown.
        if event.bot_id.is_some() || event.app_id.is_some() {
            return Ok(Delivered::Nothing("a program said it"));
        }
        let kind = match (&*event.kind, event.channel_type.as_deref(), &event.thread_ts) {
            ("app_mention", ..) => Kind::Mention,
            (_, Some("im"), _) => Kind::Direct,
            (_, _, Some(_)) => Kind::InThread,
            (_, _, None) => return Ok(Delivered::Nothing("it stands in no thread and mentions nobody here")),
        };
        let event_id = self.event_id.filter(|id| is_plain(id, LONGEST_EVENT_ID));
        let text = event.text.unwrap_or_default();
        let forwarded = event.attachments.iter().filter_map(|one| one.text.as_ref());
        if forwarded.chain([&text]).any(|text| text.len() > LONGEST_TEXT) {
            return Err(Unreadable("the message is longer than any of Slack's"));
        }
        Ok(Delivered::Uttered(Box::new(Uttered {
            event: event_id.ok_or(Unreadable("the delivery has no usable `event_id`"))?,
            kind,
            team: id(self.team_id).ok_or(Unreadable("the delivery has no usable `team_id`"))?,
            from_team: event.user_team.or(event.source_team).or(event.team),
            user: id(word(event.user)).ok_or(Unreadable("the message has no usable `user`"))?,
            channel: id(word(event.channel)).ok_or(Unreadable("the message has no usable `channel`"))?,
            shared: self.is_ext_shared_channel,
            ts: event.ts.filter(|ts| is_ts(ts)).ok_or(Unreadable("the message has no usable `ts`"))?,
            thread: match event.thread_ts {
                Some(ts) if !is_ts(&ts) => return Err(Unreadable("the message has no usable `thread_ts`")),
                thread => thread,
            },
            text,
            files: event.files.len(),
            forwarded: event
                .attachments
                .into_iter()
                .filter_map(Attachment::forwarded)
                .take(MOST_FORWARDED)
                .collect(),
        })))
    }
}

fn word(value: Option<Value>) -> Option<String> {
    value?.as_str().map(str::to_owned)
}

fn id(id: Option<String>) -> Option<String> {
    id.filter(|id| is_id(id))
}

/// Whether a text is an id as Slack has them: `U0123ABCD`.
pub(super) fn is_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    (2..=LONGEST_ID).contains(&text.len()) && text.bytes().all(fits)
}

/// Whether a text is the id of a message: seconds, and six digits that tell those of one second apart.
fn is_ts(text: &str) -> bool {
    let digits =
        |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(seconds, rest)| digits(seconds, 12) && digits(rest, 10))
}

fn is_plain(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn mention() -> Value {
        json!({
            "token": "x", "team_id": "T0001", "api_app_id": "A0001", "type": "event_callback",
            "event_id": "Ev0001", "event_time": 1_700_000_000, "is_ext_shared_channel": false,
            "authorizations": [{ "enterprise_id": null, "team_id": "T0001", "user_id": "U0BOT", "is_bot": true }],
            "event": {
                "type": "app_mention", "user": "U0ANN", "text": "<@U0BOT> mend it", "ts": "1700000000.000100",
                "channel": "C0001", "event_ts": "1700000000.000100", "team": "T0001", "blocks": [],
            },
        })
    }

    fn with(pointer: &str, value: Value) -> Result<Delivered, Unreadable> {
        let mut delivery = mention();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        delivery.pointer_mut(parent).unwrap()[name] = value;
        Delivered::read(delivery.to_string().as_bytes())
    }

    #[test]
    fn what_somebody_says_is_read() {
        let Ok(Delivered::Uttered(said)) = Delivered::read(mention().to_string().as_bytes()) else {
            panic!()
        };
        assert_eq!((said.kind, &*said.user, said.root()), (Kind::Mention, "U0ANN", "1700000000.000100"));
        assert_eq!((said.from_team.as_deref(), said.shared, said.files), (Some("T0001"), false, 0));
        let Ok(Delivered::Uttered(said)) = with("/event/thread_ts", json!("1699999999.000100")) else {
            panic!()
        };
        assert_eq!(said.root(), "1699999999.000100");
    }

    #[test]
    fn what_nobody_newly_says_is_nothing() {
        for (pointer, value) in [
            ("/event/bot_id", json!("B1")),
            ("/event/app_id", json!("A1")),
            ("/event/subtype", json!("bot_message")),
            ("/event/subtype", json!("message_changed")),
            ("/event/subtype", json!("message_deleted")),
            ("/event/subtype", json!("whatever_comes")),
            ("/event/type", json!("message")),
            ("/event/type", json!("reaction_added")),
            ("/type", json!("interactive")),
        ] {
            assert!(matches!(with(pointer, value.clone()), Ok(Delivered::Nothing(_))), "{pointer} {value}");
        }
        assert!(matches!(with("/event/type", json!("tokens_revoked")), Ok(Delivered::Trouble(_))));
        assert!(matches!(
            Delivered::read(b"payload=%7B%22type%22%3A%22block_actions%22%7D"),
            Ok(Delivered::Nothing(_))
        ));
    }

    #[test]
    fn what_is_not_as_documented_is_refused() {
        for (pointer, value) in [
            ("/event_id", json!(null)),
            ("/event_id", json!("a b")),
            ("/event_id", json!("x".repeat(200))),
            ("/team_id", json!("../T1")),
            ("/event/user", json!("U1/../U2")),
            ("/event/user", json!({})),
            ("/event/channel", json!("")),
            ("/event/ts", json!("now")),
            ("/event/ts", json!("1.")),
            ("/event/thread_ts", json!("1700000000.0001\n")),
            ("/event/text", json!("x".repeat(LONGEST_TEXT + 1))),
            ("/event", json!(null)),
            ("/event", json!([])),
        ] {
            assert!(with(pointer, value.clone()).is_err(), "{pointer} {value}");
        }
        for body in ["", "[]", "{", "payload=x", "x=1", "\u{0}"] {
            assert!(Delivered::read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_challenge_is_said_back_where_it_is_plain() {
        let challenge = |text: &str| {
            Delivered::read(json!({ "type": "url_verification", "challenge": text }).to_string().as_bytes())
        };
        assert_eq!(challenge("3eZbrw1a"), Ok(Delivered::Challenge("3eZbrw1a".into())));
        assert!(challenge("<script>\n").is_err() && challenge("").is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300), id in "\\PC{0,40}") {
            drop(Delivered::read(&body));
            for pointer in ["/event/user", "/event/channel", "/event/thread_ts", "/event_id", "/team_id"] {
                if let Ok(Delivered::Uttered(said)) = with(pointer, json!(id)) {
                    prop_assert!([&said.user, &said.channel, &said.event].iter().all(|id| is_plain(id, 128)));
                }
            }
        }
    }
}
