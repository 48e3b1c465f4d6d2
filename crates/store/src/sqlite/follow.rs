//! Following a log: what is there, then what is appended.

use std::collections::VecDeque;

use cofferdam_domain::{Event, Seq, SessionId};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use sqlx::SqlitePool;

use super::{
    news::{Listener, News},
    pages::Pages,
};
use crate::StoreError;

/// Events read at once.
const PAGE: u32 = 64;

struct Follower {
    readers: SqlitePool,
    listener: Listener,
    pages: Pages,
    ready: VecDeque<Event>,
}

/// Starts to follow. Listening begins before anything is read, and every ring is noted before the read that
/// it may be about: an event is either found by that read, or its bell rings after it.
pub(super) fn follow(
    readers: SqlitePool,
    news: &News,
    session: SessionId,
    after: Seq,
) -> Result<BoxStream<'static, Result<Event, StoreError>>, StoreError> {
    let listener = news.listen(session)?;
    let follower =
        Follower { readers, listener, pages: Pages::after(session, after), ready: VecDeque::new() };
    let events = stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        // After an error there is nothing to go on from: the stream ends.
        match follower.next().await {
            Ok(event) => Some((Ok(event), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(events.boxed())
}

impl Follower {
    async fn next(&mut self) -> Result<Event, StoreError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            self.listener.mark();
            self.ready = self.pages.next(&self.readers, PAGE).await?.into();
            if self.ready.is_empty() {
                self.listener.rung().await?;
            }
        }
    }
}
