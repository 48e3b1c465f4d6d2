//! Reading a log forwards, page by page, each event checked against the one before it.

use cofferdam_domain::{Event, Seq, SessionId};

use crate::{
    ExportedEvent, StoreError,
    chain::{Found, Head, Stamp},
    sql::{Readers, Row, values},
};

/// A place in a log from which to read on.
#[derive(Debug)]
pub(crate) struct Pages {
    session: SessionId,
    after: Seq,
    /// The event at `after`; not known before the first event has been read.
    head: Option<Head>,
}

impl Pages {
    pub(crate) const fn after(session: SessionId, after: Seq) -> Self {
        let head = if after.0 == 0 { Some(Head::START) } else { None };
        Self { session, after, head }
    }

    /// The next events, at most `limit`; none at the end of the log.
    pub(crate) async fn next(&mut self, readers: &Readers, limit: u32) -> Result<Vec<Event>, StoreError> {
        let rows = readers
            .all(
                "SELECT seq, id, at, schema, body, previous, hash FROM events
                 WHERE session = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                values![self.session, self.after, limit],
            )
            .await?;
        self.take(readers, &rows).await
    }

    /// The next events as they are kept, each checked, at most `limit`.
    pub(crate) async fn next_exported(
        &mut self,
        readers: &Readers,
        limit: u32,
    ) -> Result<Vec<ExportedEvent>, StoreError> {
        let after = self.after;
        let events = self.next(readers, limit).await?;
        let text = "SELECT schema, body FROM events WHERE session = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let rows = readers.all(text, values![self.session, after, events.len() as u64]).await?;
        events
            .into_iter()
            .zip(rows)
            .map(|(event, row)| {
                let Event { seq, id, session, at, body: _, previous, hash } = event;
                let read = || Ok((row.int("schema")?, row.text("body")?));
                let (schema, body) = read().map_err(|error| unreadable(seq, session, &error))?;
                Ok(ExportedEvent { seq, id, at, schema, previous, hash, body })
            })
            .collect()
    }

    async fn take(&mut self, readers: &Readers, rows: &[Row]) -> Result<Vec<Event>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut head = match self.head {
            Some(head) => head,
            None => self.find_head(readers).await?,
        };
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let found = found(row).map_err(|error| unreadable(head.seq.next(), self.session, &error))?;
            let event = found.check(self.session, head)?;
            head = Head { seq: event.seq, id: event.id, at: event.at, hash: event.hash };
            events.push(event);
        }
        self.after = head.seq;
        self.head = Some(head);
        Ok(events)
    }

    /// The last event that was read; [`Head::START`] if there was none.
    pub(crate) fn head(&self) -> Head {
        self.head.unwrap_or(Head::START)
    }

    async fn find_head(&self, readers: &Readers) -> Result<Head, StoreError> {
        let row = readers
            .first(
                "SELECT seq, id, at, hash FROM events WHERE session = $1 AND seq = $2",
                values![self.session, self.after],
            )
            .await?;
        let (session, after) = (self.session, self.after);
        let row = row.ok_or_else(|| StoreError::Corrupt {
            what: format!("event {} of {session} is missing, there are later ones", after.0),
        })?;
        head(&row).map_err(|error| unreadable(after, session, &error))
    }
}

/// The event in a row of `events`, not yet believed.
pub(crate) fn found(row: &Row) -> sqlx::Result<Found> {
    let Head { seq, id, at, hash } = head(row)?;
    let stamp = Stamp { seq, id, at, previous: row.digest("previous")?, hash };
    Ok(Found { stamp, schema: row.int("schema")?, text: row.text("body")? })
}

fn head(row: &Row) -> sqlx::Result<Head> {
    Ok(Head { seq: row.seq("seq")?, id: row.parsed("id")?, at: row.time("at")?, hash: row.digest("hash")? })
}

fn unreadable(seq: Seq, session: SessionId, error: &sqlx::Error) -> StoreError {
    StoreError::Corrupt { what: format!("event {} of {session} cannot be read: {error}", seq.0) }
}
