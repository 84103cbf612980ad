//! The page "Vault": how it stands, its root key, the organisation's keys and how far a rotation has come. What can be done
//! with them goes to the API, as everything does.

use actix_web::web;
use aim_platform::{
    Query,
    console::{ConsoleRegistry, Frame, PageResult, Viewing, ui},
};
use askama::Template;
use serde::Deserialize;

use super::{
    envelope::Purpose,
    model::{KeyState, VaultKey, VaultKeyList, VaultStatus},
    permission::{SecretsRead, VaultKeys, VaultUnseal},
    sections,
    service::VaultService,
};

pub(super) fn register(console: &mut ConsoleRegistry) {
    console.page("/secrets/vault", vault_page);
}

/// The page has no parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoQuery {}

#[derive(Template)]
#[template(path = "vault/vault.html")]
struct VaultPage<'a> {
    frame: &'a Frame,
    status: VaultStatus,
    list: VaultKeyList,
}

impl VaultPage<'_> {
    fn provider(&self) -> &'static str {
        match self.status.provider.as_str() {
            "passphrase" => "a passphrase, given after each start",
            "aws_kms" => "AWS KMS",
            "gcp_kms" => "Google Cloud KMS",
            "azure_key_vault" => "Azure Key Vault",
            "vault_transit" => "a transit engine of Vault or OpenBao",
            _ => "a key file",
        }
    }

    fn has_passphrase(&self) -> bool {
        self.status.provider == "passphrase"
    }

    fn is_open(&self) -> bool {
        self.status.state == "open"
    }

    fn tone(&self) -> &'static str {
        match self.status.state.as_str() {
            "open" => "good",
            "sealed" => "bad",
            _ => "neutral",
        }
    }

    fn key_tone(&self, key: &VaultKey) -> &'static str {
        if self.is_current(key) { "good" } else { "neutral" }
    }

    fn has_keys(&self) -> bool {
        !self.list.keys.is_empty()
    }

    fn is_rotating(&self) -> bool {
        self.list.percent < 100
    }

    fn is_current(&self, key: &VaultKey) -> bool {
        key.state == KeyState::Current
    }

    fn state(&self, key: &VaultKey) -> &'static str {
        match key.state {
            KeyState::Current => "current",
            KeyState::Retired => "retired",
        }
    }

    fn purpose(&self, key: &VaultKey) -> &'static str {
        match Purpose::parse(&key.purpose) {
            Purpose::Wrap => "Wraps the keys of versions",
            Purpose::Index => "Heads, and values that are looked up",
        }
    }

    fn unit(&self, key: &VaultKey) -> &'static str {
        match (Purpose::parse(&key.purpose), key.covers) {
            (Purpose::Wrap, 1) => "version",
            (Purpose::Wrap, _) => "versions",
            (Purpose::Index, 1) => "secret",
            (Purpose::Index, _) => "secrets",
        }
    }
}

async fn vault_page(
    viewing: Viewing<SecretsRead>,
    _: Query<NoQuery>,
    service: web::Data<VaultService>,
) -> PageResult {
    let page = VaultPage {
        frame: &viewing.frame,
        status: service.status(&viewing.ctx).await?,
        list: service.keys(&viewing.ctx).await?,
    };
    viewing.page("Vault", &page)
}
