//! The beginning of a request's body, read before anything is sent: what is short is looked through as a whole.

use std::{pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use cofferdam_domain::egress::Refusal;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::{
    decide::{Body, Denied},
    patience::Patience,
    refuse::denied,
    watchlist::SHORT,
};

/// How long a program that does not say how much it will send may take to say more, before the host hears the beginning: in a
/// conversation, it may wait for the answer.
const PAUSE: Duration = Duration::from_millis(250);

/// A body whose beginning has been read.
pub(crate) struct Gathered {
    beginning: Bytes,
    pub(super) rest: Incoming,
}

impl Gathered {
    /// Reads all of a short body, and the beginning of another one.
    pub(crate) async fn read(
        mut rest: Incoming,
        announced: Body,
        patience: &Patience,
    ) -> Result<Self, Denied> {
        let short = match announced {
            Body::None => return Ok(Self { beginning: Bytes::new(), rest }),
            Body::Exactly(length) => usize::try_from(length).is_ok_and(|length| length <= SHORT),
            Body::Unknown => false,
        };
        let wait = if short { patience.stall } else { PAUSE.min(patience.stall) };
        let mut beginning = BytesMut::new();
        while beginning.len() < SHORT && !rest.is_end_stream() {
            let frame =
                match timeout(wait, std::future::poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx))).await {
                    Ok(frame) => frame,
                    Err(_) if short => {
                        let stopped = "the program stopped sending the body it had announced";
                        return Err(denied(Refusal::Body, stopped));
                    }
                    Err(_) => break,
                };
            let Some(frame) = frame else { break };
            let Ok(frame) = frame else {
                return Err(denied(Refusal::Body, "the program broke off the body it had begun"));
            };
            let Ok(data) = frame.into_data() else {
                return Err(denied(Refusal::Body, "a request has no trailers here"));
            };
            beginning.extend_from_slice(&data);
        }
        Ok(Self { beginning: beginning.freeze(), rest })
    }

    /// What has been read.
    pub(crate) fn beginning(&self) -> &Bytes {
        &self.beginning
    }

    /// Whether that is all of it.
    pub(crate) fn is_all(&self) -> bool {
        self.rest.is_end_stream()
    }
}
