-- Playbooks of an organisation: each version by the digest of its text. The one with the highest number is what is begun.
CREATE TABLE playbooks (
    org      TEXT COLLATE "C" NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    digest   BYTEA NOT NULL,
    version  BIGINT NOT NULL,
    about    TEXT NOT NULL,
    body     TEXT NOT NULL,
    added_by TEXT NOT NULL,
    added    BIGINT NOT NULL,
    PRIMARY KEY (org, name, digest),
    UNIQUE (org, name, version)
);
