//! Hearing of the queue, the outbox and the intake: when something happened, and when something is due by itself.

use std::time::Duration;

use cofferdam_domain::Timestamp;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use sqlx::AssertSqlSafe;

use crate::{
    StoreError,
    log::rings::{Listener, Matter},
    sql::{Backend, Origin, Readers, Value},
};

/// The shortest wait for what is due: whoever is asked to look needs a moment to do so.
const LEAST: Duration = Duration::from_millis(20);

/// The wait for a database that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// A store that hears of what others do.
pub(crate) trait Hearing: Backend {
    /// Hears of a matter from now on.
    fn listen(&self, matter: Matter) -> Result<Listener, StoreError>;
}

/// A query for the earliest time at which something is due by itself.
pub(crate) struct Due {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
}

impl Due {
    /// The queue's: when a session that was put off may be taken, or a worker counts as gone.
    pub(crate) fn of_queue() -> Self {
        let text = "SELECT MIN(due) FROM (SELECT MIN(not_before) AS due FROM sessions WHERE not_before > 0
                    UNION ALL SELECT MIN(seen + patience) + 1 AS due FROM workers) AS times";
        Self { text: text.to_owned(), values: Vec::new() }
    }
}

struct Stirred {
    readers: Readers,
    listener: Listener,
    due: Due,
}

/// An item each time that there may be something to take; the first at once.
pub(crate) fn stirred(readers: Readers, listener: Listener, due: Due) -> BoxStream<'static, ()> {
    let heard = stream::unfold(Stirred { readers, listener, due }, |mut stirred| async {
        stirred.wait().await?;
        Some(((), stirred))
    });
    stream::once(std::future::ready(())).chain(heard).boxed()
}

impl Stirred {
    /// `None` when nothing can be heard any more.
    async fn wait(&mut self) -> Option<()> {
        loop {
            let (wait, is_due) = match self.next_due().await {
                Ok(Some((now, due))) => (Duration::from_millis(due.millis_since(now)).max(LEAST), due <= now),
                Ok(None) => (Duration::MAX, false),
                Err(_) => (PAUSE, false),
            };
            tokio::select! {
                rung = self.listener.rung() => {
                    rung.ok()?;
                    let _: bool = self.listener.mark();
                    return Some(());
                }
                () = tokio::time::sleep(wait) => if is_due { return Some(()) },
            }
        }
    }

    /// When something is due next; and the time now.
    async fn next_due(&self) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
        let Due { text, values } = &self.due;
        let text = format!("SELECT {} AS now, ({text}) AS due", self.readers.clock());
        let Some(row) = self.readers.first(AssertSqlSafe(text), values).await? else { return Ok(None) };
        let read = || Ok(row.time_or_null("due")?.map(|due| (row.time("now"), due)));
        let due: sqlx::Result<_> = read();
        let due = due.map_err(Origin::unreadable)?;
        due.map(|(now, due)| Ok((now.map_err(Origin::unreadable)?, due))).transpose()
    }
}
