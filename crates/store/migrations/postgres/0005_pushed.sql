-- The commit that a session has pushed last: forges tell of a commit's checks without saying whose branch it is.
ALTER TABLE sessions ADD COLUMN pushed TEXT COLLATE "C";
CREATE INDEX sessions_by_commit ON sessions (pushed, org) WHERE pushed IS NOT NULL;
