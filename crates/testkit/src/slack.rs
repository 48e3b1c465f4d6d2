//! A stand-in for Slack on this machine: there is no Slack that tests could have.
//!
//! It answers the dozen methods of the Web API that are asked for as [Slack's documentation] says, keeps what it is told, refuses arguments that the
//! documentation does not have, signs what it posts, and speaks Socket Mode. What a test shows with it holds for Slack as far as the documentation
//! was read rightly; Slack's own client for Python (`slack_sdk`) is held against it for that reason.
//!
//! [Slack's documentation]: https://docs.slack.dev/reference/methods

#![expect(clippy::unwrap_used, reason = "only tests use it, and they fail by panicking")]

mod socket;
mod state;
mod web;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Router, extract::Request};
use ring::hmac;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use self::state::State;
pub use self::state::{SlackAsked, SlackFault, SlackMessage};

/// A stand-in for Slack, with one workspace and one app in it. Dropping it ends it.
#[derive(Debug)]
pub struct Slack {
    url: String,
    state: Arc<Mutex<State>>,
    servers: [JoinHandle<()>; 2],
}

impl Slack {
    /// The workspace.
    pub const TEAM: &'static str = "T0WORKSPACE";
    /// The user that the app is, and its bot.
    pub const APP: (&'static str, &'static str) = ("U0APPUSER", "B0APPBOT");
    /// The token of the app's bot.
    pub const BOT_TOKEN: &'static str = "xoxb-000000-of-the-app";
    /// The app's own token.
    pub const APP_TOKEN: &'static str = "xapp-1-A0APP-of-the-app";
    /// The secret with which it signs what it posts.
    pub const SIGNING_SECRET: &'static str = "8f742231b10e8888abcd99yyyzzz85a5";
    /// A channel that the app is in.
    pub const CHANNEL: &'static str = "C0GENERAL";

    /// Starts one.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn start() -> Self {
        let front = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let back = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/api/", front.local_addr().unwrap());
        let socket = format!("ws://{}/link/", back.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::new(socket)));
        let shared = Arc::clone(&state);
        let answer = move |request: Request| web::answer(Arc::clone(&shared), request);
        let router = Router::new().fallback(answer);
        let web = tokio::spawn(async move {
            // Ends only by being aborted.
            axum::serve(front, router).await.ok();
        });
        let sockets = tokio::spawn(socket::serve(back, Arc::clone(&state)));
        Self { url, state, servers: [web, sockets] }
    }

    /// Where its API is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes somebody a member of the workspace, with more said of them than the usual.
    #[must_use]
    pub fn person(&self, name: &str, more: &Value) -> String {
        let mut state = self.state();
        let id = format!("U0P{:06}", state.next());
        let mut person = json!({
            "id": id, "team_id": Self::TEAM, "name": name, "real_name": name, "deleted": false, "is_bot": false,
            "is_restricted": false, "is_ultra_restricted": false, "is_app_user": false, "profile": { "real_name": name },
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            person[key] = value.clone();
        }
        state.people.insert(id.clone(), person);
        id
    }

    /// Makes a user group.
    #[must_use]
    pub fn group(&self, members: &[&str]) -> String {
        let mut state = self.state();
        let id = format!("S0G{:06}", state.next());
        state.groups.insert(id.clone(), members.iter().map(|&member| member.to_owned()).collect());
        id
    }

    /// Somebody says something in a channel, in a thread if one is named. Gives back the event as it is delivered.
    #[must_use]
    pub fn says(&self, user: &str, channel: &str, thread: Option<&str>, text: &str) -> Value {
        let mut state = self.state();
        let ts = state.say(SlackMessage::of(user, channel, thread, text));
        let number = state.next();
        let mentions = text.contains(&format!("<@{}>", Self::APP.0));
        let mut event = json!({
            "type": if mentions { "app_mention" } else { "message" },
            "user": user, "text": text, "ts": ts, "event_ts": ts, "channel": channel, "team": Self::TEAM,
        });
        if !mentions {
            event["channel_type"] = if channel.starts_with('D') { "im" } else { "channel" }.into();
        }
        if let Some(thread) = thread {
            event["thread_ts"] = thread.into();
        }
        json!({
            "token": "an old way to prove it", "team_id": Self::TEAM, "context_team_id": Self::TEAM, "api_app_id": "A0APP",
            "type": "event_callback", "event_id": format!("Ev0{number:08}"), "event_time": seconds(), "event": event,
            "authorizations": [{
                "enterprise_id": null, "team_id": Self::TEAM, "user_id": Self::APP.0, "is_bot": true, "is_enterprise_install": false,
            }],
            "is_ext_shared_channel": false, "event_context": "4-x",
        })
    }

    /// The headers under which a body is posted, signed for a time that is so many seconds from now.
    #[must_use]
    pub fn headers(body: &[u8], later: i64) -> [(&'static str, String); 2] {
        let at = seconds().saturating_add_signed(later);
        let key = hmac::Key::new(hmac::HMAC_SHA256, Self::SIGNING_SECRET.as_bytes());
        let message = [format!("v0:{at}:").as_bytes(), body].concat();
        let tag = hmac::sign(&key, &message);
        let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        [("x-slack-request-timestamp", at.to_string()), ("x-slack-signature", format!("v0={digits}"))]
    }

    /// Sends a payload by a connection that is open, waiting for one. Gives back the envelope's id.
    ///
    /// # Panics
    /// When none is opened within five minutes.
    pub async fn push(&self, kind: &str, payload: &Value) -> String {
        let id = format!("envelope-{}", self.state().next());
        let envelope = json!({
            "envelope_id": id, "type": kind, "payload": payload, "accepts_response_payload": false, "retry_attempt": 0, "retry_reason": "",
        });
        self.send(&envelope).await;
        id
    }

    /// Sends what is no envelope (`disconnect`) by the connection that was opened last.
    ///
    /// # Panics
    /// When none is opened within five minutes.
    pub async fn send(&self, message: &Value) {
        self.until("an open connection", |state| state.send(message.to_string()).then_some(())).await;
    }

    /// Cuts all connections, in the midst of whatever.
    pub fn cut(&self) {
        self.state().sockets.clear();
    }

    /// Waits until an envelope is acknowledged.
    ///
    /// # Panics
    /// When it is not within five minutes.
    pub async fn acknowledged(&self, envelope: &str) {
        self.until("an acknowledgement", |state| state.acknowledged.contains(envelope).then_some(())).await;
    }

    /// Whether an envelope was acknowledged.
    #[must_use]
    pub fn is_acknowledged(&self, envelope: &str) -> bool {
        self.state().acknowledged.contains(envelope)
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.state().opened
    }

    /// Waits until something is so.
    async fn until<T>(&self, what: &str, look: impl Fn(&mut State) -> Option<T>) -> T {
        for _ in 0..30_000 {
            if let Some(seen) = look(&mut self.state()) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} does not come about")
    }

    /// What the app has said in a channel, the oldest first.
    #[must_use]
    pub fn said(&self, channel: &str) -> Vec<SlackMessage> {
        let state = self.state();
        state.messages.iter().filter(|message| message.channel == channel && message.bot).cloned().collect()
    }

    /// The reactions of the app to a message.
    #[must_use]
    pub fn reactions(&self, channel: &str, ts: &str) -> Vec<String> {
        self.state().reactions.get(&(channel.to_owned(), ts.to_owned())).cloned().unwrap_or_default()
    }

    /// All that was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<SlackAsked> {
        self.state().asked.clone()
    }

    /// Misbehaves at the next request of a method.
    pub fn fail(&self, method: &str, fault: SlackFault) {
        self.state().faults.push_back((method.to_owned(), fault));
    }

    /// Knows the app's tokens no more, or again.
    pub fn revoke(&self, revoked: bool) {
        self.state().revoked = revoked;
    }

    /// What the bot's token may do.
    pub fn permit(&self, scopes: &str) {
        scopes.clone_into(&mut self.state().scopes);
    }

    /// Deletes a message.
    pub fn delete(&self, channel: &str, ts: &str) {
        self.state().messages.retain(|message| message.channel != channel || message.ts != ts);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl Drop for Slack {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Named arguments of a request.
type Arguments = BTreeMap<String, Value>;
