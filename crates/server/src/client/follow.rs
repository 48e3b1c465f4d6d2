//! A session's events live, across lost connections.

use std::{collections::VecDeque, time::Duration};

use cofferdam_domain::{Event, Seq, SessionId};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use reqwest::{Method, Response};

use super::{Client, ClientError, pieces::Pieces};

/// How often in a row a connection may be lost before that is an error.
const TRIES: u32 = 8;

impl Client {
    /// The events of a session after a place: those that there are, then each new one. A lost connection is made again, and nothing is
    /// missed or told twice; the stream ends with the error that could not be got over.
    #[must_use]
    pub fn follow(&self, session: SessionId, after: Seq) -> BoxStream<'static, Result<Event, ClientError>> {
        let following =
            Following { client: self.clone(), session, after, open: None, ready: VecDeque::new(), lost: 0 };
        let next = |following: Option<Following>| async move {
            let mut following = following?;
            match following.next().await {
                Ok(event) => Some((Ok(event), Some(following))),
                Err(error) => Some((Err(error), None)),
            }
        };
        stream::unfold(Some(following), next).boxed()
    }
}

struct Following {
    client: Client,
    session: SessionId,
    /// The last event that was handed on.
    after: Seq,
    open: Option<(Response, Pieces)>,
    ready: VecDeque<Event>,
    /// Connections lost in a row without an event.
    lost: u32,
}

impl Following {
    async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.after = event.seq;
                self.lost = 0;
                return Ok(event);
            }
            match self.more().await {
                Ok(true) => {}
                // The server ended the stream: it stops, or the right to see the session has ended. Coming back tells which.
                Ok(false) => self.again(None).await?,
                Err(error) if error.is_passing() => self.again(Some(error)).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads on. `false` at the end of the stream.
    async fn more(&mut self) -> Result<bool, ClientError> {
        let (mut response, mut pieces) = match self.open.take() {
            Some(open) => open,
            None => (self.connect().await?, Pieces::default()),
        };
        let address = self.client.address();
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|source| ClientError::Unreachable {
            address: address.clone(),
            source: source.without_url(),
        })?;
        let Some(chunk) = chunk else { return Ok(false) };
        let whole = pieces
            .push(&chunk)
            .map_err(|_| ClientError::TooMuch { address: address.clone(), limit: super::MAX_ANSWER })?;
        for data in whole {
            let event: Event = serde_json::from_slice(&data)
                .map_err(|source| ClientError::Strange { address: address.clone(), source })?;
            let last = self.ready.back().map_or(self.after, |known| known.seq);
            if event.seq > last {
                self.ready.push_back(event);
            }
        }
        self.open = Some((response, pieces));
        Ok(true)
    }

    async fn connect(&self) -> Result<Response, ClientError> {
        let path = format!("/sessions/{}/events/live", self.session);
        let request =
            self.client.request(Method::GET, &path)?.header("last-event-id", self.after.0.to_string());
        self.client.send(request).await
    }

    /// Waits before the next try, or gives up.
    async fn again(&mut self, error: Option<ClientError>) -> Result<(), ClientError> {
        self.lost += 1;
        match error {
            Some(error) if self.lost >= TRIES => Err(error),
            Some(_) | None => {
                tokio::time::sleep(Duration::from_millis(200) * 2_u32.pow(self.lost.min(5))).await;
                Ok(())
            }
        }
    }
}
