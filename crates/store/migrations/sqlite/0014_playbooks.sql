-- Playbooks of an organisation: each version by the digest of its text. The one with the highest number is what is begun.
CREATE TABLE playbooks (
    org      TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    digest   BLOB    NOT NULL,
    version  INTEGER NOT NULL,
    about    TEXT    NOT NULL,
    body     TEXT    NOT NULL,
    added_by TEXT    NOT NULL,
    added    INTEGER NOT NULL,
    PRIMARY KEY (org, name, digest),
    UNIQUE (org, name, version)
) STRICT, WITHOUT ROWID;
