-- Pull requests of a day's budgets that are kept for sessions which are about to open theirs.
CREATE TABLE reserved (
    session TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    org     TEXT COLLATE "C" NOT NULL,
    day     BIGINT NOT NULL
);
CREATE INDEX reserved_by_day ON reserved (org, day);
