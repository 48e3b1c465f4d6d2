//! One session whose log is folded into spans.

use std::sync::Arc;

use cofferdam_domain::{Event, EventBody, Seq, SessionId};
use tokio::time::Instant;

use crate::{Content, Fold, Logs, Span, Unread, journal::Entry};

/// How many events are read from the store at once.
const PAGE: u32 = 256;

/// One session whose log is folded into spans.
#[derive(Debug)]
pub(crate) struct Following {
    session: SessionId,
    fold: Fold,
    /// The last event that is folded in.
    cursor: Seq,
    /// Spans that were over by then are delivered, or another worker's.
    from: Seq,
    /// Whether there may be more to read.
    pub(crate) behind: bool,
    /// Its spans that are made and not delivered.
    pub(crate) waiting: usize,
    entry: Option<Entry>,
    /// When it was last heard of.
    pub(crate) touched: Instant,
}

impl Following {
    /// Begins with a session of which `heard` is the first event that this process heard of. If nobody has noted how far its spans are
    /// delivered, they are so up to the last claim whose worker let go of everything before another one took the session.
    pub(crate) async fn begin(
        logs: &Arc<dyn Logs>,
        session: SessionId,
        heard: Seq,
        content: Content,
        mut entry: Option<Entry>,
    ) -> Result<Self, Unread> {
        let from = match entry.as_ref().and_then(Entry::delivered) {
            Some(delivered) => delivered,
            None => others(logs, session, heard).await?,
        };
        if let Some(entry) = &mut entry {
            entry.set(from);
        }
        Ok(Self {
            session,
            fold: Fold::new(session, content),
            cursor: Seq::START,
            from,
            behind: true,
            waiting: 0,
            entry,
            touched: Instant::now(),
        })
    }

    /// Folds the next events in; the spans that are over with them and not delivered.
    pub(crate) async fn read(&mut self, logs: &Arc<dyn Logs>) -> Result<Vec<Span>, Unread> {
        let events = logs.read(self.session, self.cursor, PAGE).await?;
        self.behind = events.len() == PAGE as usize;
        let mut made = Vec::new();
        for event in &events {
            let spans = self.fold.fold(event);
            if event.seq > self.from {
                made.extend(spans);
            }
            self.cursor = event.seq;
        }
        self.waiting += made.len();
        Ok(made)
    }

    /// Whose spans these are.
    pub(crate) const fn session(&self) -> SessionId {
        self.session
    }

    /// Whether all that can be told of it is delivered.
    pub(crate) const fn is_told(&self) -> bool {
        !self.behind && self.waiting == 0
    }

    /// Whether nothing more is to be expected of its worker for now.
    pub(crate) fn is_at_rest(&self) -> bool {
        !self.fold.is_at_work()
    }

    /// Notes how far its spans are delivered.
    pub(crate) fn note(&mut self) {
        if self.is_told()
            && let Some(entry) = &mut self.entry
        {
            entry.set(self.cursor);
        }
    }

    /// Nobody needs to go on with it.
    pub(crate) fn forget(self) {
        if let Some(entry) = self.entry {
            entry.remove();
        }
    }
}

/// The last event by which all spans are others': those of the session that it was forked from, and those of workers that did not die with it.
async fn others(logs: &Arc<dyn Logs>, session: SessionId, heard: Seq) -> Result<Seq, Unread> {
    let mut fold = Fold::new(session, Content::Left);
    let (mut cursor, mut others) = (Seq::START, Seq::START);
    while cursor < heard {
        let events = logs.read(session, cursor, PAGE).await?;
        for event in events.iter().take_while(|event| event.seq <= heard) {
            if matches!(event.body, EventBody::Forked { .. }) {
                others = event.seq;
            }
            if matches!(event.body, EventBody::Claimed { .. }) && !fold.is_at_work() {
                others = before(event);
            }
            // What it makes was made by whoever had the session.
            drop(fold.fold(event));
        }
        match events.last() {
            Some(last) if events.len() == PAGE as usize => cursor = last.seq,
            _ => break,
        }
    }
    Ok(others)
}

/// The place before an event.
const fn before(event: &Event) -> Seq {
    Seq(event.seq.0.saturating_sub(1))
}
