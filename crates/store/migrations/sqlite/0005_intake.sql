-- What forges, chats and other programs sent. A row stays after it was dealt with, so that the same is not taken for another when it is sent again.
CREATE TABLE arrivals (
    number   INTEGER NOT NULL PRIMARY KEY, -- in the order in which they came
    source   TEXT    NOT NULL,
    id       TEXT    NOT NULL, -- what the sender calls it
    event    TEXT    NOT NULL,
    line     TEXT    NOT NULL, -- what must be dealt with in order
    org      TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    tries    INTEGER NOT NULL,
    holder   TEXT,             -- who has taken it
    done     INTEGER NOT NULL, -- 0 while it is to be dealt with
    given_up INTEGER NOT NULL,
    session  TEXT,             -- the session that was begun, or that it was for
    what     TEXT,             -- what was made of it, or why the last try failed
    body     BLOB,             -- none once it was dropped
    UNIQUE (source, id)
) STRICT;
CREATE INDEX arrivals_by_line ON arrivals (source, line, number) WHERE done = 0;
CREATE INDEX arrivals_by_org ON arrivals (org, number);
CREATE INDEX arrivals_by_session ON arrivals (session);
CREATE INDEX arrivals_done ON arrivals (done) WHERE done > 0;
CREATE INDEX arrivals_with_body ON arrivals (done) WHERE done > 0 AND body IS NOT NULL;

-- Lines in which somebody waits. Whoever changes anything of a line has its row first.
CREATE TABLE arrival_lines (
    source  TEXT    NOT NULL,
    line    TEXT    NOT NULL,
    waiting INTEGER NOT NULL, -- how many are to be dealt with
    due     INTEGER NOT NULL, -- nobody takes the first before: it was taken, or is to be tried again
    PRIMARY KEY (source, line)
) STRICT, WITHOUT ROWID;
CREATE INDEX arrival_lines_due ON arrival_lines (due);

-- Which session goes on with an issue, a pull request or a conversation.
CREATE TABLE threads (
    thread  TEXT NOT NULL PRIMARY KEY,
    session TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX threads_by_session ON threads (session);
