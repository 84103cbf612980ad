ALTER TABLE snapshots DROP COLUMN last_used_at;
DROP TABLE retention_progress;
DROP TABLE legal_holds;
DROP TABLE retention_settings;
DROP TABLE audit_verifications;
