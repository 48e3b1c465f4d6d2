//! Reading a log forwards, page by page, each event checked against the one before it.

use std::path::Path;

use cofferdam_domain::{Event, Seq, SessionId};
use sqlx::{SqlitePool, sqlite::SqliteRow};

use super::{column, schema::failure};
use crate::{
    StoreError,
    chain::{Found, Head},
};

/// A place in a log from which to read on.
#[derive(Debug)]
pub(super) struct Pages {
    session: SessionId,
    after: Seq,
    /// The event at `after`; not known before the first event has been read.
    head: Option<Head>,
}

impl Pages {
    pub(super) const fn after(session: SessionId, after: Seq) -> Self {
        let head = if after.0 == 0 { Some(Head::START) } else { None };
        Self { session, after, head }
    }

    /// The next events, at most `limit`; none at the end of the log.
    pub(super) async fn next(&mut self, readers: &SqlitePool, limit: u32) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, id, at, schema, body, previous, hash FROM events
             WHERE session = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )
        .bind(self.session.to_string())
        .bind(self.after.0.cast_signed())
        .bind(i64::from(limit))
        .fetch_all(readers)
        .await
        .map_err(|error| failed(readers, error))?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut head = match self.head {
            Some(head) => head,
            None => self.find_head(readers).await?,
        };
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            let event = self.decode(head, row)?.check(self.session, head)?;
            head = Head { seq: event.seq, id: event.id, at: event.at, hash: event.hash };
            events.push(event);
        }
        self.after = head.seq;
        self.head = Some(head);
        Ok(events)
    }

    /// The last event that was read; [`Head::START`] if there was none.
    pub(super) fn head(&self) -> Head {
        self.head.unwrap_or(Head::START)
    }

    async fn find_head(&self, readers: &SqlitePool) -> Result<Head, StoreError> {
        let row = sqlx::query("SELECT seq, id, at, hash FROM events WHERE session = ?1 AND seq = ?2")
            .bind(self.session.to_string())
            .bind(self.after.0.cast_signed())
            .fetch_optional(readers)
            .await
            .map_err(|error| failed(readers, error))?;
        let (session, after) = (self.session, self.after.0);
        let row = row.ok_or_else(|| StoreError::Corrupt {
            what: format!("event {after} of {session} is missing, there are later ones"),
        })?;
        column::head(&row).map_err(|error| unreadable(after, session, &error))
    }

    fn decode(&self, head: Head, row: &SqliteRow) -> Result<Found, StoreError> {
        column::found(row).map_err(|error| unreadable(head.seq.next().0, self.session, &error))
    }
}

fn unreadable(seq: u64, session: SessionId, error: &sqlx::Error) -> StoreError {
    StoreError::Corrupt { what: format!("event {seq} of {session} cannot be read: {error}") }
}

/// What a failure of a reading connection means.
pub(super) fn failed(readers: &SqlitePool, error: sqlx::Error) -> StoreError {
    let options = readers.connect_options();
    let path: &Path = options.get_filename();
    failure("read the database", path, error)
}
