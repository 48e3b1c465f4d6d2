//! Making a session's row anew from its events: for rows that an earlier version wrote.

use cofferdam_domain::{EventBody, SessionId};

use super::{line::Line, pages};
use crate::{
    StoreError,
    chain::Head,
    records,
    sql::{Origin, Sql, values},
    summary::{Effect, Summary},
};

/// Events read at once.
const PAGE: u32 = 64;

/// Folds all sessions anew, one after the other.
pub(crate) async fn all(sql: &mut Sql<'_>) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let row = sql
            .first("SELECT * FROM sessions WHERE id > $1 ORDER BY id LIMIT 1", values![after.as_str()])
            .await?;
        let Some(row) = row else { return Ok(()) };
        after = row.text("id").map_err(Origin::unreadable)?;
        let Ok(line) = Line::decode(&row) else { continue };
        session(sql, line).await?;
    }
}

/// Folds one. A log that does not fit is left as it is, for `verify` to find.
async fn session(sql: &mut Sql<'_>, mut line: Line) -> Result<(), StoreError> {
    line.summary = Summary::default();
    let mut head = Head::START;
    loop {
        let rows = sql
            .all(
                "SELECT seq, id, at, schema, body, previous, hash FROM events
                 WHERE session = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                values![line.id, head.seq, PAGE],
            )
            .await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let Ok(event) =
                pages::found(&row).map_err(Origin::unreadable).and_then(|found| found.check(line.id, head))
            else {
                return Ok(());
            };
            head = Head { seq: event.seq, id: event.id, at: event.at, hash: event.hash };
            line.summary.apply(&Effect::of(&event.body));
            refer(sql, line.id, &event.body).await?;
        }
    }
    records::sessions::update(sql, &line).await
}

async fn refer(sql: &mut Sql<'_>, session: SessionId, body: &EventBody) -> Result<(), StoreError> {
    for blob in body.blobs() {
        records::sessions::refer(sql, session, blob.digest, body.is_passing()).await?;
    }
    Ok(())
}
