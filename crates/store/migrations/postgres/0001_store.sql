-- The log. A row is never changed once written; its hash covers every column but itself. Ids are compared byte by byte, in the order of
-- creation, whatever the database's language.
CREATE TABLE events (
    session  TEXT COLLATE "C" NOT NULL,
    seq      BIGINT NOT NULL,
    id       TEXT   NOT NULL,
    at       BIGINT NOT NULL, -- milliseconds since 1970-01-01T00:00:00Z
    schema   BIGINT NOT NULL,
    body     TEXT   NOT NULL, -- the JSON text exactly as hashed
    previous BYTEA  NOT NULL,
    hash     BYTEA  NOT NULL,
    PRIMARY KEY (session, seq)
);

-- Content by its digest, in parts, each small enough to be handled in one piece.
CREATE TABLE blobs (
    digest BYTEA  NOT NULL PRIMARY KEY,
    size   BIGINT NOT NULL,
    at     BIGINT NOT NULL -- when it was last stored
);
CREATE TABLE blob_parts (
    digest BYTEA  NOT NULL,
    part   BIGINT NOT NULL,
    bytes  BYTEA  NOT NULL,
    PRIMARY KEY (digest, part)
);

-- Sessions: whose they are, where they stand, and what they cost.
CREATE TABLE sessions (
    id                 TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- Whose it is and where it goes: fixed when it is made.
    org                TEXT COLLATE "C" NOT NULL,
    project            TEXT COLLATE "C" NOT NULL,
    owner              TEXT COLLATE "C" NOT NULL,
    lane               TEXT COLLATE "C" NOT NULL, -- org and owner in one: who takes turns with whom
    queued             BIGINT NOT NULL, -- 1 for the queue, 0 for whoever claims it by its id
    priority           BIGINT NOT NULL,
    -- Derived from its events in the transaction that appends them.
    state              TEXT COLLATE "C" NOT NULL, -- as people see it: phase, or 'waiting'
    phase              TEXT COLLATE "C" NOT NULL,
    waiting            TEXT COLLATE "C", -- what people are told that it waits for
    waits              TEXT COLLATE "C" NOT NULL, -- all that it waits for
    repository         TEXT    NOT NULL,
    title              TEXT    NOT NULL,
    outcome            TEXT COLLATE "C",
    cost               BIGINT NOT NULL, -- millionths of a dollar
    tokens             BIGINT NOT NULL,
    steps              BIGINT NOT NULL,
    pull_request       BIGINT,
    pull_request_state TEXT COLLATE "C", -- as in the event that says so
    created            BIGINT NOT NULL,
    updated            BIGINT NOT NULL,
    last               BIGINT NOT NULL,
    head_id            TEXT COLLATE "C" NOT NULL, -- the last event's id and hash
    head_hash          BYTEA NOT NULL,
    -- The queue's own. Nothing of it is in the log.
    fence              BIGINT NOT NULL,
    wanted             BIGINT NOT NULL, -- somebody is to work on it
    place              BIGINT NOT NULL, -- its priority, or more after its worker died
    not_before         BIGINT NOT NULL, -- 0 for at once
    crashes            BIGINT NOT NULL, -- workers that died with it in a row
    worker             TEXT COLLATE "C", -- who has it
    holder             TEXT COLLATE "C", -- the same for people
    since              BIGINT NOT NULL, -- from when on
    reason             TEXT COLLATE "C", -- why it was put off
    -- What people did with it.
    archived           BIGINT NOT NULL,
    forgotten          BIGINT NOT NULL  -- its events are deleted; the id is not used again
);

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
    session TEXT COLLATE "C" NOT NULL,
    digest  BYTEA NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (session, digest)
);
CREATE INDEX session_blobs_by_digest ON session_blobs (digest);

-- Workers that are present. One that has not been seen for longer than its patience is gone.
CREATE TABLE workers (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name     TEXT COLLATE "C" NOT NULL,
    patience BIGINT NOT NULL, -- milliseconds
    seen     BIGINT NOT NULL
);

CREATE TABLE orgs (
    id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name    TEXT COLLATE "C" NOT NULL UNIQUE,
    created BIGINT NOT NULL
);

CREATE TABLE projects (
    org     TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (org, id),
    UNIQUE (org, name)
);

CREATE TABLE users (
    id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name    TEXT COLLATE "C" NOT NULL,
    issuer  TEXT COLLATE "C", -- who they are for an OpenID provider
    subject TEXT COLLATE "C",
    created BIGINT NOT NULL,
    UNIQUE (issuer, subject)
);

CREATE TABLE members (
    org    TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    rank   TEXT COLLATE "C" NOT NULL,
    since  BIGINT NOT NULL,
    PRIMARY KEY (org, person)
);
CREATE INDEX members_by_person ON members (person, org);

-- What proves who somebody is: only its hash is kept, and found by it.
CREATE TABLE tokens (
    org     TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    person  TEXT COLLATE "C" NOT NULL,
    rank    TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C",
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    used    BIGINT,
    proof   BYTEA NOT NULL UNIQUE,
    PRIMARY KEY (org, id)
);

CREATE TABLE sign_ins (
    org     TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    person  TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    proof   BYTEA NOT NULL UNIQUE,
    PRIMARY KEY (org, id)
);

CREATE TABLE invitations (
    proof   BYTEA NOT NULL PRIMARY KEY,
    org     TEXT COLLATE "C" NOT NULL,
    person  TEXT COLLATE "C" NOT NULL,
    expires BIGINT NOT NULL
);

-- Requests that are carried out once, however often they are sent.
CREATE TABLE once (
    org     TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    request BYTEA NOT NULL,
    first   BIGINT NOT NULL, -- when it was first begun
    begun   BIGINT NOT NULL, -- when it was begun last
    status  BIGINT,
    answer  BYTEA,
    PRIMARY KEY (org, name)
);
CREATE INDEX once_by_age ON once (first);

CREATE TABLE data_keys (
    org     TEXT COLLATE "C" NOT NULL,
    number  BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    PRIMARY KEY (org, number)
);

CREATE TABLE secrets (
    org   TEXT COLLATE "C" NOT NULL,
    name  TEXT COLLATE "C" NOT NULL,
    id    TEXT COLLATE "C" NOT NULL,
    bytes BYTEA NOT NULL,
    at    BIGINT NOT NULL,
    PRIMARY KEY (org, name)
);

CREATE TABLE policies (
    org  TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL,
    at   BIGINT NOT NULL,
    PRIMARY KEY (org, name)
);

-- One chain for each organisation.
CREATE TABLE audit (
    org      TEXT COLLATE "C" NOT NULL,
    seq      BIGINT NOT NULL,
    id       TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    who      TEXT COLLATE "C" NOT NULL,
    action   TEXT COLLATE "C" NOT NULL,
    subject  TEXT COLLATE "C" NOT NULL,
    detail   TEXT COLLATE "C" NOT NULL,
    previous BYTEA NOT NULL,
    hash     BYTEA NOT NULL,
    PRIMARY KEY (org, seq)
);
CREATE UNIQUE INDEX audit_by_id ON audit (org, id);

-- What was spent on a day (days since 1970-01-01, UTC) by the organisation (purse ''), a project or a user.
CREATE TABLE usage (
    org           TEXT COLLATE "C" NOT NULL,
    purse         TEXT COLLATE "C" NOT NULL,
    day           BIGINT NOT NULL,
    cost          BIGINT NOT NULL,
    tokens        BIGINT NOT NULL,
    sandbox_ms    BIGINT NOT NULL,
    sessions      BIGINT NOT NULL,
    pull_requests BIGINT NOT NULL,
    PRIMARY KEY (org, purse, day)
);

CREATE TABLE budgets (
    org           TEXT COLLATE "C" NOT NULL,
    purse         TEXT COLLATE "C" NOT NULL,
    cost          BIGINT,
    tokens        BIGINT,
    sandbox_ms    BIGINT,
    concurrent    BIGINT,
    pull_requests BIGINT,
    PRIMARY KEY (org, purse)
);

-- The organisation, project and user of what is done on the command line without a server.
INSERT INTO orgs VALUES ('org_00000000000000000000000000', 'local', 0);
INSERT INTO projects VALUES ('org_00000000000000000000000000', 'prj_00000000000000000000000000', 'default', 0);
INSERT INTO users VALUES ('usr_00000000000000000000000000', 'local', NULL, NULL, 0);
INSERT INTO members VALUES ('org_00000000000000000000000000', 'usr_00000000000000000000000000', 'admin', 0);
