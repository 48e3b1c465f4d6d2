//! A database's own insert: one row of a task's size by a plain connection, durable on return.

use anyhow::Result;
use cofferdam_domain::SessionId;
use futures_util::future::{BoxFuture, try_join_all};
use sqlx::{
    Connection as _, PgConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::place::{Kind, Place};

const TABLE: &str = "CREATE TABLE bench_rows (id TEXT PRIMARY KEY, text TEXT NOT NULL)";
const INSERT: &str = "INSERT INTO bench_rows (id, text) VALUES ($1, $2)";

/// Connections that insert.
pub(crate) struct Floor {
    text: String,
    connections: Connections,
}

/// SQLite has one writer at a time.
enum Connections {
    Sqlite(SqliteConnection),
    Postgres(Vec<PgConnection>),
}

impl Floor {
    /// Beside the place's own store: in another file, or another table of the same database.
    pub(crate) async fn open(kind: Kind, place: &Place, text: String, at_once: usize) -> Result<Self> {
        let connections = match kind {
            Kind::Sqlite => {
                let options = SqliteConnectOptions::new()
                    .filename(place.file("floor.db"))
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full);
                let mut connection = SqliteConnection::connect_with(&options).await?;
                sqlx::raw_sql(TABLE).execute(&mut connection).await?;
                Connections::Sqlite(connection)
            }
            Kind::Postgres => {
                let url = place.url().unwrap_or_default();
                let mut all = try_join_all((0..at_once).map(|_| PgConnection::connect(url))).await?;
                if let Some(first) = all.first_mut() {
                    sqlx::raw_sql(TABLE).execute(first).await?;
                }
                Connections::Postgres(all)
            }
        };
        Ok(Self { text, connections })
    }

    /// One row.
    pub(crate) async fn one(&mut self) -> Result<()> {
        let (id, text) = (SessionId::generate().to_string(), self.text.as_str());
        match &mut self.connections {
            Connections::Sqlite(connection) => {
                sqlx::query(INSERT).bind(id).bind(text).execute(connection).await.map(drop)?;
            }
            Connections::Postgres(all) => {
                if let Some(first) = all.first_mut() {
                    sqlx::query(INSERT).bind(id).bind(text).execute(first).await.map(drop)?;
                }
            }
        }
        Ok(())
    }

    /// A row on each connection, at once; as many one after the other where there is one connection.
    pub(crate) async fn many(&mut self, count: usize) -> Result<()> {
        if let Connections::Postgres(all) = &mut self.connections {
            let inserts = all.iter_mut().map(|connection| {
                let query = sqlx::query(INSERT).bind(SessionId::generate().to_string()).bind(&self.text);
                let insert: BoxFuture<'_, _> = Box::pin(query.execute(connection));
                insert
            });
            try_join_all(inserts).await?;
            return Ok(());
        }
        for _ in 0..count {
            self.one().await?;
        }
        Ok(())
    }
}
