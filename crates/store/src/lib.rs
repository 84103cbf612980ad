//! aim-store
