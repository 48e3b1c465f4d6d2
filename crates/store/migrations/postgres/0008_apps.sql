-- Apps of forges that were made from the pages. What is posted to /hooks/ has a name, of which there is one.
CREATE TABLE apps (
    name    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    org     TEXT COLLATE "C" NOT NULL,
    web     TEXT NOT NULL,   -- the forge, as people know it
    number  BIGINT NOT NULL, -- the app's own
    page    TEXT NOT NULL,   -- the app's page there
    hears   BIGINT NOT NULL, -- whether the forge was told to post
    sealed  BYTEA NOT NULL,  -- its key and what proves its webhooks, encrypted
    at      BIGINT NOT NULL,
    made_by TEXT NOT NULL
);

-- The names that apps have or had. Letters and deliveries go by them, so a removed app's stays with its organisation.
CREATE TABLE app_names (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    org  TEXT COLLATE "C" NOT NULL
);

-- Apps that somebody has begun to make, each in one browser.
CREATE TABLE app_attempts (
    proof   BYTEA NOT NULL PRIMARY KEY,
    org     TEXT COLLATE "C" NOT NULL,
    sign_in TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    web     TEXT NOT NULL,
    hears   BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
