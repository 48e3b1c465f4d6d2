//! Columns as the types that they hold. Whatever does not parse is an error of the column, not a default.

use std::{error::Error, str::FromStr};

use cofferdam_domain::{Digest, Seq, SessionState, Timestamp};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{
    chain::{Found, Head, Stamp},
    summary::Summary,
};

/// The event in a row of `events`.
pub(super) fn found(row: &SqliteRow) -> sqlx::Result<Found> {
    let Head { seq, id, at, hash } = head(row)?;
    let stamp = Stamp { seq, id, at, previous: digest(row, "previous")?, hash };
    Ok(Found { stamp, schema: row.try_get("schema")?, text: row.try_get("body")? })
}

/// The end of a log that a row with `seq`, `id`, `at` and `hash` stands for.
pub(super) fn head(row: &SqliteRow) -> sqlx::Result<Head> {
    Ok(Head {
        seq: seq(row, "seq")?,
        id: parsed(row, "id")?,
        at: time(row, "at")?,
        hash: digest(row, "hash")?,
    })
}

/// What a row of `sessions` shows in a list.
pub(super) fn summary(row: &SqliteRow) -> sqlx::Result<Summary> {
    let name: String = row.try_get("state")?;
    let state =
        SessionState::named(&name).ok_or_else(|| invalid("state", format!("there is no state {name:?}")))?;
    Ok(Summary {
        state,
        repository: row.try_get("repository")?,
        title: row.try_get("title")?,
        outcome: row.try_get("outcome")?,
    })
}

/// A text that parses.
pub(super) fn parsed<T>(row: &SqliteRow, column: &str) -> sqlx::Result<T>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    row.try_get::<String, _>(column)?.parse().map_err(|error: T::Err| invalid(column, error))
}

/// A point in time. All 64 bits are kept: SQLite has no unsigned integers.
pub(super) fn time(row: &SqliteRow, column: &str) -> sqlx::Result<Timestamp> {
    Ok(Timestamp(row.try_get::<i64, _>(column)?.cast_unsigned()))
}

/// A place in a log.
pub(super) fn seq(row: &SqliteRow, column: &str) -> sqlx::Result<Seq> {
    u64::try_from(row.try_get::<i64, _>(column)?).map(Seq).map_err(|error| invalid(column, error))
}

fn digest(row: &SqliteRow, column: &str) -> sqlx::Result<Digest> {
    let bytes: Vec<u8> = row.try_get(column)?;
    <[u8; 32]>::try_from(bytes)
        .map(Digest::from_bytes)
        .map_err(|bytes| invalid(column, format!("a digest has 32 bytes, not {}", bytes.len())))
}

fn invalid(column: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}
