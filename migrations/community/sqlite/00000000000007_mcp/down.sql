DROP TABLE mcp_detections;
DROP TABLE mcp_connections;
DROP TABLE mcp_attestations;
DROP TABLE mcp_manifests;
DROP TABLE mcp_servers;
