//! What stands before the HTTP/1 library: however a stream of messages is cut, it is followed in the same way. The first byte of
//! the input says how it is cut.

#![no_main]

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, ReadBuf};

#[expect(dead_code, reason = "what the door uses and this does not")]
#[path = "../../crates/egress/src/http/guard.rs"]
mod guard;
#[path = "../../crates/egress/src/http/head.rs"]
mod head;

/// Where the guard looks for what concerns answers, of which there are none here.
mod pace {
    #[derive(Debug, Default)]
    pub(crate) struct Pace;

    impl Pace {
        pub(crate) const fn written(&self) {}
    }
}

use guard::{Guarded, Verdict};

/// A connection that brings so many bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let (piece, rest) = self.0.split_at(self.1.min(self.0.len()).min(into.remaining()));
        into.put_slice(piece);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

/// How many bytes were passed on, and what was wrong with the rest.
fn follow(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<String>) {
    let verdict = Arc::<Verdict>::default();
    let mut guarded = Guarded::new(Pieces(bytes, piece), verdict.clone());
    let mut passed = Vec::new();
    let mut buffer = [0; 512];
    loop {
        let mut into = ReadBuf::new(&mut buffer);
        let read = poll_fn(|cx| pin!(&mut guarded).poll_read(cx, &mut into));
        match pin!(read).poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(Ok(())) if into.filled().is_empty() => return (passed, None),
            Poll::Ready(Ok(())) => passed.extend_from_slice(into.filled()),
            Poll::Ready(Err(_)) => {
                return (
                    passed,
                    verdict.tell().map(|problem| format!("{:?} {}", problem.what, problem.first)),
                );
            }
            Poll::Pending => unreachable!("everything is there"),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    // What is wrong with a line is found out at its end, or before that if more than the line has come.
    let bytes = &[bytes, b"\n"].concat()[..];
    let (passed, problem) = follow(bytes, usize::from(*piece).max(1));
    let (by_byte, same) = follow(bytes, 1);
    assert_eq!(problem, same, "cutting changes nothing");
    assert!(bytes.starts_with(&passed) && by_byte.starts_with(&passed));
    assert!(problem.is_some() || passed == bytes);
});
