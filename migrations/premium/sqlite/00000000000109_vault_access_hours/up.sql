-- The last hour of a pair is counted in its own row, and an agent has counts over all secrets: a read of another secret
-- writes one row less, and of one index less. The other database has the same.
ALTER TABLE vault_access_pairs ADD COLUMN hour INTEGER;
ALTER TABLE vault_access_pairs ADD COLUMN hour_approved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vault_access_pairs ADD COLUMN hour_denied INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vault_access_pairs ADD COLUMN hour_pending INTEGER NOT NULL DEFAULT 0;
INSERT INTO vault_access_hours (org_id, path, agent_id, hour, approved, denied, pending)
  SELECT org_id, '', agent_id, hour, sum(approved), sum(denied), sum(pending) FROM vault_access_hours
  WHERE path <> '' AND agent_id <> zeroblob(16) GROUP BY org_id, agent_id, hour;
DROP INDEX vault_access_hours_by_agent_id_hour;

-- Without statistics SQLite takes an organisation for ten rows, and walks through all accesses of some minutes to find the
-- denials of one agent.
ANALYZE vault_accesses;
DELETE FROM sqlite_stat1 WHERE tbl IN ('vault_accesses', 'vault_access_pairs', 'vault_access_hours');
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('vault_accesses', 'vault_accesses', '10000000 10000000 1'),
  ('vault_accesses', 'vault_accesses_by_path_id', '10000000 10000000 1000 1'),
  ('vault_accesses', 'vault_accesses_by_agent_id_id', '10000000 10000000 10000 1'),
  ('vault_access_pairs', 'vault_access_pairs', '1000000 1000000 10 1'),
  ('vault_access_pairs', 'vault_access_pairs_by_agent_id_path', '1000000 1000000 1000 1'),
  ('vault_access_hours', 'vault_access_hours', '1000000 1000000 1000 100 1'),
  ('vault_access_hours', 'vault_access_hours_by_hour', '1000000 1000000 1000');
