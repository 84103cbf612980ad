//! aim-platform
