//! No more of an answer is taken from its host than the program inside takes from the door.
//!
//! The HTTP/1 library gathers what it is given until its buffer is full, and only then writes; that buffer must be as large as the longest
//! head of a request. So it is given a piece, and the next one when that has been written.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    body::{Answer, Cut},
    guard::Verdict,
};

/// Bytes that are given before they must have been written, unless a single piece has more.
const AT_ONCE: usize = 4 << 10;

/// How much has been given to a connection and may not have been written yet.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Given>);

#[derive(Debug, Default)]
struct Given {
    bytes: usize,
    /// Who wants to give more.
    waiting: Option<Waker>,
}

impl Pace {
    /// Everything that was given has been written.
    pub(super) fn written(&self) {
        let mut given = self.lock();
        given.bytes = 0;
        let waiting = given.waiting.take();
        drop(given);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// Ready when more may be given.
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut given = self.lock();
        if given.bytes < AT_ONCE {
            return Poll::Ready(());
        }
        given.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn give(&self, bytes: usize) {
        self.lock().bytes += bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer at the pace of the connection that it goes to.
pub(crate) struct Paced {
    answer: Answer,
    connection: Arc<Verdict>,
}

impl Paced {
    pub(crate) const fn new(answer: Answer, connection: Arc<Verdict>) -> Self {
        Self { answer, connection }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let pace = &this.connection.pace;
        ready!(pace.poll(cx));
        let frame = ready!(Pin::new(&mut this.answer).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            pace.give(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_piece_waits_until_the_one_before_is_written() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let connection = Arc::<Verdict>::default();
        let answer =
            |bytes: &'static [u8]| Paced::new(Answer::Own(Bytes::from_static(bytes)), connection.clone());
        let mut given = |bytes: &'static [u8]| Pin::new(&mut answer(bytes)).poll_frame(&mut cx).is_ready();
        assert!(given(&[0; AT_ONCE - 1]));
        assert!(given(&[0; AT_ONCE]));
        assert!(!given(b"x"));
        assert!(!woken.0.load(Ordering::Relaxed));
        connection.pace.written();
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(given(b"x"));
    }
}
