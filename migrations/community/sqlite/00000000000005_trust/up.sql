-- How far each agent is trusted now, and from which recorded facts. A row without a score is one that was
-- never computed, or an agent of whom too little is recorded. next_at is when it is to be computed again.
CREATE TABLE trust_scores (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  score INTEGER,
  level TEXT NOT NULL,
  inputs TEXT CHECK (inputs IS NULL OR json_valid(inputs)),
  computed_at INTEGER,
  changed_at INTEGER,
  next_at INTEGER,
  marks INTEGER NOT NULL,
  PRIMARY KEY (org_id, agent_id)
) STRICT;
CREATE INDEX trust_scores_by_next_at ON trust_scores (next_at) WHERE next_at IS NOT NULL;

-- Each change of a score, with what it was computed from.
CREATE TABLE trust_history (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  score INTEGER,
  previous_score INTEGER,
  causes TEXT NOT NULL CHECK (json_valid(causes)),
  inputs TEXT NOT NULL CHECK (json_valid(inputs)),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX trust_history_by_agent_id_id ON trust_history (org_id, agent_id, id);

-- The last score of each agent on each day (UTC), for trends. No row: it was not computed that day.
CREATE TABLE trust_days (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  day INTEGER NOT NULL,
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  score INTEGER,
  PRIMARY KEY (org_id, day, agent_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX trust_days_by_agent_id_day ON trust_days (org_id, agent_id, day);

-- What happened to an agent that its trust has to do with, as the audit log tells it.
CREATE TABLE trust_events (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  leaf_index INTEGER NOT NULL,
  action TEXT NOT NULL,
  points INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, agent_id, leaf_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE trust_adjustments (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  delta INTEGER NOT NULL,
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  withdrawn_at INTEGER,
  withdrawn_by TEXT,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX trust_adjustments_by_agent_id_id ON trust_adjustments (org_id, agent_id, id);

-- What a low score leads to. The restriction itself is a row of policies, which decide() reads.
CREATE TABLE trust_policies (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  alert_below INTEGER,
  restrict_policy_id BLOB CHECK (restrict_policy_id IS NULL OR length(restrict_policy_id) = 16),
  suspend_below INTEGER,
  updated_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (org_id)
) STRICT;

-- The agents that are there already are computed first.
INSERT INTO trust_scores (org_id, agent_id, level, next_at, marks)
  SELECT org_id, id, 'none', 0, 0 FROM agents WHERE deleted_at IS NULL;
