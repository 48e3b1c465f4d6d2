//! What a container's process 1 prints, as a stream of bytes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bollard::{container::LogOutput, errors::Error};
use futures_util::Stream;
use tokio::io::{AsyncRead, ReadBuf};

type Frames = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// Standard output of an attached container. What it prints to standard error is nobody's business: the hand prints nothing there.
pub(crate) struct Printed {
    frames: Frames,
    frame: bytes::Bytes,
}

impl Printed {
    /// From what the engine sends.
    pub(crate) fn new(frames: Frames) -> Self {
        Self { frames, frame: bytes::Bytes::new() }
    }
}

impl AsyncRead for Printed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.frame.is_empty() {
            match ready!(self.frames.as_mut().poll_next(context)) {
                Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => {
                    self.frame = message
                }
                Some(Ok(LogOutput::StdErr { .. } | LogOutput::StdIn { .. })) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.frame.len().min(into.remaining());
        into.put_slice(&self.frame.split_to(length));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn frames_become_bytes_and_errors_stay_errors() {
        let out = |text: &'static str| LogOutput::StdOut { message: text.into() };
        let frames = vec![
            Ok(out("one")),
            Ok(out("")),
            Ok(LogOutput::StdErr { message: "noise".into() }),
            Ok(out(" two")),
            Err(Error::RequestTimeoutError),
        ];
        let mut printed = Printed::new(Box::pin(futures_util::stream::iter(frames)));
        let mut seen = vec![0; 7];
        printed.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, b"one two");
        printed.read(&mut seen).await.unwrap_err();
        let mut none = Printed::new(Box::pin(futures_util::stream::iter(Vec::new())));
        assert_eq!(none.read(&mut seen).await.unwrap(), 0);
    }
}
