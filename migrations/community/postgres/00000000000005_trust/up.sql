-- How far each agent is trusted now, and from which recorded facts. A row without a score is one that was
-- never computed, or an agent of whom too little is recorded. next_at is when it is to be computed again.
CREATE TABLE trust_scores (
  org_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  score BIGINT,
  level TEXT NOT NULL,
  inputs JSONB,
  computed_at TIMESTAMPTZ,
  changed_at TIMESTAMPTZ,
  next_at TIMESTAMPTZ,
  marks BIGINT NOT NULL,
  PRIMARY KEY (org_id, agent_id)
);
CREATE INDEX trust_scores_by_next_at ON trust_scores (next_at) WHERE next_at IS NOT NULL;

-- Each change of a score, with what it was computed from.
CREATE TABLE trust_history (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID NOT NULL,
  score BIGINT,
  previous_score BIGINT,
  causes JSONB NOT NULL,
  inputs JSONB NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX trust_history_by_agent_id_id ON trust_history (org_id, agent_id, id);

-- The last score of each agent on each day (UTC), for trends. No row: it was not computed that day.
CREATE TABLE trust_days (
  org_id UUID NOT NULL,
  day TIMESTAMPTZ NOT NULL,
  agent_id UUID NOT NULL,
  score BIGINT,
  PRIMARY KEY (org_id, day, agent_id)
);
CREATE INDEX trust_days_by_agent_id_day ON trust_days (org_id, agent_id, day);

-- What happened to an agent that its trust has to do with, as the audit log tells it.
CREATE TABLE trust_events (
  org_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  leaf_index BIGINT NOT NULL,
  action TEXT NOT NULL,
  points BIGINT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, agent_id, leaf_index)
);

CREATE TABLE trust_adjustments (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID NOT NULL,
  delta BIGINT NOT NULL,
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  withdrawn_at TIMESTAMPTZ,
  withdrawn_by TEXT,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX trust_adjustments_by_agent_id_id ON trust_adjustments (org_id, agent_id, id);

-- What a low score leads to. The restriction itself is a row of policies, which decide() reads.
CREATE TABLE trust_policies (
  org_id UUID NOT NULL,
  alert_below BIGINT,
  restrict_policy_id UUID,
  suspend_below BIGINT,
  updated_by TEXT NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id)
);

-- The agents that are there already are computed first.
INSERT INTO trust_scores (org_id, agent_id, level, next_at, marks)
  SELECT org_id, id, 'none', TIMESTAMPTZ 'epoch', 0 FROM agents WHERE deleted_at IS NULL;

-- As for the other tables: the second line behind the tenant in every query.
ALTER TABLE trust_scores ENABLE ROW LEVEL SECURITY;
ALTER TABLE trust_scores FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON trust_scores USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE trust_history ENABLE ROW LEVEL SECURITY;
ALTER TABLE trust_history FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON trust_history USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE trust_days ENABLE ROW LEVEL SECURITY;
ALTER TABLE trust_days FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON trust_days USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE trust_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE trust_events FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON trust_events USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE trust_adjustments ENABLE ROW LEVEL SECURITY;
ALTER TABLE trust_adjustments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON trust_adjustments USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE trust_policies ENABLE ROW LEVEL SECURITY;
ALTER TABLE trust_policies FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON trust_policies USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
