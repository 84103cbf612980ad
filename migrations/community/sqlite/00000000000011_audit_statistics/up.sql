-- What SQLite is to assume of a large log. Without it, it guesses that an organisation has ten records, and looks for
-- an agent's last ones in the records of all agents.
ANALYZE audit_log;
DELETE FROM sqlite_stat1 WHERE tbl = 'audit_log';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('audit_log', 'audit_log_by_leaf_index', '10000000 1000000 1'),
  ('audit_log', 'audit_log_by_agent_id_leaf_index', '10000000 1000000 1000 1'),
  ('audit_log', 'audit_log_by_created_at_leaf_index', '10000000 1000000 1 1'),
  ('audit_log', 'audit_log_events_by_leaf_index', '1000000 100000 1'),
  ('audit_log', 'audit_log_by_action_leaf_index', '1000000 100000 2000 1'),
  ('audit_log', 'audit_log_by_actor_id_leaf_index', '1000000 100000 1000 1'),
  ('audit_log', 'audit_log_by_target_id_leaf_index', '1000000 100000 100 1');
