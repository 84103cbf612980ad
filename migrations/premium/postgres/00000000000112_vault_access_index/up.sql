-- What the follower asks for: the latest denials of an agent, and the deliveries of a decision under an id of their own. The other
-- database has a table in the place of the indexes by path and by agent, for the sake of its one writer.
CREATE INDEX vault_accesses_by_agent_id_id_denied ON vault_accesses (org_id, agent_id, id) WHERE outcome = 'denied';
CREATE INDEX vault_accesses_by_decision_id ON vault_accesses (org_id, decision_id) WHERE decision_id <> id;
