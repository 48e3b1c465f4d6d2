//! The hard limits of a session: what is counted, and where it ends.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use cofferdam_domain::egress::{EgressLimits, Refusal};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{decide::Denied, refuse::denied};

/// Counts what passes one door.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: EgressLimits,
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    connections: AtomicU32,
}

/// A connection that counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Meter>);

impl Meter {
    pub(crate) fn new(limits: EgressLimits) -> Self {
        Self {
            limits,
            requests: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            connections: AtomicU32::new(0),
        }
    }

    /// Counts a connection from inside.
    pub(crate) fn connection(self: &Arc<Self>) -> Result<Counted, Denied> {
        let open = self.connections.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(self.clone());
        if open < self.limits.connections {
            Ok(counted)
        } else {
            Err(over("connections at the same time", u64::from(self.limits.connections)))
        }
    }

    /// Counts a request, or a connection that is passed through.
    pub(crate) fn request(&self) -> Result<(), Denied> {
        self.exhausted()?;
        // Never past the limit, so that the count cannot run over.
        let count = |requests: u64| (requests < self.limits.requests).then_some(requests + 1);
        match self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) {
            Ok(_) => Ok(()),
            Err(_) => Err(over("requests", self.limits.requests)),
        }
    }

    /// Whether no more bytes may pass.
    pub(crate) fn exhausted(&self) -> Result<(), Denied> {
        if self.sent.load(Ordering::Relaxed) >= self.limits.bytes_out {
            Err(over("bytes sent", self.limits.bytes_out))
        } else if self.received.load(Ordering::Relaxed) >= self.limits.bytes_in {
            Err(over("bytes received", self.limits.bytes_in))
        } else {
            Ok(())
        }
    }

    /// How many of `wanted` bytes may still be sent; they count as sent.
    fn take_out(&self, wanted: usize) -> usize {
        take(&self.sent, self.limits.bytes_out, wanted)
    }

    fn give_back(&self, bytes: usize) {
        self.sent.fetch_sub(u64::try_from(bytes).unwrap_or_default(), Ordering::Relaxed);
    }

    /// Counts bytes that came; whether they were within the limit.
    pub(crate) fn take_in(&self, bytes: usize) -> bool {
        take(&self.received, self.limits.bytes_in, bytes) == bytes
    }
}

/// Counts up to `wanted` against a limit.
fn take(count: &AtomicU64, limit: u64, wanted: usize) -> usize {
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    let mut taken = 0;
    let add = |count: u64| {
        taken = wanted.min(limit.saturating_sub(count));
        Some(count + taken)
    };
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok();
    usize::try_from(taken).unwrap_or(usize::MAX)
}

fn over(what: &str, limit: u64) -> Denied {
    denied(Refusal::Limit, &format!("this session's limit is reached: {limit} {what}"))
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes that are read of a host at a time. The HTTP/1 library begins with a buffer that is larger by one byte, and makes it larger when a read
/// fills it; what it has read waits in such buffers for the program inside.
const PIECE: usize = (8 << 10) - 1;

/// A connection to outside of which every byte counts.
#[derive(Debug)]
pub(crate) struct Metered<IO> {
    io: IO,
    meter: Arc<Meter>,
}

impl<IO> Metered<IO> {
    pub(crate) const fn new(io: IO, meter: Arc<Meter>) -> Self {
        Self { io, meter }
    }
}

fn exhausted() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "the session's limit of bytes is reached")
}

impl<IO: AsyncRead + Unpin> AsyncRead for Metered<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut piece = ReadBuf::new(buf.initialize_unfilled_to(buf.remaining().min(PIECE)));
        ready!(Pin::new(&mut this.io).poll_read(cx, &mut piece))?;
        let read = piece.filled().len();
        if this.meter.take_in(read) {
            buf.advance(read);
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(exhausted()))
        }
    }
}

impl<IO: AsyncWrite + Unpin> Metered<IO> {
    /// Lets `write` write some of `wanted` bytes, no more than may be sent.
    fn within(
        &mut self,
        wanted: usize,
        write: impl FnOnce(Pin<&mut IO>, usize) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let allowed = self.meter.take_out(wanted);
        if allowed < wanted && allowed == 0 {
            return Poll::Ready(Err(exhausted()));
        }
        let written = write(Pin::new(&mut self.io), allowed);
        let used = match &written {
            Poll::Ready(Ok(written)) => *written,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.meter.give_back(allowed.saturating_sub(used));
        written
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Metered<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut()
            .within(bytes.len(), |io, allowed| io.poll_write(cx, bytes.get(..allowed).unwrap_or_default()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.get_mut().within(wanted, |io, allowed| {
            if allowed == wanted {
                return io.poll_write_vectored(cx, slices);
            }
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            io.poll_write(cx, first.get(..allowed.min(first.len())).unwrap_or_default())
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn meter(limits: EgressLimits) -> Arc<Meter> {
        Arc::new(Meter::new(limits))
    }

    #[tokio::test]
    async fn not_one_byte_more_is_sent_or_given() {
        let limits = EgressLimits { bytes_out: 10, bytes_in: 7, ..EgressLimits::default() };
        let meter = meter(limits);
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Metered::new(near, meter.clone());
        near.write_all(b"12345678").await.unwrap();
        assert!(meter.exhausted().is_ok());
        assert_eq!(near.write_all(b"12345678").await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!(meter.exhausted().unwrap_err().code, Refusal::Limit);
        drop(near);
        let mut seen = Vec::new();
        far.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"1234567812");
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Metered::new(near, meter);
        far.write_all(b"12345678").await.unwrap();
        assert_eq!(near.read(&mut [0; 64]).await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
    }

    #[test]
    fn requests_and_connections_are_limited() {
        let meter = meter(EgressLimits { requests: 2, connections: 1, ..EgressLimits::default() });
        assert!(meter.request().is_ok() && meter.request().is_ok());
        assert_eq!(meter.request().unwrap_err().code, Refusal::Limit);
        let open = meter.connection().unwrap();
        assert_eq!(meter.connection().unwrap_err().code, Refusal::Limit);
        drop(open);
        assert!(meter.connection().is_ok());
    }
}
