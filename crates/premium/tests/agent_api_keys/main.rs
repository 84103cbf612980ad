//! Agent-scoped API keys on real databases: SQLite in a temporary file, and PostgreSQL when
//! `AIM_TEST_POSTGRES_URL` names a server on which databases may be created.

#[cfg(test)]
mod bed;
#[cfg(test)]
mod creation;
#[cfg(test)]
mod http;
#[cfg(test)]
mod narrowing;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod use_of_keys;
