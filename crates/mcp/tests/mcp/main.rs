//! MCP servers on real databases: SQLite in a temporary file, and PostgreSQL when `AIM_TEST_POSTGRES_URL` names a
//! server on which databases may be created.

#[cfg(test)]
mod attestations;
#[cfg(test)]
mod bed;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod detections;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod verification;
