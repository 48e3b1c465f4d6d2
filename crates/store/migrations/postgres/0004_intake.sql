-- As sqlite/0005_intake.sql, which explains it. Numbers rise within a line, whose row a transaction has before it draws one.
CREATE TABLE arrivals (
    number   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source   TEXT COLLATE "C" NOT NULL,
    id       TEXT COLLATE "C" NOT NULL,
    event    TEXT   NOT NULL,
    line     TEXT COLLATE "C" NOT NULL,
    org      TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    tries    BIGINT NOT NULL,
    holder   TEXT,
    done     BIGINT NOT NULL,
    given_up BIGINT NOT NULL,
    session  TEXT COLLATE "C",
    what     TEXT,
    body     BYTEA,
    UNIQUE (source, id)
);
CREATE INDEX arrivals_by_line ON arrivals (source, line, number) WHERE done = 0;
CREATE INDEX arrivals_by_org ON arrivals (org, number);
CREATE INDEX arrivals_by_session ON arrivals (session);
CREATE INDEX arrivals_done ON arrivals (done) WHERE done > 0;
CREATE INDEX arrivals_with_body ON arrivals (done) WHERE done > 0 AND body IS NOT NULL;

CREATE TABLE arrival_lines (
    source  TEXT COLLATE "C" NOT NULL,
    line    TEXT COLLATE "C" NOT NULL,
    waiting BIGINT NOT NULL,
    due     BIGINT NOT NULL,
    PRIMARY KEY (source, line)
);
CREATE INDEX arrival_lines_due ON arrival_lines (due);

CREATE TABLE threads (
    thread  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    session TEXT COLLATE "C" NOT NULL
);
CREATE INDEX threads_by_session ON threads (session);
