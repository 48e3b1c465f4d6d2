//! Until when it is known what happened at a source that is asked.

use cofferdam_domain::Timestamp;

use crate::{
    StoreError,
    sql::{Origin, Readers, Row, Sql, values},
};

pub(crate) async fn list(readers: &Readers, source: &str) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let text = "SELECT line, at FROM watched WHERE source = $1 ORDER BY line";
    let rows = readers.all(text, values![source]).await?;
    let read = |row: &Row| -> sqlx::Result<_> { Ok((row.text("line")?, row.time("at")?)) };
    rows.iter().map(read).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}

/// Never goes back: of two who look at the same time, the one that has seen more counts.
pub(crate) async fn note(
    sql: &mut Sql<'_>,
    source: &str,
    line: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    sql.run(
        "INSERT INTO watched (source, line, at) VALUES ($1, $2, $3)
         ON CONFLICT (source, line) DO UPDATE SET at = excluded.at WHERE watched.at < excluded.at",
        values![source, line, at],
    )
    .await
    .map(drop)
}
