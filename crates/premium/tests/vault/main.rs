//! The vault on real databases: SQLite in a temporary file, and PostgreSQL when `AIM_TEST_POSTGRES_URL` names a server
//! on which databases may be created.

// The futures of whole stories nest deeply.
#![recursion_limit = "256"]

#[cfg(test)]
mod access;
#[cfg(test)]
mod agents;
#[cfg(test)]
mod bed;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod governed;
#[cfg(test)]
mod http;
#[cfg(test)]
mod kms;
#[cfg(test)]
mod operating;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod past;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod reveals;
#[cfg(test)]
mod root_key;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod transfer;
#[cfg(test)]
mod wraps;
#[cfg(test)]
mod writing;
