-- What people outside are told. A row without a channel says what is to be told; whoever knows who is to be told of it puts one for each in its
-- place.
CREATE TABLE letters (
    id           TEXT    NOT NULL,
    channel      TEXT    NOT NULL, -- '' until it is known who is to be told
    org          TEXT    NOT NULL,
    project      TEXT    NOT NULL,
    person       TEXT    NOT NULL,
    session      TEXT,
    seq          INTEGER NOT NULL, -- the event that says so
    kind         TEXT    NOT NULL,
    title        TEXT    NOT NULL,
    words        TEXT,             -- what a model, a sandbox or a forge has to say about it
    pull_request INTEGER,
    made         INTEGER NOT NULL,
    due          INTEGER NOT NULL, -- nobody takes it before
    tries        INTEGER NOT NULL,
    holder       TEXT,             -- who has taken it
    done         INTEGER NOT NULL, -- 0 while it is to be told
    told         INTEGER NOT NULL, -- 1 when it was, 0 when it was given up
    reason       TEXT,             -- why the last try failed
    PRIMARY KEY (id, channel)
) STRICT, WITHOUT ROWID;
CREATE INDEX letters_due ON letters (due) WHERE done = 0;
CREATE INDEX letters_done ON letters (done) WHERE done > 0;
CREATE INDEX letters_by_org ON letters (org, id);
CREATE INDEX letters_by_session ON letters (session);
