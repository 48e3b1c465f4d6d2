//! What the stand-in knows.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::{Arguments, seconds};

/// A message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlackMessage {
    /// Where.
    pub channel: String,
    /// Its id there.
    pub ts: String,
    /// The message that it answers.
    pub thread: Option<String>,
    /// Who wrote it.
    pub user: String,
    /// Whether the app did.
    pub bot: bool,
    /// What notifications say.
    pub text: String,
    /// What is shown.
    pub blocks: Value,
    /// What only programs see.
    pub metadata: Value,
    /// How often it was changed.
    pub changed: usize,
}

impl SlackMessage {
    pub(super) fn of(user: &str, channel: &str, thread: Option<&str>, text: &str) -> Self {
        let (channel, user, text) = (channel.to_owned(), user.to_owned(), text.to_owned());
        Self { channel, user, text, thread: thread.map(str::to_owned), ..Self::default() }
    }

    /// All that is shown of it.
    #[must_use]
    pub fn shown(&self) -> String {
        self.blocks.to_string()
    }
}

/// A request that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct SlackAsked {
    /// The method.
    pub method: String,
    /// Its arguments.
    pub arguments: BTreeMap<String, Value>,
}

/// How it misbehaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlackFault {
    /// It answers with this status, and asks to be left alone for so many seconds.
    Status(u16, Option<u64>),
    /// It answers that it does not do it.
    Error(&'static str),
    /// It answers with what is no answer.
    Nonsense,
    /// It does what it is asked and says nothing of it: the connection is cut.
    Lost,
    /// It answers late.
    Slow(Duration),
}

#[derive(Debug)]
pub(super) struct State {
    /// Where connections are opened.
    pub(super) socket: String,
    pub(super) people: BTreeMap<String, Value>,
    pub(super) groups: BTreeMap<String, Vec<String>>,
    pub(super) messages: Vec<SlackMessage>,
    pub(super) reactions: BTreeMap<(String, String), Vec<String>>,
    pub(super) asked: Vec<SlackAsked>,
    pub(super) faults: VecDeque<(String, SlackFault)>,
    pub(super) scopes: String,
    pub(super) revoked: bool,
    /// Tickets that no connection was opened with yet.
    pub(super) tickets: BTreeSet<String>,
    /// Connections that are open, each by what is to be sent there.
    pub(super) sockets: Vec<UnboundedSender<String>>,
    pub(super) acknowledged: BTreeSet<String>,
    pub(super) opened: usize,
    number: u64,
}

impl State {
    pub(super) fn new(socket: String) -> Self {
        let scopes = "app_mentions:read,channels:history,chat:write,reactions:write,users:read".to_owned();
        Self {
            socket,
            people: BTreeMap::new(),
            groups: BTreeMap::new(),
            messages: Vec::new(),
            reactions: BTreeMap::new(),
            asked: Vec::new(),
            faults: VecDeque::new(),
            scopes,
            revoked: false,
            tickets: BTreeSet::new(),
            sockets: Vec::new(),
            acknowledged: BTreeSet::new(),
            opened: 0,
            number: 0,
        }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Keeps a message, and gives back its id.
    pub(super) fn say(&mut self, message: SlackMessage) -> String {
        let ts = format!("{}.{:06}", seconds(), self.next());
        self.messages.push(SlackMessage { ts: ts.clone(), ..message });
        ts
    }

    pub(super) fn message(&mut self, channel: &str, ts: &str) -> Option<&mut SlackMessage> {
        self.messages.iter_mut().find(|message| message.channel == channel && message.ts == ts)
    }

    /// Sends a text by the connection that was opened last and still is there.
    pub(super) fn send(&mut self, text: String) -> bool {
        self.sockets.retain(|socket| !socket.is_closed());
        self.sockets.last().is_some_and(|socket| socket.send(text).is_ok())
    }

    pub(super) fn fault(&mut self, method: &str) -> Option<SlackFault> {
        let place = self.faults.iter().position(|(wanted, _)| wanted == method)?;
        self.faults.remove(place).map(|(_, fault)| fault)
    }

    pub(super) fn note(&mut self, method: &str, arguments: &Arguments) {
        self.asked.push(SlackAsked { method: method.to_owned(), arguments: arguments.clone() });
    }
}
