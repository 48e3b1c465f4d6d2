//! What a server may ask of its client: nothing but whether it is there.

#![expect(
    deprecated,
    reason = "servers of earlier revisions ask for sampling and roots, and are to be refused"
)]

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::{
    ClientHandler, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult,
        ElicitRequestParams, ElicitResult, ErrorCode, ErrorData, Implementation, ListRootsResult,
        ProgressNotificationParam, ProtocolVersion,
    },
    service::{NotificationContext, RequestContext},
};
use tokio::sync::watch;

use crate::client::Progress;

/// Characters of a word about progress.
const MAX_PROGRESS: usize = 200;

/// Answers a server.
#[derive(Debug, Clone)]
pub(crate) struct Handler {
    pub(crate) progress: Arc<watch::Sender<Option<Progress>>>,
    /// What it asked for and was refused, each once.
    pub(crate) refused: Arc<Mutex<Vec<&'static str>>>,
}

impl Handler {
    pub(crate) fn new() -> Self {
        Self { progress: Arc::new(watch::Sender::new(None)), refused: Arc::default() }
    }

    fn refuse(&self, what: &'static str) -> ErrorData {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if !refused.contains(&what) {
            refused.push(what);
        }
        ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("{what} is not offered by this client"), None)
    }
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let me = Implementation::new("cofferdam", env!("CARGO_PKG_VERSION"));
        let mut config = ClientConfig::new(ClientCapabilities::default(), me);
        // What is said of it in a handshake; where there is none, each request says it.
        config.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        config
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Err(self.refuse("sampling"))
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Err(self.refuse("roots"))
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Err(self.refuse("elicitation"))
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let ProgressNotificationParam { progress, total, message, .. } = progress;
        let message = message.map(|message| message.chars().take(MAX_PROGRESS).collect());
        self.progress.send_replace(Some(Progress { progress, total, message }));
    }
}
