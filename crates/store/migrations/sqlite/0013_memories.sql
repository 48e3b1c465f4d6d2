-- What organisations have noted for later sessions. '' stands for all of an organisation's repositories; a text is its exact bytes.
CREATE TABLE memories (
    org        TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    words      BLOB    NOT NULL,
    session    TEXT, -- the one that proposed it; NULL where a person wrote it
    person     TEXT    NOT NULL, -- who wrote or approved it
    at         INTEGER NOT NULL,
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX memories_by_place ON memories (org, repository, at);
-- What sessions have proposed and nobody has decided about. Written with the event that proposes it, which is known by its place.
CREATE TABLE proposals (
    session    TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    org        TEXT    NOT NULL,
    project    TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    words      BLOB    NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX proposals_by_org ON proposals (org, id);
