-- MCP servers that were approved for an organisation's sessions: the exact tools that somebody looked at.
CREATE TABLE servers (
    org         TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    digest      TEXT    NOT NULL, -- of the tools and of how the server is started or reached
    tools       TEXT    NOT NULL, -- JSON
    at          INTEGER NOT NULL,
    approved_by TEXT    NOT NULL,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;
