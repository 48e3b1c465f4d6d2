-- Sessions belong to somebody, may wait in the queue, and say what they cost. Ids sort as text in the order of creation.
CREATE TABLE sessions_2 (
    id                 TEXT    NOT NULL PRIMARY KEY,
    -- Whose it is and where it goes: fixed when it is made.
    org                TEXT    NOT NULL,
    project            TEXT    NOT NULL,
    owner              TEXT    NOT NULL,
    lane               TEXT    NOT NULL, -- org and owner in one: who takes turns with whom
    queued             INTEGER NOT NULL, -- 1 for the queue, 0 for whoever claims it by its id
    priority           INTEGER NOT NULL,
    -- Derived from its events in the transaction that appends them.
    state              TEXT    NOT NULL, -- as people see it: phase, or 'waiting'
    phase              TEXT    NOT NULL,
    waiting            TEXT,             -- what people are told that it waits for
    waits              TEXT    NOT NULL, -- all that it waits for
    repository         TEXT    NOT NULL,
    title              TEXT    NOT NULL,
    outcome            TEXT,
    cost               INTEGER NOT NULL, -- millionths of a dollar
    tokens             INTEGER NOT NULL,
    steps              INTEGER NOT NULL,
    pull_request       INTEGER,
    pull_request_state TEXT,             -- as in the event that says so
    created            INTEGER NOT NULL,
    updated            INTEGER NOT NULL,
    last               INTEGER NOT NULL,
    head_id            TEXT    NOT NULL, -- the last event's id and hash
    head_hash          BLOB    NOT NULL,
    -- The queue's own. Nothing of it is in the log.
    fence              INTEGER NOT NULL,
    wanted             INTEGER NOT NULL, -- somebody is to work on it
    place              INTEGER NOT NULL, -- its priority, or more after its worker died
    not_before         INTEGER NOT NULL, -- 0 for at once
    crashes            INTEGER NOT NULL, -- workers that died with it in a row
    worker             TEXT,             -- who has it
    holder             TEXT,             -- the same for people
    since              INTEGER NOT NULL, -- from when on
    reason             TEXT,             -- why it was put off
    -- What people did with it.
    archived           INTEGER NOT NULL,
    forgotten          INTEGER NOT NULL  -- its events are deleted; the id is not used again
) STRICT, WITHOUT ROWID;

INSERT INTO sessions_2
SELECT s.id, 'org_00000000000000000000000000', 'prj_00000000000000000000000000', 'usr_00000000000000000000000000',
       'org_00000000000000000000000000/usr_00000000000000000000000000', 0, 0,
       s.state, s.state, NULL, '{}', s.repository, s.title, s.outcome, 0, 0, 0, NULL, NULL,
       s.created, s.updated, s.last, coalesce(e.id, 'evt_00000000000000000000000000'), coalesce(e.hash, zeroblob(32)),
       s.fence, 0, 0, 0, 0, NULL, NULL, 0, NULL, 0, 0
FROM sessions s LEFT JOIN events e ON e.session = s.id AND e.seq = s.last;
DROP TABLE sessions;
ALTER TABLE sessions_2 RENAME TO sessions;

CREATE INDEX sessions_by_org ON sessions (org, id) WHERE forgotten = 0;
CREATE INDEX sessions_by_org_and_state ON sessions (org, state, id) WHERE forgotten = 0;
CREATE INDEX sessions_by_state ON sessions (state, id) WHERE forgotten = 0;
CREATE INDEX sessions_by_change ON sessions (org, updated);
-- What may be taken now, by whose turn it is and by age.
CREATE INDEX sessions_by_turn ON sessions (place, lane, id, repository, project)
    WHERE queued = 1 AND wanted = 1 AND worker IS NULL AND not_before = 0;
CREATE INDEX sessions_by_age ON sessions (place DESC, id, lane, repository, project)
    WHERE queued = 1 AND wanted = 1 AND worker IS NULL AND not_before = 0;
CREATE INDEX sessions_put_off ON sessions (not_before) WHERE not_before > 0;
CREATE INDEX sessions_taken ON sessions (worker, org, lane, project, repository) WHERE worker IS NOT NULL;

-- The content that a session's events refer to, and when they last began to.
CREATE TABLE session_blobs (
    session TEXT    NOT NULL,
    digest  BLOB    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (session, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_blobs_by_digest ON session_blobs (digest);

-- Workers that are present. One that has not been seen for longer than its patience is gone.
CREATE TABLE workers (
    id       TEXT    NOT NULL PRIMARY KEY,
    name     TEXT    NOT NULL,
    patience INTEGER NOT NULL, -- milliseconds
    seen     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE orgs (
    id      TEXT    NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
    org     TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (org, id),
    UNIQUE (org, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id      TEXT    NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL,
    issuer  TEXT,             -- who they are for an OpenID provider
    subject TEXT,
    created INTEGER NOT NULL,
    UNIQUE (issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    org    TEXT    NOT NULL,
    person TEXT    NOT NULL,
    rank   TEXT    NOT NULL,
    since  INTEGER NOT NULL,
    PRIMARY KEY (org, person)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_person ON members (person, org);

-- What proves who somebody is: only its hash is kept, and found by it.
CREATE TABLE tokens (
    org     TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    person  TEXT    NOT NULL,
    rank    TEXT    NOT NULL,
    project TEXT,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used    INTEGER,
    proof   BLOB    NOT NULL UNIQUE,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sign_ins (
    org     TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    person  TEXT    NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    proof   BLOB    NOT NULL UNIQUE,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE invitations (
    proof   BLOB    NOT NULL PRIMARY KEY,
    org     TEXT    NOT NULL,
    person  TEXT    NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Requests that are carried out once, however often they are sent.
CREATE TABLE once (
    org     TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    request BLOB    NOT NULL,
    first   INTEGER NOT NULL, -- when it was first begun
    begun   INTEGER NOT NULL, -- when it was begun last
    status  INTEGER,
    answer  BLOB,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX once_by_age ON once (first);

CREATE TABLE data_keys (
    org     TEXT    NOT NULL,
    number  INTEGER NOT NULL,
    wrapped BLOB    NOT NULL,
    PRIMARY KEY (org, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    org   TEXT    NOT NULL,
    name  TEXT    NOT NULL,
    id    TEXT    NOT NULL,
    bytes BLOB    NOT NULL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE policies (
    org  TEXT    NOT NULL,
    name TEXT    NOT NULL,
    text TEXT    NOT NULL,
    at   INTEGER NOT NULL,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;

-- One chain for each organisation.
CREATE TABLE audit (
    org      TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    who      TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    previous BLOB    NOT NULL,
    hash     BLOB    NOT NULL,
    PRIMARY KEY (org, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX audit_by_id ON audit (org, id);

-- What was spent on a day (days since 1970-01-01, UTC) by the organisation (purse ''), a project or a user.
CREATE TABLE usage (
    org           TEXT    NOT NULL,
    purse         TEXT    NOT NULL,
    day           INTEGER NOT NULL,
    cost          INTEGER NOT NULL,
    tokens        INTEGER NOT NULL,
    sandbox_ms    INTEGER NOT NULL,
    sessions      INTEGER NOT NULL,
    pull_requests INTEGER NOT NULL,
    PRIMARY KEY (org, purse, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE budgets (
    org           TEXT NOT NULL,
    purse         TEXT NOT NULL,
    cost          INTEGER,
    tokens        INTEGER,
    sandbox_ms    INTEGER,
    concurrent    INTEGER,
    pull_requests INTEGER,
    PRIMARY KEY (org, purse)
) STRICT, WITHOUT ROWID;

-- The organisation, project and user of what is done on the command line without a server.
INSERT INTO orgs VALUES ('org_00000000000000000000000000', 'local', 0);
INSERT INTO projects VALUES ('org_00000000000000000000000000', 'prj_00000000000000000000000000', 'default', 0);
INSERT INTO users VALUES ('usr_00000000000000000000000000', 'local', NULL, NULL, 0);
INSERT INTO members VALUES ('org_00000000000000000000000000', 'usr_00000000000000000000000000', 'admin', 0);
