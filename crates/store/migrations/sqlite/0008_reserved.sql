-- Pull requests of a day's budgets that are kept for sessions which are about to open theirs.
CREATE TABLE reserved (
    session TEXT    NOT NULL PRIMARY KEY,
    org     TEXT    NOT NULL,
    day     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX reserved_by_day ON reserved (org, day);
