//! Other programs' tools in a session: MCP servers, each in a sandbox of its own, started when a tool of it is called for the first time. Their
//! resources and prompts are had by tools of ours that bear their names.
//!
//! What a session may call was fixed at its beginning, from what was approved. Here it is held against what a server says when it is there:
//! one that says anything else than what was approved is not used in this session. Whatever a server does, the session goes on.

mod ask;
mod beside;
mod house;
mod offer;
mod passage;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex as StdMutex, PoisonError},
};

use async_trait::async_trait;
use cofferdam_agent::{Leave, Ruling};
use cofferdam_domain::{
    CallId, Digest, Label, ToolStatus,
    foreign::{Foreign as Offered, ForeignCall, ForeignTool},
    label::{Audience, Integrity},
    tool::ToolEffect,
};
use cofferdam_mcp::{Answer, McpError, Progress};
use cofferdam_tools::{Foreign, ForeignReply};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

pub(crate) use self::house::House;
use self::{ask::Ask, house::Running};
pub use self::{
    house::{Found, Trouble, inspect},
    offer::{Approvals, Approved, Mcp, NothingApproved},
};

/// So often a server may be lost in a session before it is left alone.
const MOST_DEATHS: u32 = 3;
/// Characters of the arguments of a call that a person is asked about.
const MAX_SHOWN: usize = 8_000;

/// The servers of one session, as far as they were needed yet.
pub(crate) struct Servers {
    house: House,
    states: BTreeMap<String, (Digest, Mutex<State>)>,
    /// Those of which everything that they tell may be seen by anybody.
    public: BTreeSet<String>,
    /// Which calls run at which server, for the log of what leaves its sandbox.
    running: StdMutex<BTreeMap<String, Vec<CallId>>>,
}

/// How it stands with one server.
enum State {
    /// It does not run, and was lost so often.
    Asleep { deaths: u32 },
    /// It runs.
    Up { server: Arc<Running>, deaths: u32 },
    /// It is not used in this session any more.
    Off(String),
}

/// A call that may be made of some tool: what [`Foreign`] is for one tool call of the model's.
pub(crate) struct OneCall {
    pub(crate) servers: Arc<Servers>,
    pub(crate) call: CallId,
    /// What decides whether it may be made.
    pub(crate) leave: Leave,
}

impl Servers {
    pub(crate) fn new(house: House, offered: &Offered) -> Arc<Self> {
        let state = || Mutex::new(State::Asleep { deaths: 0 });
        let states =
            offered.servers.iter().map(|server| (server.name.clone(), (server.digest, state()))).collect();
        let public = offered.servers.iter().filter(|server| server.public);
        let public = public.map(|server| server.name.clone()).collect();
        Arc::new(Self { house, states, public, running: StdMutex::default() })
    }

    /// The label of what a server tells.
    fn label(&self, name: &str) -> Label {
        let audience = if self.public.contains(name) { Audience::Public } else { Audience::Requester };
        Label { integrity: Integrity::Untrusted, audience }
    }

    /// Ends all that run.
    pub(crate) async fn end(&self) {
        for (_, state) in self.states.values() {
            let state =
                std::mem::replace(&mut *state.lock().await, State::Off("the work is over".to_owned()));
            if let State::Up { server, .. } = state {
                leave(server).await;
            }
        }
    }

    /// The server, running; starts it if it does not.
    async fn up(&self, name: &str) -> Result<Arc<Running>, ForeignReply> {
        let Some((digest, state)) = self.states.get(name) else {
            return Err(refused(format!("The program {name} is none of this session's.")));
        };
        let mut state = state.lock().await;
        let deaths = match &*state {
            State::Up { server, .. } => return Ok(server.clone()),
            State::Off(why) => {
                return Err(refused(format!(
                    "The program {name} is not used in this session any more: {why}."
                )));
            }
            State::Asleep { deaths } => *deaths,
        };
        match self.house.start(name, Some(*digest)).await {
            Ok(server) => {
                let server = Arc::new(server);
                *state = State::Up { server: server.clone(), deaths };
                Ok(server)
            }
            Err(trouble @ Trouble::Changed(_)) => {
                *state = State::Off("it is not what was approved".to_owned());
                Err(refused(format!(
                    "The program {name} was not used: {}. A person has to look at it (`cofferdam mcp inspect {name}`) and approve it \
                     before any session uses it again. Go on without it, and say so in `finish`.",
                    trouble.in_our_words()
                )))
            }
            Err(trouble) => {
                *state = after(deaths + 1);
                let again =
                    if deaths + 1 < MOST_DEATHS { " It may be tried again." } else { " Go on without it." };
                let why = trouble.in_our_words();
                Err(failed(format!("The program {name} could not be started: {why}.{again}")))
            }
        }
    }

    /// A server is lost, or as good as that.
    async fn lost(&self, name: &str, lost: &Arc<Running>) {
        let Some((_, state)) = self.states.get(name) else { return };
        let mut state = state.lock().await;
        // Another call may have found it lost before.
        let deaths = match &*state {
            State::Up { server, deaths } if Arc::ptr_eq(server, lost) => *deaths,
            State::Up { .. } | State::Asleep { .. } | State::Off(_) => return,
        };
        let old = std::mem::replace(&mut *state, after(deaths + 1));
        drop(state);
        if let State::Up { server, .. } = old {
            leave(server).await;
        }
    }

    /// Notes that a call runs at a server, until the result is dropped.
    fn note<'a>(&'a self, name: &'a str, server: &'a Running, call: CallId) -> Noted<'a> {
        self.change(name, server, |calls| calls.push(call));
        Noted { servers: self, name, server, call }
    }

    fn change(&self, name: &str, server: &Running, change: impl FnOnce(&mut Vec<CallId>)) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = running.entry(name.to_owned()).or_default();
        change(calls);
        server.runs(calls.clone());
    }
}

/// A call that runs at a server.
struct Noted<'a> {
    servers: &'a Servers,
    name: &'a str,
    server: &'a Running,
    call: CallId,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        let call = self.call;
        self.servers.change(self.name, self.server, |calls| calls.retain(|known| *known != call));
    }
}

/// How it stands with a server that was lost so often.
fn after(deaths: u32) -> State {
    if deaths < MOST_DEATHS {
        State::Asleep { deaths }
    } else {
        State::Off(format!("it was lost {deaths} times"))
    }
}

/// Ends a server, unless a call still has it: then it ends with that.
async fn leave(server: Arc<Running>) {
    if let Some(server) = Arc::into_inner(server) {
        server.end().await;
    }
}

#[async_trait]
impl Foreign for OneCall {
    async fn call(
        &self,
        tool: &ForeignTool,
        arguments: Map<String, Value>,
        watch: &(dyn for<'b> Fn(&'b [u8]) + Send + Sync),
    ) -> ForeignReply {
        let digest = cofferdam_mcp::exact(tool, &arguments);
        let call = ForeignCall {
            server: tool.server.clone(),
            tool: tool.name.clone(),
            digest,
            outside: !tool.read_only,
        };
        if let Err(why) = cofferdam_mcp::permits(&tool.arguments, &arguments) {
            return refused(format!("Policy does not allow this call of {}: {why}.", tool.called));
        }
        let ask = match Ask::of(tool, arguments.clone()) {
            Ok(ask) => ask,
            Err(why) => return failed(format!("{} was not called: {why}.", tool.called)),
        };
        match self.leave.ruling(tool, digest) {
            Ruling::Given => {}
            Ruling::Asked(why) => return asked(tool, call, &arguments, why.as_deref()),
            Ruling::Refused(why) => return refused(why),
        }
        let server = match self.servers.up(&tool.server).await {
            Ok(server) => server,
            Err(reply) => return reply,
        };
        let told = |progress: &Progress| watch(in_words(progress).as_bytes());
        let noted = self.servers.note(&tool.server, &server, self.call);
        let answer = ask.at(&server.client, &told).await;
        drop(noted);
        if let Err(McpError::TimedOut(_)) | Err(McpError::Ended(_) | McpError::NoProtocol(_)) = &answer {
            // One that does not answer in time may be at it still: nothing of it is left to go on.
            self.servers.lost(&tool.server, &server).await;
        }
        let refused = server.client.refused();
        let (label, effect) = (self.servers.label(&tool.server), Some(ToolEffect::Foreign(call)));
        ForeignReply { label, effect, ..reply(tool, answer, &refused) }
    }
}

/// A call that a person has to approve.
fn asked(
    tool: &ForeignTool,
    call: ForeignCall,
    arguments: &Map<String, Value>,
    why: Option<&str>,
) -> ForeignReply {
    let shown = Value::Object(arguments.clone()).to_string();
    if shown.chars().count() > MAX_SHOWN {
        return refused(format!(
            "A person has to approve calls of {}, and nobody can look over arguments of more than {MAX_SHOWN} characters.",
            tool.called
        ));
    }
    let why = why.map_or_else(String::new, |why| format!(" You are asked because {why}."));
    let question = format!(
        "May {} once with exactly these arguments? To permit it answer with the one word approve; \
         whatever else you answer is told to the agent and refuses the call.{why} {}. Arguments, chosen by the agent: {shown}",
        ask::in_words(tool),
        call.digest
    );
    let effect = Some(ToolEffect::Approval { call, question });
    ForeignReply { effect, ..refused("A person is asked whether this exact call may be made.".to_owned()) }
}

/// What a server said, as a reply.
fn reply(tool: &ForeignTool, answer: Result<Answer, McpError>, refused: &[&str]) -> ForeignReply {
    let mut reply = match answer {
        Ok(Answer { failed, text, pictures }) => {
            let status = if failed { ToolStatus::Error } else { ToolStatus::Ok };
            let text = if text.is_empty() { "[an answer without content]".to_owned() } else { text };
            let pictures = pictures.into_iter().map(|picture| picture.bytes).collect();
            ForeignReply { status, text, pictures, label: Label::SANDBOX, effect: None }
        }
        Err(error @ McpError::TimedOut(_)) => ForeignReply {
            status: ToolStatus::TimedOut,
            ..failed(format!(
                "The program {}: {error}. Whether the call had an effect is not known.",
                tool.server
            ))
        },
        Err(error @ (McpError::Ended(_) | McpError::NoProtocol(_))) => failed(format!(
            "The program {}: {error}. Whether the call had an effect is not known. It is started anew when it is called again.",
            tool.server
        )),
        Err(error @ (McpError::Server { .. } | McpError::Nonsense(_) | McpError::Wants(_))) => {
            failed(format!("The program {}: {error}.", tool.server))
        }
    };
    if !refused.is_empty() {
        reply.text.push_str(&format!(
            "\n[the program asked its client for {}, which is not offered to programs, and was refused]",
            refused.join(", ")
        ));
    }
    reply
}

fn in_words(progress: &Progress) -> String {
    let total = progress.total.map_or(String::new(), |total| format!(" of {total}"));
    let message = progress.message.as_deref().unwrap_or_default();
    format!("{}{total} {message}\n", progress.progress)
}

/// Something that is not done, in the platform's words.
fn refused(text: String) -> ForeignReply {
    let (status, label) = (ToolStatus::Refused, Label::PLATFORM);
    ForeignReply { status, text, pictures: Vec::new(), label, effect: None }
}

/// Something that went wrong; the server's words may be among the text.
fn failed(text: String) -> ForeignReply {
    let (status, label) = (ToolStatus::Error, Label::SANDBOX);
    ForeignReply { status, text, pictures: Vec::new(), label, effect: None }
}
