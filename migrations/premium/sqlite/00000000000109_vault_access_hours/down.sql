DELETE FROM sqlite_stat1 WHERE tbl IN ('vault_accesses', 'vault_access_pairs', 'vault_access_hours');
CREATE INDEX vault_access_hours_by_agent_id_hour ON vault_access_hours (org_id, agent_id, hour);
DELETE FROM vault_access_hours WHERE path = '' AND agent_id <> zeroblob(16);
INSERT INTO vault_access_hours (org_id, path, agent_id, hour, approved, denied, pending)
  SELECT org_id, path, agent_id, hour, hour_approved, hour_denied, hour_pending FROM vault_access_pairs
  WHERE hour IS NOT NULL AND hour_approved + hour_denied + hour_pending > 0
  ON CONFLICT (org_id, path, agent_id, hour) DO UPDATE SET
    approved = vault_access_hours.approved + excluded.approved,
    denied = vault_access_hours.denied + excluded.denied,
    pending = vault_access_hours.pending + excluded.pending;
ALTER TABLE vault_access_pairs DROP COLUMN hour_pending;
ALTER TABLE vault_access_pairs DROP COLUMN hour_denied;
ALTER TABLE vault_access_pairs DROP COLUMN hour_approved;
ALTER TABLE vault_access_pairs DROP COLUMN hour;
