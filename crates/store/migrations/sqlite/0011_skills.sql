-- Skills that an organisation gives its sessions: each version by the digest of its files, of which one may be approved.
CREATE TABLE skills (
    org         TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    digest      BLOB    NOT NULL,
    files       TEXT    NOT NULL, -- a JSON object of paths and texts
    added_by    TEXT    NOT NULL,
    added       INTEGER NOT NULL,
    approved_by TEXT,
    approved    INTEGER,
    PRIMARY KEY (org, name, digest)
) STRICT, WITHOUT ROWID;
