-- What raises alerts, where an organisation wants it otherwise than the defaults.
CREATE TABLE alert_rules (
  org_id UUID NOT NULL,
  kind TEXT NOT NULL,
  enabled BOOLEAN NOT NULL,
  severity TEXT,
  cooldown_minutes BIGINT NOT NULL,
  threshold BIGINT NOT NULL,
  window_minutes BIGINT NOT NULL,
  updated_by TEXT NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, kind)
);

-- Alerts. `open_key` is the key of what it is about as long as it is not resolved, so that there is one at a time.
CREATE TABLE alerts (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID,
  kind TEXT NOT NULL,
  severity TEXT NOT NULL,
  title TEXT NOT NULL,
  detail JSONB NOT NULL,
  dedupe_key TEXT NOT NULL,
  open_key TEXT,
  status TEXT NOT NULL,
  count BIGINT NOT NULL,
  first_seen_at TIMESTAMPTZ NOT NULL,
  last_seen_at TIMESTAMPTZ NOT NULL,
  notified_at TIMESTAMPTZ NOT NULL,
  assigned_to UUID,
  acknowledged_by TEXT,
  acknowledged_at TIMESTAMPTZ,
  resolved_by TEXT,
  resolved_at TIMESTAMPTZ,
  note TEXT,
  PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX alerts_unique_open_key ON alerts (org_id, open_key);
CREATE INDEX alerts_by_dedupe_key_id ON alerts (org_id, dedupe_key, id);
CREATE INDEX alerts_by_status_id ON alerts (org_id, status, id);
CREATE INDEX alerts_by_severity_id ON alerts (org_id, severity, id);
CREATE INDEX alerts_by_kind_id ON alerts (org_id, kind, id);
CREATE INDEX alerts_by_agent_id_id ON alerts (org_id, agent_id, id);

-- Where events are delivered to: a webhook, a Slack-compatible one, or a mail address.
CREATE TABLE webhooks (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  name TEXT NOT NULL,
  format TEXT NOT NULL,
  url TEXT NOT NULL,
  events JSONB NOT NULL,
  minimum_severity TEXT NOT NULL,
  enabled BOOLEAN NOT NULL,
  sealed_secret BYTEA NOT NULL,
  failures BIGINT NOT NULL,
  last_success_at TIMESTAMPTZ,
  last_failure_at TIMESTAMPTZ,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX webhooks_unique_name ON webhooks (org_id, name);

-- What was delivered, and what is to be.
CREATE TABLE webhook_deliveries (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  webhook_id UUID NOT NULL,
  event TEXT NOT NULL,
  body TEXT NOT NULL,
  status TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  due_at TIMESTAMPTZ NOT NULL,
  lease_until TIMESTAMPTZ,
  response_status BIGINT,
  last_error TEXT,
  last_attempt_at TIMESTAMPTZ,
  replay_of UUID,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX webhook_deliveries_by_webhook_id_id ON webhook_deliveries (org_id, webhook_id, id);
CREATE INDEX webhook_deliveries_by_due_at ON webhook_deliveries (due_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_by_created_at ON webhook_deliveries (created_at);

-- As for the other tables: the second line behind the tenant in every query.
ALTER TABLE alert_rules ENABLE ROW LEVEL SECURITY;
ALTER TABLE alert_rules FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alert_rules USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE alerts ENABLE ROW LEVEL SECURITY;
ALTER TABLE alerts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alerts USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhooks FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhooks USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE webhook_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_deliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_deliveries USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
