-- MCP servers that were approved for an organisation's sessions: the exact tools that somebody looked at.
CREATE TABLE servers (
    org         TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    digest      TEXT COLLATE "C" NOT NULL, -- of the tools and of how the server is started or reached
    tools       TEXT COLLATE "C" NOT NULL, -- JSON
    at          BIGINT NOT NULL,
    approved_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, name)
);
