//! Socket Mode, from Slack's side.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

use super::{locked, state::State};

pub(super) async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        open.spawn(attend(stream, Arc::clone(&state)));
    }
}

/// One connection, which a ticket is good for once.
async fn attend(stream: TcpStream, state: Arc<Mutex<State>>) {
    let known = Arc::clone(&state);
    #[expect(clippy::result_large_err, reason = "the handshake has it so")]
    let judge = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let pairs = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
        let ticket =
            pairs.into_iter().find(|(name, _)| name == "ticket").map(|(_, ticket)| ticket.into_owned());
        if ticket.is_some_and(|ticket| locked(&known).tickets.remove(&ticket)) {
            return Ok(response);
        }
        let mut refused = ErrorResponse::new(None);
        *refused.status_mut() = axum::http::StatusCode::FORBIDDEN;
        Err(refused)
    };
    let Ok(mut socket) = accept_hdr_async(stream, judge).await else { return };
    let hello = json!({
        "type": "hello", "num_connections": 1, "connection_info": { "app_id": "A0APP" },
        "debug_info": { "host": "applink", "started": "2026-11-22 00:00:00.000", "build_number": 1, "approximate_connection_time": 18060 },
    });
    if socket.send(Message::text(hello.to_string())).await.is_err() {
        return;
    }
    let (sender, mut outgoing) = mpsc::unbounded_channel();
    {
        let mut state = locked(&state);
        state.sockets.push(sender);
        state.opened += 1;
    }
    loop {
        tokio::select! {
            text = outgoing.recv() => match text {
                Some(text) => {
                    if socket.send(Message::text(text)).await.is_err() {
                        return;
                    }
                }
                // Without a farewell.
                None => return,
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let said: Value = serde_json::from_str(&text).unwrap_or_default();
                    if let Some(id) = said["envelope_id"].as_str() {
                        locked(&state).acknowledged.insert(id.to_owned());
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}
