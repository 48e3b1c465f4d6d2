//! Bodies on their way through: counted, timed and looked through, never kept.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use cofferdam_domain::egress::Refusal;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    credential::ReflectionScan,
    decide::Denied,
    http::{
        gathered::Gathered,
        package::{Arriving, KeptPackage},
        pass::Errand,
    },
    patience::{Patience, Stall},
    refuse::denied,
    upstream::{Flight, Pool},
    watchlist::Passing,
};

/// Why a body is refused that came without its length.
pub(crate) const TOO_LONG: &str = "the body is longer than the rule permits";

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
    /// What has been read of it already.
    beginning: Bytes,
    body: Incoming,
    /// What it is looked through for.
    passing: Passing,
    /// Bytes that have been taken and not been passed on yet.
    held: u64,
    left: u64,
    stall: Stall,
    errand: Errand,
    progress: Arc<Progress>,
}

impl Upload {
    pub(crate) fn new(
        gathered: Gathered,
        passing: Passing,
        limit: u64,
        errand: Errand,
        progress: Arc<Progress>,
    ) -> Self {
        let beginning = gathered.beginning().clone();
        let (body, stall) = (gathered.rest, Stall::new(errand.patience().stall));
        Self { beginning, body, passing, held: 0, left: limit, stall, errand, progress }
    }

    /// The next bytes as they came.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if !self.beginning.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.beginning))));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.stall.poll(cx));
            return Poll::Ready(Some(Err(
                self.cut(denied(Refusal::Body, "the program stopped sending the body it had announced"))
            )));
        };
        self.stall.moved();
        Poll::Ready(match frame {
            None => None,
            Some(Err(error)) => Some(Err(Cut::Broken(error))),
            // What was there when it was decided goes out with that decision; this came later.
            Some(Ok(frame)) => Some(
                self.errand
                    .still_permitted()
                    .and_then(|()| {
                        frame.into_data().map_err(|_| denied(Refusal::Body, "a request has no trailers here"))
                    })
                    .map_err(|denied| self.cut(denied)),
            ),
        })
    }

    fn cut(&self, denied: Denied) -> Cut {
        Cut::Refused(self.progress.cut.get_or_init(|| denied).clone())
    }

    /// What may be sent of the next bytes, or of what is held when there are none.
    fn look(&mut self, data: Option<Bytes>) -> Result<Bytes, Cut> {
        let Some(data) = data else {
            self.held = 0;
            return self.passing.finish().map_err(|denied| self.cut(denied));
        };
        let length = data.len() as u64;
        let Some(left) = self.left.checked_sub(length) else {
            return Err(self.cut(denied(Refusal::Body, TOO_LONG)));
        };
        self.left = left;
        let passed = self.passing.pass(data).map_err(|denied| self.cut(denied))?;
        self.held = (self.held + length).saturating_sub(passed.len() as u64);
        Ok(passed)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        loop {
            let data = match ready!(this.poll_bytes(cx)) {
                Some(Err(cut)) => return Poll::Ready(Some(Err(cut))),
                Some(Ok(data)) => Some(data),
                None if this.held == 0 => return Poll::Ready(None),
                None => None,
            };
            match this.look(data) {
                // All of it may be the beginning of what is looked for.
                Ok(passed) if passed.is_empty() => {}
                Ok(passed) => {
                    let mut moved =
                        this.progress.moved.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    *moved = Instant::now();
                    return Poll::Ready(Some(Ok(Frame::data(passed))));
                }
                Err(cut) => return Poll::Ready(Some(Err(cut))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.beginning.is_empty() && self.held == 0 && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.beginning.len() as u64 + self.held;
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint.set_lower(rest.lower().saturating_add(kept));
        hint
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
    /// Whether the body itself tells when all of it has come (HTTP/2): one that is broken off without an error ends like any other to the
    /// library (RFC 9113, section 8.1).
    tells_its_end: bool,
    scan: Option<ReflectionScan>,
    package: Option<Arriving>,
    stall: Stall,
    flight: Option<Flight>,
    /// Where the connection goes once the body has been read to its end, and who hears of what was refused.
    owner: Box<dyn Owner>,
    /// What is held back of a package until more has come, or all of it has been compared with its index.
    waiting: Option<Bytes>,
    /// What comes last: what was held back until the end.
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
pub(crate) struct Besides {
    /// The protocol that it came by.
    pub(crate) version: Version,
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
        let Besides { version, scan, package } = besides;
        let mut download = Self {
            body,
            tells_its_end: version == Version::HTTP_2,
            scan,
            package,
            stall,
            flight: Some(flight),
            owner,
            waiting: None,
            last: None,
            ended: false,
        };
        // One that ends before it begins and should not is found out when it is read.
        if download.body.is_end_stream() && download.compare().is_ok() {
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

    /// Whether a package that has come is the right one.
    fn compare(&self) -> Result<(), Denied> {
        self.package.as_ref().map_or(Ok(()), Arriving::compare)
    }

    /// The host has said everything; what was held back of it goes now.
    fn finish(&mut self) -> Result<(), Denied> {
        self.compare()?;
        let waiting = self.waiting.take().unwrap_or_default();
        let held = self.scan.as_mut().map(ReflectionScan::finish).unwrap_or_default();
        let last = if held.is_empty() { waiting } else { [waiting, held].concat().into() };
        self.last = Some(last).filter(|last| last.has_remaining()).map(Frame::data);
        self.end();
        Ok(())
    }

    /// Holds these bytes of a package that is compared back, and lets those before them go.
    fn hold(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        if !self.package.as_ref().is_some_and(Arriving::is_compared) {
            return Some(frame);
        }
        match frame.into_data() {
            // A piece of nothing, should a library ever give one, would let the last bytes go.
            Ok(data) if data.is_empty() => None,
            Ok(data) => self.waiting.replace(data).map(Frame::data),
            // Nothing of an artefact is in trailers.
            Err(_) => None,
        }
    }

    /// Cuts the answer off: its connections are closed, inside and outside.
    fn cut(&mut self, denied: Denied) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.ended = true;
        (self.flight, self.package, self.waiting) = (None, None, None);
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
                        let frame = this.hold(frame);
                        // Whoever knows the length does not ask again after the last byte.
                        if this.body.is_end_stream()
                            && let Err(problem) = this.finish()
                        {
                            return this.cut(problem);
                        }
                        if let Some(frame) = frame {
                            return Poll::Ready(Some(Ok(frame)));
                        }
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
                None if this.tells_its_end && !this.body.is_end_stream() => {
                    return this
                        .cut(denied(Refusal::Unreachable, "the host broke its answer off before its end"));
                }
                None => {
                    if let Err(problem) = this.finish() {
                        return this.cut(problem);
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.last.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // What is left of the host's body is not what is left of ours while the scan holds some of it back.
        if self.scan.is_some() || self.waiting.is_some() {
            SizeHint::default()
        } else {
            self.body.size_hint()
        }
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
