-- Skills that an organisation gives its sessions: each version by the digest of its files, of which one may be approved.
CREATE TABLE skills (
    org         TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    digest      BYTEA NOT NULL,
    files       TEXT NOT NULL, -- a JSON object of paths and texts
    added_by    TEXT NOT NULL,
    added       BIGINT NOT NULL,
    approved_by TEXT,
    approved    BIGINT,
    PRIMARY KEY (org, name, digest)
);
