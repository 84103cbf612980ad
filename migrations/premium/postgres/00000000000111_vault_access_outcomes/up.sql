-- Denied and pending accesses are found without walking through the approved ones, which are not in the index and cost as much as
-- before. The other database has the same.
CREATE INDEX vault_accesses_by_outcome_id ON vault_accesses (org_id, outcome, id) WHERE outcome <> 'approved';
