//! aim-audit
