DELETE FROM sqlite_stat1 WHERE tbl = 'vault_accesses' AND idx = 'vault_accesses_by_outcome_id';
DROP INDEX vault_accesses_by_outcome_id;
