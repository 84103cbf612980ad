-- Denied and pending accesses are found without walking through the approved ones, which are not in the index and cost as much as
-- before. The other database has the same.
CREATE INDEX vault_accesses_by_outcome_id ON vault_accesses (org_id, outcome, id) WHERE outcome <> 'approved';

-- As for the other indexes of this table: without a row here SQLite takes it for tiny.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('vault_accesses', 'vault_accesses_by_outcome_id', '1000000 1000000 500000 1');
