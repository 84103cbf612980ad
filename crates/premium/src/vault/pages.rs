//! The console's pages of the vault.

use aim_platform::console::ConsoleRegistry;

use super::service::VaultService;

pub(super) fn register(_: &mut ConsoleRegistry, _: &VaultService) {}
