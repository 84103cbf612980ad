-- MCP servers: the registry, what each was seen to offer, who vouches for that, and which agents use them.
CREATE TABLE mcp_servers (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  name TEXT NOT NULL,
  url TEXT NOT NULL,
  description TEXT NOT NULL,
  version TEXT NOT NULL,
  owner_id BLOB CHECK (owner_id IS NULL OR length(owner_id) = 16),
  tags TEXT NOT NULL CHECK (json_valid(tags)),
  status TEXT NOT NULL,
  status_reason TEXT,
  public_key BLOB,
  verified_at INTEGER,
  last_check_at INTEGER,
  last_check_problem TEXT,
  manifest_version INTEGER NOT NULL,
  manifest_digest TEXT,
  manifest_at INTEGER,
  tool_count INTEGER NOT NULL,
  resource_count INTEGER NOT NULL,
  prompt_count INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE UNIQUE INDEX mcp_servers_unique_url ON mcp_servers (org_id, url) WHERE deleted_at IS NULL;
CREATE INDEX mcp_servers_by_status_id ON mcp_servers (org_id, status, id);
CREATE INDEX mcp_servers_by_name_id ON mcp_servers (org_id, name, id);

-- A version whenever what the server offers changed; never rewritten.
CREATE TABLE mcp_manifests (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  server_id BLOB NOT NULL CHECK (length(server_id) = 16),
  version INTEGER NOT NULL,
  digest TEXT NOT NULL,
  document TEXT NOT NULL CHECK (json_valid(document)),
  tool_count INTEGER NOT NULL,
  resource_count INTEGER NOT NULL,
  prompt_count INTEGER NOT NULL,
  recorded_by TEXT NOT NULL,
  recorded_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, server_id, version)
) STRICT;

-- The last word of each agent on each version. The id is new at each attestation, so that the newest come first.
CREATE TABLE mcp_attestations (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  server_id BLOB NOT NULL CHECK (length(server_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  manifest_version INTEGER NOT NULL,
  id BLOB NOT NULL CHECK (length(id) = 16),
  manifest_digest TEXT NOT NULL,
  fingerprint TEXT,
  scheme TEXT NOT NULL,
  note TEXT,
  first_attested_at INTEGER NOT NULL,
  attested_at INTEGER NOT NULL,
  times INTEGER NOT NULL,
  PRIMARY KEY (org_id, server_id, agent_id, manifest_version)
) STRICT;
CREATE INDEX mcp_attestations_by_server_id_id ON mcp_attestations (org_id, server_id, id);
CREATE INDEX mcp_attestations_by_server_id_manifest_version_id ON mcp_attestations (org_id, server_id, manifest_version, id);
CREATE INDEX mcp_attestations_by_agent_id_id ON mcp_attestations (org_id, agent_id, id);

CREATE TABLE mcp_connections (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  server_id BLOB NOT NULL CHECK (length(server_id) = 16),
  source TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, agent_id, server_id)
) STRICT;
CREATE INDEX mcp_connections_by_server_id_agent_id ON mcp_connections (org_id, server_id, agent_id);

-- What agents report that they found, by name; it need not be in the registry.
CREATE TABLE mcp_detections (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  name TEXT NOT NULL,
  method TEXT NOT NULL,
  confidence INTEGER NOT NULL,
  details TEXT NOT NULL CHECK (json_valid(details)),
  sdk_version TEXT,
  first_seen_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  times INTEGER NOT NULL,
  PRIMARY KEY (org_id, agent_id, name, method)
) STRICT;
