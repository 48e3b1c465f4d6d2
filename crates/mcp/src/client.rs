//! One connection to one server.

mod beside;

use std::{collections::HashSet, sync::PoisonError, time::Duration};

use rmcp::{
    RoleClient,
    model::{
        CallToolRequestParams, CallToolResponse, JsonObject, PaginatedRequestParams, ProtocolVersion,
        ServerCapabilities,
    },
    service::{
        ClientInitializeError, ClientLifecycleMode, ClientServiceExt as _, RunningService, ServiceError,
    },
    transport::Transport,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

pub use self::beside::{Resource, Resources};
use crate::{
    Answer, Beside, Catalogue, LeftOut, MAX_TOOLS, McpError, Tool,
    handler::Handler,
    http,
    wire::{Ending, Wire},
};

/// Pages of one list.
const MAX_PAGES: usize = 100;
/// Bytes of the place where the next page begins.
const MAX_CURSOR: usize = 4 << 10;
/// Characters of what a server says when something is wrong.
const MAX_MESSAGE: usize = 2_000;
/// How long a server may take to say goodbye.
const CLOSING: Duration = Duration::from_secs(2);

/// How far a call is, as its server says.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// How much is done.
    pub progress: f64,
    /// Of how much, if that is known.
    pub total: Option<f64>,
    /// In its words.
    pub message: Option<String>,
}

/// A connection to a server. Dropping it ends it.
pub struct Client {
    service: RunningService<RoleClient, Handler>,
    ending: Ending,
    /// How long one answer may take.
    patience: Duration,
}

impl Client {
    /// Begins to speak with a server that sends a message a line. `patience` is how long each answer may take, also those to the first
    /// questions.
    ///
    /// # Errors
    /// When it does not speak the protocol, or not in time.
    pub async fn connect<R, W>(read: R, write: W, patience: Duration) -> Result<Self, McpError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let ending = Ending::default();
        let wire = Wire::new(read, write, ending.clone());
        Self::over(wire, ending, patience, either()).await
    }

    /// Begins to speak with a server at a URL. Each request goes to the Unix socket `socket`, with the whole URL in its first line: whoever
    /// listens there leads it to where it may go.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn reach(socket: &str, url: &str, patience: Duration) -> Result<Self, McpError> {
        let begin = |lifecycle| {
            let ending = Ending::default();
            let transport = http::reach(socket, url, ending.clone());
            Self::over(transport, ending, patience, lifecycle)
        };
        match begin(either()).await {
            // Some answer whatever they do not know as if it were nothing.
            Err(McpError::NoProtocol(_)) => begin(ClientLifecycleMode::Initialize).await,
            begun => begun,
        }
    }

    /// Waits until a connection has begun, and asks for all of the server's tools and for what is to be used `beside`: all within `start`, in
    /// however many pages that comes.
    ///
    /// # Errors
    /// As [`Self::connect`] and [`Self::catalogue`].
    pub async fn introduced(
        start: Duration,
        beside: Beside,
        begins: impl Future<Output = Result<Self, McpError>>,
    ) -> Result<(Self, Catalogue, Vec<LeftOut>), McpError> {
        let both = async {
            let client = begins.await?;
            let (catalogue, left_out) = client.catalogue(beside).await?;
            Ok((client, catalogue, left_out))
        };
        timeout(start, both).await.unwrap_or(Err(McpError::TimedOut(start)))
    }

    /// Begins to speak over whatever carries messages.
    async fn over<T>(
        transport: T,
        ending: Ending,
        patience: Duration,
        lifecycle: ClientLifecycleMode,
    ) -> Result<Self, McpError>
    where
        T: Transport<RoleClient> + 'static,
    {
        match timeout(patience, Handler::new().serve_with_lifecycle(transport, lifecycle)).await {
            Err(_) => Err(McpError::TimedOut(patience)),
            Ok(Ok(service)) => Ok(Self { service, ending, patience }),
            Ok(Err(ClientInitializeError::ConnectionClosed(_))) => Err(McpError::NoProtocol(ending.why())),
            Ok(Err(error)) => Err(McpError::NoProtocol(cut(&error.to_string()))),
        }
    }

    /// The revision of the protocol that is spoken.
    #[must_use]
    pub fn revision(&self) -> Option<String> {
        self.service.peer().peer_info().map(|info| info.protocol_version.to_string())
    }

    /// What the server asked for and was refused so far: `sampling`, `elicitation`, `roots`.
    #[must_use]
    pub fn refused(&self) -> Vec<&'static str> {
        self.service.service().refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of its tools, and what is to be used beside them, as far as it has that.
    ///
    /// # Errors
    /// When it does not answer, or its list has no end.
    pub async fn catalogue(&self, beside: Beside) -> Result<(Catalogue, Vec<LeftOut>), McpError> {
        let info = self.service.peer().peer_info();
        let instructions = info.as_ref().and_then(|info| info.instructions.clone());
        let offers = |what: fn(&ServerCapabilities) -> bool| {
            info.as_ref().is_some_and(|info| what(&info.capabilities))
        };
        let none = info.is_some() && !offers(|capabilities| capabilities.tools.is_some());
        let tools = if none { Vec::new() } else { self.tools().await? };
        let (mut catalogue, mut left_out) = Catalogue::of(instructions, tools);
        if beside.prompts && offers(|capabilities| capabilities.prompts.is_some()) {
            catalogue = catalogue.with_prompts(self.prompts().await?, &mut left_out);
        }
        catalogue.resources = beside.resources && offers(|capabilities| capabilities.resources.is_some());
        Ok((catalogue, left_out))
    }

    async fn tools(&self) -> Result<Vec<Tool>, McpError> {
        let mut tools = Vec::new();
        let mut pages = Pages::default();
        loop {
            let page = self.answered(self.service.peer().list_tools(pages.next())).await?;
            tools.extend(page.tools.into_iter().map(tool));
            if tools.len() > MAX_TOOLS {
                return Err(McpError::Nonsense(format!("it has more than {MAX_TOOLS} tools")));
            }
            if !pages.turn(page.next_cursor)? {
                return Ok(tools);
            }
        }
    }

    /// Calls a tool. `told` hears how far it is, which gives it no more time. Dropping the future calls it off, as its time does when it is over.
    ///
    /// # Errors
    /// When the server dies, does not answer in time, answers with an error, or wants something first.
    pub async fn call(
        &self,
        name: &str,
        arguments: JsonObject,
        told: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Answer, McpError> {
        let params = CallToolRequestParams::new(name.to_owned()).with_arguments(arguments);
        let mut progress = self.service.service().progress.subscribe();
        let answer = self.answered(self.service.peer().call_tool_once(params));
        tokio::pin!(answer);
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut answer => break answer?,
                Ok(()) = progress.changed() => {
                    if let Some(progress) = &*progress.borrow_and_update() {
                        told(progress);
                    }
                }
            }
        };
        match answer {
            CallToolResponse::Complete(result) => Ok(Answer::of(result)),
            CallToolResponse::Task(_) => Err(McpError::Wants("that somebody asks again later")),
            CallToolResponse::InputRequired(_) | _ => Err(McpError::Wants("input from a person")),
        }
    }

    /// Ends the connection.
    pub async fn close(mut self) {
        // A server that does not let go loses its process anyway.
        self.service.close_with_timeout(CLOSING).await.ok();
    }

    async fn answered<T>(&self, ask: impl Future<Output = Result<T, ServiceError>>) -> Result<T, McpError> {
        let error = match timeout(self.patience, ask).await {
            Err(_) => return Err(McpError::TimedOut(self.patience)),
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
        };
        Err(match error {
            ServiceError::McpError(error) => {
                McpError::Server { code: error.code.0, message: cut(&error.message) }
            }
            ServiceError::TransportClosed
            | ServiceError::TransportSend(_)
            | ServiceError::Cancelled { .. } => McpError::Ended(self.ending.why()),
            ServiceError::Timeout { timeout } => McpError::TimedOut(timeout),
            other @ (ServiceError::UnexpectedResponse
            | ServiceError::SubscriptionLagged { .. }
            | ServiceError::InputRequiredRoundsExceeded { .. }
            | _) => McpError::Nonsense(cut(&other.to_string())),
        })
    }
}

/// The revision without a handshake where a server has it, and otherwise the latest with one.
fn either() -> ClientLifecycleMode {
    ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
    }
}

/// A list that comes in pages, and has an end.
#[derive(Default)]
struct Pages {
    cursor: Option<String>,
    seen: HashSet<String>,
}

impl Pages {
    fn next(&self) -> Option<PaginatedRequestParams> {
        let cursor = self.cursor.clone()?;
        Some(PaginatedRequestParams::default().with_cursor(Some(cursor)))
    }

    /// Whether there is another page.
    fn turn(&mut self, cursor: Option<String>) -> Result<bool, McpError> {
        let Some(cursor) = cursor else { return Ok(false) };
        if cursor.len() > MAX_CURSOR || self.seen.len() >= MAX_PAGES || !self.seen.insert(cursor.clone()) {
            return Err(McpError::Nonsense("its list has no end".to_owned()));
        }
        self.cursor = Some(cursor);
        Ok(true)
    }
}

fn tool(tool: rmcp::model::Tool) -> Tool {
    let mut rest = serde_json::Map::new();
    let mut keep = |name: &str, value: Value| {
        if !value.is_null() {
            rest.insert(name.to_owned(), value);
        }
    };
    keep("title", json!(tool.title));
    keep("output", json!(tool.output_schema));
    keep("hints", json!(tool.annotations));
    Tool {
        name: tool.name.into_owned(),
        description: tool.description.unwrap_or_default().into_owned(),
        parameters: Value::Object((*tool.input_schema).clone()),
        rest: if rest.is_empty() { Value::Null } else { Value::Object(rest) },
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
#[path = "client/hostile.rs"]
mod hostile;
