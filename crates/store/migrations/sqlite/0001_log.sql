-- The log. A row is never changed once written; its hash covers every column but itself.
CREATE TABLE events (
    session  TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    at       INTEGER NOT NULL, -- milliseconds since 1970-01-01T00:00:00Z
    schema   INTEGER NOT NULL,
    body     TEXT    NOT NULL, -- the JSON text exactly as hashed
    previous BLOB    NOT NULL,
    hash     BLOB    NOT NULL,
    PRIMARY KEY (session, seq)
) STRICT;

-- One row for each session, derived from its events in the transaction that appends them; `fence` alone is not in the log.
CREATE TABLE sessions (
    id         TEXT    NOT NULL PRIMARY KEY,
    state      TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    title      TEXT    NOT NULL,
    outcome    TEXT,
    created    INTEGER NOT NULL,
    updated    INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    fence      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_state ON sessions (state, id);
