-- What organisations have noted for later sessions. '' stands for all of an organisation's repositories; a text is its exact bytes.
CREATE TABLE memories (
    org        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    repository TEXT COLLATE "C" NOT NULL,
    words      BYTEA NOT NULL,
    session    TEXT COLLATE "C", -- the one that proposed it; NULL where a person wrote it
    person     TEXT NOT NULL, -- who wrote or approved it
    at         BIGINT NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE INDEX memories_by_place ON memories (org, repository, at);
-- What sessions have proposed and nobody has decided about. Written with the event that proposes it, which is known by its place.
CREATE TABLE proposals (
    session    TEXT COLLATE "C" NOT NULL,
    seq        BIGINT NOT NULL,
    org        TEXT COLLATE "C" NOT NULL,
    project    TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    repository TEXT COLLATE "C" NOT NULL,
    words      BYTEA NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (session, seq)
);
CREATE UNIQUE INDEX proposals_by_org ON proposals (org, id);
