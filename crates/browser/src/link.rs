//! The connection: commands and their answers, and what is heard in between.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
    time::{Instant, timeout},
};

use crate::{
    BrowserError, Id, Inbound, Messages, quoted,
    seen::{Follows, Order, Seen},
    wire::{MAX_LARGE, MAX_MESSAGE, Problem, Unread},
};

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// Commands that wait to be written. A browser that reads none of them is given up.
const UNWRITTEN: usize = 512;

/// A connection to a browser. Dropping it ends it.
pub(crate) struct Link {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

struct Shared {
    next: AtomicU64,
    state: Mutex<State>,
    outgoing: mpsc::Sender<Vec<u8>>,
    /// Counts what was heard.
    heard: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    seen: Seen,
    waiting: HashMap<u64, Waiting>,
    /// How long the present call may take, and until when that is.
    term: Option<(Duration, Instant)>,
    /// Why there is no connection any more.
    over: Option<String>,
}

struct Waiting {
    session: Option<Id>,
    what: &'static str,
    size: Size,
    answer: oneshot::Sender<Result<Unread, BrowserError>>,
}

/// How much an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Usual,
    /// A picture, or the outline of a large page.
    Large,
}

impl Link {
    pub(crate) fn new<R, W>(read: R, write: W) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let (outgoing, unwritten) = mpsc::channel(UNWRITTEN);
        let (heard, _) = watch::channel(0);
        let shared = Arc::new(Shared { next: AtomicU64::new(1), state: Mutex::default(), outgoing, heard });
        let reading = tokio::spawn(listen(shared.clone(), read)).abort_handle();
        let writing = tokio::spawn(speak(shared.clone(), write, unwritten)).abort_handle();
        Self { shared, tasks: [reading, writing] }
    }

    /// What was seen of the browser.
    pub(crate) fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.shared.state().seen)
    }

    /// Why there is no connection any more.
    pub(crate) fn over(&self) -> Option<String> {
        self.shared.state().over.clone()
    }

    /// All that is asked from now on has to be answered within this time, however it is asked.
    pub(crate) fn begin(&self, term: Duration) {
        self.shared.state().term = Some((term, Instant::now() + term));
    }

    /// As much of `patience` as the call has left.
    fn left(&self, patience: Duration) -> Result<Duration, BrowserError> {
        let Some((term, end)) = self.shared.state().term else { return Ok(patience) };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(BrowserError::Overdue(term)) } else { Ok(patience.min(left)) }
    }

    /// One command, and what came of it within `patience`. `what` is it in words.
    pub(crate) async fn call(
        &self,
        session: Option<&Id>,
        command: (&'static str, &'static str),
        params: Value,
        patience: Duration,
    ) -> Result<Value, BrowserError> {
        self.text(session, command, params, patience, Size::Usual).await?.value(command.1)
    }

    /// The same, with what came of it as text.
    pub(crate) async fn text(
        &self,
        session: Option<&Id>,
        (method, what): (&'static str, &'static str),
        params: Value,
        patience: Duration,
        size: Size,
    ) -> Result<Unread, BrowserError> {
        let patience = self.left(patience)?;
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.shared.state();
            if let Some(why) = &state.over {
                return Err(BrowserError::Gone(why.clone()));
            }
            let session = session.cloned();
            state.waiting.insert(id, Waiting { session, what, size, answer: sender });
        }
        let _waits = Waits { shared: &self.shared, id };
        let bytes = encoded(id, session, method, params);
        let answered = async {
            if self.shared.outgoing.send(bytes).await.is_err() {
                return Err(BrowserError::Gone("nothing more can be told to it".to_owned()));
            }
            answer.await.unwrap_or_else(|_| Err(BrowserError::Gone("the connection was closed".to_owned())))
        };
        timeout(patience, answered).await.unwrap_or(Err(BrowserError::Silent { what, after: patience }))
    }

    /// Waits until something holds of what was seen; whether it did within `patience`.
    pub(crate) async fn until(&self, patience: Duration, mut holds: impl FnMut(&mut Seen) -> bool) -> bool {
        let Ok(patience) = self.left(patience) else { return false };
        let mut heard = self.shared.heard.subscribe();
        let waiting = async {
            loop {
                {
                    let mut state = self.shared.state();
                    if holds(&mut state.seen) {
                        return true;
                    }
                    if state.over.is_some() {
                        return false;
                    }
                }
                if heard.changed().await.is_err() {
                    return false;
                }
            }
        };
        timeout(patience, waiting).await.unwrap_or(false)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// An answer that is waited for, until somebody has stopped doing so.
struct Waits<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.shared.state().waiting.remove(&self.id);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that a message may have now.
    fn most(&self) -> usize {
        let large = self.state().waiting.values().any(|waiting| waiting.size == Size::Large);
        if large { MAX_LARGE } else { MAX_MESSAGE }
    }

    fn hear(&self, message: Inbound) -> Result<(), &'static str> {
        match message {
            Inbound::Answer { id, result } => {
                // What nobody waits for was told, not asked.
                let Some(waiting) = self.state().waiting.remove(&id) else { return Ok(()) };
                let what = waiting.what;
                let result = result.map_err(|problem| match problem {
                    Problem::Said(words) => BrowserError::Refused { what, message: quoted(&words, 300) },
                    Problem::TooLong => BrowserError::TooLong(what),
                });
                waiting.answer.send(result).ok();
            }
            Inbound::LeftOut => return Ok(()),
            Inbound::Event { session, method, params } => {
                let Follows { orders, lost } = {
                    let mut state = self.state();
                    let follows = state.seen.note(session.as_ref(), &method, &params);
                    if let Some((session, crashed)) = &follows.lost {
                        state.lose(session, *crashed);
                    }
                    follows
                };
                drop(lost);
                for order in orders {
                    self.tell(order)?;
                }
            }
        }
        self.heard.send_modify(|count| *count += 1);
        Ok(())
    }

    fn tell(&self, order: Order) -> Result<(), &'static str> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes = encoded(id, order.session.as_ref(), order.method, order.params);
        self.outgoing.try_send(bytes).map_err(|_| "it does not read what it is told")
    }

    fn end(&self, why: &str) {
        let mut state = self.state();
        let why = state.over.get_or_insert_with(|| why.to_owned()).clone();
        for (_, waiting) in state.waiting.drain() {
            waiting.answer.send(Err(BrowserError::Gone(why.clone()))).ok();
        }
        drop(state);
        self.heard.send_modify(|count| *count += 1);
    }
}

impl State {
    /// What a page was asked will not be answered any more.
    fn lose(&mut self, session: &Id, crashed: bool) {
        let lost: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.session.as_ref() == Some(session))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            if let Some(waiting) = self.waiting.remove(&id) {
                let error = if crashed { BrowserError::Crashed } else { BrowserError::Closed };
                waiting.answer.send(Err(error)).ok();
            }
        }
    }
}

fn encoded(id: u64, session: Option<&Id>, method: &str, params: Value) -> Vec<u8> {
    let mut message = json!({ "id": id, "method": method, "params": params });
    if let Some(session) = session {
        message["sessionId"] = json!(session);
    }
    let mut bytes = message.to_string().into_bytes();
    bytes.push(0);
    bytes
}

async fn listen(shared: Arc<Shared>, mut read: impl AsyncRead + Send + Unpin) {
    let mut messages = Messages::default();
    let mut piece = vec![0; PIECE];
    let why = loop {
        let length = match read.read(&mut piece).await {
            Ok(0) => break "its program has ended".to_owned(),
            Ok(length) => length,
            Err(error) => break format!("it cannot be heard: {error}"),
        };
        let mut trouble = None;
        messages.allow(shared.most());
        let pushed = messages.push(piece.get(..length).unwrap_or_default(), |message| {
            if trouble.is_none() {
                trouble = shared.hear(message).err();
            }
        });
        match (pushed, trouble) {
            (Ok(()), None) => {}
            (Err(error), _) => break error.to_string(),
            (Ok(()), Some(trouble)) => break trouble.to_owned(),
        }
    };
    shared.end(&why);
}

async fn speak(
    shared: Arc<Shared>,
    mut write: impl AsyncWrite + Send + Unpin,
    mut unwritten: mpsc::Receiver<Vec<u8>>,
) {
    while let Some(bytes) = unwritten.recv().await {
        if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
            shared.end("it does not listen any more");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_command_has_its_answer_or_an_error() {
        let (ours, mut theirs) = duplex(1 << 16);
        let (read, write) = tokio::io::split(ours);
        let link = Link::new(read, write);
        let first = link.call(None, ("A.b", "ask"), json!({}), Duration::from_millis(50)).await;
        assert_eq!(first, Err(BrowserError::Silent { what: "ask", after: Duration::from_millis(50) }));
        let session = "S".into();
        let second = link.call(Some(&session), ("A.b", "ask"), json!({}), SOON);
        let (second, ()) = tokio::join!(second, async {
            let mut asked = [0; 200];
            let mut length = 0;
            while asked[..length].iter().filter(|byte| **byte == 0).count() < 2 {
                length += theirs.read(&mut asked[length..]).await.unwrap();
            }
            theirs.write_all(b"{\"id\":2,\"result\":{\"x\":1}}\0").await.unwrap();
        });
        assert_eq!(second, Ok(json!({ "x": 1 })));
        theirs.write_all(b"no message\0").await.unwrap();
        let third = link.call(None, ("A.b", "ask"), json!({}), SOON).await;
        assert_eq!(third, Err(BrowserError::Gone("a message is no JSON".to_owned())));
        assert_eq!(link.call(None, ("A.b", "ask"), json!({}), SOON).await, third);
    }

    #[tokio::test]
    async fn a_page_that_crashes_answers_nobody() {
        let (ours, mut theirs) = duplex(1 << 16);
        let (read, write) = tokio::io::split(ours);
        let link = Link::new(read, write);
        let attached = "{\"method\":\"Target.attachedToTarget\",\"params\":{\"sessionId\":\"S\",\"targetInfo\":{\"targetId\":\"T\",\"type\":\"page\"}}}\0";
        theirs.write_all(attached.as_bytes()).await.unwrap();
        assert!(link.until(SOON, |seen| seen.tabs.len() == 1).await);
        let session = "S".into();
        let asked = link.call(Some(&session), ("A.b", "ask"), json!({}), SOON);
        let (asked, ()) = tokio::join!(asked, async {
            theirs
                .write_all(b"{\"method\":\"Inspector.targetCrashed\",\"sessionId\":\"S\"}\0")
                .await
                .unwrap();
        });
        assert_eq!(asked, Err(BrowserError::Crashed));
        drop(theirs);
        assert!(!link.until(SOON, |_| false).await);
        assert_eq!(link.over().as_deref(), Some("its program has ended"));
    }
}
