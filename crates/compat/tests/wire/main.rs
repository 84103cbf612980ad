//! The SDKs' wire forms on real databases, through the whole shell, with a clock that stands still: SQLite in
//! a temporary file, and PostgreSQL when `AIM_TEST_POSTGRES_URL` names a server on which databases may be
//! created. The published SDK itself is driven by `tests/sdk`.

#[cfg(test)]
mod bed;
#[cfg(test)]
mod freshness;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod problems;
