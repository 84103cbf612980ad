//! aim-testkit
