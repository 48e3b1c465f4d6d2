-- Until when it is known what happened at a source that is asked, for each line of it.
CREATE TABLE watched (
    source TEXT   NOT NULL,
    line   TEXT   NOT NULL,
    at     BIGINT NOT NULL, -- by the source's clock
    PRIMARY KEY (source, line)
);
