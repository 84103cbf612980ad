-- The accesses of a secret or an agent are found by a table that is filled behind them, many rows at once and in its own order: as
-- indexes, which take each row at once and to a page of its own, they were more than half of all pages that a load of reads wrote.
-- The other database keeps the indexes.

-- kind 0: the key is the path's bytes; kind 1: the key is the agent's id.
CREATE TABLE vault_access_index (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  kind INTEGER NOT NULL CHECK (kind IN (0, 1)),
  key BLOB NOT NULL,
  id BLOB NOT NULL CHECK (length(id) = 16),
  PRIMARY KEY (org_id, kind, key, id)
) STRICT, WITHOUT ROWID;

-- All accesses whose id is not greater than `through` are in it; the others are few, and are walked through. `trims` counts the
-- others that were removed.
CREATE TABLE vault_access_indexed (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  through BLOB NOT NULL CHECK (length(through) = 16),
  trims INTEGER NOT NULL,
  PRIMARY KEY (org_id)
) STRICT, WITHOUT ROWID;

-- By the old indexes, so that nothing is sorted, which takes place in memory.
INSERT INTO vault_access_index (org_id, kind, key, id)
  SELECT org_id, 0, CAST(path AS BLOB), id FROM vault_accesses ORDER BY org_id, path, id;
INSERT INTO vault_access_index (org_id, kind, key, id)
  SELECT org_id, 1, agent_id, id FROM vault_accesses WHERE agent_id IS NOT NULL ORDER BY org_id, agent_id, id;
INSERT INTO vault_access_indexed (org_id, through, trims)
  SELECT org_id, max(id), 0 FROM vault_accesses GROUP BY org_id;
DROP INDEX vault_accesses_by_path_id;
DROP INDEX vault_accesses_by_agent_id_id;

-- Whoever removes an access: nothing of it stays, and whoever is about to make its entries learns that it is gone.
CREATE TRIGGER vault_accesses_unindexed AFTER DELETE ON vault_accesses BEGIN
  DELETE FROM vault_access_index
    WHERE org_id = OLD.org_id AND kind = 0 AND key = CAST(OLD.path AS BLOB) AND id = OLD.id;
  DELETE FROM vault_access_index
    WHERE org_id = OLD.org_id AND kind = 1 AND key = OLD.agent_id AND id = OLD.id;
  INSERT INTO vault_access_indexed (org_id, through, trims) VALUES (OLD.org_id, zeroblob(16), 1)
    ON CONFLICT (org_id) DO UPDATE SET trims = trims + 1 WHERE through < OLD.id;
END;

-- What the follower asks for: the latest denials of an agent, and the deliveries of a decision under an id of their own.
CREATE INDEX vault_accesses_by_agent_id_id_denied ON vault_accesses (org_id, agent_id, id) WHERE outcome = 'denied';
CREATE INDEX vault_accesses_by_decision_id ON vault_accesses (org_id, decision_id) WHERE decision_id <> id;

-- As for the other indexes of this table: without rows here SQLite takes them for tiny.
DELETE FROM sqlite_stat1 WHERE idx IN ('vault_accesses_by_path_id', 'vault_accesses_by_agent_id_id');
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('vault_accesses', 'vault_accesses_by_agent_id_id_denied', '1000000 1000000 1000 1'),
  ('vault_accesses', 'vault_accesses_by_decision_id', '100000 100000 1'),
  ('vault_access_index', 'vault_access_index', '20000000 20000000 10000000 1000 1');
