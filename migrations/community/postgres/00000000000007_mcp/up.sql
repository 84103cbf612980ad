-- MCP servers: the registry, what each was seen to offer, who vouches for that, and which agents use them.
CREATE TABLE mcp_servers (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  name TEXT NOT NULL,
  url TEXT NOT NULL,
  description TEXT NOT NULL,
  version TEXT NOT NULL,
  owner_id UUID,
  tags JSONB NOT NULL,
  status TEXT NOT NULL,
  status_reason TEXT,
  public_key BYTEA,
  verified_at TIMESTAMPTZ,
  last_check_at TIMESTAMPTZ,
  last_check_problem TEXT,
  manifest_version BIGINT NOT NULL,
  manifest_digest TEXT,
  manifest_at TIMESTAMPTZ,
  tool_count BIGINT NOT NULL,
  resource_count BIGINT NOT NULL,
  prompt_count BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  deleted_at TIMESTAMPTZ,
  PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX mcp_servers_unique_url ON mcp_servers (org_id, url) WHERE deleted_at IS NULL;
CREATE INDEX mcp_servers_by_status_id ON mcp_servers (org_id, status, id);
CREATE INDEX mcp_servers_by_name_id ON mcp_servers (org_id, name, id);

-- A version whenever what the server offers changed; never rewritten.
CREATE TABLE mcp_manifests (
  org_id UUID NOT NULL,
  server_id UUID NOT NULL,
  version BIGINT NOT NULL,
  digest TEXT NOT NULL,
  document JSONB NOT NULL,
  tool_count BIGINT NOT NULL,
  resource_count BIGINT NOT NULL,
  prompt_count BIGINT NOT NULL,
  recorded_by TEXT NOT NULL,
  recorded_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, server_id, version)
);

-- The last word of each agent on each version. The id is new at each attestation, so that the newest come first.
CREATE TABLE mcp_attestations (
  org_id UUID NOT NULL,
  server_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  manifest_version BIGINT NOT NULL,
  id UUID NOT NULL,
  manifest_digest TEXT NOT NULL,
  fingerprint TEXT,
  scheme TEXT NOT NULL,
  note TEXT,
  first_attested_at TIMESTAMPTZ NOT NULL,
  attested_at TIMESTAMPTZ NOT NULL,
  times BIGINT NOT NULL,
  PRIMARY KEY (org_id, server_id, agent_id, manifest_version)
);
CREATE INDEX mcp_attestations_by_server_id_id ON mcp_attestations (org_id, server_id, id);
CREATE INDEX mcp_attestations_by_server_id_manifest_version_id ON mcp_attestations (org_id, server_id, manifest_version, id);
CREATE INDEX mcp_attestations_by_agent_id_id ON mcp_attestations (org_id, agent_id, id);

CREATE TABLE mcp_connections (
  org_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  server_id UUID NOT NULL,
  source TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, agent_id, server_id)
);
CREATE INDEX mcp_connections_by_server_id_agent_id ON mcp_connections (org_id, server_id, agent_id);

-- What agents report that they found, by name; it need not be in the registry.
CREATE TABLE mcp_detections (
  org_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  name TEXT NOT NULL,
  method TEXT NOT NULL,
  confidence BIGINT NOT NULL,
  details JSONB NOT NULL,
  sdk_version TEXT,
  first_seen_at TIMESTAMPTZ NOT NULL,
  last_seen_at TIMESTAMPTZ NOT NULL,
  times BIGINT NOT NULL,
  PRIMARY KEY (org_id, agent_id, name, method)
);

-- As for the other tables: the second line behind the tenant in every query.
ALTER TABLE mcp_servers ENABLE ROW LEVEL SECURITY;
ALTER TABLE mcp_servers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mcp_servers USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE mcp_manifests ENABLE ROW LEVEL SECURITY;
ALTER TABLE mcp_manifests FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mcp_manifests USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE mcp_attestations ENABLE ROW LEVEL SECURITY;
ALTER TABLE mcp_attestations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mcp_attestations USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE mcp_connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE mcp_connections FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mcp_connections USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE mcp_detections ENABLE ROW LEVEL SECURITY;
ALTER TABLE mcp_detections FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mcp_detections USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
