-- What titles and names of repositories are searched by: see `src/search.rs`. Sessions that are in no block yet: a search reads their texts.
CREATE TABLE search_tail (
    org     TEXT NOT NULL,
    session TEXT NOT NULL,
    PRIMARY KEY (org, session)
) STRICT, WITHOUT ROWID;
-- Blocks of 256 sessions of one organisation, the later ones with higher numbers.
CREATE TABLE search_blocks (
    number INTEGER NOT NULL PRIMARY KEY,
    org    TEXT    NOT NULL,
    oldest TEXT    NOT NULL, -- no session in it is older than this
    upto   TEXT    NOT NULL  -- no session in it or in one before it is newer than this
) STRICT;
CREATE INDEX search_blocks_by_org ON search_blocks (org, number, oldest, upto);
-- Which session has which place in a block: 256 times the block's number, and the place.
CREATE TABLE search_spots (
    spot    INTEGER NOT NULL PRIMARY KEY,
    session TEXT    NOT NULL UNIQUE
) STRICT;
-- In which places of a block a gram is: one to three characters that follow each other in a text, hashed with the organisation. A byte for each place.
CREATE TABLE search_grams (
    gram   INTEGER NOT NULL,
    block  INTEGER NOT NULL,
    places BLOB    NOT NULL,
    PRIMARY KEY (gram, block)
) STRICT, WITHOUT ROWID;
-- Those that there are already are put into blocks afterwards, a block at a time.
INSERT INTO search_tail SELECT org, id FROM sessions WHERE forgotten = 0;
