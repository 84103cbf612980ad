//! The vault on real databases: SQLite in a temporary file, and PostgreSQL when `AIM_TEST_POSTGRES_URL` names a server
//! on which databases may be created.

#[cfg(test)]
mod bed;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod http;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod past;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod root_key;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod transfer;
#[cfg(test)]
mod writing;
