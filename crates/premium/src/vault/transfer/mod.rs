//! Secrets that come from elsewhere, and those that go elsewhere: import of files, and export sealed to a key.
//!
//! An import writes all of what it is given or nothing. An export leaves sealed to its recipient's key, after the record of
//! it is durable; nobody else can open it, AIM included.

mod archive;
pub mod cli;
mod dotenv;
mod export;
mod import;
mod kv;
pub mod model;
pub(super) mod pages;
pub mod parse;
pub(super) mod routes;
