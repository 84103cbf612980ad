DROP TRIGGER vault_accesses_unindexed;
DELETE FROM sqlite_stat1 WHERE tbl = 'vault_access_index'
  OR idx IN ('vault_accesses_by_decision_id', 'vault_accesses_by_agent_id_id_denied');
DROP INDEX vault_accesses_by_decision_id;
DROP INDEX vault_accesses_by_agent_id_id_denied;
CREATE INDEX vault_accesses_by_agent_id_id ON vault_accesses (org_id, agent_id, id);
CREATE INDEX vault_accesses_by_path_id ON vault_accesses (org_id, path, id);
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('vault_accesses', 'vault_accesses_by_path_id', '10000000 10000000 1000 1'),
  ('vault_accesses', 'vault_accesses_by_agent_id_id', '10000000 10000000 10000 1');
DROP TABLE vault_access_indexed;
DROP TABLE vault_access_index;
