//! Servers that are reached over HTTP: the same connection, whose requests go to a socket of whoever leads them where they may go.

use rmcp::{
    RoleClient,
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::{
        StreamableHttpClientTransport, Transport, UnixSocketHttpClient,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};

use crate::wire::{Allowance, Ending, MAX_MESSAGE};

/// Requests at one time, beside the stream on which a server sends by itself.
const AT_ONCE: usize = 4;
/// Bytes of a page that is no answer.
const MAX_PAGE: usize = 4 << 10;

/// The server at this URL, by way of this socket. Each request is one connection to it and has the whole URL in its first line, as a proxy
/// is asked.
pub(crate) fn reach(socket: &str, url: &str, ending: Ending) -> impl Transport<RoleClient> + 'static {
    let client = UnixSocketHttpClient::new(socket, url);
    let mut config = StreamableHttpClientTransportConfig::with_uri(url);
    config.max_concurrent_requests = AT_ONCE;
    config.max_sse_event_size = MAX_MESSAGE;
    config.max_json_response_size = MAX_MESSAGE;
    config.max_error_response_size = MAX_PAGE;
    Counted {
        inner: StreamableHttpClientTransport::with_client(client, config),
        allowance: Allowance::default(),
        ending,
    }
}

/// A transport whose server may not send without end.
struct Counted<T> {
    inner: T,
    allowance: Allowance,
    ending: Ending,
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Counted<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), T::Error>> + Send + 'static {
        self.allowance.earn(&item);
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let message = self.inner.receive().await?;
        // Their lengths were bounded one by one; here it is how many there are.
        match self.allowance.take(0) {
            Ok(()) => Some(message),
            Err(why) => {
                self.ending.set(why);
                None
            }
        }
    }

    async fn close(&mut self) -> Result<(), T::Error> {
        self.inner.close().await
    }
}
