//! Cryptography of AIM: agents' keys, HTTP message signatures, issued keys, passwords and secret values.
//!
//! Pure functions over their arguments. This crate does no I/O, knows no clock (times are parameters), holds
//! no state and invents no primitive: Ed25519 is `ed25519-dalek`, hashing and randomness are `ring`, password
//! hashing is `argon2`, structured fields are `sfv`. The only thing taken from the operating system is
//! randomness.

pub mod digest;
pub mod http_signature;
pub mod keys;
pub mod password;
pub mod possession;
#[cfg(feature = "sealing")]
pub mod sealing;
pub mod secret;
pub mod token;
