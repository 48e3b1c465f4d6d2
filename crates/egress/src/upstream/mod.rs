//! The side of the door that faces the hosts: resolve, judge, dial, verify, and connections that are used again.

mod dial;
mod pool;
mod resolve;
mod roots;

use std::{net::SocketAddr, sync::Arc};

use cofferdam_domain::egress::Refusal;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::{
    dial::{Dialler, Offer},
    pool::{Lane, Pool, Sender},
    roots::Trusted,
};
pub use self::{resolve::Resolver, roots::Roots};
use crate::{
    decide::Denied,
    http::Upload,
    meter::{Meter, Metered},
    refuse::denied,
    tasks::Tasks,
};

/// Bytes of an answer's head at most.
const LONGEST_HEAD: usize = 16 << 10;
/// Bytes that a host may send before the program inside takes them: of one answer, and of all on one connection
/// (HTTP/2).
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The hosts, as one door sees them.
pub(crate) struct Upstream {
    pub(crate) resolver: Resolver,
    pub(crate) dialler: Dialler,
    pub(crate) pool: Pool,
    pub(crate) meter: Arc<Meter>,
    /// Requests that are under way at the same time.
    pub(crate) flights: Arc<Semaphore>,
    pub(crate) tasks: Tasks,
}

/// How a request will reach its host.
pub(crate) enum Way {
    /// Over a connection that is there already.
    Kept(Sender),
    /// Over a new one to one of these addresses.
    New(Vec<SocketAddr>),
}

/// What a request holds while it is under way. Given back whole, its connection is used again; dropped, it is closed.
pub(crate) struct Flight {
    lane: Lane,
    sender: Option<Sender>,
    _permit: OwnedSemaphorePermit,
}

impl Upstream {
    /// Waits until one more request may be under way. Nothing is opened for one that waits, neither file nor connection.
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit, Denied> {
        let closed = |_| denied(Refusal::Closed, "the door is closed");
        self.flights.clone().acquire_owned().await.map_err(closed)
    }

    /// Finds out how a request gets to its host: nothing is connected yet.
    pub(crate) async fn way(&self, lane: &Lane, offer: Offer) -> Result<Way, Denied> {
        if offer == Offer::Both
            && let Some(sender) = self.pool.take(lane)
        {
            return Ok(Way::Kept(sender));
        }
        Ok(Way::New(self.addresses(lane).await?))
    }

    async fn addresses(&self, lane: &Lane) -> Result<Vec<SocketAddr>, Denied> {
        self.resolver.judged(&lane.site.host, lane.site.port, &lane.addresses).await
    }

    /// Sends a request and waits for the head of its answer. One that a kept connection did not take, because it had
    /// just been closed, is sent again over a new one.
    pub(crate) async fn send(
        &self,
        lane: Lane,
        (way, permit): (Way, OwnedSemaphorePermit),
        offer: Offer,
        mut request: http::Request<Box<Upload>>,
    ) -> Result<(http::Response<Incoming>, Flight), Denied> {
        let mut way = Some(way);
        loop {
            let (mut sender, kept) = match way.take() {
                Some(Way::Kept(sender)) => (sender, true),
                Some(Way::New(judged)) => self.open(&lane, &judged, offer).await?,
                None => self.open(&lane, &self.addresses(&lane).await?, offer).await?,
            };
            let sent = match &mut sender {
                Sender::One(sender) => {
                    if sender.ready().await.is_err() && kept {
                        continue;
                    }
                    crate::http::for_one(&mut request, &lane.site);
                    sender.try_send_request(request).await
                }
                Sender::Two(sender) => {
                    crate::http::for_two(&mut request, &lane.site);
                    sender.try_send_request(request).await
                }
            };
            match sent {
                Ok(answer) => {
                    return Ok((answer, Flight { lane, sender: Some(sender), _permit: permit }));
                }
                Err(error) => request = self.unsent(error, kept)?,
            }
        }
    }

    /// The request back, if it may be sent again.
    fn unsent(
        &self,
        mut error: TrySendError<http::Request<Box<Upload>>>,
        kept: bool,
    ) -> Result<http::Request<Box<Upload>>, Denied> {
        if let Some(request) = error.take_message().filter(|_| kept) {
            return Ok(request);
        }
        self.meter.exhausted()?;
        let what = causes(error.error());
        Err(denied(Refusal::Unreachable, &format!("the host did not answer as it should: {what}")))
    }

    /// A new connection, or one that is there by now, which is told besides.
    async fn open(&self, lane: &Lane, judged: &[SocketAddr], offer: Offer) -> Result<(Sender, bool), Denied> {
        let reached = self.dialler.reach(&lane.site, judged, offer).await?;
        // Of many that are opened at the same time one is enough, and what can wait in it is bounded.
        if reached.two
            && let Some(sender) = self.pool.take(lane)
        {
            return Ok((sender, true));
        }
        let io = TokioIo::new(Metered::new(reached.wire, self.meter.clone()));
        let failed = |error: hyper::Error| {
            denied(Refusal::Unreachable, &format!("{}: {}", lane.site.host, causes(&error)))
        };
        if reached.two {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_frame_size(64 << 10)
                .max_send_buf_size(64 << 10)
                .max_header_list_size(64 << 10)
                .handshake(io)
                .await
                .map_err(failed)?;
            self.tasks.spawn(async {
                // Whoever waits for an answer hears of it there.
                connection.await.ok();
            });
            self.pool.keep(lane, Sender::Two(sender.clone()));
            return Ok((Sender::Two(sender), false));
        }
        let (sender, connection) = http1::Builder::new()
            .max_header_size(LONGEST_HEAD)
            .max_headers(200)
            .max_buf_size(LONGEST_HEAD)
            .handshake(io)
            .await
            .map_err(failed)?;
        self.tasks.spawn(async {
            connection.with_upgrades().await.ok();
        });
        Ok((Sender::One(sender), false))
    }
}

impl Flight {
    /// The answer has been read to its end.
    pub(crate) fn landed(mut self, pool: &Pool) {
        // The other kind has never left the pool.
        if let Some(sender @ Sender::One(_)) = self.sender.take() {
            pool.keep(&self.lane, sender);
        }
    }
}

/// An error with what is behind it, for people: hyper and rustls say the interesting part there.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
