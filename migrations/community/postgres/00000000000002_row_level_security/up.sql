-- The second line behind the tenant in every query: a connection sees the rows of the tenant that the
-- store has set for it (aim.organization), or of all of them where the store says so ('*'). Without a
-- setting it sees none. FORCE holds the tables' owner to it too; only a superuser is exempt, so do not
-- let AIM connect as one (docs/OPERATIONS.md).

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON users USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sessions USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE agents ENABLE ROW LEVEL SECURITY;
ALTER TABLE agents FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON agents USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE agent_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON agent_keys USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE key_expiry_warnings ENABLE ROW LEVEL SECURITY;
ALTER TABLE key_expiry_warnings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON key_expiry_warnings USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE challenges ENABLE ROW LEVEL SECURITY;
ALTER TABLE challenges FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON challenges USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE grants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON grants USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE grant_uses ENABLE ROW LEVEL SECURITY;
ALTER TABLE grant_uses FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON grant_uses USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE capability_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE capability_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON capability_requests USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE policies ENABLE ROW LEVEL SECURITY;
ALTER TABLE policies FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON policies USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE snapshots ENABLE ROW LEVEL SECURITY;
ALTER TABLE snapshots FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON snapshots USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE nonces ENABLE ROW LEVEL SECURITY;
ALTER TABLE nonces FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON nonces USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE decisions ENABLE ROW LEVEL SECURITY;
ALTER TABLE decisions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON decisions USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE decision_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE decision_results FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON decision_results USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE violations ENABLE ROW LEVEL SECURITY;
ALTER TABLE violations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON violations USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE violation_groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE violation_groups FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON violation_groups USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE violation_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE violation_counts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON violation_counts USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_log USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
