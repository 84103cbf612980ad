//! aim-identity
