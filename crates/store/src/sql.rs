//! Statements that both databases understand, and rows as the types that they hold.
//!
//! What is said once for SQLite and PostgreSQL is said through [`Sql`]: parameters are `$1`, `$2`, …; integers have 64 bits; text,
//! integers and bytes are all there is. What only one of them can say is in its own folder.

mod origin;
mod row;
mod value;

use async_trait::async_trait;
use cofferdam_domain::{Digest, OrgId, SessionId, Timestamp};
use futures_util::future::BoxFuture;
use sqlx::{
    PgConnection, PgPool, Postgres, SqlSafeStr, Sqlite, SqliteConnection, SqlitePool, postgres::PgArguments,
    query::Query, sqlite::SqliteArguments,
};

pub(crate) use self::{
    origin::Origin,
    row::{Row, invalid},
    value::{Value, any_of, values},
};
use crate::{StoreError, log::rings::Matter};

macro_rules! sqlite_clock {
    () => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}
macro_rules! postgres_clock {
    () => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}
const SQLITE_CLOCK: &str = sqlite_clock!();
const POSTGRES_CLOCK: &str = postgres_clock!();
const SQLITE_NOW: &str = concat!("SELECT ", sqlite_clock!(), " AS now");
const POSTGRES_NOW: &str = concat!("SELECT ", postgres_clock!(), " AS now");

/// A connection to either database, and what its failures mean.
pub(crate) struct Sql<'c> {
    link: Link<'c>,
    origin: &'c Origin,
    news: Vec<News>,
}

/// What others are told once a transaction is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// A session's log or row is another.
    Session(SessionId, OrgId),
    /// There is something of this matter.
    Matter(Matter),
}

impl News {
    /// What it is called where it is heard of.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Session(session, _) => session.to_string(),
            Self::Matter(matter) => matter.name().to_owned(),
        }
    }
}

enum Link<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl<'c> Sql<'c> {
    pub(crate) const fn sqlite(connection: &'c mut SqliteConnection, origin: &'c Origin) -> Self {
        Self { link: Link::Sqlite(connection), origin, news: Vec::new() }
    }

    pub(crate) const fn postgres(connection: &'c mut PgConnection, origin: &'c Origin) -> Self {
        Self { link: Link::Postgres(connection), origin, news: Vec::new() }
    }

    /// What differs between the two: a text for each.
    pub(crate) const fn either<T: Copy>(&self, sqlite: T, postgres: T) -> T {
        match self.link {
            Link::Sqlite(_) => sqlite,
            Link::Postgres(_) => postgres,
        }
    }

    /// An expression for the time now, in milliseconds.
    pub(crate) const fn clock(&self) -> &'static str {
        self.either(SQLITE_CLOCK, POSTGRES_CLOCK)
    }

    /// The time now: the database's own, which all who share it agree on.
    pub(crate) async fn now(&mut self) -> Result<Timestamp, StoreError> {
        let row = self.first(self.either(SQLITE_NOW, POSTGRES_NOW), &[]).await?;
        row.map_or(Ok(Timestamp(0)), |row| row.time("now")).map_err(Origin::unreadable)
    }

    /// Others are to be told this once the transaction is committed.
    pub(crate) fn tell(&mut self, news: News) {
        self.news.push(news);
    }

    /// What others are to be told.
    pub(crate) fn news(&self) -> &[News] {
        &self.news
    }

    /// All rows.
    pub(crate) async fn all(
        &mut self,
        sql: impl SqlSafeStr,
        values: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let rows = match &mut self.link {
            Link::Sqlite(connection) => bind_sqlite(sqlx::query(sql), values)
                .fetch_all(&mut **connection)
                .await
                .map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
            Link::Postgres(connection) => bind_postgres(sqlx::query(sql), values)
                .fetch_all(&mut **connection)
                .await
                .map(|rows| rows.into_iter().map(Row::Postgres).collect()),
        };
        rows.map_err(|error| self.origin.failure(error))
    }

    /// The first row, if there is one.
    pub(crate) async fn first(
        &mut self,
        sql: impl SqlSafeStr,
        values: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        let row = match &mut self.link {
            Link::Sqlite(connection) => bind_sqlite(sqlx::query(sql), values)
                .fetch_optional(&mut **connection)
                .await
                .map(|row| row.map(Row::Sqlite)),
            Link::Postgres(connection) => bind_postgres(sqlx::query(sql), values)
                .fetch_optional(&mut **connection)
                .await
                .map(|row| row.map(Row::Postgres)),
        };
        row.map_err(|error| self.origin.failure(error))
    }

    /// How many rows it changed.
    pub(crate) async fn run(&mut self, sql: impl SqlSafeStr, values: &[Value]) -> Result<u64, StoreError> {
        let changed = match &mut self.link {
            Link::Sqlite(connection) => bind_sqlite(sqlx::query(sql), values)
                .execute(&mut **connection)
                .await
                .map(|done| done.rows_affected()),
            Link::Postgres(connection) => bind_postgres(sqlx::query(sql), values)
                .execute(&mut **connection)
                .await
                .map(|done| done.rows_affected()),
        };
        changed.map_err(|error| self.origin.failure(error))
    }
}

pub(crate) fn bind_sqlite<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    values: &'q [Value],
) -> Query<'q, Sqlite, SqliteArguments> {
    values.iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text.as_deref()),
        Value::Int(number) => query.bind(*number),
        Value::Bytes(bytes) => query.bind(bytes.as_deref()),
    })
}

fn bind_postgres<'q>(
    query: Query<'q, Postgres, PgArguments>,
    values: &'q [Value],
) -> Query<'q, Postgres, PgArguments> {
    values.iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text.as_deref()),
        Value::Int(number) => query.bind(*number),
        Value::Bytes(bytes) => query.bind(bytes.as_deref()),
    })
}

/// Connections that read.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    pool: Pool,
    origin: Origin,
}

#[derive(Debug, Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Readers {
    pub(crate) const fn sqlite(pool: SqlitePool, origin: Origin) -> Self {
        Self { pool: Pool::Sqlite(pool), origin }
    }

    pub(crate) const fn postgres(pool: PgPool, origin: Origin) -> Self {
        Self { pool: Pool::Postgres(pool), origin }
    }

    /// An expression for the time now, in milliseconds: the database's own, which all who share it agree on.
    pub(crate) const fn clock(&self) -> &'static str {
        match self.pool {
            Pool::Sqlite(_) => SQLITE_CLOCK,
            Pool::Postgres(_) => POSTGRES_CLOCK,
        }
    }

    /// All rows.
    pub(crate) async fn all(&self, sql: impl SqlSafeStr, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let failed = |error| self.origin.failure(error);
        match &self.pool {
            Pool::Sqlite(pool) => {
                let mut connection = pool.acquire().await.map_err(failed)?;
                Sql::sqlite(&mut connection, &self.origin).all(sql, values).await
            }
            Pool::Postgres(pool) => {
                let mut connection = pool.acquire().await.map_err(failed)?;
                Sql::postgres(&mut connection, &self.origin).all(sql, values).await
            }
        }
    }

    /// The first row, if there is one.
    pub(crate) async fn first(
        &self,
        sql: impl SqlSafeStr,
        values: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        let failed = |error| self.origin.failure(error);
        match &self.pool {
            Pool::Sqlite(pool) => {
                let mut connection = pool.acquire().await.map_err(failed)?;
                Sql::sqlite(&mut connection, &self.origin).first(sql, values).await
            }
            Pool::Postgres(pool) => {
                let mut connection = pool.acquire().await.map_err(failed)?;
                Sql::postgres(&mut connection, &self.origin).first(sql, values).await
            }
        }
    }

    /// Closes them all.
    pub(crate) async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }
}

/// What is done in one transaction. It is carried out whether or not its caller still waits for it; an error undoes it.
pub(crate) type Work<T> =
    Box<dyn for<'s, 'c> FnOnce(&'s mut Sql<'c>) -> BoxFuture<'s, Result<T, StoreError>> + Send>;

/// [`Work`] out of a closure.
pub(crate) fn work<T>(
    work: impl for<'s, 'c> FnOnce(&'s mut Sql<'c>) -> BoxFuture<'s, Result<T, StoreError>> + Send + 'static,
) -> Work<T> {
    Box::new(work)
}

/// What both stores can do with their database, so that the rest is written once. Clones are the same database.
#[async_trait]
pub(crate) trait Database: Clone + Send + Sync + 'static {
    /// Connections to read with, outside of transactions.
    fn readers(&self) -> &Readers;

    /// Carries something out in a transaction of its own; durable on return.
    async fn transact<T: Send + 'static>(&self, work: Work<T>) -> Result<T, StoreError>;
}

/// A store that stands on such a database.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// Which.
    type Base: Database;
    /// The database.
    fn base(&self) -> &Self::Base;
    /// Removes of these contents what nobody refers to, unless it was stored again after it was last referred to, which is the time beside it.
    async fn let_contents_go(&self, contents: Vec<(Digest, Timestamp)>) -> Result<(), StoreError>;
    /// Removes all content that nobody refers to and that was last stored before `stored`. Returns how much.
    async fn sweep_content(&self, stored: Timestamp) -> Result<u64, StoreError>;
    /// Removes objects that are wanted no more; whether there is a bucket in which there could be any.
    async fn clear_content(&self) -> Result<bool, StoreError>;
}
