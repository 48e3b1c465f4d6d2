//! The database: how it is reached, and how its schema is brought up to date.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    StoreError,
    log::refold,
    sql::{Origin, Sql},
};

/// The steps that lead to the present schema. A step is never changed once released.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_store.sql"),
    include_str!("../../migrations/postgres/0002_outbox.sql"),
    include_str!("../../migrations/postgres/0003_keeping.sql"),
    include_str!("../../migrations/postgres/0004_intake.sql"),
    include_str!("../../migrations/postgres/0005_pushed.sql"),
    include_str!("../../migrations/postgres/0006_watched.sql"),
    include_str!("../../migrations/postgres/0007_reserved.sql"),
    include_str!("../../migrations/postgres/0008_apps.sql"),
    include_str!("../../migrations/postgres/0009_servers.sql"),
    include_str!("../../migrations/postgres/0010_skills.sql"),
    include_str!("../../migrations/postgres/0011_parents.sql"),
    include_str!("../../migrations/postgres/0012_memories.sql"),
    include_str!("../../migrations/postgres/0013_playbooks.sql"),
    include_str!("../../migrations/postgres/0014_attempts.sql"),
    include_str!("../../migrations/postgres/0015_search.sql"),
    include_str!("../../migrations/postgres/0016_private_memories.sql"),
    include_str!("../../migrations/postgres/0017_app_settings.sql"),
    include_str!("../../migrations/postgres/0018_again.sql"),
];

/// The first step after which a session's row says what it does now: those that were written before are folded anew.
const ROWS_AS_NOW: i64 = 5;

/// Connections of one process beside the one that writes and the one that listens.
const CONNECTIONS: u32 = 8;

/// How long a request waits for a connection: also how long a database may be away without anybody noticing.
const PATIENCE: Duration = Duration::from_secs(10);

/// How every connection is set, whatever the server's own settings are: a commit is on the disk when it returns; nobody waits for ever for a
/// lock, and who stops in the middle of a transaction (a frozen process, a cut network) keeps its locks for a few seconds only.
const SETTINGS: [(&str, &str); 6] = [
    ("synchronous_commit", "on"),
    ("lock_timeout", "20s"),
    ("statement_timeout", "120s"),
    ("idle_in_transaction_session_timeout", "5s"),
    // Every statement has its index. A table that has grown since its statistics were taken would be read whole instead.
    ("enable_seqscan", "off"),
    // What it costs to read a table whole counts as enormous then, so that short statements would be compiled: 30 to 130 ms for each.
    ("jit", "off"),
];

/// What a URL stands for.
pub(super) fn options(url: &str) -> Result<(PgConnectOptions, Origin), StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Address {
        // The whole of it may hold a password.
        address: url.split_once("://").map_or(url, |(scheme, _)| scheme).to_owned(),
        reason: "write it as postgres://user:password@host:port/database",
    })?;
    let database = options.get_database().unwrap_or(options.get_username());
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let origin = Origin::Postgres(format!("{place}/{database}"));
    Ok((options.options(SETTINGS).application_name("cofferdam").disable_statement_logging(), origin))
}

/// Connections made when they are needed.
pub(super) fn pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .idle_timeout(Some(Duration::from_secs(60)))
        .connect_lazy_with(options)
}

/// Brings the schema up to date. One process at a time does so, the others wait for it.
pub(super) async fn migrate(pool: &PgPool, origin: &Origin) -> Result<(), StoreError> {
    let failed = |error| origin.failure(error);
    let mut connection = pool.acquire().await.map_err(failed)?;
    let mut transaction = connection.begin().await.map_err(failed)?;
    let found = found(&mut transaction).await.map_err(failed)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { path: origin.to_string(), found, known });
    }
    for (number, step) in (1..).zip(MIGRATIONS).skip(usize::try_from(found).unwrap_or_default()) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await.map_err(failed)?;
        let note = AssertSqlSafe(format!("UPDATE cofferdam_schema SET version = {number}"));
        sqlx::raw_sql(note).execute(&mut *transaction).await.map_err(failed)?;
    }
    if (1..ROWS_AS_NOW).contains(&found) {
        refold::all(&mut Sql::postgres(&mut transaction, origin)).await?;
    }
    transaction.commit().await.map_err(failed)
}

/// How many steps were taken; nobody else takes one until the end of the transaction.
async fn found(connection: &mut PgConnection) -> sqlx::Result<i64> {
    for statement in [
        "SELECT pg_advisory_xact_lock(7018416201900)",
        "CREATE TABLE IF NOT EXISTS cofferdam_schema (version BIGINT NOT NULL)",
        "INSERT INTO cofferdam_schema SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM cofferdam_schema)",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    let row = sqlx::query("SELECT version FROM cofferdam_schema").fetch_one(connection).await?;
    row.try_get("version")
}
