-- Whether the session that proposed it held what not everybody may see who may read its repository.
ALTER TABLE memories ADD COLUMN private BIGINT NOT NULL DEFAULT 0;
ALTER TABLE proposals ADD COLUMN private BIGINT NOT NULL DEFAULT 0;
