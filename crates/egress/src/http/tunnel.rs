//! Bytes in both directions that nobody reads: connections that pass through, and WebSockets once they are open.

use std::io;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional_with_sizes,
};

use crate::credential::{Reflected, ReflectionScan};

/// Bytes that are read at once.
const BUFFER: usize = 64 << 10;

/// Carries bytes until both sides have ended, or one has failed.
pub(crate) async fn tunnel<A, B>(inside: &mut A, outside: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    copy_bidirectional_with_sizes(inside, outside, BUFFER, BUFFER).await.map(drop)
}

/// The same for a connection whose protocol was changed. What comes from outside may not contain the secret.
pub(super) async fn upgraded(
    inside: OnUpgrade,
    outside: OnUpgrade,
    scan: Option<ReflectionScan>,
) -> Result<(), Reflected> {
    let (Ok(inside), Ok(outside)) = tokio::join!(inside, outside) else { return Ok(()) };
    let (mut inside, mut outside) = (TokioIo::new(inside), TokioIo::new(outside));
    let Some(mut scan) = scan else {
        // However it ended, it has ended.
        tunnel(&mut inside, &mut outside).await.ok();
        return Ok(());
    };
    let (mut from_inside, mut to_inside) = tokio::io::split(inside);
    let (mut from_outside, mut to_outside) = tokio::io::split(outside);
    let out = async {
        tokio::io::copy(&mut from_inside, &mut to_outside).await?;
        to_outside.shutdown().await
    };
    let back = async {
        let mut buffer = bytes::BytesMut::with_capacity(BUFFER);
        while let Ok(1..) = from_outside.read_buf(&mut buffer).await {
            let clean = scan.pass(buffer.split().freeze())?;
            let written = async {
                to_inside.write_all(&clean).await?;
                to_inside.flush().await
            };
            if written.await.is_err() {
                return Ok(());
            }
            buffer.reserve(BUFFER);
        }
        // The last bytes of a connection that has ended.
        to_inside.write_all(&scan.finish()).await.ok();
        to_inside.shutdown().await.ok();
        Ok(())
    };
    tokio::pin!(out, back);
    tokio::select! {
        result = &mut back => result,
        _ = &mut out => back.await,
    }
}
