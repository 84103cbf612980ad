//! aim-key-vault
