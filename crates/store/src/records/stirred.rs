//! Hearing of the queue: when something happened, and when something is due by itself.

use std::time::Duration;

use cofferdam_domain::Timestamp;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use sqlx::AssertSqlSafe;

use crate::{
    StoreError,
    log::rings::Listener,
    sql::{Origin, Readers},
};

/// The shortest wait for what is due: whoever is asked to look needs a moment to do so.
const LEAST: Duration = Duration::from_millis(20);

/// The wait for a database that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

struct Stirred {
    readers: Readers,
    listener: Listener,
}

/// An item each time that the queue may have something to give; the first at once.
pub(crate) fn stirred(readers: Readers, listener: Listener) -> BoxStream<'static, ()> {
    let heard = stream::unfold(Stirred { readers, listener }, |mut stirred| async {
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
                    self.listener.mark();
                    return Some(());
                }
                () = tokio::time::sleep(wait) => if is_due { return Some(()) },
            }
        }
    }

    /// The earliest time at which a session that was put off may be taken, or a worker counts as gone; and the time now.
    async fn next_due(&self) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
        let text = format!(
            "SELECT {now} AS now,
                 (SELECT MIN(not_before) FROM sessions WHERE not_before > 0) AS put_off,
                 (SELECT MIN(seen + patience) + 1 FROM workers) AS silent",
            now = self.readers.clock()
        );
        let Some(row) = self.readers.first(AssertSqlSafe(text), &[]).await? else { return Ok(None) };
        let read = || -> sqlx::Result<_> {
            let due = [row.time_or_null("put_off")?, row.time_or_null("silent")?];
            Ok(due.into_iter().flatten().min().map(|due| (row.time("now"), due)))
        };
        let due = read().map_err(Origin::unreadable)?;
        due.map(|(now, due)| Ok((now.map_err(Origin::unreadable)?, due))).transpose()
    }
}
