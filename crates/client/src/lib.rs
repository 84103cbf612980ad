//! aim-client
