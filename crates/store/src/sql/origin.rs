//! Where the database is, and what its failures mean.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::StoreError;

/// Where the database is. Its failures are told in its words.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A file.
    Sqlite(PathBuf),
    /// A server: its address without user and password, for people.
    Postgres(String),
}

impl Origin {
    /// What it means that a column does not hold what it should.
    #[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
    pub(crate) fn unreadable(error: sqlx::Error) -> StoreError {
        StoreError::Corrupt { what: error.to_string() }
    }

    /// What a failure means.
    pub(crate) fn failure(&self, error: sqlx::Error) -> StoreError {
        match self {
            Self::Sqlite(path) => sqlite(path, error),
            Self::Postgres(address) => postgres(address, error),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(address) => f.write_str(address),
        }
    }
}

/// Codes: <https://www.sqlite.org/rescode.html>.
fn sqlite(path: &Path, error: sqlx::Error) -> StoreError {
    const BUSY: i32 = 5;
    const CORRUPT: i32 = 11;
    const FULL: i32 = 13;
    const NOT_A_DATABASE: i32 = 26;
    const IOERR_SHMSIZE: i32 = 4874; // the index of the write-ahead log could not grow: its disk is full

    let extended = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    match extended.map(|code| (code & 0xff, code)) {
        Some((FULL, _) | (_, IOERR_SHMSIZE)) => StoreError::Full { path: path.display().to_string() },
        Some((BUSY, _)) => StoreError::Busy { path: path.display().to_string() },
        Some((CORRUPT | NOT_A_DATABASE, _)) => {
            StoreError::Corrupt { what: format!("{}: {error}", path.display()) }
        }
        Some(_) | None => StoreError::Database { operation: "use the database", source: error },
    }
}

/// Whether the server's certificate is refused, or it has none to show. Nothing else tells that from a connection that was lost.
fn is_untrusted(error: &sqlx::Error) -> bool {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    ["invalid peer certificate", "server does not support TLS"].iter().any(|sign| text.contains(sign))
}

/// Codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>. Of some, the class (the first two characters) says enough.
fn postgres(address: &str, error: sqlx::Error) -> StoreError {
    const CONNECTION: &str = "08";
    const INTERVENTION: &str = "57P"; // the server is shutting down, or not yet up
    const TOO_MANY_CONNECTIONS: &str = "53300";
    const FULL: &str = "53100";
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const CANCELED: &str = "57014"; // here: by the time limit of a statement
    const WAITED_FOR_US: &str = "25P03"; // the way here was so slow that a transaction was given up
    const READ_ONLY: &str = "25006"; // a standby: its primary is being replaced
    const DAMAGED: [&str; 2] = ["XX001", "XX002"];

    let address = address.to_owned();
    if is_untrusted(&error) {
        return StoreError::Untrusted { address, source: error };
    }
    let gone = matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
    );
    if gone {
        return StoreError::Unavailable { address, source: error };
    }
    let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    match code.as_deref() {
        Some(FULL) => StoreError::Full { path: address },
        Some(LOCK_NOT_AVAILABLE | CANCELED) => StoreError::Busy { path: address },
        Some(code) if DAMAGED.contains(&code) => StoreError::Corrupt { what: format!("{address}: {error}") },
        Some(code)
            if code == TOO_MANY_CONNECTIONS
                || code == READ_ONLY
                || code == WAITED_FOR_US
                || code.starts_with(CONNECTION)
                || code.starts_with(INTERVENTION) =>
        {
            StoreError::Unavailable { address, source: error }
        }
        Some(_) | None => StoreError::Database { operation: "use the database", source: error },
    }
}
