-- What raises alerts, where an organisation wants it otherwise than the defaults.
CREATE TABLE alert_rules (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  kind TEXT NOT NULL,
  enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  severity TEXT,
  cooldown_minutes INTEGER NOT NULL,
  threshold INTEGER NOT NULL,
  window_minutes INTEGER NOT NULL,
  updated_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, kind)
) STRICT, WITHOUT ROWID;

-- Alerts. `open_key` is the key of what it is about as long as it is not resolved, so that there is one at a time.
CREATE TABLE alerts (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB CHECK (length(agent_id) = 16),
  kind TEXT NOT NULL,
  severity TEXT NOT NULL,
  title TEXT NOT NULL,
  detail TEXT NOT NULL CHECK (json_valid(detail)),
  dedupe_key TEXT NOT NULL,
  open_key TEXT,
  status TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_seen_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  notified_at INTEGER NOT NULL,
  assigned_to BLOB CHECK (length(assigned_to) = 16),
  acknowledged_by TEXT,
  acknowledged_at INTEGER,
  resolved_by TEXT,
  resolved_at INTEGER,
  note TEXT,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE UNIQUE INDEX alerts_unique_open_key ON alerts (org_id, open_key);
CREATE INDEX alerts_by_dedupe_key_id ON alerts (org_id, dedupe_key, id);
CREATE INDEX alerts_by_status_id ON alerts (org_id, status, id);
CREATE INDEX alerts_by_severity_id ON alerts (org_id, severity, id);
CREATE INDEX alerts_by_kind_id ON alerts (org_id, kind, id);
CREATE INDEX alerts_by_agent_id_id ON alerts (org_id, agent_id, id);

-- Where events are delivered to: a webhook, a Slack-compatible one, or a mail address.
CREATE TABLE webhooks (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  name TEXT NOT NULL,
  format TEXT NOT NULL,
  url TEXT NOT NULL,
  events TEXT NOT NULL CHECK (json_valid(events)),
  minimum_severity TEXT NOT NULL,
  enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  sealed_secret BLOB NOT NULL,
  failures INTEGER NOT NULL,
  last_success_at INTEGER,
  last_failure_at INTEGER,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE UNIQUE INDEX webhooks_unique_name ON webhooks (org_id, name);

-- What was delivered, and what is to be.
CREATE TABLE webhook_deliveries (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  webhook_id BLOB NOT NULL CHECK (length(webhook_id) = 16),
  event TEXT NOT NULL,
  body TEXT NOT NULL,
  status TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  lease_until INTEGER,
  response_status INTEGER,
  last_error TEXT,
  last_attempt_at INTEGER,
  replay_of BLOB CHECK (length(replay_of) = 16),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX webhook_deliveries_by_webhook_id_id ON webhook_deliveries (org_id, webhook_id, id);
CREATE INDEX webhook_deliveries_by_due_at ON webhook_deliveries (due_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_by_created_at ON webhook_deliveries (created_at);
