-- Content that is kept in an object store. What is not in here is a file below `blobs`.
CREATE TABLE blobs (
    digest  BLOB    NOT NULL PRIMARY KEY,
    size    INTEGER NOT NULL,
    at      INTEGER NOT NULL, -- when it was last stored
    place   TEXT,             -- the object's key
    damaged INTEGER NOT NULL  -- the object is not what was stored: it is never used, and stored anew when it can be
) STRICT, WITHOUT ROWID;

-- Objects that are to be removed from a time on: uploads that nobody finished, and content that nobody refers to any more.
CREATE TABLE unwanted (
    place TEXT    NOT NULL PRIMARY KEY,
    due   INTEGER NOT NULL,
    taken INTEGER NOT NULL -- somebody is about to remove it: it is not finished any more
) STRICT, WITHOUT ROWID;
CREATE INDEX unwanted_by_time ON unwanted (due);

-- Content that may expire before the session that refers to it.
ALTER TABLE session_blobs ADD COLUMN passing INTEGER NOT NULL DEFAULT 0;
CREATE INDEX session_blobs_passing ON session_blobs (session) WHERE passing = 1;

-- What one process at a time does.
CREATE TABLE duties (
    name   TEXT    NOT NULL PRIMARY KEY,
    holder TEXT    NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- For how many days organisations keep what has ended, where that is less than what is configured for all.
CREATE TABLE keeping (
    org      TEXT NOT NULL PRIMARY KEY,
    sessions INTEGER,
    files    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_ended ON sessions (org, archived, updated) WHERE state = 'ended' AND forgotten = 0;
CREATE INDEX sessions_forgotten ON sessions (updated) WHERE forgotten = 1;
