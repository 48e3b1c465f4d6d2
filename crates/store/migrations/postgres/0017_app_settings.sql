-- How the forge of an app is worked with other than by the defaults: what the pages were told, as JSON. Empty where nothing was said.
ALTER TABLE apps ADD COLUMN settings TEXT NOT NULL DEFAULT '';
