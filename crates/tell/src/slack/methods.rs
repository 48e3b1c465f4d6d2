//! What is asked of Slack, in our words.

use cofferdam_domain::Secret;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{Slack, SlackError};

/// Messages of a thread in one answer, and answers of one thread that are looked at.
const PAGE: &str = "200";
const MOST_PAGES: usize = 10;
/// Answers of one thread in which a message of ours is looked for.
const MOST_SEARCHED: usize = 100;
const REPLIES: &str = "conversations.replies";
/// What the metadata of our messages are called.
const EVENT_TYPE: &str = "cofferdam_session";

/// As whom an app is known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Me {
    /// The user that the app is.
    #[serde(rename = "user_id")]
    pub user: String,
    /// What people call it.
    #[serde(rename = "user")]
    pub name: String,
    /// The bot that the user belongs to; nothing for a person's token.
    #[serde(rename = "bot_id")]
    pub bot: Option<String>,
    /// The workspace.
    #[serde(rename = "team_id")]
    pub team: String,
    /// What it is called.
    #[serde(rename = "team")]
    pub team_name: String,
    /// What the token may do.
    #[serde(skip)]
    pub scopes: Vec<String>,
}

/// Somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Person {
    /// Their id.
    pub id: String,
    /// The workspace that they belong to.
    #[serde(rename = "team_id")]
    pub team: String,
    /// Their name.
    name: String,
    real_name: String,
    deleted: bool,
    is_bot: bool,
    is_restricted: bool,
    is_ultra_restricted: bool,
    is_stranger: bool,
}

impl Person {
    /// What people call them.
    #[must_use]
    pub fn called(&self) -> &str {
        if self.real_name.is_empty() { &self.name } else { &self.real_name }
    }

    /// Why they are none of the workspace's own people, if they are not.
    #[must_use]
    pub fn outside(&self, team: &str) -> Option<&'static str> {
        if self.is_bot {
            return Some("a bot asks for nothing");
        }
        if self.deleted {
            return Some("the account is deactivated");
        }
        if self.is_restricted || self.is_ultra_restricted {
            return Some("a guest asks for nothing");
        }
        (self.is_stranger || self.team != team).then_some("somebody of another workspace asks for nothing")
    }
}

/// A message of a thread.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Note {
    /// Its id in the channel.
    pub ts: String,
    /// Who wrote it.
    pub user: String,
    /// Which bot wrote it.
    pub bot_id: Option<String>,
    /// What it says.
    pub text: String,
    /// What only programs see of it.
    pub metadata: Value,
}

/// What tells a message of ours from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Which session it is about.
    pub(super) session: String,
    /// Which of the messages about it.
    pub(super) what: String,
}

/// A message as it is to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    /// What notifications and screen readers say.
    pub(super) plain: String,
    /// What is shown.
    pub(super) blocks: Value,
}

impl Note {
    /// Whether we have written it under a mark.
    pub(super) fn is(&self, me: &Me, mark: &Mark) -> bool {
        let ours = self.user == me.user || me.bot.is_some() && self.bot_id == me.bot;
        let payload = &self.metadata["event_payload"];
        let Mark { session, what } = mark;
        ours && self.metadata["event_type"] == EVENT_TYPE
            && payload["session"] == **session
            && payload["what"] == **what
    }
}

impl Slack {
    /// As whom it knows the app, and what the token may do.
    ///
    /// # Errors
    /// When it does not say so.
    pub async fn me(&self) -> Result<Me, SlackError> {
        let said = self.call("auth.test", &[]).await?;
        let scopes =
            said.headers.get("x-oauth-scopes").and_then(|text| text.to_str().ok()).unwrap_or_default();
        let scopes =
            scopes.split(',').map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        Ok(Me { scopes, ..said.documented()? })
    }

    /// Who somebody is.
    ///
    /// # Errors
    /// When it does not say so.
    pub async fn person(&self, user: &str) -> Result<Person, SlackError> {
        #[derive(Deserialize)]
        struct Answer {
            user: Person,
        }
        let said = self.call("users.info", &[("user", user)]).await?;
        Ok(said.documented::<Answer>()?.user)
    }

    /// The members of a user group.
    ///
    /// # Errors
    /// When it does not say so.
    pub async fn members(&self, group: &str) -> Result<Vec<String>, SlackError> {
        #[derive(Deserialize)]
        struct Answer {
            users: Vec<String>,
        }
        let said = self.call("usergroups.users.list", &[("usergroup", group)]).await?;
        Ok(said.documented::<Answer>()?.users)
    }

    /// The messages of a thread, the oldest first; of a very long one not the latest. `until` is the last one of interest.
    ///
    /// # Errors
    /// When it does not say so.
    pub async fn thread(
        &self,
        channel: &str,
        thread: &str,
        until: Option<&str>,
    ) -> Result<Vec<Note>, SlackError> {
        let mut bounds = Vec::new();
        if let Some(until) = until {
            bounds.extend([("latest", until), ("inclusive", "true")]);
        }
        let (mut notes, mut cursor) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let (page, next) = self.page((channel, thread), &bounds, &cursor).await?;
            notes.extend(page);
            match next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        Ok(notes)
    }

    /// The message of ours under a mark, among those of a thread that were said after another one; by its id.
    pub(super) async fn find(
        &self,
        me: &Me,
        place: (&str, &str),
        after: &str,
        mark: &Mark,
    ) -> Result<Option<String>, SlackError> {
        let mut cursor = String::new();
        for _ in 0..MOST_SEARCHED {
            let (page, next) = self.page(place, &[("oldest", after)], &cursor).await?;
            if let Some(note) = page.into_iter().find(|note| note.is(me, mark)) {
                return Ok(Some(note.ts));
            }
            match next {
                Some(next) => cursor = next,
                None => return Ok(None),
            }
        }
        // Whoever says it anyway, may say it twice.
        Err(self.for_now(REPLIES, "the thread is too long to be searched", None))
    }

    /// One answer of a thread's messages, and where the next one begins.
    async fn page(
        &self,
        (channel, thread): (&str, &str),
        bounds: &[(&str, &str)],
        cursor: &str,
    ) -> Result<(Vec<Note>, Option<String>), SlackError> {
        #[derive(Deserialize)]
        struct Answer {
            messages: Vec<Note>,
            #[serde(default)]
            response_metadata: Value,
        }
        let mut arguments =
            vec![("channel", channel), ("ts", thread), ("limit", PAGE), ("include_all_metadata", "true")];
        arguments.extend(bounds);
        if !cursor.is_empty() {
            arguments.push(("cursor", cursor));
        }
        let answer: Answer = self.call(REPLIES, &arguments).await?.documented()?;
        let next = answer.response_metadata["next_cursor"].as_str().filter(|next| !next.is_empty());
        Ok((answer.messages, next.map(str::to_owned)))
    }

    /// Where a connection may be opened for what happens. The address has a secret in it.
    ///
    /// # Errors
    /// When it does not say so.
    pub async fn socket(&self, app_token: &Secret) -> Result<Url, SlackError> {
        const METHOD: &str = "apps.connections.open";
        #[derive(Deserialize)]
        struct Answer {
            url: String,
        }
        let answer: Answer = self.call_with(app_token, METHOD, &[]).await?.documented()?;
        let url = Url::parse(&answer.url).map_err(|_| self.malformed(METHOD))?;
        let scheme = if self.api().scheme() == "https" { "wss" } else { "ws" };
        let (own, host) = (self.api().host_str().unwrap_or_default(), url.host_str().unwrap_or_default());
        let is_theirs = host == own || host.strip_suffix(own).is_some_and(|sub| sub.ends_with('.'));
        if url.scheme() != scheme || !is_theirs { Err(self.malformed(METHOD)) } else { Ok(url) }
    }

    /// Shows whoever wrote a message that it was seen. Again it is no matter.
    pub(super) async fn react(&self, channel: &str, message: &str) -> Result<(), SlackError> {
        let arguments = [("channel", channel), ("timestamp", message), ("name", "eyes")];
        match self.call("reactions.add", &arguments).await {
            Ok(_) => Ok(()),
            Err(error) if error.is("already_reacted") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says something in a thread, under a mark. Gives back the message's id.
    pub(super) async fn post(
        &self,
        (channel, thread): (&str, &str),
        mark: &Mark,
        text: &Text,
    ) -> Result<String, SlackError> {
        #[derive(Deserialize)]
        struct Answer {
            ts: String,
        }
        let (blocks, metadata) = (text.blocks.to_string(), mark.metadata());
        let arguments = [
            ("channel", channel),
            ("thread_ts", thread),
            ("reply_broadcast", "false"),
            ("text", &text.plain),
            ("blocks", &blocks),
            ("metadata", &metadata),
            ("unfurl_links", "false"),
            ("unfurl_media", "false"),
            ("link_names", "false"),
            ("parse", "none"),
        ];
        Ok(self.call("chat.postMessage", &arguments).await?.documented::<Answer>()?.ts)
    }

    /// Puts another text in the place of a message's. `false` where that is not there any more.
    pub(super) async fn change(
        &self,
        (channel, message): (&str, &str),
        mark: &Mark,
        text: &Text,
    ) -> Result<bool, SlackError> {
        let (blocks, metadata) = (text.blocks.to_string(), mark.metadata());
        let arguments = [
            ("channel", channel),
            ("ts", message),
            ("text", &text.plain),
            ("blocks", &blocks),
            ("metadata", &metadata),
            ("link_names", "false"),
            ("parse", "none"),
        ];
        match self.call("chat.update", &arguments).await {
            Ok(_) => Ok(true),
            Err(error) if error.is("message_not_found") => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Mark {
    fn metadata(&self) -> String {
        let Self { session, what } = self;
        json!({ "event_type": EVENT_TYPE, "event_payload": { "session": session, "what": what } }).to_string()
    }
}
