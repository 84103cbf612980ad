//! aim-decision
