//! Monitoring on real databases: SQLite in a temporary file, and PostgreSQL when `AIM_TEST_POSTGRES_URL`
//! names a server on which databases may be created.

#[cfg(test)]
mod activity;
#[cfg(test)]
mod alerts;
#[cfg(test)]
mod bed;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod webhooks;
