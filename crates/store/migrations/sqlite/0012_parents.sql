-- The session that a session works for: such sessions stand with that one, not in lists, and go with it.
ALTER TABLE sessions ADD COLUMN parent TEXT;
CREATE INDEX sessions_by_parent ON sessions (parent) WHERE parent IS NOT NULL;
