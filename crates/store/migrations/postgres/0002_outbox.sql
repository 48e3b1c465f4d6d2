-- As sqlite/0003_outbox.sql, which explains it.
CREATE TABLE letters (
    id           TEXT COLLATE "C" NOT NULL,
    channel      TEXT COLLATE "C" NOT NULL,
    org          TEXT   NOT NULL,
    project      TEXT   NOT NULL,
    person       TEXT   NOT NULL,
    session      TEXT,
    seq          BIGINT NOT NULL,
    kind         TEXT   NOT NULL,
    title        TEXT   NOT NULL,
    words        TEXT,
    pull_request BIGINT,
    made         BIGINT NOT NULL,
    due          BIGINT NOT NULL,
    tries        BIGINT NOT NULL,
    holder       TEXT,
    done         BIGINT NOT NULL,
    told         BIGINT NOT NULL,
    reason       TEXT,
    PRIMARY KEY (id, channel)
);
CREATE INDEX letters_due ON letters (due) WHERE done = 0;
CREATE INDEX letters_done ON letters (done) WHERE done > 0;
CREATE INDEX letters_by_org ON letters (org, id);
CREATE INDEX letters_by_session ON letters (session);
