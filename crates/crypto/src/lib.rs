//! aim-crypto
