-- The last hour of a pair is counted in its own row, and an agent has counts over all secrets: a read of another secret
-- writes one row less, and of one index less. The other database has the same.
ALTER TABLE vault_access_pairs ADD COLUMN hour TIMESTAMPTZ;
ALTER TABLE vault_access_pairs ADD COLUMN hour_approved BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vault_access_pairs ADD COLUMN hour_denied BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vault_access_pairs ADD COLUMN hour_pending BIGINT NOT NULL DEFAULT 0;
INSERT INTO vault_access_hours (org_id, path, agent_id, hour, approved, denied, pending)
  SELECT org_id, '', agent_id, hour, sum(approved), sum(denied), sum(pending) FROM vault_access_hours
  WHERE path <> '' AND agent_id <> '00000000-0000-0000-0000-000000000000' GROUP BY org_id, agent_id, hour;
DROP INDEX vault_access_hours_by_agent_id_hour;
