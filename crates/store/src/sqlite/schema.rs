//! The database file: how it is opened, and how its schema is brought up to date.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    StoreError,
    log::refold,
    sql::{Origin, Sql},
};

/// The steps that lead to the present schema. A step is never changed once released; `PRAGMA user_version`
/// counts those that were taken.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_log.sql"),
    include_str!("../../migrations/sqlite/0002_service.sql"),
    include_str!("../../migrations/sqlite/0003_outbox.sql"),
    include_str!("../../migrations/sqlite/0004_keeping.sql"),
    include_str!("../../migrations/sqlite/0005_intake.sql"),
    include_str!("../../migrations/sqlite/0006_pushed.sql"),
    include_str!("../../migrations/sqlite/0007_watched.sql"),
    include_str!("../../migrations/sqlite/0008_reserved.sql"),
    include_str!("../../migrations/sqlite/0009_apps.sql"),
    include_str!("../../migrations/sqlite/0010_servers.sql"),
    include_str!("../../migrations/sqlite/0011_skills.sql"),
    include_str!("../../migrations/sqlite/0012_parents.sql"),
    include_str!("../../migrations/sqlite/0013_memories.sql"),
    include_str!("../../migrations/sqlite/0014_playbooks.sql"),
    include_str!("../../migrations/sqlite/0015_attempts.sql"),
    include_str!("../../migrations/sqlite/0016_search.sql"),
    include_str!("../../migrations/sqlite/0017_private_memories.sql"),
    include_str!("../../migrations/sqlite/0018_app_settings.sql"),
    include_str!("../../migrations/sqlite/0019_again.sql"),
];

/// The first step after which a session's row says what it does now: those that were written before are folded anew.
const ROWS_AS_NOW: usize = 6;

/// How long a write waits for another process's transaction. Those take milliseconds; a stopped process would
/// take forever.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it is waited for readers when what was deleted is to go from the journal.
const BRIEFLY: Duration = Duration::from_secs(1);

/// Readers at one time. Each is a thread with a page cache of [`CACHE`].
const READERS: u32 = 4;

/// The page cache of a connection, in KiB when negative: see `PRAGMA cache_size`. A log is written at its end and read in order, so that what
/// is cached is hardly asked for again; the system caches the file besides.
const CACHE: &str = "-192";

/// How connections that write are made. WAL keeps readers and the writer out of each other's way; with
/// `synchronous=FULL` a commit has reached the disk when it returns
/// (<https://www.sqlite.org/pragma.html#pragma_synchronous>).
pub(super) fn writing(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE)
        .foreign_keys(false)
        .pragma("cache_size", CACHE)
        // What is deleted is overwritten, not only left to be used again.
        .pragma("secure_delete", "ON")
        .disable_statement_logging()
}

/// Writes the whole write-ahead log back and empties it, if nobody reads from it now: until then it still has what was deleted. Whatever is
/// left goes with the next checkpoint.
pub(super) async fn empty_journal(path: &Path) {
    let options = writing(path).busy_timeout(BRIEFLY);
    if let Ok(mut connection) = options.connect().await {
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.ok();
        connection.close().await.ok();
    }
}

/// Connections that read, made when they are needed.
pub(super) fn readers(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(PATIENCE)
        .foreign_keys(false)
        .pragma("cache_size", CACHE)
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .test_before_acquire(false)
        .idle_timeout(Some(Duration::from_secs(60)))
        .connect_lazy_with(options)
}

/// Opens the database for writing and brings its schema up to date. Only one process may do so at a time.
pub(super) async fn prepare(options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
    let path = options.get_filename();
    let origin = Origin::Sqlite(path.to_owned());
    create_file(path)?;
    let mut connection = options.connect().await.map_err(|error| origin.failure(error))?;
    migrate(&mut connection, path, &origin).await?;
    Ok(connection)
}

/// Makes the file for this user alone; SQLite gives the files beside it the same mode.
fn create_file(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(|_: File| ())
        .map_err(|source| StoreError::file("open the database", path, source))
}

async fn migrate(connection: &mut SqliteConnection, path: &Path, origin: &Origin) -> Result<(), StoreError> {
    let failed = |error| origin.failure(error);
    let row = sqlx::query("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(failed)?;
    let found: i64 = row.try_get(0).map_err(failed)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { path: path.display().to_string(), found, known });
    }
    let taken = usize::try_from(found).map_err(|_| StoreError::Corrupt {
        what: format!("{} says that it has schema {found}", path.display()),
    })?;
    if taken == MIGRATIONS.len() {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    for step in &MIGRATIONS[taken..] {
        sqlx::raw_sql(*step).execute(&mut *transaction).await.map_err(failed)?;
    }
    if taken < ROWS_AS_NOW {
        refold::all(&mut Sql::sqlite(&mut transaction, origin)).await?;
    }
    let version = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {known}"));
    sqlx::raw_sql(version).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// How a new database would carry a statement out, a line for each table that is looked at.
#[cfg(test)]
pub(crate) async fn plan(statement: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = prepare(&writing(&folder.path().join("plan.db"))).await.unwrap();
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}
