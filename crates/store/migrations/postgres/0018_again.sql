-- Whether content was stored more than once: then several may be about to refer to it, each by itself.
ALTER TABLE blobs ADD COLUMN again BIGINT NOT NULL DEFAULT 0;
