//! Key management services.

use aim_core::{Json, Result, Timestamp};
use aim_platform::{VaultKeys, VaultProvider};

use super::{envelope::Key, root::sealed};

pub(super) struct Kms(VaultKeys);

impl Kms {
    pub(super) fn new(settings: VaultKeys) -> Self {
        Self(settings)
    }

    pub(super) fn is_configured(&self) -> bool {
        !self.0.kms_key.is_empty()
    }

    pub(super) fn forget_failures(&self) {}

    pub(super) async fn encrypt(&self, _: VaultProvider, _: &Key, _: Timestamp) -> Result<Json> {
        Err(sealed("no service"))
    }

    pub(super) async fn decrypt(&self, _: VaultProvider, _: &Json, _: Timestamp) -> Result<Key> {
        Err(sealed("no service"))
    }
}
