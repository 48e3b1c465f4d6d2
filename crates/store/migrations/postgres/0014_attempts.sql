-- The first of the attempts at one task that a session is one of: all of them are found by it.
ALTER TABLE sessions ADD COLUMN attempt_of TEXT COLLATE "C";
CREATE INDEX sessions_by_attempt ON sessions (org, attempt_of) WHERE attempt_of IS NOT NULL;
