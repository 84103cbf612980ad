//! aim-premium
