//! Columns as the types that they hold. Whatever does not parse is an error of the column, not a default.

use std::{error::Error, str::FromStr};

use cofferdam_domain::{Digest, Seq, Timestamp};
use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

/// A row of either database.
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(crate) fn text(&self, column: &str) -> sqlx::Result<String> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    pub(crate) fn text_or_null(&self, column: &str) -> sqlx::Result<Option<String>> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    pub(crate) fn int(&self, column: &str) -> sqlx::Result<i64> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    pub(crate) fn int_or_null(&self, column: &str) -> sqlx::Result<Option<i64>> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    pub(crate) fn bytes(&self, column: &str) -> sqlx::Result<Vec<u8>> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    pub(crate) fn bytes_or_null(&self, column: &str) -> sqlx::Result<Option<Vec<u8>>> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// A number without a sign, all 64 bits of it.
    pub(crate) fn count(&self, column: &str) -> sqlx::Result<u64> {
        self.int(column).map(i64::cast_unsigned)
    }

    pub(crate) fn count_or_null(&self, column: &str) -> sqlx::Result<Option<u64>> {
        Ok(self.int_or_null(column)?.map(i64::cast_unsigned))
    }

    pub(crate) fn is(&self, column: &str) -> sqlx::Result<bool> {
        self.int(column).map(|number| number != 0)
    }

    /// A text that parses.
    pub(crate) fn parsed<T>(&self, column: &str) -> sqlx::Result<T>
    where
        T: FromStr<Err: Error + Send + Sync + 'static>,
    {
        self.text(column)?.parse().map_err(|error: T::Err| invalid(column, error))
    }

    /// A text that parses, or nothing.
    pub(crate) fn parsed_or_null<T>(&self, column: &str) -> sqlx::Result<Option<T>>
    where
        T: FromStr<Err: Error + Send + Sync + 'static>,
    {
        let text = self.text_or_null(column)?;
        text.map(|text| text.parse().map_err(|error: T::Err| invalid(column, error))).transpose()
    }

    /// A text that is one of a few names.
    pub(crate) fn named<T>(&self, column: &str, named: impl Fn(&str) -> Option<T>) -> sqlx::Result<T> {
        let name = self.text(column)?;
        named(&name).ok_or_else(|| invalid(column, format!("{name:?} is none of the names that it may hold")))
    }

    /// A text that is one of a few names, or nothing.
    pub(crate) fn named_or_null<T>(
        &self,
        column: &str,
        named: impl Fn(&str) -> Option<T>,
    ) -> sqlx::Result<Option<T>> {
        match self.text_or_null(column)? {
            Some(_) => self.named(column, named).map(Some),
            None => Ok(None),
        }
    }

    /// A point in time.
    pub(crate) fn time(&self, column: &str) -> sqlx::Result<Timestamp> {
        self.count(column).map(Timestamp)
    }

    /// A point in time, or nothing.
    pub(crate) fn time_or_null(&self, column: &str) -> sqlx::Result<Option<Timestamp>> {
        Ok(self.count_or_null(column)?.map(Timestamp))
    }

    /// A place in a log.
    pub(crate) fn seq(&self, column: &str) -> sqlx::Result<Seq> {
        u64::try_from(self.int(column)?).map(Seq).map_err(|error| invalid(column, error))
    }

    pub(crate) fn digest(&self, column: &str) -> sqlx::Result<Digest> {
        <[u8; 32]>::try_from(self.bytes(column)?)
            .map(Digest::from_bytes)
            .map_err(|bytes| invalid(column, format!("a digest has 32 bytes, not {}", bytes.len())))
    }
}

/// What is said of a column that does not hold what it should.
pub(crate) fn invalid(column: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}
