//! The statements of a write transaction.
//!
//! The way to the database's thread and back costs more than most statements do, so what can go together goes
//! together: an append is three trips, whatever the number of its events (up to [`MAX_ROWS`]).

use cofferdam_domain::{SessionId, event::SCHEMA};
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::{
    StoreError,
    chain::{Entry, Stamp},
    log::line::Line,
    records::sessions::{self, Column},
    search::fill::ADD,
    sql::{Origin, Sql, Value, bind_sqlite, values},
};

/// The most events in one statement. Each number of them is a statement of its own, which the connection
/// keeps prepared.
const MAX_ROWS: usize = 16;

/// Columns of an event that differ from row to row.
const COLUMNS: usize = 6;

/// The text of a statement that begins with the one given.
macro_rules! find {
    ($first:literal) => {
        concat!($first, "SELECT * FROM sessions WHERE id = $1")
    };
}

/// Finds a session's row.
pub(super) const FIND: &str = find!("");

/// The same, at the start of a transaction. `IMMEDIATE` takes the write lock at once: what is found stays so
/// until the end.
pub(super) const BEGIN_AND_FIND: &str = find!("BEGIN IMMEDIATE; ");

/// The row of a session, by one of the two statements above. The outer error is the database's, the inner one the row's.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    origin: &Origin,
    session: SessionId,
    sql: &'static str,
) -> Result<Result<Option<Line>, StoreError>, StoreError> {
    let row = Sql::sqlite(connection, origin).first(sql, values![session]).await?;
    Ok(row.as_ref().map(Line::decode).transpose())
}

/// Writes events and then the session's row, which is new or another.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    line: &Line,
    is_new: bool,
    stamps: &[Stamp],
    entries: &[Entry],
) -> sqlx::Result<()> {
    let columns = if is_new { sessions::whole(line) } else { sessions::derived(line) };
    let session = line.id.to_string();
    let mut places = stamps.chunks(MAX_ROWS).zip(entries.chunks(MAX_ROWS)).peekable();
    let mut columns = Some(columns);
    while let Some((stamps, entries)) = places.next() {
        let row = if places.peek().is_none() { columns.take() } else { None };
        insert(connection, &session, stamps, entries, row.map(|columns| (is_new, columns))).await?;
    }
    Ok(())
}

/// Inserts events, at least one and at most [`MAX_ROWS`], and writes the session's row if there is one to write.
async fn insert(
    connection: &mut SqliteConnection,
    session: &str,
    stamps: &[Stamp],
    entries: &[Entry],
    row: Option<(bool, Vec<Column>)>,
) -> sqlx::Result<()> {
    let mut sql =
        String::from("INSERT INTO events (session, schema, seq, id, at, body, previous, hash) VALUES ");
    for row in 0..stamps.len() {
        let comma = if row == 0 { "" } else { ", " };
        let first = 3 + row * COLUMNS;
        let [seq, id, at, body, previous, hash] = std::array::from_fn(|column| first + column);
        sql.push_str(&format!("{comma}($1, $2, ${seq}, ${id}, ${at}, ${body}, ${previous}, ${hash})"));
    }
    let first = 3 + stamps.len() * COLUMNS;
    let mut more = Vec::new();
    if let Some((is_new, columns)) = row {
        let (statement, values) = row_statement(is_new, columns, first);
        sql.push_str(&statement);
        more = values;
    }
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(session).bind(i64::from(SCHEMA));
    // What else an entry brings is written elsewhere.
    let texts =
        entries.iter().map(|Entry { text, effect: _, blobs: _, passing: _, notice: _, remember: _ }| text);
    for (Stamp { seq, id, at, previous, hash }, text) in stamps.iter().zip(texts) {
        query = query
            .bind(seq.0.cast_signed())
            .bind(id.to_string())
            .bind(at.0.cast_signed())
            .bind(text)
            .bind(&previous.as_bytes()[..])
            .bind(&hash.as_bytes()[..]);
    }
    bind_sqlite(query, &more).execute(connection).await?;
    Ok(())
}

/// The second statement of [`insert`], with its parameters counted from `first`.
fn row_statement(is_new: bool, columns: Vec<Column>, first: usize) -> (String, Vec<Value>) {
    if is_new {
        let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let places: Vec<String> = (first..).take(names.len()).map(|place| format!("${place}")).collect();
        let org = names.iter().position(|name| *name == "org").unwrap_or_default() + first;
        let (names, places) = (names.join(", "), places.join(", "));
        (format!("; INSERT INTO sessions ({names}) VALUES ({places}); {ADD} (${org}, $1)"), values)
    } else {
        let (set, values) = sessions::assignments(columns, first);
        (format!("; UPDATE sessions SET {set} WHERE id = $1"), values)
    }
}
