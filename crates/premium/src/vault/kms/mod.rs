//! Key management services: one of them encrypts the root key, and decrypts it at the start. What the database holds is its
//! ciphertext alone; the key that encrypts it never leaves the service.
//!
//! Which service, and which key of it, is in the settings; credentials are those of the environment, as each service's own
//! clients find them. A service that cannot be reached seals the vault and says why; it is asked again at a later request.

mod aws;
mod azure;
mod gcp;
mod http;
mod transit;

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use aim_core::{Error, Json, Result, Timestamp};
use aim_platform::{VaultKeys, VaultProvider};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::{
    envelope::{KEY_LENGTH, Key},
    root::sealed,
};

/// After so many failures in a row the pause between two tries grows no more.
const LONGEST_PAUSE: u32 = 6;

/// What the database holds of a root key that a service encrypted.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Parameters {
    /// The key that encrypted it, as the service names it.
    key: String,
    /// The root key, encrypted.
    ciphertext: String,
}

/// Why a service did not do what it was asked: fit for whoever asks for the vault's state. It quotes no answer.
#[derive(Debug)]
struct Failure(String);

/// When a service is asked again that failed.
struct Pause {
    until: Timestamp,
    failures: u32,
    reason: String,
}

/// The way to the service of the settings.
pub(super) struct Kms {
    settings: VaultKeys,
    aws: OnceCell<aws_sdk_kms::Client>,
    gcp: OnceCell<Arc<dyn gcp_auth::TokenProvider>>,
    pause: Mutex<Option<Pause>>,
}

impl Kms {
    /// The service of these settings. Nothing is asked yet.
    pub(super) fn new(settings: VaultKeys) -> Self {
        Self {
            settings,
            aws: OnceCell::new(),
            gcp: OnceCell::new(),
            pause: Mutex::default(),
        }
    }

    /// Whether the settings name a key.
    pub(super) fn is_configured(&self) -> bool {
        !self.settings.kms_key.is_empty()
    }

    /// Lets the next request ask again, whatever failed before.
    pub(super) fn forget_failures(&self) {
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The root key, encrypted: what the database holds of it.
    ///
    /// # Errors
    /// `vault.sealed` with the reason.
    pub(super) async fn encrypt(&self, provider: VaultProvider, key: &Key, now: Timestamp) -> Result<Json> {
        let plaintext = key.expose();
        let parameters = self
            .asking(provider, now, async {
                match provider {
                    VaultProvider::AwsKms => self.aws_encrypt(plaintext).await,
                    VaultProvider::GcpKms => self.gcp_encrypt(plaintext).await,
                    VaultProvider::AzureKeyVault => self.azure_encrypt(plaintext).await,
                    VaultProvider::VaultTransit => self.transit_encrypt(plaintext).await,
                    VaultProvider::KeyFile | VaultProvider::Passphrase => Err(no_service()),
                }
            })
            .await?;
        Ok(Json::of(&parameters))
    }

    /// The root key that the service encrypted.
    ///
    /// # Errors
    /// `vault.sealed` with the reason.
    pub(super) async fn decrypt(
        &self,
        provider: VaultProvider,
        stored: &Json,
        now: Timestamp,
    ) -> Result<Key> {
        let stored: Parameters = serde_json::from_value(stored.0.clone())
            .map_err(|_| sealed("what the database holds of its root key cannot be read"))?;
        let bytes = self
            .asking(provider, now, async {
                match provider {
                    VaultProvider::AwsKms => self.aws_decrypt(&stored).await,
                    VaultProvider::GcpKms => self.gcp_decrypt(&stored).await,
                    VaultProvider::AzureKeyVault => self.azure_decrypt(&stored).await,
                    VaultProvider::VaultTransit => self.transit_decrypt(&stored).await,
                    VaultProvider::KeyFile | VaultProvider::Passphrase => Err(no_service()),
                }
            })
            .await?;
        Key::from_bytes(&bytes).ok_or_else(|| {
            sealed(&format!(
                "{} gave back something else than a key of {KEY_LENGTH} bytes",
                name(provider)
            ))
        })
    }

    /// Asks, unless the service failed just now.
    async fn asking<T>(
        &self,
        provider: VaultProvider,
        now: Timestamp,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T> {
        if !self.is_configured() {
            return Err(sealed(&format!(
                "its root key is encrypted by {}; set vault.kms_key",
                name(provider)
            )));
        }
        if let Some(reason) = self.pausing(now) {
            return Err(sealed(&reason));
        }
        // In memory of its own: the future of a service's client is large, and it is seldom asked.
        match Box::pin(work).await {
            Ok(done) => {
                self.forget_failures();
                Ok(done)
            }
            Err(Failure(reason)) => Err(self.failed(format!("{}: {reason}", name(provider)), now)),
        }
    }

    fn pausing(&self, now: Timestamp) -> Option<String> {
        let pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = pause.as_ref()?;
        (now < pause.until).then(|| pause.reason.clone())
    }

    fn failed(&self, reason: String, now: Timestamp) -> Error {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = pause
            .as_ref()
            .map_or(0, |pause| pause.failures)
            .min(LONGEST_PAUSE);
        let error = sealed(&reason);
        *pause = Some(Pause {
            until: now + TimeDelta::seconds(1 << failures),
            failures: failures + 1,
            reason,
        });
        error
    }
}

/// How people call the service.
const fn name(provider: VaultProvider) -> &'static str {
    match provider {
        VaultProvider::AwsKms => "AWS KMS",
        VaultProvider::GcpKms => "Google Cloud KMS",
        VaultProvider::AzureKeyVault => "Azure Key Vault",
        VaultProvider::VaultTransit => "the transit engine",
        VaultProvider::KeyFile => "a file",
        VaultProvider::Passphrase => "a passphrase",
    }
}

fn no_service() -> Failure {
    Failure("this is no key management service".to_owned())
}

/// The variable of the environment, if it is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A text of an answer that is wiped when it is dropped.
fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

fn from_base64(text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    STANDARD
        .decode(text)
        .map(Zeroizing::new)
        .map_err(|_| Failure("its answer is no base64".to_owned()))
}

#[cfg(test)]
mod tests {
    use aim_core::Code;

    use super::*;

    #[tokio::test]
    async fn a_service_that_failed_is_asked_again_later_and_later() {
        let settings = VaultKeys {
            kms_key: "a-key".to_owned(),
            ..VaultKeys::default()
        };
        let kms = Kms::new(settings);
        let start = Timestamp::parse("2026-11-23T10:00:00Z").unwrap();
        let ask = async |seconds: i64, works: bool| {
            let mut asked = false;
            let done = kms
                .asking(
                    VaultProvider::AwsKms,
                    start + TimeDelta::seconds(seconds),
                    async {
                        asked = true;
                        if works {
                            Ok(())
                        } else {
                            Err(Failure("no answer".to_owned()))
                        }
                    },
                )
                .await;
            (asked, done.map_err(|error| error.code))
        };
        let away = Err(Code::VaultSealed);
        assert_eq!(ask(0, false).await, (true, away));
        assert_eq!(ask(0, true).await, (false, away), "not at once");
        assert_eq!(ask(1, false).await, (true, away));
        assert_eq!(ask(2, true).await, (false, away));
        assert_eq!(ask(3, false).await, (true, away));
        assert_eq!(ask(6, true).await, (false, away));
        assert_eq!(ask(7, true).await, (true, Ok(())));
        assert_eq!(ask(7, false).await, (true, away));
        kms.forget_failures();
        assert_eq!(ask(7, true).await, (true, Ok(())), "somebody mended it");
    }

    #[tokio::test]
    async fn without_a_key_in_the_settings_nobody_is_asked() {
        let kms = Kms::new(VaultKeys::default());
        let now = Timestamp::parse("2026-11-23T10:00:00Z").unwrap();
        let error = kms
            .encrypt(VaultProvider::GcpKms, &Key::generate().unwrap(), now)
            .await
            .unwrap_err();
        assert!(error.detail.contains("vault.kms_key"), "{error}");
    }
}
