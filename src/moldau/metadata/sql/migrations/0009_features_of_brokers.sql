-- serves: 7
-- Which levels of features a broker can serve, as JSON: {"name": [lowest, highest]}. Empty: of a release that did not say.

ALTER TABLE broker ADD COLUMN features TEXT NOT NULL DEFAULT '';
