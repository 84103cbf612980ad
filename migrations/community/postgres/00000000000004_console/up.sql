-- What users asked the console to remember.
CREATE TABLE user_preferences (
  org_id UUID NOT NULL,
  user_id UUID NOT NULL,
  name TEXT NOT NULL,
  value JSONB NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, user_id, name)
);

-- Links that sign a user in once, made by the operator. A link that was used is gone.
CREATE TABLE sign_in_links (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  user_id UUID NOT NULL,
  token_digest BYTEA NOT NULL CHECK (length(token_digest) = 32),
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, id),
  UNIQUE (token_digest)
);

-- As for the other tables: the second line behind the tenant in every query.
ALTER TABLE user_preferences ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_preferences FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON user_preferences USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE sign_in_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE sign_in_links FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sign_in_links USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
