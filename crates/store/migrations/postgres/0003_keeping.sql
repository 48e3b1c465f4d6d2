-- Content may be kept in an object store instead of in parts.
ALTER TABLE blobs ADD COLUMN place TEXT COLLATE "C"; -- the object's key
ALTER TABLE blobs ADD COLUMN damaged BIGINT NOT NULL DEFAULT 0; -- the object is not what was stored: it is never used, and stored anew when it can be

-- Objects that are to be removed from a time on: uploads that nobody finished, and content that nobody refers to any more.
CREATE TABLE unwanted (
    place TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    due   BIGINT NOT NULL,
    taken BIGINT NOT NULL -- somebody is about to remove it: it is not finished any more
);
CREATE INDEX unwanted_by_time ON unwanted (due);

-- Content that may expire before the session that refers to it.
ALTER TABLE session_blobs ADD COLUMN passing BIGINT NOT NULL DEFAULT 0;
CREATE INDEX session_blobs_passing ON session_blobs (session) WHERE passing = 1;

-- What one process at a time does.
CREATE TABLE duties (
    name   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    until  BIGINT NOT NULL
);

-- For how many days organisations keep what has ended, where that is less than what is configured for all.
CREATE TABLE keeping (
    org      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sessions BIGINT,
    files    BIGINT
);

CREATE INDEX sessions_ended ON sessions (org, archived, updated) WHERE state = 'ended' AND forgotten = 0;
CREATE INDEX sessions_forgotten ON sessions (updated) WHERE forgotten = 1;
