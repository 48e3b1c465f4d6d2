//! Bodies on their way through: counted, timed and looked through, never kept.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use cofferdam_domain::egress::Refusal;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    credential::ReflectionScan,
    decide::Denied,
    http::package::{Arriving, KeptPackage},
    patience::{Patience, Stall},
    refuse::denied,
    upstream::{Flight, Pool},
};

/// A body was cut off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    /// By a decision of the door.
    #[error("refused: {}", .0.reason)]
    Refused(Denied),
    /// By whoever sent it.
    #[error("the sender broke off")]
    Broken(#[source] hyper::Error),
    /// By the disk.
    #[error("what was kept cannot be read")]
    Kept(#[source] std::io::Error),
}

/// What a request's body has come to, for the one who waits for the answer.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Why it was cut off.
    pub(crate) cut: OnceLock<Denied>,
    moved: std::sync::Mutex<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { cut: OnceLock::new(), moved: Instant::now().into() })
    }

    /// When the host last took some of it.
    pub(crate) fn moved(&self) -> Instant {
        *self.moved.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A request's body, on its way to a host.
pub(crate) struct Upload {
    body: Incoming,
    left: u64,
    stall: Stall,
    progress: Arc<Progress>,
}

impl Upload {
    pub(crate) fn new(body: Incoming, limit: u64, patience: &Patience, progress: Arc<Progress>) -> Self {
        Self { body, left: limit, stall: Stall::new(patience.stall), progress }
    }

    fn cut(&self, code: Refusal, reason: &str) -> Option<Result<Frame<Bytes>, Cut>> {
        let denied = self.progress.cut.get_or_init(|| denied(code, reason));
        Some(Err(Cut::Refused(denied.clone())))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            ready!(this.stall.poll(cx));
            return Poll::Ready(
                this.cut(Refusal::Body, "the program stopped sending the body it had announced"),
            );
        };
        this.stall.moved();
        let Some(frame) = frame else { return Poll::Ready(None) };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Poll::Ready(Some(Err(Cut::Broken(error)))),
        };
        let Ok(data) = frame.into_data() else {
            return Poll::Ready(this.cut(Refusal::Body, "a request has no trailers here"));
        };
        let Some(left) = this.left.checked_sub(data.len() as u64) else {
            return Poll::Ready(this.cut(Refusal::Body, "the body is longer than the rule permits"));
        };
        this.left = left;
        *this.progress.moved.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, on its way to the program inside.
pub(crate) enum Answer {
    /// The door's own.
    Own(Bytes),
    /// A host's.
    Host(Box<Download>),
    /// A package that was kept.
    Kept(Box<KeptPackage>),
}

/// The body of a host's answer.
pub(crate) struct Download {
    body: Incoming,
    scan: Option<ReflectionScan>,
    package: Option<Arriving>,
    stall: Stall,
    flight: Option<Flight>,
    /// Where the connection goes once the body has been read to its end, and who hears of what was refused.
    owner: Box<dyn Owner>,
    /// What comes after the last bytes that the scan held back.
    last: Option<Frame<Bytes>>,
    ended: bool,
}

/// Who is responsible for an answer.
pub(crate) trait Owner: Send + Sync {
    fn pool(&self) -> &Pool;

    /// The answer was cut off.
    fn refused(&self, denied: &Denied);

    /// What is over a limit by now.
    fn exhausted(&self) -> Result<(), Denied>;

    /// All of a package has come.
    fn arrived(&self, package: Arriving);
}

/// What is done with an answer besides passing it on.
#[derive(Default)]
pub(crate) struct Besides {
    /// What it may not contain.
    pub(crate) scan: Option<ReflectionScan>,
    /// What it is.
    pub(crate) package: Option<Arriving>,
}

impl Download {
    pub(crate) fn new(
        body: Incoming,
        besides: Besides,
        patience: &Patience,
        flight: Flight,
        owner: Box<dyn Owner>,
    ) -> Self {
        let stall = Stall::new(patience.stall);
        let Besides { scan, package } = besides;
        let mut download =
            Self { body, scan, package, stall, flight: Some(flight), owner, last: None, ended: false };
        if download.body.is_end_stream() {
            download.end();
        }
        download
    }

    fn end(&mut self) {
        self.ended = true;
        if let Some(flight) = self.flight.take() {
            flight.landed(self.owner.pool());
        }
        if let Some(package) = self.package.take() {
            self.owner.arrived(package);
        }
    }

    /// The host has said everything; what was held back of it goes now.
    fn finish(&mut self) {
        let held = self.scan.as_mut().map(ReflectionScan::finish);
        self.last = held.filter(|held| held.has_remaining()).map(Frame::data);
        self.end();
    }

    /// Cuts the answer off: its connections are closed, inside and outside.
    fn cut(&mut self, denied: Denied) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.ended = true;
        (self.flight, self.package) = (None, None);
        self.owner.refused(&denied);
        Poll::Ready(Some(Err(Cut::Refused(denied))))
    }

    /// What of a frame may be passed on; `None` when all of it is held back.
    fn look(&mut self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, Denied> {
        let Some(scan) = &mut self.scan else { return Ok(Some(frame)) };
        match frame.into_data() {
            Ok(data) => {
                let data = scan.pass(data).map_err(|problem| reflected(&problem))?;
                Ok((!data.is_empty()).then(|| Frame::data(data)))
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                if trailers.values().any(|value| scan.pass(Bytes::copy_from_slice(value.as_bytes())).is_err())
                {
                    return Err(reflected(&crate::credential::Reflected));
                }
                // The bodies of answers with credentials end without them.
                Ok(None)
            }
        }
    }
}

pub(crate) fn reflected(problem: &dyn std::error::Error) -> Denied {
    denied(Refusal::Reflected, &format!("{problem}, so it was cut off"))
}

impl Body for Download {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        loop {
            if this.ended {
                return Poll::Ready(this.last.take().map(Ok));
            }
            let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
                ready!(this.stall.poll(cx));
                return this
                    .cut(denied(Refusal::Unreachable, "the host stopped in the middle of its answer"));
            };
            this.stall.moved();
            if let Some(Ok(frame)) = &frame
                && let Some(data) = frame.data_ref()
                && let Some(package) = &mut this.package
            {
                package.take(data);
            }
            match frame {
                Some(Ok(frame)) => match this.look(frame) {
                    Ok(Some(frame)) => {
                        // Whoever knows the length does not ask again after the last byte.
                        if this.body.is_end_stream() {
                            this.finish();
                        }
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Ok(None) => {}
                    Err(problem) => return this.cut(problem),
                },
                Some(Err(error)) => {
                    if let Err(over) = this.owner.exhausted() {
                        return this.cut(over);
                    }
                    this.ended = true;
                    (this.flight, this.package) = (None, None);
                    return Poll::Ready(Some(Err(Cut::Broken(error))));
                }
                None => this.finish(),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.last.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // What is left of the host's body is not what is left of ours while the scan holds some of it back.
        if self.scan.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Own(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Host(download) => Pin::new(download.as_mut()).poll_frame(cx),
            Self::Kept(package) => package.poll(cx).map(|frame| frame.map(|frame| frame.map_err(Cut::Kept))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::Host(download) => download.is_end_stream(),
            Self::Kept(package) => package.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Host(download) => download.size_hint(),
            Self::Kept(package) => SizeHint::with_exact(package.left()),
        }
    }
}
