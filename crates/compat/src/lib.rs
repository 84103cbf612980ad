//! aim-compat
