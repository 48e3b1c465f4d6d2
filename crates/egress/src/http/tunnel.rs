//! Bytes in both directions that nobody reads: connections that pass through.

use std::io;

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
