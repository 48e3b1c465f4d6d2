//! The end of a log that is watched: what is sent of it, written out once for all who watch.
//!
//! One task follows the log for as long as there is a watcher, and keeps the last of what is sent (events, or what they change on a page), up to a
//! number of bytes. Each watcher has a place of its own; who is behind what is kept catches up alone ([`CatchUp`]). So many watchers cost one reading
//! and one writing, and a slow one costs nobody else anything.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use async_trait::async_trait;
use bytes::Bytes;
use cofferdam_domain::{Event, Seq, SessionId};
use cofferdam_store::Tenant;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use serde::Serialize;
use tokio::{sync::watch, task::JoinHandle};

use crate::problem::Problem;

/// Bytes that are kept for each session that is watched. The last frame is kept however long it is.
const KEPT: usize = 256 << 10;

/// Events that a watcher who is behind reads at once.
const PAGE: u32 = 64;

/// A message of a stream of server-sent events (HTML Living Standard, "Server-sent events").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The place in the log up to which it tells.
    pub(crate) seq: Seq,
    /// What is sent.
    pub(crate) bytes: Bytes,
}

impl Frame {
    fn of(event: &Event) -> Self {
        Self { seq: event.seq, bytes: message(Some(event.seq), event) }
    }
}

/// A value as one message; under an id where a reader may go on from it.
pub(crate) fn message(id: Option<Seq>, value: &impl Serialize) -> Bytes {
    let mut text = id.map_or_else(String::new, |id| format!("id: {}\n", id.0)).into_bytes();
    text.extend_from_slice(b"data: ");
    // JSON as it is written here has no line ends outside of texts, and none in them.
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => {
            text.extend_from_slice(b"\n\n");
            text.into()
        }
        Err(_) => Bytes::from_static(b": something could not be written\n\n"),
    }
}

/// The last frames of a log.
#[derive(Debug)]
struct Kept {
    /// In order, up to the last one there is. Each tells of all events after the one before it.
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The last event of which the first that is kept does not tell.
    before: Seq,
}

/// What comes after a place.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Frame(Frame),
    /// Something that is not kept any more.
    Older,
    Nothing,
}

impl Kept {
    const fn after(before: Seq) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, before }
    }

    fn push(&mut self, frame: Frame) {
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
        while self.bytes > KEPT && self.frames.len() > 1 {
            if let Some(oldest) = self.frames.pop_front() {
                self.bytes -= oldest.bytes.len();
                self.before = oldest.seq;
            }
        }
    }

    fn next(&self, place: Seq) -> Next {
        if place < self.before {
            return Next::Older;
        }
        let index = self.frames.partition_point(|frame| frame.seq <= place);
        self.frames.get(index).cloned().map_or(Next::Nothing, Next::Frame)
    }
}

/// The end of one log, followed until nobody has it any more.
#[derive(Debug)]
struct Tail {
    kept: watch::Receiver<Kept>,
    follower: JoinHandle<()>,
}

impl Tail {
    fn follow(mut frames: BoxStream<'static, Frame>, after: Seq) -> Self {
        let (keep, kept) = watch::channel(Kept::after(after));
        let follower = tokio::spawn(async move {
            // When nothing more can be heard, watchers learn it from the end of this.
            while let Some(frame) = frames.next().await {
                keep.send_modify(|kept| kept.push(frame));
            }
        });
        Self { kept, follower }
    }

    fn is_over(&self) -> bool {
        self.kept.has_changed().is_err()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// How somebody who is behind what is kept comes to where the others are.
#[async_trait]
pub(crate) trait CatchUp: Send {
    /// What is to be sent of the events after a place, in order; not all of it at once if it is much. `None` when it cannot be had.
    async fn after(&mut self, place: Seq) -> Option<Vec<Frame>>;
}

/// The ends of all logs that are watched, by what is sent of them.
#[derive(Debug)]
pub(crate) struct Tails<K = SessionId>(Mutex<HashMap<K, Weak<Tail>>>);

impl<K> Default for Tails<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl Tails {
    /// A session's events after a place, for somebody who may see them: those that there are, then each new one. Ends when the store fails or
    /// the session is gone.
    ///
    /// # Errors
    /// When there is no such session, or none for them.
    pub(crate) async fn watch(
        &self,
        tenant: Tenant,
        session: SessionId,
        after: Seq,
    ) -> Result<BoxStream<'static, Frame>, Problem> {
        let last = tenant.session(session).await?.last;
        let reader = Reader { tenant: tenant.clone(), session };
        let follow = async move {
            let events = tenant.follow(session, last).await?;
            let events = events.take_while(|event| std::future::ready(event.is_ok()));
            Ok(events.filter_map(async |event| Some(Frame::of(&event.ok()?))).boxed())
        };
        self.join(session, (last, after), follow, reader).await
    }
}

impl<K: Clone + Eq + Hash> Tails<K> {
    /// What is sent after a place. Where nobody watches it yet, `follow` gives what is sent after the log's `last` event.
    ///
    /// # Errors
    /// What `follow` says.
    pub(crate) async fn join<C: CatchUp + 'static>(
        &self,
        what: K,
        (last, after): (Seq, Seq),
        follow: impl Future<Output = Result<BoxStream<'static, Frame>, Problem>> + Send,
        catch_up: C,
    ) -> Result<BoxStream<'static, Frame>, Problem> {
        let tail = match self.known(&what) {
            Some(tail) => tail,
            None => self.keep(what, Tail::follow(follow.await?, last)),
        };
        let kept = tail.kept.clone();
        let watcher = Watcher { catch_up, kept, place: after, read: VecDeque::new(), _tail: tail };
        let frames = stream::unfold(watcher, |mut watcher| async move {
            let frame = watcher.next().await?;
            Some((frame, watcher))
        });
        Ok(frames.boxed())
    }

    fn known(&self, what: &K) -> Option<Arc<Tail>> {
        self.lock().get(what)?.upgrade().filter(|tail| !tail.is_over())
    }

    /// Keeps a new one, unless somebody else was quicker.
    fn keep(&self, what: K, new: Tail) -> Arc<Tail> {
        if let Some(tail) = self.known(&what) {
            return tail;
        }
        let tail = Arc::new(new);
        let mut tails = self.lock();
        tails.retain(|_, tail| tail.strong_count() > 0);
        tails.insert(what, Arc::downgrade(&tail));
        tail
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Weak<Tail>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads events from the store.
struct Reader {
    tenant: Tenant,
    session: SessionId,
}

#[async_trait]
impl CatchUp for Reader {
    async fn after(&mut self, place: Seq) -> Option<Vec<Frame>> {
        let events = self.tenant.read(self.session, place, PAGE).await.ok()?;
        Some(events.iter().map(Frame::of).collect())
    }
}

/// Somebody who watches.
struct Watcher<C> {
    catch_up: C,
    kept: watch::Receiver<Kept>,
    /// The last event that they know of.
    place: Seq,
    /// Frames that are theirs alone.
    read: VecDeque<Frame>,
    _tail: Arc<Tail>,
}

impl<C: CatchUp> Watcher<C> {
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.read.pop_front() {
                self.place = frame.seq;
                return Some(frame);
            }
            let next = self.kept.borrow_and_update().next(self.place);
            match next {
                Next::Frame(frame) => {
                    self.place = frame.seq;
                    return Some(frame);
                }
                Next::Older => {
                    self.read = self.catch_up.after(self.place).await?.into();
                    // They were there when they were kept, and are not now.
                    self.read.front()?;
                }
                Next::Nothing => self.kept.changed().await.ok()?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: u64, size: usize) -> Frame {
        Frame { seq: Seq(seq), bytes: vec![b'x'; size].into() }
    }

    #[test]
    fn a_place_leads_to_what_comes_after_it() {
        let mut kept = Kept::after(Seq(7));
        assert_eq!(
            (kept.next(Seq(6)), kept.next(Seq(7)), kept.next(Seq(9))),
            (Next::Older, Next::Nothing, Next::Nothing)
        );
        for seq in 8..=10 {
            kept.push(frame(seq, 5));
        }
        assert_eq!(kept.next(Seq(7)), Next::Frame(frame(8, 5)));
        assert_eq!(kept.next(Seq(9)), Next::Frame(frame(10, 5)));
        assert_eq!((kept.next(Seq(6)), kept.next(Seq(10))), (Next::Older, Next::Nothing));
        // One that tells of several events is for all who do not know the last of them.
        kept.push(frame(15, 5));
        for place in [10, 12, 14] {
            assert_eq!(kept.next(Seq(place)), Next::Frame(frame(15, 5)));
        }
        assert_eq!(kept.next(Seq(15)), Next::Nothing);
    }

    #[test]
    fn what_is_kept_is_bounded_by_bytes_and_has_the_last_event() {
        let mut kept = Kept::after(Seq::START);
        for seq in 1..=100 {
            kept.push(frame(seq, KEPT / 10));
            assert!(kept.bytes <= KEPT);
        }
        assert_eq!((kept.frames.len(), kept.before), (10, Seq(90)));
        kept.push(frame(101, 2 * KEPT));
        assert_eq!(
            (kept.next(Seq(100)), kept.next(Seq(99))),
            (Next::Frame(frame(101, 2 * KEPT)), Next::Older)
        );
        kept.push(frame(102, 1));
        assert_eq!((kept.bytes, kept.before), (1, Seq(101)));
    }

    #[test]
    fn a_message_is_one_line() {
        let sent = message(Some(Seq(3)), &"a\nb\r\u{2028}c");
        assert_eq!(&sent[..], "id: 3\ndata: \"a\\nb\\r\u{2028}c\"\n\n".as_bytes());
        assert_eq!(&message(None, &1)[..], b"data: 1\n\n");
    }
}
