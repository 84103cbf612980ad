//! aim-violations
