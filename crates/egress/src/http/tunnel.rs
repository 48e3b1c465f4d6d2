//! Bytes in both directions that nobody reads: connections that pass through, and WebSockets once they are open.

use std::io;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};

/// Bytes that are read at once.
const BUFFER: usize = 32 << 10;

/// Carries bytes until both sides have ended, or one has failed.
pub(crate) async fn tunnel<A, B>(inside: &mut A, outside: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    copy_bidirectional_with_sizes(inside, outside, BUFFER, BUFFER).await.map(drop)
}

/// The same for a connection whose protocol was changed.
pub(super) async fn upgraded(inside: OnUpgrade, outside: OnUpgrade) {
    let (Ok(inside), Ok(outside)) = tokio::join!(inside, outside) else { return };
    // However it ended, it has ended.
    tunnel(&mut TokioIo::new(inside), &mut TokioIo::new(outside)).await.ok();
}
