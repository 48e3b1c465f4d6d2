-- Apps of forges that were made from the pages. What is posted to /hooks/ has a name, of which there is one.
CREATE TABLE apps (
    name    TEXT    NOT NULL PRIMARY KEY,
    org     TEXT    NOT NULL,
    web     TEXT    NOT NULL, -- the forge, as people know it
    number  INTEGER NOT NULL, -- the app's own
    page    TEXT    NOT NULL, -- the app's page there
    hears   INTEGER NOT NULL, -- whether the forge was told to post
    sealed  BLOB    NOT NULL, -- its key and what proves its webhooks, encrypted
    at      INTEGER NOT NULL,
    made_by TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- The names that apps have or had. Letters and deliveries go by them, so a removed app's stays with its organisation.
CREATE TABLE app_names (
    name TEXT NOT NULL PRIMARY KEY,
    org  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Apps that somebody has begun to make, each in one browser.
CREATE TABLE app_attempts (
    proof   BLOB    NOT NULL PRIMARY KEY,
    org     TEXT    NOT NULL,
    sign_in TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    web     TEXT    NOT NULL,
    hears   INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
